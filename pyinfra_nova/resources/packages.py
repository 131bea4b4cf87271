"""Packages: installed completely, without starting daemons that nothing has configured yet."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from pyinfra import host
from pyinfra.api import FactBase, StringCommand, operation
from pyinfra.api.command import QuoteString
from typing_extensions import override

from pyinfra_nova.redact import SecretInput
from pyinfra_nova.resources.host_script import SCRIPTS
from pyinfra_nova.resources.steps import Commands, changing, say

# Inst NAME [VERSION NOW] (VERSION …)
SIMULATED = re.compile(r"Inst (\S+) (?:\[(\S+)\] )?\(")
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
            # A guard that is locked belongs to an installation that still runs.
            "flock -n /run/pyinfra-nova.packages true && echo guard left; true",
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


class SimulatedInstall(FactBase[dict[str, str | None]]):
    """What installing packages would bring: each package's version now, None if it is new.

    Empty where apt cannot tell, such as on a host that has not fetched package lists yet.
    """

    default = dict

    @override
    def command(self, packages: Sequence[str]) -> StringCommand:
        words = (QuoteString(package) for package in packages)
        return StringCommand(
            "apt-get --simulate --quiet install --no-install-recommends",
            *words,
            "2>/dev/null; true",
        )

    @override
    def process(self, output: Iterable[str]) -> dict[str, str | None]:
        return {match[1]: match[2] for match in map(SIMULATED.match, output) if match}


def description(missing: Sequence[str], brought: Mapping[str, str | None]) -> str:
    """What is said of an installation: the packages, what comes with them, what is upgraded."""
    more = [name for name, old in brought.items() if old is None and name not in missing]
    upgraded = [f"{name} (from {old})" for name, old in brought.items() if old is not None]
    said = f"install: {', '.join(missing)}"
    if more:
        said += f", and {len(more)} that they need"
    if upgraded:
        said += f"; upgrade: {', '.join(upgraded)}"
    return said


@operation()
def installed(packages: Sequence[str]) -> Commands:
    """Have all PACKAGES installed; interrupted installations are finished on the way."""
    status = host.get_fact(InstalledPackages, packages=sorted(packages))
    missing = sorted(package for package in packages if status.get(package) != "installed")
    if not missing and LEFT_GUARD not in status:
        return
    if missing:
        brought: dict[str, str | None] = host.get_fact(SimulatedInstall, packages=missing)
        say(description(missing, brought))
    else:
        say("lift the guard against starting daemons, which an interrupted installation has left")
    script = (SCRIPTS / "install_packages.sh").read_text(encoding="utf-8")
    words = (QuoteString(package) for package in missing)
    yield changing(StringCommand("sh -s --", *words, _stdin=SecretInput(script)))
