"""URLs that have to answer before the deployment may go on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from pyinfra import host
from pyinfra.api import operation

from pyinfra_nova.session.host_script import NO_ANSWER, ScriptFact, ask, script_command
from pyinfra_nova.session.steps import Commands, refused, say


@dataclass(frozen=True)
class Answering:
    """A URL, asked from the host itself, and a text that its answer holds."""

    name: str
    url: str
    holds: str


class SilentUrls(ScriptFact):
    """The URLs that do not answer as they should, and how each answers instead."""

    script = "http_answers"
    uses = ("trust", "rest")


@operation()
def answering(urls: Sequence[Answering], deadline: int = 90) -> Commands:
    """Wait until all URLS answer, for DEADLINE seconds; those that do not are named."""
    request = {"urls": [asdict(url) for url in urls]}
    found = ask(host, SilentUrls, request)
    if not found:
        yield from refused(NO_ANSWER)
        return
    silent = found["failing"]
    for url in silent:
        say(f"wait for {url['name']}: {url['detail']}")
    if silent:
        yield script_command("http_answers", "wait", {**request, "wait": deadline}, SilentUrls.uses)
