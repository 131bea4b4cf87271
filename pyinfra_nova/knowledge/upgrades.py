"""What is known of going from one release of Nova to another: ``upgrades.yaml``, checked."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import yaml
from pydantic import Field

from pyinfra_nova.knowledge.platforms import Row

TABLE = Path(__file__).with_name("upgrades.yaml")


class ServiceVersions(Row):
    """The numbers by which services of different releases know each other.

    Attributes:
        version: of the release's services.
        newest: of those of its stable releases, where it is another.
        oldest: of the oldest nova-compute beside which its controllers start.
    """

    version: int
    oldest: int
    newest: int | None = None

    def holds(self, version: int) -> bool:
        """Whether a service of this release may have VERSION."""
        return self.version <= version <= (self.newest or self.version)


class StoppedStep(Row):
    """A step that is known to work while nothing of the control plane runs.

    Attributes:
        system: the ``ID`` of the hosts' os-release.
        from_version, to_version: ``VERSION_ID`` before and after it.
    """

    before: str
    after: str
    system: str
    from_version: str = Field(alias="from")
    to_version: str = Field(alias="to")
    source: str


class Behaviour(Row):
    """What a release does otherwise than the one before."""

    text: str
    source: str


class Upgrades(Row):
    services: dict[str, ServiceVersions]
    compute_rpc: dict[int, str]
    slurp: tuple[str, ...]
    stopped: tuple[StoppedStep, ...]
    behaviour: dict[str, tuple[Behaviour, ...]]
    passed_over: tuple[str, ...]
    no_linux_bridge: str


@cache
def upgrades() -> Upgrades:
    """upgrades.yaml."""
    return Upgrades.model_validate(yaml.safe_load(TABLE.read_text(encoding="utf-8")))


def services_of(release: str) -> ServiceVersions:
    """The service versions of RELEASE."""
    return upgrades().services[release]


def is_slurp(release: str) -> bool:
    """Whether the release before or after RELEASE may be left out on the way to the next such."""
    return release in upgrades().slurp


def releases_of_service(version: int) -> tuple[str, ...]:
    """The releases whose services have VERSION: some share one."""
    return tuple(name for name, one in upgrades().services.items() if one.holds(version))


def compute_rpc_of(version: int) -> str | None:
    """The newest RPC that a nova-compute of service VERSION knows; None where that is not known."""
    return upgrades().compute_rpc.get(version)


def stopped_step(before: str, after: str) -> StoppedStep | None:
    """The step from BEFORE to AFTER with all of the control plane stopped, if it is known to work.

    A rolling step needs none.
    """
    found = (step for step in upgrades().stopped if (step.before, step.after) == (before, after))
    return next(found, None)


def behaviour_of(releases: Iterable[str]) -> tuple[tuple[str, Behaviour], ...]:
    """What RELEASES do otherwise, each with the release that begins with it."""
    known = upgrades().behaviour
    return tuple((name, one) for name in releases for one in known.get(name, ()))
