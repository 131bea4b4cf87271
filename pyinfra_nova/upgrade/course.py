"""The way from the releases that are installed to the one that is wanted.

A step is rolling where controllers of the new release work with computes of the old one. Two things
decide that: the versions of services (nova/utils.py, raise_if_old_compute), without which nothing
starts; and what OpenStack tests, which is the next release, or from one SLURP release to the next.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from pyinfra_nova.knowledge import releases
from pyinfra_nova.knowledge.platforms import UnsupportedPlatform, platform_for
from pyinfra_nova.knowledge.upgrades import (
    compute_rpc_of,
    is_slurp,
    releases_of_service,
    services_of,
    stopped_step,
)
from pyinfra_nova.site.names import named

Way = Literal["none", "rolling", "stopped", "unknown", "back"]
"""How a step is taken: not at all, service by service, with the control plane stopped, nobody knows
how, or never because it goes back."""

ORDER = tuple(releases.VERSIONS)


def spoken(release: str) -> str:
    """RELEASE with Nova's own number."""
    return f"{release} (Nova {releases.VERSIONS[release]})"


@dataclass(frozen=True)
class Step:
    """From BEFORE to AFTER, at once.

    Attributes:
        way: how it is taken.
        why: what decides that, as the end of a sentence.
    """

    before: str
    after: str
    way: Way
    why: str

    @property
    def between(self) -> tuple[str, ...]:
        """The releases that it leaves out."""
        return ORDER[ORDER.index(self.before) + 1 : ORDER.index(self.after)]


def step(before: str, after: str) -> Step:
    """What there is to say of going from BEFORE to AFTER at once."""
    return Step(before, after, *_way(before, after))


def _way(before: str, after: str) -> tuple[Way, str]:
    distance = releases.VERSIONS[after] - releases.VERSIONS[before]
    if distance == 0:
        return "none", "it is installed"
    if distance < 0:
        return "back", "Nova's schemas only go forward"
    has, least = services_of(before).version, services_of(after).oldest
    of = f"a nova-compute of {before} has service version {has}, and {after} takes {least} and up"
    if has >= least and distance == 1:
        return "rolling", of
    if has >= least and distance == 2 and is_slurp(before) and is_slurp(after):
        between = ORDER[ORDER.index(before) + 1]
        return "rolling", f"{of}; both are SLURP releases, so {between} may be left out"
    if known := stopped_step(before, after):
        own = f"{known.system.capitalize()}'s own step from {known.from_version} to"
        way = f"it is {own} {known.to_version}, with all of the control plane stopped"
        return "stopped", f"{of}; {way}"
    if has >= least:
        return "unknown", f"OpenStack tests no step from {before} to {after}"
    return "unknown", of


def rolling_steps(before: str, after: str, possible: Collection[str] = ORDER) -> list[Step] | None:
    """The fewest rolling steps from BEFORE to AFTER, by releases of POSSIBLE; None if none lead."""
    ways: list[list[Step]] = [[]]
    seen = {before}
    while ways:
        longer: list[list[Step]] = []
        for way in ways:
            at = way[-1].after if way else before
            if at == after:
                return way
            # The furthest first: of ways that are as long, the one that gets on quickest.
            for name in reversed(ORDER[ORDER.index(at) + 1 :]):
                on = step(at, name)
                if on.way == "rolling" and name not in seen and (name in possible or name == after):
                    seen.add(name)
                    longer.append([*way, on])
        ways = longer
    return None


# --- the hosts of a site --------------------------------------------------------------------------


@dataclass(frozen=True)
class Installed:
    """A host on which Nova is.

    Attributes:
        releases: of its packages; more than one where their installation was cut off.
        system: ``ID`` and ``VERSION_ID`` of its os-release.
        is_left_out: the run only asks it (``--limit``).
    """

    name: str
    releases: tuple[str, ...]
    system: tuple[str, str]
    is_controller: bool = False
    is_compute: bool = False
    is_left_out: bool = False

    @property
    def release(self) -> str:
        """The oldest of them: the host is there only once all are."""
        return min(self.releases, key=ORDER.index)

    def has_platform(self, release: str) -> bool:
        """Whether its system has RELEASE."""
        try:
            platform_for(*self.system, release)
        except UnsupportedPlatform:
            return False
        return True


@dataclass(frozen=True)
class Refusal:
    """Why nothing is begun with on HOSTS, and what is to be done instead.

    Attributes:
        of_system: their operating system is why, which the preflight says of any host.
    """

    hosts: tuple[str, ...]
    text: str
    of_system: bool = False


@dataclass(frozen=True)
class Course:
    """What brings HOSTS, on which Nova is, to the release WANTED."""

    hosts: Sequence[Installed]
    wanted: str

    @cached_property
    def by_release(self) -> Mapping[str, tuple[str, ...]]:
        """The names of the hosts, by their release, oldest first."""
        found: dict[str, list[str]] = {}
        for host in sorted(self.hosts, key=lambda host: ORDER.index(host.release)):
            found.setdefault(host.release, []).append(host.name)
        return {name: tuple(hosts) for name, hosts in found.items()}

    @property
    def step(self) -> Step:
        """That of the hosts that have the longest way; back where one of them is further."""
        newest, oldest = list(self.by_release)[-1], next(iter(self.by_release))
        if ORDER.index(newest) > ORDER.index(self.wanted):
            return step(newest, self.wanted)
        return step(oldest, self.wanted)

    @property
    def is_needed(self) -> bool:
        """Whether any host has another release than the wanted one."""
        return any(set(host.releases) != {self.wanted} for host in self.hosts)

    @property
    def has_begun(self) -> bool:
        """Whether a host is at the wanted release already, or half way there."""
        return any(self.wanted in host.releases for host in self.hosts)

    @property
    def to_do(self) -> tuple[Installed, ...]:
        """The hosts of the run that are not there yet, controllers first."""
        left = [
            host
            for host in self.hosts
            if set(host.releases) != {self.wanted} and not host.is_left_out
        ]
        return tuple(sorted(left, key=lambda host: not host.is_controller))

    # --- what is in the way -----------------------------------------------------------------------

    def refusals(self) -> Iterator[Refusal]:
        """Why this course is not begun with, as far as releases and systems tell."""
        if self.step.way == "back":
            yield self._back()
            return
        yield from self._lacking()
        yield from self._controllers_first()
        if self.step.way in ("unknown", "stopped"):
            yield from self._not_rolling()

    def _back(self) -> Refusal:
        ahead = tuple(
            host.name
            for host in self.hosts
            if any(ORDER.index(name) > ORDER.index(self.wanted) for name in host.releases)
        )
        return Refusal(
            ahead,
            f"{spoken(self.step.before)} is installed, and there is no way back to {self.wanted}: "
            f"{self.step.why}. Set release to {self.step.before}, or go back to the backup from "
            "before the upgrade (docs/backup.md)",
        )

    def _lacking(self) -> Iterator[Refusal]:
        """Hosts whose system has no such release, by their system."""
        found: dict[str, list[str]] = {}
        for host in self.to_do:
            if not host.has_platform(self.wanted):
                found.setdefault(" ".join(host.system).strip(), []).append(host.name)
        for system, names in found.items():
            way = ""
            if self.step.way == "stopped":
                known = stopped_step(self.step.before, self.wanted)
                assert known  # the step's way says so
                way = f"; it comes with {known.system.capitalize()} {known.to_version}"
            text = f"{system} has no {spoken(self.wanted)}{way}"
            yield Refusal(tuple(names), text, of_system=True)

    def _controllers_first(self) -> Iterator[Refusal]:
        """Controllers that are left out while computes would go ahead of them."""
        ahead = [host.name for host in self.to_do if host.is_compute]
        for host in self.hosts:
            behind = host.is_controller and host.is_left_out and host.release != self.wanted
            if behind and ahead:
                yield Refusal(
                    (host.name,),
                    f"it has {spoken(host.release)} and is left out of this run, but controllers "
                    f"come before computes ({named(ahead)}): run without --limit, or name it, too",
                )

    def _not_rolling(self) -> Iterator[Refusal]:
        """By the release of the hosts: those for which it is too far, and what leads there."""
        for release, names in self.by_release.items():
            on = step(release, self.wanted)
            if on.way not in ("unknown", "stopped"):
                continue
            text = f"{spoken(release)} to {spoken(self.wanted)} is not rolling: {on.why}. "
            yield Refusal(names, text + self._instead(on))

    def _instead(self, on: Step) -> str:
        if on.way == "stopped":
            return "That step is not taken by a deploy"
        possible = [name for name in ORDER if all(h.has_platform(name) for h in self.hosts)]
        steps = rolling_steps(on.before, on.after, possible)
        if steps is None:
            return "No rolling steps lead there on these hosts' systems"
        names = [one.after for one in steps]
        return f"Set release to {names[0]} first, then to {', then to '.join(names[1:])}"

    # --- what is said of it -----------------------------------------------------------------------

    def remarks(self) -> Iterator[str]:
        """What is to be known of hosts that are not all of one release."""
        for host in self.hosts:
            if len(set(host.releases)) > 1:
                has = " and ".join(sorted(set(host.releases), key=ORDER.index))
                yield f"{host.name} has packages of {has}: their installation was cut off"
        if len(self.by_release) < 2:
            return
        there = "; ".join(f"{name}: {named(hosts)}" for name, hosts in self.by_release.items())
        yield f"the site is half upgraded ({there})"
        controllers = [host for host in self.hosts if host.is_controller]
        if not controllers:
            return
        behind = min((host.release for host in controllers), key=ORDER.index)
        ahead = [
            host.name
            for host in self.hosts
            if not host.is_controller and ORDER.index(host.release) > ORDER.index(behind)
        ]
        if ahead:
            yield (
                f"{named(ahead)} {'is' if len(ahead) == 1 else 'are'} ahead of the controllers, "
                f"which have {behind}: they are to be first"
            )


def too_old(services: Mapping[str, int], wanted: str) -> Refusal | None:
    """Of the versions of nova-compute's SERVICES, by host, those that WANTED would not start with.

    Also of hosts that this run does not touch: one is enough to keep all controllers from starting.
    """
    least = services_of(wanted).oldest
    old = {host: version for host, version in services.items() if version < least}
    if not old:
        return None
    says = named([f"{host} (version {old[host]}{_of(old[host])})" for host in sorted(old)])
    return Refusal(
        tuple(sorted(old)),
        f"controllers of {wanted} do not start beside nova-compute of {says}: they take {least} "
        "and up. Upgrade these computes first, or retire those that are gone",
    )


def pin(services: Mapping[str, int], wanted: str) -> str | None:
    """The RPC by which WANTED's services may ask computes while those of SERVICES are among them.

    None where they all know the same, or where there is none; then none is to be written.
    """
    known = compute_rpc_of(min(services.values(), default=services_of(wanted).version))
    return None if known == compute_rpc_of(services_of(wanted).version) else known


def _of(version: int) -> str:
    names = releases_of_service(version)
    return f", {names[0]}" if len(names) == 1 else f", {names[0]} to {names[-1]}" if names else ""


def known_release(version: str) -> str | None:
    """The release of which Nova has VERSION, such as 26.2.2; None where it is not known here."""
    major = version.partition(".")[0]
    names: Iterable[str] = (name for name, one in releases.VERSIONS.items() if str(one) == major)
    return next(iter(names), None)
