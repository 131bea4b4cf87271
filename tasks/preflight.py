"""Stages 1 and 2: read and check the settings, then ask every host; nothing is changed."""

from __future__ import annotations

import time
from dataclasses import replace
from weakref import WeakKeyDictionary

from gevent.lock import RLock
from pyinfra import logger
from pyinfra.api.host import Host
from pyinfra.api.state import State
from pyinfra.context import ctx_host, ctx_state

from pyinfra_nova.knowledge.platforms import platform_for, platforms_of
from pyinfra_nova.nova_conf.render import VirtType
from pyinfra_nova.proof import dead_computes
from pyinfra_nova.resources.cloud_objects.declaration import Declared, load_declared
from pyinfra_nova.resources.host_report import (
    Clock,
    HostReport,
    NoReport,
    PrimaryReport,
    Report,
    questions,
)
from pyinfra_nova.resources.retirements import Records
from pyinfra_nova.resources.units import Processes
from pyinfra_nova.run import consoles, renewals
from pyinfra_nova.run.clock import Offset
from pyinfra_nova.run.consoles import FoundConsoles
from pyinfra_nova.run.host_plan import HostPlan
from pyinfra_nova.run.known_computes import KnownComputes, questions_about
from pyinfra_nova.run.preflight import check_files, checks_for, clock_tolerance, judge
from pyinfra_nova.run.retired import question_of
from pyinfra_nova.run.verdicts import PreflightError, Verdict, table
from pyinfra_nova.session import redaction
from pyinfra_nova.session.connections import (
    at_once,
    join,
    load_deploy,
    notice_loss,
    show_errors_once,
)
from pyinfra_nova.session.host_script import ask
from pyinfra_nova.session.settings_first import dead_in, site_in
from pyinfra_nova.session.steps import say
from pyinfra_nova.site.run_scope import RunScope, scope_of
from pyinfra_nova.site.settings import HostSettings, Site
from tasks import upgrade

# pyinfra runs deploy.py once for every host; the settings and the verdict are the whole run's.
_RUNS: WeakKeyDictionary[State, dict[str, HostPlan] | Exception] = WeakKeyDictionary()
_LOCK = RLock()
PATIENCE = 300
"""Seconds; what takes longest is the installation of packages."""
SAMPLES = 3
"""How often a host is asked for the time alone, until it is known whether its clock is right."""


def host_plans() -> dict[str, HostPlan]:
    """Every host of this run that has a scope in Nova, by name; worked out once a run.

    Raises:
        SettingsError: something in group_data, inventory or secrets is wrong.
        PreflightError: a host or a prerequisite is not as it has to be.
    """
    state = ctx_state.get()
    with _LOCK:
        is_first = state not in _RUNS
        if is_first:
            _RUNS[state] = _outcome(state)
    found = _RUNS[state]
    if isinstance(found, Exception):
        raise found.with_traceback(None)  # it grows each time that it is raised again
    if is_first:
        for plan in found.values():
            if not plan.is_deployed:
                load_deploy(state, state.inventory.get_host(plan.host.name))
    return found


def _outcome(state: State) -> dict[str, HostPlan] | Exception:
    """The plans, or why there are none; that holds for all hosts, so none has to find it again."""
    try:
        return _prepare(state)
    except Exception as error:
        return error


def _prepare(state: State) -> dict[str, HostPlan]:
    site = site_in(state)
    redaction.install(site.secrets)
    declared, remarks = load_declared(site)
    for warning in (*check_files(site), *remarks):
        logger.warning(f"    {warning}")
    _refuse_unreachable(state)
    # pyinfra keeps them in a set; in the inventory's order they are found again.
    active = state.active_hosts
    hosts = {h.name: h for h in state.inventory if h in active and h.name in site.hosts}
    scope = scope_of(site, {*hosts, *dead_in(state)})
    if scope.delegate:
        hosts[scope.delegate.name] = _join(state, scope.delegate)
    show_errors_once()
    for host in hosts.values():
        notice_loss(host)
    reports, skews = _ask_all(state, scope, hosts)
    known = KnownComputes.of(scope, reports)
    findings = [*judge(scope, reports, skews), *known.findings()]
    findings += FoundConsoles.of(scope, reports, ()).refusals()
    findings += upgrade.looked_at(state, scope, reports)
    log = logger.info if all(finding.ok for finding in findings) else logger.warning
    for line in table(findings, each=state.print_fact_info):
        log(f"    {line}")
    if not all(finding.ok for finding in findings):
        raise PreflightError(findings)
    usable = {name: report for name, report in reports.items() if isinstance(report, Report)}
    host_keys = {name: report.public_keys for name, report in usable.items()}
    seen: Processes = {}
    plans = {
        name: replace(
            _host_plan(scope, site.hosts[name], report, declared),
            host_keys=host_keys,
            seen=seen,
            known=known,
        )
        for name, report in usable.items()
    }
    if site.retired:
        records = _records(state, scope.site, plans.get(site.primary_controller.name))
        # All of them, where the primary controller is away or does not know.
        leaving = tuple(compute for compute in site.retired if not records.is_gone(compute))
        knows = records.is_known
        plans = {n: replace(p, leaving=leaving, knows_leaving=knows) for n, p in plans.items()}
    leaving = next((plan.leaving for plan in plans.values()), ())
    screens = FoundConsoles.of(scope, reports, leaving)
    plans = {name: replace(plan, consoles=screens.consoles) for name, plan in plans.items()}
    kept = [*renewals.verdicts(plans.values()), *screens.verdicts()]
    log = logger.info if all(each.ok for each in kept) else logger.warning
    for line in table(kept, each=state.print_fact_info):
        log(f"    {line}")
    if not all(each.ok for each in kept):
        raise PreflightError(kept)
    _refuse_living(state, scope, plans)
    return plans


def _refuse_living(state: State, scope: RunScope, plans: dict[str, HostPlan]) -> None:
    """A dead compute at which anything answers is none."""
    if not scope.dead:
        return
    verdicts = dead_computes.verdicts(state, plans)
    for verdict in verdicts:
        log = logger.info if verdict.ok else logger.warning
        log(f"    {verdict.host}  {verdict.what}  {'ok' if verdict.ok else 'NO'}  {verdict.detail}")
    if not all(verdict.ok for verdict in verdicts):
        raise PreflightError(verdicts)


def _refuse_unreachable(state: State) -> None:
    """pyinfra goes on with the hosts that it reached, also where config.py allows no failure."""
    lost = sorted(host.name for host in state.failed_hosts)
    if lost:
        detail = "cannot be reached; see the line of its connection above"
        raise PreflightError([Verdict(name, "connection", False, detail) for name in lost])


def _records(state: State, site: Site, primary: HostPlan | None) -> Records:
    """What Nova still has of retired computes; nothing is known where PRIMARY is away."""
    if primary is None:
        return Records()
    host = state.inventory.get_host(primary.host.name)
    with ctx_state.use(state), ctx_host.use(host):
        return question_of(primary, site.retired).asked(host)


def _join(state: State, delegate: HostSettings) -> Host:
    """The primary controller, left out by ``--limit``: it has to discover new computes."""
    host = join(state, delegate.name)
    if not host.connected:
        detail = "cannot be reached, and has to map the computes to their cell"
        raise PreflightError([Verdict(delegate.name, "connection", False, detail)])
    logger.info(f"    {delegate.name} is left out: nothing but discovery and proof is done there")
    return host


def _ask_all(
    state: State, scope: RunScope, hosts: dict[str, Host]
) -> tuple[dict[str, Report | NoReport], dict[str, float]]:
    """Every host's report and clock skew, asked side by side."""
    skews: dict[str, float] = {}

    def report_of(host: Host) -> Report | NoReport:
        with ctx_state.use(state), ctx_host.use(host):
            asked = time.time()
            mine = scope.site.hosts[host.name]
            more = questions_about(scope, mine)
            more |= consoles.question(scope, mine) | renewals.question(scope, mine)
            request = questions(checks_for(scope, mine), **more)
            fact = PrimaryReport if request.get("nova") else HostReport
            report = Report.of(ask(host, fact, request))
            if isinstance(report, Report) and report.busy:
                who = ", ".join(report.holders) or "a command that an earlier run has left"
                say(f"wait up to {PATIENCE} s for {who}")
                asked = time.time()
                report = Report.of(ask(host, fact, {**request, "patience": PATIENCE}))
            if isinstance(report, Report):
                offset = Offset.of(asked, report.time, time.time())
                skews[host.name] = _skew(host, offset, clock_tolerance(scope.site))
            return report

    pool = at_once(state)
    jobs = {name: pool.spawn(report_of, host) for name, host in hosts.items()}
    return {name: job.get() for name, job in jobs.items()}, skews


def _skew(host: Host, offset: Offset, tolerance: float) -> float:
    """How far HOST's clock is off; asked again while its answers took too long to tell."""
    for _ in range(SAMPLES):
        if offset.decides(tolerance):
            return offset.skew
        asked = time.time()
        told: float | None = host.get_fact(Clock)
        if told is not None:
            offset = offset.narrowed(Offset.of(asked, told, time.time()))
    if not offset.decides(tolerance):
        width = offset.most - offset.least
        say(f"its clock is not known to be right: it takes {width:.0f} s to answer")
    return offset.skew


def _host_plan(
    scope: RunScope, host: HostSettings, report: Report, declared: Declared | None
) -> HostPlan:
    virt_type: VirtType = "kvm" if report.kvm.flag and report.kvm.usable else "qemu"
    release = scope.site.settings.release
    if host.is_controller or host.is_compute or host.is_retired:
        platform = platform_for(report.os.id, report.os.version, release)
    else:
        platform = platforms_of(release)[0]  # nothing of Nova goes there, so no row is its own
    return HostPlan(
        *(host, scope.site, platform, virt_type, scope, declared),
        written=report.written,
        has_nova=bool(report.nova),
        certificates_found=report.certificates,
        published=report.published,
        has_tls_screens=bool(report.screens and report.screens.tls.count),
    )
