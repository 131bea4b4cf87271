"""One batch after the other, one step after the other; what has failed is the last that is done."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pyinfra.api.exceptions import PyinfraError

from pyinfra_nova.maintenance.reason import Maintenance, MaintenanceError, Work, maintenance_of
from pyinfra_nova.maintenance.steps import (
    NOTHING,
    Batch,
    Cloud,
    Open,
    Packages,
    Reboot,
    Step,
    steps_of,
)
from pyinfra_nova.session.answering import NoAnswerError
from pyinfra_nova.site.names import named
from pyinfra_nova.site.settings import HostSettings

BOOT = Path("/proc/sys/kernel/random/boot_id")


def this_boot() -> str | None:
    """Which boot of this machine it is; None where its system does not say."""
    return BOOT.read_text().strip() if BOOT.exists() else None


@dataclass
class Outcome:
    """What has become of one host.

    Attributes:
        done, skipped: names of steps.
        failed: the step that has failed, or None.
    """

    done: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: str | None = None
    seconds: float = 0.0

    @property
    def text(self) -> str:
        parts = {"done": self.done, "skipped": self.skipped}
        said = [f"{word} {', '.join(names)}" for word, names in parts.items() if names]
        if self.failed:
            said.insert(0, f"failed at {self.failed}")
        return "; ".join(said) or "not begun with"


class Course:
    """A maintenance of HOSTS, so many at once as BATCH says.

    Attributes:
        outcomes: by the hosts' names, in their order.
        stayed: what is said of guests that did not return.
    """

    def __init__(
        self,
        cloud: Cloud,
        hosts: Sequence[HostSettings],
        work: Work,
        *,
        at_once: int = 1,
        patience: float = 900,
        returning: bool = False,
    ) -> None:
        self.cloud, self.work, self.returning, self.patience = cloud, work, returning, patience
        self.batches = [hosts[at : at + at_once] for at in range(0, len(hosts), at_once)]
        self.outcomes = {host.name: Outcome() for host in hosts}
        self.stayed: list[str] = []

    def check(self) -> None:
        """See, before anything is done, that no host is closed for what is not ours to end.

        Raises:
            MaintenanceError: with a line for each that is.
            NoAnswerError: Nova does not say.
        """
        hosts = [host for batch in self.batches for host in batch]
        look, wrong = self.cloud.states(hosts), []
        for host in hosts:
            try:
                maintenance_of(host, look.closed[host.name], self.work, look.now)
            except MaintenanceError as error:
                wrong.append(str(error))
        if wrong:
            raise MaintenanceError("\n".join(wrong))

    def plan(self) -> Iterator[str]:
        """What would be done, step by step; nothing is changed for it."""
        for hosts in self.batches:
            batch, under_way = self._batch(hosts, is_plan=True)
            idle = self._idle(batch, under_way)
            yield f"{named(list(batch.hosts))}:"
            yield from (f"  {name}: is left alone, {NOTHING}" for name in sorted(idle))
            batch.hosts = {n: host for n, host in batch.hosts.items() if n not in idle}
            steps = steps_of(self.cloud, batch, returning=self.returning)
            for step in steps if batch.hosts else ():
                skipped = step.reasons_to_skip()
                yield from (f"  {step.name}: skip {n}, {why}" for n, why in skipped.items())
                if todo := [name for name in batch.hosts if name not in skipped]:
                    yield from (f"  {step.name}: {line}" for line in step.planned(todo))

    def run(self) -> bool:
        """Do it; whether all of it was done. Of what was not the reason is said."""
        try:
            for hosts in self.batches:
                self._maintain(hosts)
        except (PyinfraError, NoAnswerError) as error:
            self.cloud.say(str(error))
            self._say_what_is_over()
            return False
        return not self.stayed

    def _say_what_is_over(self) -> None:
        """Nothing is left by which the next call could know it."""
        over = [name for name, outcome in self.outcomes.items() if Open.name in outcome.done]
        if over and (self.work.command is not None or self.work.reboot):
            self.cloud.say(
                f"{named(over)}: done; leave out of the next call what is not to be anew"
            )

    def _batch(
        self, hosts: Sequence[HostSettings], *, is_plan: bool = False
    ) -> tuple[Batch, set[str]]:
        """HOSTS with their maintenances, and the names of those that are gone on with."""
        look = self.cloud.states(hosts)
        known: Mapping[str, Maintenance] = {
            host.name: maintenance_of(host, look.closed[host.name], self.work, look.now)
            for host in hosts
        }
        under_way = {name for name, one in known.items() if look.closed[name] == one.reason}
        by_name = {host.name: host for host in hosts}
        patience = 0 if is_plan else self.patience
        if not is_plan:
            for name in sorted(under_way):
                self.cloud.say(f"{name}: go on with the {known[name].reason}")

        def awaited(name: str) -> None:
            """Whoever was killed may have been so while it rebooted."""
            self.cloud.awaited(name, known[name].begun, patience)

        if wrong := self.cloud.side_by_side(sorted(under_way), awaited):
            raise MaintenanceError("\n".join(map(str, wrong.values())))
        batch = Batch(by_name, known, self.work, self.patience, is_plan=is_plan, stayed=self.stayed)
        self._require_elsewhere(batch)
        return batch, under_way

    def _require_elsewhere(self, batch: Batch) -> None:
        """See, before a guest moves, that no reboot ends this call itself."""
        if not self.work.reboot:
            return
        own = this_boot()
        states = Reboot(self.cloud, batch).states()
        if mine := [name for name, state in states.items() if state.boot == own]:
            raise MaintenanceError(
                f"{named(mine)} is the machine on which this runs, and a reboot would end it: call "
                "from another one"
            )

    def _maintain(self, hosts: Sequence[HostSettings]) -> None:
        began = time.monotonic()
        try:
            batch, idle = self._begun(hosts)
            for name in sorted(idle):
                self.cloud.say(f"{name}: left alone, {NOTHING}")
                self.outcomes[name].skipped.append("all")
            batch.hosts = {n: host for n, host in batch.hosts.items() if n not in idle}
            for step in steps_of(self.cloud, batch, returning=self.returning):
                if batch.hosts:
                    self._take(step, batch)
        finally:
            for host in hosts:
                self.outcomes[host.name].seconds = time.monotonic() - began

    def _begun(self, hosts: Sequence[HostSettings]) -> tuple[Batch, set[str]]:
        """HOSTS as a batch, and those of them on which nothing is to be done."""
        try:
            batch, under_way = self._batch(hosts)
            return batch, self._idle(batch, under_way)
        except (PyinfraError, NoAnswerError):
            for host in hosts:
                self.outcomes[host.name].failed = "the beginning"
            raise

    def _idle(self, batch: Batch, under_way: set[str]) -> set[str]:
        """Where packages are all that is asked for, and there are none, no guest has to move.

        What keeps packages from being upgraded is said before one has.
        """
        if not self.work.packages:
            return set()
        skipped = Packages(self.cloud, batch).reasons_to_skip().keys() - under_way
        return set() if self.work.command is not None or self.work.reboot else skipped

    def _take(self, step: Step, batch: Batch) -> None:
        began, names = time.monotonic(), list(batch.hosts)
        try:
            skipped = step.reasons_to_skip()
            for name, why in skipped.items():
                self.cloud.say(f"{name}: {step.name}: skipped, {why}")
                self.outcomes[name].skipped.append(step.name)
            names = [name for name in names if name not in skipped]
            if not names:
                return
            self.cloud.say(f"{named(names)}: {step.name}")
            step.run(names)
        except (PyinfraError, NoAnswerError):
            for name in names:
                self.outcomes[name].failed = step.name
            raise
        for name in names:
            self.outcomes[name].done.append(step.name)
        self.cloud.say(f"{named(names)}: {step.name}: done in {time.monotonic() - began:.0f} s")
