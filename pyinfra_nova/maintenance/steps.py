"""The steps of a maintenance of some computes, each with the reasons to skip it.

Whether a step has been done is read from Nova and from the hosts each time: a second call, after a
first one that was killed anywhere, finds what is left to do.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pyinfra.api.exceptions import PyinfraError

from pyinfra_nova.maintenance.cloud import Look
from pyinfra_nova.maintenance.reason import Maintenance, MaintenanceError, Work
from pyinfra_nova.resources.drains.state import Guest
from pyinfra_nova.resources.maintenance import HostState
from pyinfra_nova.session.answering import NoAnswerError
from pyinfra_nova.site.names import named
from pyinfra_nova.site.settings import HostSettings

AGAIN = "then call again by the same words"
OR_OPEN = "or `./run deploy`, which has the computes as the inventory says"


class Cloud(Protocol):
    """What the steps stand on; see ``cloud.MaintainedCloud``."""

    @property
    def say(self) -> Callable[[str], None]: ...
    def states(self, hosts: Sequence[HostSettings]) -> Look: ...
    def look(self, hosts: Sequence[HostSettings]) -> Look: ...
    def away(self, host: HostSettings, since: float) -> list[Guest]: ...
    def bring_back(self, host: HostSettings, guests: Sequence[Guest]) -> list[str]: ...
    def host(
        self, name: str, begun: str, *, packages: bool = False, refresh: bool = False
    ) -> HostState: ...
    def upgrade(self, name: str) -> None: ...
    def run(self, name: str, begun: str, command: str, mark: str) -> None: ...
    def reboot(self, name: str, begun: str) -> str: ...
    def forget(self, name: str, begun: str) -> None: ...
    def awaited(self, name: str, begun: str, patience: float, boot: str | None = None) -> None: ...
    def side_by_side(
        self, names: Sequence[str], work: Callable[[str], None]
    ) -> Mapping[str, PyinfraError | NoAnswerError]: ...
    def deploy(self, names: Sequence[str], data: Mapping[str, str] | None = None) -> int: ...


@dataclass
class Batch:
    """Computes that are maintained together.

    Attributes:
        hosts: by their names in the inventory.
        maintenances: that of each host; read from Nova, or new.
        work: what is done on each.
        patience: seconds that a host may take to be back after a reboot.
        is_plan: whether nothing is to be changed, lists of packages included.
        stayed: what is said of guests that were to return and did not.
    """

    hosts: Mapping[str, HostSettings]
    maintenances: Mapping[str, Maintenance]
    work: Work
    patience: float = 900
    is_plan: bool = False
    stayed: list[str] = field(default_factory=list)

    def of(self, names: Iterable[str]) -> list[HostSettings]:
        return [self.hosts[name] for name in names]

    def begun(self, name: str) -> str:
        return self.maintenances[name].begun


@dataclass
class Step(ABC):
    """One step for the hosts of BATCH; each kind is a class."""

    cloud: Cloud
    batch: Batch
    name = ""

    @abstractmethod
    def reasons_to_skip(self) -> dict[str, str]:
        """The hosts on which there is nothing to do, each with the reason; read just now."""

    @abstractmethod
    def planned(self, names: Sequence[str]) -> list[str]:
        """What would be done on the hosts NAMES."""

    @abstractmethod
    def run(self, names: Sequence[str]) -> None:
        """Do it.

        Raises:
            MaintenanceError: it is not done; nothing more is.
        """


class Drain(Step):
    """Have Nova send the computes no new guests, and those that they have elsewhere."""

    name = "drain"

    def reasons_to_skip(self) -> dict[str, str]:
        look = self.cloud.look(self.batch.of(self.batch.hosts))
        return {
            name: f"closed since {self.batch.begun(name)} for this, and no guest is left"
            for name in self.batch.hosts
            if look.closed[name] == self.batch.maintenances[name].reason and not look.left[name]
        }

    def planned(self, names: Sequence[str]) -> list[str]:
        reasons = {self.batch.maintenances[name].reason: None for name in names}
        lines = [f"close {named(names)} to new guests, {reason}" for reason in reasons]
        return [*lines, *self.cloud.look(self.batch.of(names)).planned]

    def run(self, names: Sequence[str]) -> None:
        reasons: dict[str, list[str]] = {}
        for name in names:
            reasons.setdefault(self.batch.maintenances[name].reason, []).append(name)
        for reason, mine in reasons.items():
            if self.cloud.deploy(mine, {"state": "drained", "state_reason": reason}):
                raise MaintenanceError(
                    f"{named(mine)}: not drained, as said above; nothing was done there. Mend "
                    f"that, {AGAIN}, {OR_OPEN}"
                )


class _Do(Step):
    """Something that is done on a host once nobody is there who could be harmed by it."""

    def run(self, names: Sequence[str]) -> None:
        self._require_empty(names)
        wrong = self.cloud.side_by_side(names, self.do)
        if wrong:
            lines = [f"{name}: {self.name}: {error}" for name, error in wrong.items()]
            end = f"They stay closed: mend it, {AGAIN}, {OR_OPEN}"
            raise MaintenanceError("\n".join([*lines, end]))

    @abstractmethod
    def do(self, name: str) -> None:
        """Do it on one host."""

    def states(self, *, packages: bool = False) -> dict[str, HostState]:
        """What the hosts say, asked side by side.

        Raises:
            MaintenanceError: some say nothing, or what keeps it from being done.
        """
        found: dict[str, HostState] = {}
        refresh = packages and not self.batch.is_plan

        def ask(name: str) -> None:
            begun = self.batch.begun(name)
            found[name] = self.cloud.host(name, begun, packages=packages, refresh=refresh)

        wrong = self.cloud.side_by_side(list(self.batch.hosts), ask)
        if wrong:
            raise MaintenanceError("\n".join(f"{name}: {error}" for name, error in wrong.items()))
        return found

    def _require_empty(self, names: Sequence[str]) -> None:
        """Read again right before: somebody's deploy may have opened a compute meanwhile."""
        look = self.cloud.look(self.batch.of(names))
        for name in names:
            closed, left = look.closed[name], look.left[name]
            if closed != self.batch.maintenances[name].reason:
                now = "open" if closed is None else f"closed for another reason ({closed})"
                raise MaintenanceError(
                    f"{name} is {now} by now, so somebody has deployed it; nothing is done there. "
                    "Call again once they are done"
                )
            if left:
                said = "\n".join(f"  {text}" for text in left)
                raise MaintenanceError(
                    f"{name} is not empty, so nothing is done there:\n{said}\n"
                    f"Have them move, {AGAIN}, {OR_OPEN}"
                )


NOTHING = "nothing is to be upgraded"


class Packages(_Do):
    """Upgrade all packages."""

    name = "packages"

    def reasons_to_skip(self) -> dict[str, str]:
        found = self.states(packages=True)
        return {name: NOTHING for name, state in found.items() if not state.upgrades}

    def planned(self, names: Sequence[str]) -> list[str]:
        found = self.states(packages=True)
        return [
            f"upgrade on {name}: {named(found[name].upgrades or [])}, by the lists that it has now"
            for name in names
        ]

    def do(self, name: str) -> None:
        self.cloud.upgrade(name)
        wants = self.cloud.host(name, self.batch.begun(name), packages=True).wants_reboot
        if wants and not self.batch.work.reboot:
            self.cloud.say(f"{name} wants to be rebooted ({wants}): --reboot does it")


class Command(_Do):
    """Run a command as root."""

    name = "command"

    def reasons_to_skip(self) -> dict[str, str]:
        return {
            name: f"was run in the maintenance since {self.batch.begun(name)}"
            for name, state in self.states().items()
            if self.batch.work.mark in state.done
        }

    def planned(self, names: Sequence[str]) -> list[str]:
        return [f"run on {named(names)}: {self.batch.work.command}"]

    def do(self, name: str) -> None:
        command, mark = str(self.batch.work.command), self.batch.work.mark
        self.cloud.run(name, self.batch.begun(name), command, mark)


class Reboot(_Do):
    """Reboot, and wait until the host has started."""

    name = "reboot"

    def reasons_to_skip(self) -> dict[str, str]:
        return {
            name: f"was rebooted in the maintenance since {self.batch.begun(name)}"
            for name, state in self.states().items()
            if state.rebooted
        }

    def planned(self, names: Sequence[str]) -> list[str]:
        return [f"reboot {named(names)}"]

    def do(self, name: str) -> None:
        begun = self.batch.begun(name)
        boot = self.cloud.reboot(name, begun)
        self.cloud.awaited(name, begun, self.batch.patience, boot)


class Open(Step):
    """Deploy: what the deploy proves, it opens, or has as the inventory says."""

    name = "open"

    def reasons_to_skip(self) -> dict[str, str]:
        """None: who has opened it meanwhile may have done so by hand, and has proven nothing."""
        return {}

    def planned(self, names: Sequence[str]) -> list[str]:
        states: dict[str, list[str]] = {}
        for host in self.batch.of(names):
            states.setdefault(host.state, []).append(host.name)
        return [f"deploy {named(m)}, proven and {state}" for state, m in states.items()]

    def run(self, names: Sequence[str]) -> None:
        if self.cloud.deploy(names):
            raise MaintenanceError(
                f"{named(names)}: what is to be there is not proven, as said above, so no other "
                f"host is begun with. Mend it, {AGAIN}"
            )
        for name in names:
            self.cloud.forget(name, self.batch.begun(name))


class Return(Step):
    """Move the guests back that the maintenance has moved away."""

    name = "return"

    def _away(self, name: str) -> list[Guest]:
        return self.cloud.away(self.batch.hosts[name], self.batch.maintenances[name].since)

    def reasons_to_skip(self) -> dict[str, str]:
        reasons = {}
        for name, host in self.batch.hosts.items():
            if host.state != "open":
                reasons[name] = f"the inventory has it {host.state}"
            elif not self.batch.is_plan and not self._away(name):
                reasons[name] = "no guest has left it"
        return reasons

    def planned(self, names: Sequence[str]) -> list[str]:
        return [f"move back to {name} the guests that have left it" for name in names]

    def run(self, names: Sequence[str]) -> None:
        for name in names:
            self.batch.stayed += self.cloud.bring_back(self.batch.hosts[name], self._away(name))


def steps_of(cloud: Cloud, batch: Batch, *, returning: bool) -> list[Step]:
    """The steps of BATCH, in their order."""
    work = batch.work
    wanted: dict[type[Step], bool] = {
        Drain: True,
        Packages: work.packages,
        Command: work.command is not None,
        Reboot: work.reboot,
        Open: True,
        Return: returning,
    }
    return [kind(cloud, batch) for kind, is_wanted in wanted.items() if is_wanted]
