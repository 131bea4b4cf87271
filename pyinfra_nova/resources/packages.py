"""Packages: installed completely, without starting daemons that nothing has configured yet."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeVar

from pyinfra import host
from pyinfra.api import FactBase, StringCommand, operation
from pyinfra.api.command import QuoteString
from pyinfra.api.host import Host
from typing_extensions import override

from pyinfra_nova.session.host_script import shell_command
from pyinfra_nova.session.steps import LOCKS, Commands, changing, refused, say

AnswerT = TypeVar("AnswerT")
# Inst NAME [VERSION NOW] (VERSION …)
SIMULATED = re.compile(r"Inst (\S+) (?:\[(\S+)\] )?\(")
# Installing: or Upgrading:, and what dnf has under it: a space, then name, architecture, version.
# Without a terminal the table is as wide as it has to be.
DNF_HEADING = re.compile(r"([A-Z][a-z ]+):$|Transaction Summary")
DNF_ROW = re.compile(r" (\S+) +\S+ +(\S+) ")
LOCK = f"{LOCKS}/packages"
"""files/lock_packages.sh"""
LEFT_GUARD = "guard left by an interrupted installation"


class InstalledPackages(FactBase[dict[str, str]]):
    """dpkg's status of each asked package that it knows, and what an interrupted run left.

    ``installed`` is the only status that counts; the key LEFT_GUARD is there when an interrupted
    run left its policy-rc.d behind.
    """

    default = dict

    @override
    def command(self, packages: Sequence[str]) -> StringCommand:
        return StringCommand(
            "dpkg-query",
            "--show",
            "--showformat='${Package} ${db:Status-Status}\\n'",
            *(QuoteString(package) for package in packages),
            "2>/dev/null; grep -qs '^# pyinfra-nova' /usr/sbin/policy-rc.d &&",
            # A guard that is locked belongs to an installation that still runs. To open the lock
            # would make it, and a fact writes nothing.
            f"{{ ! test -e {LOCK} || flock --nonblock {LOCK} true; }} && echo guard left; true",
        )

    @override
    def process(self, output: Iterable[str]) -> dict[str, str]:
        status: dict[str, str] = {}
        for line in output:
            if line == "guard left":
                status[LEFT_GUARD] = "left"
                continue
            package, _, state = line.partition(" ")
            # A package of two architectures is listed twice; one installed is enough.
            if status.get(package) != "installed":
                status[package] = state
        return status


class InstalledRpms(FactBase[dict[str, str]]):
    """The asked packages that rpm knows, each ``installed``."""

    default = dict

    @override
    def command(self, packages: Sequence[str]) -> StringCommand:
        return StringCommand(
            "rpm --query --queryformat '%{NAME} installed\\n'",
            *(QuoteString(package) for package in packages),
            "2>/dev/null; true",
        )

    @override
    def process(self, output: Iterable[str]) -> dict[str, str]:
        # Of others it says: package NAME is not installed
        words = (line.split() for line in output)
        return {found[0]: found[1] for found in words if found[1:] == ["installed"]}


class Simulation(FactBase[AnswerT]):
    """What a package manager says that it would do; empty where it cannot tell."""

    simulate: ClassVar[str]
    """The command that takes the packages' names."""

    @override
    def command(self, packages: Sequence[str]) -> StringCommand:
        words = (QuoteString(package) for package in packages)
        return StringCommand(self.simulate, *words, "2>/dev/null; true")


class Installation(Simulation[dict[str, str | None]]):
    """What installing packages would bring: None for a new one, else how its version changes.

    Empty where the package manager cannot tell.
    """

    default = dict


class SimulatedInstall(Installation):
    """By apt; empty for example on a host that has not fetched package lists yet."""

    simulate = "apt-get --simulate --quiet install --no-install-recommends"

    @override
    def process(self, output: Iterable[str]) -> dict[str, str | None]:
        found = [match for match in map(SIMULATED.match, output) if match]
        return {match[1]: f"from {match[2]}" if match[2] else None for match in found}


class SimulatedRpmInstall(Installation):
    """By dnf; empty where it has not fetched its repositories' lists yet."""

    simulate = "LC_ALL=C dnf --assumeno --cacheonly --setopt=install_weak_deps=False install"

    @override
    def process(self, output: Iterable[str]) -> dict[str, str | None]:
        brought: dict[str, str | None] = {}
        heading = ""
        for line in output:
            if match := DNF_HEADING.match(line):
                heading = match[1] or ""
            elif match := DNF_ROW.match(line):
                if heading.startswith("Installing"):
                    brought[match[1]] = None
                elif heading in ("Upgrading", "Downgrading"):
                    brought[match[1]] = f"to {match[2]}"
        return brought


class Removal(Simulation[list[str]]):
    """What would be removed with packages; empty where the package manager cannot tell."""

    default = list


class SimulatedRemoval(Removal):
    """By apt."""

    simulate = "apt-get --simulate --quiet remove"

    @override
    def process(self, output: Iterable[str]) -> list[str]:
        # Remv NAME [VERSION]
        return [line.split()[1] for line in output if line.startswith("Remv ")]


class SimulatedRpmRemoval(Removal):
    """By dnf."""

    simulate = (
        "LC_ALL=C dnf --assumeno --cacheonly --setopt=clean_requirements_on_remove=False remove"
    )

    @override
    def process(self, output: Iterable[str]) -> list[str]:
        removed: list[str] = []
        heading = ""
        for line in output:
            if match := DNF_HEADING.match(line):
                heading = match[1] or ""
            elif (match := DNF_ROW.match(line)) and heading.startswith("Removing"):
                removed.append(match[1])
        return removed


@dataclass(frozen=True)
class Packager:
    """A package manager: its facts, and the scripts that install, remove and upgrade all.

    Attributes:
        common: what each service of Nova depends on.
    """

    installed: type[InstalledPackages | InstalledRpms]
    simulated: type[Installation]
    script: str
    removal: type[Removal]
    remover: str
    upgrader: str
    common: tuple[str, ...]


PackagerName = Literal["apt", "dnf"]
PACKAGERS: Mapping[PackagerName, Packager] = {
    "apt": Packager(
        *(InstalledPackages, SimulatedInstall, "install_packages_apt"),
        *(SimulatedRemoval, "remove_packages_apt"),
        "upgrade_packages_apt",
        ("nova-common", "python3-nova"),
    ),
    "dnf": Packager(
        *(InstalledRpms, SimulatedRpmInstall, "install_packages_dnf"),
        *(SimulatedRpmRemoval, "remove_packages_dnf"),
        "upgrade_packages_dnf",
        ("openstack-nova-common", "python3-nova"),
    ),
}


def states(host: Host, packager: PackagerName, packages: Sequence[str]) -> dict[str, str]:
    """The state of each of PACKAGES that HOST knows; ``installed`` is the only one that counts."""
    found: dict[str, str] = host.get_fact(PACKAGERS[packager].installed, packages=sorted(packages))
    return found


def description(missing: Sequence[str], brought: Mapping[str, str | None]) -> str:
    """What is said of an installation: the packages, what comes with them, what is upgraded."""
    more = [name for name, how in brought.items() if how is None and name not in missing]
    upgraded = [f"{name} ({how})" for name, how in brought.items() if how is not None]
    said = f"install: {', '.join(missing)}"
    if more:
        said += f", and {len(more)} that they need"
    if upgraded:
        said += f"; upgrade: {', '.join(upgraded)}"
    return said


@operation()
def installed(packages: Sequence[str], packager: PackagerName = "apt") -> Commands:
    """Have all PACKAGES installed; interrupted installations are finished on the way."""
    status = states(host, packager, packages)
    missing = sorted(package for package in packages if status.get(package) != "installed")
    if not missing and LEFT_GUARD not in status:
        return
    if missing:
        brought: dict[str, str | None] = host.get_fact(
            PACKAGERS[packager].simulated, packages=missing
        )
        say(description(missing, brought))
    else:
        say("lift the guard against starting daemons, which an interrupted installation has left")
    yield changing(shell_command(PACKAGERS[packager].script, *missing))


@operation()
def removed(
    packages: Sequence[str], packager: PackagerName = "apt", others: Sequence[str] = ()
) -> Commands:
    """Have none of Nova's PACKAGES, nor what its services share; their data and libvirt stay.

    What is not Nova's, or is one of OTHERS, but would go with them, ends the run: somebody else
    needs it. So does a package manager that does not say what would go.
    """
    how = PACKAGERS[packager]
    mine = [*(name for name in packages if "nova" in name), *how.common]
    status = states(host, packager, mine)
    there = sorted(name for name in mine if status.get(name) == "installed")
    if not there:
        return
    going: list[str] = host.get_fact(how.removal, packages=there)
    if untold := sorted(set(there) - set(going)):
        yield from refused(
            f"it is not said what would be removed with {', '.join(untold)}: see "
            f"`{how.removal.simulate} {' '.join(there)}` there, or set purge = False"
        )
        return
    if needed := sorted(name for name in going if "nova" not in name or name in others):
        yield from refused(
            f"with Nova's packages {', '.join(needed)} would be removed: remove these first, or "
            "set purge = False"
        )
        return
    say(f"remove: {', '.join(sorted({*there, *going}))}")
    yield changing(shell_command(how.remover, *there))
