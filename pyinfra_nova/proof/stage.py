"""The deploy's last stages: every compute registered and mapped, everything shown to work.

Waiting changes nothing, so it is done in facts: a plan has no operation for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import gevent
from pyinfra import host
from pyinfra.api import State, operation
from pyinfra.api.exceptions import PyinfraError
from pyinfra.context import ctx_host

from pyinfra_nova.proof import host_proof, site_proof
from pyinfra_nova.resources import compute_states, forced_down, smoke_guests
from pyinfra_nova.resources.cells import nova_manage
from pyinfra_nova.resources.http_answers import Answering
from pyinfra_nova.resources.nova_state import unread
from pyinfra_nova.resources.units import Process, Processes
from pyinfra_nova.run.host_plan import HostPlan
from pyinfra_nova.session.connections import at_once
from pyinfra_nova.session.host_script import Answer
from pyinfra_nova.session.steps import Commands, changing, refused, say, taken
from pyinfra_nova.site.names import FEW, named
from pyinfra_nova.site.settings import HostSettings
from pyinfra_nova.site.smoke_guest import SmokeGuest

_LAST: WeakKeyDictionary[State, Answer] = WeakKeyDictionary()
"""What the primary controller has said last in a run; the one answer is for several operations."""
_UNPROVEN: WeakKeyDictionary[State, list[str]] = WeakKeyDictionary()
"""What has kept computes of a run from being proven with a guest."""
SLICE = 15.0
"""Seconds of waiting after which it is looked whether there is any hope."""
LATE = 15.0
"""Seconds that what comes at an interval may be late: an audit, a heartbeat of many."""


@dataclass(frozen=True)
class Proofs:
    """What the last stages of one run know.

    Attributes:
        plans: of every host of the run, by its name in the inventory.
        seen: the processes that were seen when the hosts' units were brought in line.
    """

    plans: Mapping[str, HostPlan]
    seen: Processes

    def deadline(self, report_interval: float) -> float:
        """Seconds in which all computes have to be there; many start at the same time.

        The first heartbeat may belong to the process before, by the time that it has.
        """
        return 120 + len(self.plans) / 10 + 2 * report_interval


def _wrong(
    proofs: Proofs, names: Sequence[str], question: Callable[[HostPlan], Mapping[str, object]]
) -> dict[str, list[str]]:
    """What is wrong on those of the hosts NAMES whose units this run has started.

    They answer QUESTION side by side, so this takes as long as the slowest.
    """
    state = host.state

    def found(plan: HostPlan) -> list[str]:
        other = state.inventory.get_host(plan.host.name)
        try:
            with ctx_host.use(other):
                answer = host_proof.asked(other, question(plan))
        except PyinfraError as error:
            return [f"gives no answer: {error}"]
        return host_proof.faults(answer, proofs.seen[plan.host.name])

    wanted = set(names)
    plans = [p for p in proofs.plans.values() if p.host.nova_host in wanted]
    pool = at_once(state)
    jobs = {p.host.nova_host: pool.spawn(found, p) for p in plans if p.host.name in proofs.seen}
    return {name: job.get() for name, job in jobs.items()}


def _hopeless(proofs: Proofs, names: Sequence[str]) -> list[str]:
    """The hosts of NAMES that no waiting brings; each is asked for its processes alone."""
    found = _wrong(proofs, names, host_proof.process_question)
    return sorted(
        name for name, texts in found.items() if any(host_proof.NOT_UP in text for text in texts)
    )


def _silent(answer: Answer, proofs: Proofs, first: Sequence[str]) -> str:
    """What is missing, host by host, FIRST these, with what a few say that would explain it."""
    missing = answer["missing"]
    names = [*first, *sorted(missing.keys() - set(first))]
    causes = _wrong(proofs, names[:FEW], lambda plan: host_proof.question(plan, ()))
    texts = []
    for name in names[:FEW]:
        known = "; ".join(causes.get(name, ())) or "look at its log there"
        texts.append(f"{name}: {', '.join(missing[name])}: {known}")
    if names[FEW:]:
        texts.append(f"and {len(names) - FEW} more hosts")
    return "\n".join(texts)


def _waited(plan: HostPlan, proofs: Proofs, *, whole: bool) -> tuple[Answer, str]:
    """The last answer of the site, and what is missing in it or ""; said while it is waited for."""
    over = time.monotonic() + proofs.deadline(plan.site.settings.report_interval)
    said: set[str] = set()
    while True:
        left = over - time.monotonic()
        request = site_proof.question(plan, proofs.seen, wait=min(SLICE, left), whole=whole)
        answer = _LAST[host.state] = site_proof.asked(host, request)
        if answer["error"] or not answer["missing"]:
            return answer, str(answer["error"] or "")
        names = sorted(answer["missing"])
        hopeless = _hopeless(proofs, names)
        waits = not hopeless and not site_proof.waits_for_a_person(answer)
        if not waits or time.monotonic() > over:
            return answer, _silent(answer, proofs, hopeless)
        if said != set(names):
            say(f"wait for {named(names)}: {answer['missing'][names[0]][0]}")
            said = set(names)


def _planned(plan: HostPlan) -> Answer:
    """What the primary controller says in a plan, in which nothing changes."""
    if host.state not in _LAST:
        _LAST[host.state] = site_proof.asked(host, site_proof.question(plan, {}))
    return _LAST[host.state]


@operation()
def closed(plan: HostPlan) -> Commands:
    """Have no new guests sent to computes that are to be closed, whatever else is wrong there.

    One that is new is closed when it has registered.
    """
    computes = [compute for compute in plan.scope.computes if compute.state != "open"]
    gone = (c for c in plan.scope.retired if not c.is_dead)
    computes += [compute for compute in gone if compute in plan.leaving]
    # Of a dead one it is asked here whether Nova has it.
    computes += plan.scope.dead
    if not computes:
        return
    answer = _planned(plan)
    if host.state.is_executing:
        answer = site_proof.asked(host, site_proof.question(plan, {}))
        if answer["error"]:
            yield from refused(answer["error"])
            return
    known = site_proof.closed(answer)
    computes = [one for one in computes if one.nova_host not in known.unseen]
    yield from taken(compute_states.steps(plan.site, computes, known))


@operation()
def counted_again(plan: HostPlan) -> Commands:
    """Have computes count again that are forced down, now that they have answered and run.

    Before that nothing may be waited for there, and no guest gets there.
    """
    forced = site_proof.forced(_planned(plan))
    if forced and host.state.is_executing:
        answer = site_proof.asked(host, site_proof.question(plan, {}))
        if answer["error"]:
            yield from refused(answer["error"])
            return
        forced = site_proof.forced(answer)
    yield from taken(forced_down.steps(plan.site, plan.databases, plan.scope.computes, forced))


@operation()
def opened(plan: HostPlan) -> Commands:
    """Have new guests sent to the computes that are open: the proof has just shown that all are up.

    The others are closed, if they have registered meanwhile.
    """
    known = site_proof.closed(_planned(plan))
    proven_first = {compute.name for compute in joining(plan)}
    computes = [c for c in plan.scope.computes if c.name not in proven_first]
    if not host.state.is_executing:  # `closed` says the others
        computes = [c for c in computes if c.state == "open" or c.nova_host in known.unseen]
    yield from taken(compute_states.steps(plan.site, computes, known))


def joining(plan: HostPlan) -> list[HostSettings]:
    """The computes of the run that a guest of their own has to prove before they are opened."""
    if plan.site.settings.smoke_guest is None:
        return []
    answer = _planned(plan)
    known, begun = site_proof.closed(answer), answer["joining"]
    return [one for one in plan.scope.computes if smoke_guests.joins(one, known, begun)]


def _smoke_question(plan: HostPlan, wanted: SmokeGuest) -> smoke_guests.Question:
    answer = _planned(plan)
    known, begun = site_proof.closed(answer), answer["joining"]
    mine = (*plan.scope.computes, *plan.scope.retired)
    units = plan.units("controller")
    proxy = plan.endpoints.get("novncproxy")
    primary = plan.site.primary_controller
    return smoke_guests.Question(
        plan.site,
        wanted,
        joining(plan),
        [one for one in mine if smoke_guests.left(one, known, begun)],
        next(unit for unit in units if unit.name.endswith("nova-scheduler")),
        proxy.url if proxy else None,
        # The primary one's own is looked at.
        [one for one in plan.scope.controllers_left_out if one.name != primary.name],
    )


@operation()
def joined(plan: HostPlan) -> Commands:
    """Prove the computes that join with a guest each, and open them."""
    wanted = plan.site.settings.smoke_guest
    if wanted is not None:
        failed = _UNPROVEN.setdefault(host.state, [])
        yield from smoke_guests.proven(_smoke_question(plan, wanted), failed)


@operation()
def all_joined() -> Commands:
    """End the run where a compute was not proven with its guest; once all else is done."""
    if host.state.is_executing and (failed := _UNPROVEN.get(host.state)):
        yield from refused("\n".join([*failed, "mend it, then deploy again"]))


def unseen(plan: HostPlan) -> frozenset[str]:
    """The computes that Nova has not seen yet, or has no more, as far as this run knows."""
    return site_proof.closed(_planned(plan)).unseen


@operation()
def mapped(plan: HostPlan, proofs: Proofs) -> Commands:
    """Wait until every compute has shown that it is there; then map them, with one discovery.

    A compute is there once the process that runs now has sent a heartbeat and written its
    resources; a service registers before its node does, and a discovery in between finds nothing
    and says so with exit code 0.
    A discovery looks at nodes that are not flagged as mapped. One that is, but has lost its
    mapping, is found only by its service (nova/objects/host_mapping.py).
    """
    if host.state.is_executing:
        answer, problem = _waited(plan, proofs, whole=False)
        away = answer["missing"]
    else:
        # In a plan none has to be there yet: those that are not will be mapped, too.
        answer, away = _planned(plan), {}
        problem = unread(answer) or ""
    if problem and answer["error"]:
        yield from refused(problem)
        return
    strangers = site_proof.strangers(answer)
    for text in strangers[:FEW]:
        say(text)
    if strangers[FEW:]:
        say(f"and {len(strangers) - FEW} more that are in Nova, not in the inventory")
    # Where nobody may look into the databases of a plan yet, these are all.
    names = (compute.nova_host for compute in plan.scope.computes)
    computes = [name for name in names if name not in away]
    found = frozenset(answer["unmapped"])
    if unmapped := [name for name in computes if name in found]:
        unsure = " where they are not yet" if answer["error"] else ""
        say(f"map {named(unmapped)} to cell1{unsure}")
        more = ("--by-service",) if answer["flagged"] else ()
        yield changing(nova_manage("cell_v2", "discover_hosts", "--verbose", *more))
    # Those that are there are mapped all the same.
    if problem:
        yield from refused(problem)


def lasting_faults(
    plan: HostPlan, urls: Sequence[Answering], seen: Mapping[str, Process]
) -> list[str]:
    """What is wrong with the host, and stays so: an audit that failed is made again."""
    request = host_proof.question(plan, urls)
    over = time.monotonic() + request["audit_interval"] + LATE
    while True:
        answer = host_proof.asked(host, request)
        wrong = host_proof.faults(answer, seen)
        if not wrong or not host_proof.may_pass(answer, seen) or time.monotonic() > over:
            return wrong
        gevent.sleep(5)


@operation()
def host_proven(plan: HostPlan, urls: Sequence[Answering], seen: Processes) -> Commands:
    """See that the host's units do what they are for, and still are what they were when started.

    Nothing is asked in a plan: what is not deployed yet cannot be proven.
    """
    if not host.state.is_executing:
        return
    wrong = lasting_faults(plan, urls, seen.get(host.name, {}))
    if wrong:
        yield from refused("\n".join(wrong))


@operation()
def site_proven(plan: HostPlan, proofs: Proofs) -> Commands:
    """See that all services work together, by heartbeats, queues and both APIs; change nothing."""
    if not host.state.is_executing:
        return
    answer, problem = _waited(plan, proofs, whole=True)
    wrong = [problem] if problem else site_proof.faults(answer, plan)
    if wrong:
        yield from refused("\n".join(wrong))
