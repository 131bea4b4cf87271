"""Operations that change nothing: one that asks its host something, and one that does not."""

from __future__ import annotations

from pyinfra import host
from pyinfra.api import FactBase, operation
from pyinfra.api.deploy import deploy
from typing_extensions import override

from pyinfra_nova.session.steps import Commands


class Nothing(FactBase[str]):
    """A question without an answer."""

    @override
    def command(self) -> str:
        return "true"


@operation()
def passed() -> Commands:
    return
    yield


@operation()
def unchanged() -> Commands:
    host.get_fact(Nothing)
    return
    yield


def asked(name: str) -> None:
    """An operation within a deploy of its own, as those of tasks/ are."""
    deploy(name)(lambda: unchanged(name="Compare"))()
