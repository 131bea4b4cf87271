"""A deployed site and its hosts as they are: what the checks of ``tests/verify`` stand on."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar

import gevent
from pyinfra.api.host import Host as PyinfraHost
from pyinfra.api.state import State
from pyinfra.context import ctx_config, ctx_inventory, ctx_state
from testinfra.host import Host

from pyinfra_nova.certificates.trust import trusted_pem
from pyinfra_nova.knowledge.platforms import platform_for
from pyinfra_nova.nova_conf.render import VirtType
from pyinfra_nova.proof.testinfra_backend import PyinfraBackend
from pyinfra_nova.resources.compute_api import ComputeApi, ComputeApiState
from pyinfra_nova.resources.host_report import HostReport, NoReport, Report, questions
from pyinfra_nova.run import consoles, renewals
from pyinfra_nova.run.clock import Offset
from pyinfra_nova.run.host_plan import HostPlan
from pyinfra_nova.run.preflight import checks_for, judge
from pyinfra_nova.run.restores import RESTORE
from pyinfra_nova.run.verdicts import Verdict
from pyinfra_nova.session import host_script, redaction
from pyinfra_nova.session.answering import NoAnswerError, answering
from pyinfra_nova.session.connections import at_once, load
from pyinfra_nova.session.host_script import Answer, ScriptFact, ask
from pyinfra_nova.site.load import site_of
from pyinfra_nova.site.run_scope import RunScope, scope_of
from pyinfra_nova.site.settings import HostSettings, Site

T = TypeVar("T")
Question = Callable[["DeployedSite", HostPlan], T]
"""Something that every host can be asked; a plain function, because answers are kept by it."""
Outcomes = dict[str, T | Exception]

__all__ = ["DeployedSite", "NoAnswerError"]


class DeployedSite:
    """The site that an inventory describes, over one pyinfra connection for each host.

    Attributes:
        state: pyinfra's, with the inventory.
        site: the checked settings.
        mask: takes every secret of the site out of a text.

    Raises:
        SettingsError: inventory, group data or secrets are wrong.
    """

    def __init__(self, inventory_file: str, secrets_file: Path) -> None:
        self.state: State = load(inventory_file)
        self.site: Site = site_of(self.state.inventory, secrets_file, inventory_file)
        redaction.install(self.site.secrets)
        host_script.trust(trusted_pem(self.site))
        self.mask = redaction.Redactor(self.site.secrets).mask
        self._targets: Outcomes[HostPlan] = {}
        self._reports: dict[str, Report | NoReport] = {}
        self._verdicts: dict[str, list[Verdict]] = {}
        self._answers: dict[Question[Any], Outcomes[Any]] = {}

    @contextmanager
    def opened(self) -> Iterator[DeployedSite]:
        """Pyinfra's context set to this site; all connections are closed at the end."""
        with (
            ctx_state.use(self.state),
            ctx_inventory.use(self.state.inventory),
            ctx_config.use(self.state.config),
        ):
            yield self
        for host in self.state.inventory.hosts.values():
            if host.connected:
                host.disconnect()

    @cached_property
    def _whole(self) -> RunScope:
        return scope_of(self.site, self.site.hosts)

    @property
    def hosts(self) -> tuple[HostSettings, ...]:
        """The hosts that run Nova."""
        return tuple(h for h in self.site.hosts.values() if h.is_controller or h.is_compute)

    @contextmanager
    def on(self, name: str) -> Iterator[PyinfraHost]:
        """The host NAME, connected.

        Raises:
            NoAnswerError: it cannot be reached, or what was run there failed.
        """
        with answering(self.state, name) as host:
            yield host

    def ask(self, name: str, fact: type[ScriptFact], request: Mapping[str, Any]) -> Answer:
        """What a script of files/ answers on a host."""
        with self.on(name) as host:
            return ask(host, fact, request)

    def shell(self, name: str) -> Host:
        """Testinfra's view of a host."""
        return Host(PyinfraBackend(name, partial(self.on, name)))

    def target(self, host: HostSettings) -> HostPlan:
        """A host as the deploy sees it.

        Raises:
            NoAnswerError: the host does not say what it is.
        """
        return _value(self._all_targets()[host.name])

    def verdicts(self, host: HostSettings) -> list[Verdict]:
        """What a deploy would ask of HOST and its prerequisites before it begins.

        Raises:
            NoAnswerError: the host does not say.
        """
        self.target(host)
        return self._verdicts[host.name]

    def restore_under_way(self) -> str | None:
        """In a line, the restore under which nothing can be verified; None where there is none."""
        self._all_targets()
        wrong = (v for found in self._verdicts.values() for v in found if not v.ok)
        return next((f"{v.host}: a restore {v.detail}" for v in wrong if v.what == RESTORE), None)

    def _all_targets(self) -> Outcomes[HostPlan]:
        if not self._targets:
            targets = self._side_by_side(self._target)
            found = consoles.FoundConsoles.of(self._whole, self._reports, ()).consoles
            self._targets = {
                name: replace(target, consoles=found) if isinstance(target, HostPlan) else target
                for name, target in targets.items()
            }
        return self._targets

    def _target(self, host: HostSettings) -> HostPlan:
        whole = self._whole
        asked = time.time()
        more = consoles.question(whole, host) | renewals.question(whole, host)
        request = questions(checks_for(whole, host), **more)
        report = Report.of(self.ask(host.name, HostReport, request))
        if isinstance(report, NoReport):
            raise NoAnswerError(f"{host.name} {report.why}")
        skew = Offset.of(asked, report.time, time.time()).skew
        self._reports[host.name] = report
        self._verdicts[host.name] = judge(whole, {host.name: report}, {host.name: skew})
        platform = platform_for(report.os.id, report.os.version, self.site.settings.release)
        usable = report.kvm.flag and report.kvm.usable
        virt_type: VirtType = "kvm" if usable else "qemu"
        found = report.certificates
        return HostPlan(host, self.site, platform, virt_type, whole, certificates_found=found)

    def everywhere(self, question: Question[T]) -> Outcomes[T]:
        """What every host answers now, by name; all are asked side by side."""
        targets = self._all_targets()
        return self._side_by_side(lambda host: question(self, _value(targets[host.name])))

    def _side_by_side(self, function: Callable[[HostSettings], T]) -> Outcomes[T]:
        pool = at_once(self.state)
        jobs = {h.name: pool.spawn(_outcome, partial(function, h)) for h in self.hosts}
        return {name: job.get() for name, job in jobs.items()}

    def answer(self, question: Question[T], host: HostSettings) -> T:
        """What HOST answers; all hosts are asked at the first call, once.

        Raises:
            NoAnswerError: the host cannot be reached.
        """
        if question not in self._answers:
            self._answers[question] = self.everywhere(question)
        outcomes: Outcomes[T] = self._answers[question]
        return _value(outcomes[host.name])

    def begin(self, work: Callable[[], T]) -> Callable[[], T]:
        """Start WORK beside everything else; the function returned waits for what it gives."""
        job = gevent.spawn(_outcome, work)
        return lambda: _value(job.get())

    def api_state(self) -> ComputeApiState:
        """Services, hypervisors and inventories, as the APIs list them."""
        with self.on(self.site.primary_controller.name) as host:
            return ComputeApiState.of(host, ComputeApi.of(self.site))

    @contextmanager
    def names_known(self) -> Iterator[None]:
        """Names in URLs mean the inventory's hosts where this machine's resolver knows none."""
        addresses = {
            name: str(host.data.get("ssh_hostname") or name)
            for name, host in self.state.inventory.hosts.items()
        }
        for host in self.hosts:
            addresses.setdefault(host.nova_host, addresses[host.name])
        controller = addresses[self.site.primary_controller.name]
        addresses.setdefault(self.site.settings.controller_host, controller)
        with _resolving(addresses):
            yield


def _outcome(work: Callable[[], T]) -> T | Exception:
    try:
        return work()
    except Exception as error:
        return error


def _value(outcome: T | Exception) -> T:
    if isinstance(outcome, Exception):
        raise outcome.with_traceback(None)  # it grows each time that it is raised again
    return outcome


@contextmanager
def _resolving(addresses: Mapping[str, str]) -> Iterator[None]:
    resolve = socket.getaddrinfo
    unknown: set[Any] = set()  # to a resolver that may take seconds to say so

    def with_addresses(host: Any, *arguments: Any, **options: Any) -> Any:
        if host not in unknown:
            try:
                return resolve(host, *arguments, **options)
            except socket.gaierror:
                if addresses.get(host, host) == host:
                    raise
                unknown.add(host)
        return resolve(addresses[host], *arguments, **options)

    socket.getaddrinfo = with_addresses
    try:
        yield
    finally:
        socket.getaddrinfo = resolve
