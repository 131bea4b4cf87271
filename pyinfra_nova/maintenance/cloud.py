"""The site of a maintenance: Nova on the primary controller, the hosts, and pyinfra's command."""

from __future__ import annotations

import logging
import shlex
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import gevent
from pyinfra import logger
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.host import Host
from pyinfra.api.state import State
from typing_extensions import override

from pyinfra_nova.knowledge.platforms import UnsupportedPlatform, numbers, platform_for
from pyinfra_nova.knowledge.releases import VERSIONS
from pyinfra_nova.maintenance.reason import MaintenanceError
from pyinfra_nova.proof import drained_computes
from pyinfra_nova.proof.host_proof import libvirt_uri
from pyinfra_nova.resources import maintenance
from pyinfra_nova.resources.drains import Libvirts, Question, returns
from pyinfra_nova.resources.drains.decision import Decision, Run, decide
from pyinfra_nova.resources.drains.plan_lines import planned
from pyinfra_nova.resources.drains.state import Drained, Guest, Seen
from pyinfra_nova.resources.drains.verdicts import MENDS
from pyinfra_nova.resources.host_report import HostReport, NoReport, Report, questions
from pyinfra_nova.resources.maintenance import HostState
from pyinfra_nova.run.host_plan import HostPlan
from pyinfra_nova.session.answering import NoAnswerError, answering
from pyinfra_nova.session.connections import at_once, notice_loss
from pyinfra_nova.session.counted_lines import COLOUR
from pyinfra_nova.session.host_script import ask
from pyinfra_nova.session.typed_pyinfra import typed
from pyinfra_nova.site.run_scope import scope_of
from pyinfra_nova.site.settings import HostSettings, Site

EVERY = 3.0
"""Seconds between two attempts to reach a host that is away."""
ATTEMPT = 20.0
"""Seconds that an attempt may take."""
STARTING = 180.0
"""Seconds that a host which answers may still start."""
SAID_EVERY = 30.0


@dataclass(frozen=True)
class Look:
    """What Nova, and libvirt on the computes, say of computes; by their names in the inventory.

    Attributes:
        now: seconds since 1970 by the primary controller's clock.
        closed: why each takes no new guests; None where it takes some.
        left: what keeps each from being empty.
        planned: what a drain would do about it.
    """

    now: float
    closed: Mapping[str, str | None]
    left: Mapping[str, Sequence[str]] = field(default_factory=dict)
    planned: Sequence[str] = ()


class MaintainedCloud:
    """The hosts of SITE. Each visit is a connection of its own: hosts go away in between."""

    def __init__(
        self, state: State, site: Site, inventory: str, say: Callable[[str], None]
    ) -> None:
        self.state, self.site, self.inventory, self.say = state, site, inventory, say
        self._plans: dict[str, HostPlan] = {}

    @contextmanager
    def _visit(self, name: str) -> Iterator[Host]:
        """The host NAME, connected anew.

        Raises:
            NoAnswerError: it cannot be reached, or what was run there failed.
        """
        host = self.state.inventory.get_host(name)
        try:
            with answering(self.state, name) as host:
                notice_loss(host)
                yield host
        finally:
            self._leave(host)

    def _leave(self, host: Host) -> None:
        if host.connected:
            try:
                host.disconnect()
            except Exception:  # the connection to a host that has gone down, whatever it says
                host.connected = False

    def _plan(self, name: str) -> HostPlan:
        """A host as the deploy sees it; asked once."""
        if name not in self._plans:
            with self._visit(name) as host:
                report = Report.of(ask(host, HostReport, questions()))
            if isinstance(report, NoReport):
                raise NoAnswerError(f"{name} {report.why}")
            settings = self.site.hosts[name]
            try:
                platform = platform_for(report.os.id, report.os.version, self.site.settings.release)
            except UnsupportedPlatform as error:
                raise MaintenanceError(f"{name}: {error}") from None
            scope = scope_of(self.site, self.site.hosts)
            self._plans[name] = HostPlan(settings, self.site, platform, "qemu", scope)
        return self._plans[name]

    # --- Nova -------------------------------------------------------------------------------------

    @property
    def _controller(self) -> str:
        return self.site.primary_controller.name

    def _question(self, computes: Sequence[Drained], only: Sequence[str] | None) -> Question:
        databases = self._plan(self._controller).databases
        closing = [compute.host for compute in computes]
        near = drained_computes.near(self.site)
        return Question(self.site, databases, computes, closing, only=only, near=near)

    def states(self, hosts: Sequence[HostSettings]) -> Look:
        """Which of HOSTS are closed; nothing of their guests, and none of them is asked.

        Raises:
            NoAnswerError: Nova does not say.
        """
        computes = [Drained(host.name, host.nova_host, "") for host in hosts]
        question = self._question(computes, ())
        with self._visit(self._controller) as controller:
            seen = question.asked(controller, Run())
        return Look(_known(seen).state.now, _closed(hosts, seen))

    def look(self, hosts: Sequence[HostSettings]) -> Look:
        """The same, and what is left on them.

        Raises:
            NoAnswerError: Nova does not say, or one cannot be reached. What libvirt does not say
                counts as a guest.
        """
        computes = [
            Drained(host.name, host.nova_host, libvirt_uri(self._plan(host.name))) for host in hosts
        ]
        question, run = self._question(computes, None), Run()
        try:
            for host in hosts:
                with answering(self.state, host.name) as compute:
                    notice_loss(compute)
            with self._visit(self._controller) as controller:
                seen, libvirts = question.looked(controller, run)
        finally:
            for host in hosts:
                self._leave(self.state.inventory.get_host(host.name))
        decision = decide(_known(seen), self.site.settings.drain, run)
        lines = [*planned(decision, run), *libvirts.left(seen), *libvirts.silent]
        left = {host.name: _left(host, seen, libvirts, decision) for host in hosts}
        told = [*libvirts.strange(seen), *libvirts.harmed(seen), *lines]
        return Look(seen.state.now, _closed(hosts, seen), left, told)

    def away(self, host: HostSettings, since: float) -> list[Guest]:
        """The guests that have left HOST SINCE then, and are still where they went.

        Raises:
            NoAnswerError: Nova does not say.
        """
        question = self._question([], ())
        with self._visit(self._controller) as controller:
            return returns.away(controller, question, host.nova_host, since)

    def bring_back(self, host: HostSettings, guests: Sequence[Guest]) -> list[str]:
        """Move GUESTS back to HOST; a line for each that stays where it is.

        Raises:
            NoAnswerError: what was told to Nova failed.
        """
        question = returns.back(self._question([], ()), guests, host.nova_host)
        with self._visit(self._controller) as controller, _heard(self.say):
            return returns.moved_back(controller, question, self.site.settings.drain)

    # --- hosts ------------------------------------------------------------------------------------

    def host(
        self, name: str, begun: str, *, packages: bool = False, refresh: bool = False
    ) -> HostState:
        """What a host says of the maintenance that has BEGUN then.

        Raises:
            MaintenanceError: an upgrade would bring another release of Nova.
            NoAnswerError: nothing.
        """
        packager = self._plan(name).platform.packager if packages else None
        with self._visit(name) as host:
            found = maintenance.state_of(host, begun, packager, refresh=refresh)
        release = self.site.settings.release
        if found.nova and numbers(found.nova)[:1] != (VERSIONS[release],):
            raise MaintenanceError(
                f"an upgrade would bring Nova {found.nova}, but release in group_data/all.py is "
                f"{release}, Nova {VERSIONS[release]}: see which repositories the host has"
            )
        return found

    def upgrade(self, name: str) -> None:
        """Upgrade all packages of a host.

        Raises:
            MaintenanceError: that has failed.
            NoAnswerError: the connection has ended.
        """
        packager = self._plan(name).platform.packager
        with self._visit(name) as host:
            wrong = maintenance.upgrade(host, packager)
        if wrong:
            raise MaintenanceError(wrong)

    def run(self, name: str, begun: str, command: str, mark: str) -> None:
        """Run COMMAND on a host.

        Raises:
            MaintenanceError: it has failed.
            NoAnswerError: the connection has ended.
        """
        with self._visit(name) as host:
            wrong = maintenance.run(host, begun, command, mark)
        if wrong:
            raise MaintenanceError(wrong)

    def reboot(self, name: str, begun: str) -> str:
        """Have a host go down; the boot that is to end.

        Raises:
            NoAnswerError: it does not.
        """
        with self._visit(name) as host:
            return maintenance.reboot(host, begun)

    def forget(self, name: str, begun: str) -> None:
        """Have a host forget what was done; one that does not only keeps a file."""
        try:
            with self._visit(name) as host:
                maintenance.forget(host, begun)
        except (NoAnswerError, PyinfraError) as error:
            self.say(f"{name} keeps its record of the maintenance: {error}")

    def awaited(self, name: str, begun: str, patience: float, boot: str | None = None) -> None:
        """Wait until a host answers, with another boot than BOOT, and has started.

        One that starts for long goes on: the deploy that follows says what is missing.

        Raises:
            MaintenanceError: it has not answered so within PATIENCE seconds.
        """
        since = said = time.monotonic()
        answered: float | None = None
        while True:
            found, now = self._attempt(name, begun), time.monotonic()
            if isinstance(found, HostState) and found.boot != boot:
                answered = now if answered is None else answered
                if not found.starting or now >= answered + STARTING:
                    return
            else:
                answered = None
            why = "it has not gone down" if isinstance(found, HostState) else found
            if answered is None and now > since + patience:
                raise MaintenanceError(
                    f"{name} is not back after {patience:.0f} s: {why}; see to it, then call "
                    "again by the same words"
                )
            if now > said + SAID_EVERY:
                what = why if answered is None else "it still starts"
                self.say(f"wait for {name}, {now - since:.0f} s by now: {what}")
                said = now
            gevent.sleep(EVERY)

    def _attempt(self, name: str, begun: str) -> HostState | str:
        try:
            with gevent.Timeout(ATTEMPT, NoAnswerError(f"{name} does not answer")):
                return self.host(name, begun)
        except NoAnswerError as error:
            return str(error)

    def side_by_side(
        self, names: Sequence[str], work: Callable[[str], None]
    ) -> dict[str, PyinfraError | NoAnswerError]:
        """Have WORK done for all of NAMES at once; what has gone wrong, by name."""

        def outcome(name: str) -> PyinfraError | NoAnswerError | None:
            try:
                work(name)
            except (PyinfraError, NoAnswerError) as error:
                return error
            return None

        pool = at_once(self.state)
        jobs = {name: pool.spawn(outcome, name) for name in names}
        found = {name: job.get() for name, job in jobs.items()}
        return {name: error for name, error in found.items() if error is not None}

    # --- the deploy -------------------------------------------------------------------------------

    def deploy(self, names: Sequence[str], data: Mapping[str, str] | None = None) -> int:
        """The exit code of a deploy of NAMES, with DATA laid over what the inventory says."""
        words = [self.inventory, "deploy.py", "-y"]
        for name in names:
            words += ["--limit", name]
        for key, value in (data or {}).items():
            words += ["--data", f"{key}={value}"]
        self.say(f"pyinfra {shlex.join(words)}")
        return typed(words)


def _known(seen: Seen) -> Seen:
    if seen.state.error:
        raise NoAnswerError(seen.state.error)
    return seen


def _closed(hosts: Sequence[HostSettings], seen: Seen) -> dict[str, str | None]:
    return {host.name: seen.state.closed[host.nova_host] for host in hosts}


def _left(host: HostSettings, seen: Seen, libvirts: Libvirts, decision: Decision) -> list[str]:
    """What is on HOST, or on its way from or to there, or has left it and is to be mended."""
    mine = [guest for guest in seen.state.guests if host.nova_host in seen.touched(guest)]
    texts = [f"{guest.called}, {guest.task or guest.state}" for guest in mine]
    mends = (step for step in decision.now if step.kind in MENDS)
    texts += [step.text for step in mends if step.source == host.nova_host]
    if host.nova_host not in libvirts.domains:
        return [*texts, *(text for text in libvirts.silent if f" on {host.name} " in text)]
    own = libvirts.of_host(host.nova_host)
    return [*texts, *own.left(seen), *own.harmed(seen)]


class _Heard(logging.Handler):
    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self.say = say

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno == logging.INFO:
            self.say(COLOUR.sub("", record.getMessage()).strip())


@contextmanager
def _heard(say: Callable[[str], None]) -> Iterator[None]:
    """What operations say, which outside of pyinfra's own command goes nowhere."""
    handler, level = _Heard(say), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
