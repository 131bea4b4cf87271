"""A cloud as the steps of a maintenance see it: it does what they order, and can be cut off."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pyinfra.api.exceptions import PyinfraError

from pyinfra_nova.maintenance.cloud import Look
from pyinfra_nova.maintenance.reason import MaintenanceError, as_wanted
from pyinfra_nova.resources.drains.state import Guest
from pyinfra_nova.resources.maintenance import HostState
from pyinfra_nova.session.answering import NoAnswerError
from pyinfra_nova.site.settings import HostSettings, Site

NOW = 1_795_819_318.5
BEGUN = "2026-11-27T22:41:58Z"


class KilledError(BaseException):
    """Somebody has ended the command."""


class FakeCloud:
    """Its state outlives a command that is killed.

    Attributes:
        closed: why Nova has each compute closed.
        guests: those on each; drained ones are noted in `moved`.
        stuck: computes of which a drain ends with an error.
        unproven: those whose proof fails.
        records: of hosts, by host: when the maintenance had begun, the boot to end, the marks.
        away: hosts that do not answer after a reboot.
        did: everything that changes something, in order.
        dies_at: the change, counted from 1, right after which the command is killed.
        meanwhile: what somebody else does before a look, by the number of the look.
    """

    def __init__(self, site: Site) -> None:
        self.site = site
        self.now = NOW
        names = [host.name for host in site.computes]
        self.closed: dict[str, str | None] = {h.name: as_wanted(h) for h in site.computes}
        self.guests: dict[str, list[str]] = {name: [] for name in names}
        self.moved: dict[str, list[str]] = {name: [] for name in names}
        self.records: dict[str, dict[str, object]] = {}
        self.boots = dict.fromkeys(names, 1)
        self.upgrades: dict[str, list[str]] = {name: [] for name in names}
        self.stuck: set[str] = set()
        self.unproven: set[str] = set()
        self.away_for_good: set[str] = set()
        self.stays: dict[str, str] = {}
        self.fails: dict[str, str] = {}
        self.wants: str | None = None
        self.did: list[str] = []
        self.said: list[str] = []
        self.dies_at = 0
        self.looks = 0
        self.meanwhile: dict[int, Callable[[], object]] = {}

    def say(self, text: str) -> None:
        self.said.append(text)

    def do(self, what: str) -> None:
        self.did.append(what)
        if len(self.did) == self.dies_at:
            raise KilledError

    # --- Nova

    def states(self, hosts: Sequence[HostSettings]) -> Look:
        return Look(self.now, {host.name: self.closed[host.name] for host in hosts})

    def look(self, hosts: Sequence[HostSettings]) -> Look:
        self.looks += 1
        self.meanwhile.get(self.looks, lambda: None)()
        left = {host.name: self.guests[host.name] for host in hosts}
        planned = [f"move guest {guest}" for guests in left.values() for guest in guests]
        return Look(self.now, self.states(hosts).closed, left, planned)

    def away(self, host: HostSettings, since: float) -> list[Guest]:
        assert since <= self.now
        return [
            Guest(uuid=name, name=name, host="elsewhere", state="active", task=None, power=1,
                  fault=None)
            for name in self.moved[host.name]
        ]  # fmt: skip

    def bring_back(self, host: HostSettings, guests: Sequence[Guest]) -> list[str]:
        assert self.closed[host.name] is None
        for guest in guests:
            if guest.name not in self.stays:
                self.moved[host.name].remove(guest.name)
                self.guests[host.name].append(guest.name)
                self.do(f"return {guest.name} to {host.name}")
        return [self.stays[guest.name] for guest in guests if guest.name in self.stays]

    # --- hosts

    def record(self, name: str, begun: str) -> dict[str, object]:
        found = self.records.get(name)
        if not found or found["begun"] != begun:
            found = {"begun": begun, "boot": None, "done": []}
        return found

    def host(
        self, name: str, begun: str, *, packages: bool = False, refresh: bool = False
    ) -> HostState:
        record = self.record(name, begun)
        done = record["done"]
        assert isinstance(done, list)
        return HostState(
            boot=f"boot-{self.boots[name]}",
            starting=False,
            rebooted=record["boot"] not in (None, f"boot-{self.boots[name]}"),
            done=list(done),
            upgrades=list(self.upgrades[name]) if packages else None,
            wants_reboot=self.wants,
        )

    def upgrade(self, name: str) -> None:
        self._harm(name, "upgrade")
        self.upgrades[name].clear()
        self.do(f"upgrade {name}")

    def run(self, name: str, begun: str, command: str, mark: str) -> None:
        self._harm(name, "run")
        record = self.record(name, begun)
        self.records[name] = {**record, "done": [*self.host(name, begun).done, mark]}
        self.do(f"run on {name}: {command}")

    def reboot(self, name: str, begun: str) -> str:
        self._harm(name, "reboot")
        boot = f"boot-{self.boots[name]}"
        self.records[name] = {**self.record(name, begun), "boot": boot}
        self.boots[name] += 1
        self.do(f"reboot {name}")
        return boot

    def _harm(self, name: str, what: str) -> None:
        """What must never be while guests are there, or may come."""
        assert not self.guests[name] and self.closed[name]
        if f"{what} {name}" in self.fails:
            raise MaintenanceError(self.fails[f"{what} {name}"])

    def forget(self, name: str, begun: str) -> None:
        self.records.pop(name, None)
        self.do(f"forget {name}")

    def awaited(self, name: str, begun: str, patience: float, boot: str | None = None) -> None:
        if name in self.away_for_good:
            raise MaintenanceError(f"{name} is not back after {patience:.0f} s: no route to host")
        assert boot != f"boot-{self.boots[name]}"

    def side_by_side(
        self, names: Sequence[str], work: Callable[[str], None]
    ) -> dict[str, PyinfraError | NoAnswerError]:
        wrong: dict[str, PyinfraError | NoAnswerError] = {}
        for name in names:
            try:
                work(name)
            except (PyinfraError, NoAnswerError) as error:
                wrong[name] = error
        return wrong

    # --- the deploy

    def deploy(self, names: Sequence[str], data: Mapping[str, str] | None = None) -> int:
        reason = (data or {}).get("state_reason")
        for name in names:
            host = self.site.hosts[name]
            if reason is None and name in self.unproven:
                continue
            self.closed[name] = reason if reason else as_wanted(host)
            if reason and name not in self.stuck:
                self.moved[name] += self.guests[name]
                self.guests[name] = []
        self.do(f"{'drain' if reason else 'deploy'} {' '.join(names)}")
        bad = self.stuck if reason else self.unproven
        return 1 if bad & set(names) else 0
