"""Computes that are dead: their guests are evacuated once it is seen that nothing there lives."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field
from pyinfra import host
from pyinfra.api import StringCommand, operation
from pyinfra.api.host import Host
from typing_extensions import override

from pyinfra_nova.resources import drains
from pyinfra_nova.resources.drains import Libvirts, moving
from pyinfra_nova.resources.drains.arrivals import Sides
from pyinfra_nova.resources.drains.decision import Decision, Run
from pyinfra_nova.resources.drains.plan_lines import planned
from pyinfra_nova.resources.drains.state import DrainState, Seen
from pyinfra_nova.resources.drains.verdicts import Step
from pyinfra_nova.resources.evacuations.decision import (
    Dead,
    EvacuationRun,
    decide,
    doubtful,
    is_local,
    is_there,
)
from pyinfra_nova.session.host_script import ScriptFact, answered
from pyinfra_nova.session.steps import Commands, Heard, changing, refused, say
from pyinfra_nova.site.drain import Drain

Shared = Callable[[Collection[str]], Mapping[str, frozenset[str]]]
"""Of guests the hosts of nova-compute that have their folders on shared storage."""


class GuestsToEvacuate(ScriptFact):
    """The guests on computes that are dead, their moves, and where they could go."""

    script = "evacuations"
    uses = (*drains.USES, "drains")


class Service(BaseModel):
    """Nova's record of a nova-compute.

    Attributes:
        beat: when it has sent its last heartbeat, as Nova has it.
        age: how long ago that was, in seconds.
    """

    id: str
    forced_down: bool
    beat: str | None
    age: float | None


class EvacuationState(DrainState):
    """One answer; see ``files/evacuations.py``."""

    services: dict[str, Service] = Field(default_factory=dict)
    agents: dict[str, list[str]] = Field(default_factory=dict)


@dataclass(frozen=True)
class Question(drains.Question):
    """How Nova is asked about the guests of dead computes, on the primary controller.

    Attributes:
        addresses: whether those of the guests are asked, and Neutron's agents.
    """

    fact = GuestsToEvacuate
    answers = EvacuationState
    addresses: bool = False

    @override
    def as_request(self) -> dict[str, Any]:
        down_time = self.site.settings.service_down_time
        return {**super().as_request(), "down_time": down_time, "addresses": self.addresses}

    @override
    def asked(self, controller: Host, run: Run, domains: Collection[str] = ()) -> Seen:
        """What Nova says, and libvirt where a guest may run that Nova has on a dead compute."""
        seen = super().asked(controller, run, domains)
        if isinstance(run, EvacuationRun) and not self.addresses:
            run.elsewhere = self._elsewhere(controller, seen, run)
        return seen

    def _elsewhere(self, controller: Host, seen: Seen, run: Run) -> dict[str, str]:
        moves = {uuid: move for uuid, move in doubtful(seen).items() if uuid not in run.sent}
        targets = {move.target for move in moves.values()}
        if not targets:
            return {}
        libvirts = Libvirts.of([c for c in self.near if c.host in targets], controller.state)
        found = {}
        for uuid, move in moves.items():
            domains = libvirts.domains.get(str(move.target))
            if domains is None:
                why = "; ".join(libvirts.silent) or f"{move.target} is no compute of this run"
                found[uuid] = is_there(move, why)
            elif uuid in domains:
                found[uuid] = is_there(move, None)
        return found

    @override
    def sides(self, controller: Host, seen: Seen, run: Run) -> Sides:
        """None of them: who would say that a guest has left is dead."""
        return Sides()

    @override
    def looked(self, controller: Host, run: Run) -> tuple[Seen, Libvirts]:
        """No libvirt of theirs is asked: nothing there answers."""
        return self.asked(controller, run), Libvirts({}, [])

    @override
    def decide(self, seen: Seen, limits: Drain, run: Run) -> Decision:
        assert isinstance(run, EvacuationRun)
        return decide(seen, limits, run)

    @override
    def command(self, step: Step) -> StringCommand:
        wanted = {"kind": step.kind, "guest": step.guest.uuid, "anew": is_local(step.guest)}
        return self.commanded(step.kind, wanted)

    def forcing(self, compute: Dead) -> StringCommand:
        """The command that has Nova call its nova-compute down."""
        return self.commanded("force", {"kind": "force_down", "host": compute.host})


def state_of(seen: Seen) -> EvacuationState:
    assert isinstance(seen.state, EvacuationState)
    return seen.state


def forced(seen: Seen) -> list[Dead]:
    """The computes that Nova has, and that are still to be forced down."""
    services = state_of(seen).services
    dead = [compute for compute in seen.computes if isinstance(compute, Dead)]
    return [c for c in dead if c.host in services and not services[c.host].forced_down]


def faults(controller: Host, question: Question) -> list[str]:
    """What is still to be done about the computes of QUESTION, guest by guest."""
    run = EvacuationRun()
    seen = question.asked(controller, run)
    if seen.state.error:
        return [seen.state.error]
    lines = [f"{compute.name} is not forced down" for compute in forced(seen)]
    return [*lines, *planned(question.decide(seen, Drain(), run), run)]


def _folders(seen: Seen) -> Sequence[str]:
    """The guests of which it counts whether their folders are on shared storage."""
    asks = {c.host for c in seen.computes if isinstance(c, Dead) and not (c.lost or c.elsewhere)}
    return [guest.uuid for guest in seen.state.guests if guest.host in asks and is_local(guest)]


@operation()
def evacuated(
    question: Question,
    unseen: Callable[[], Collection[str]],
    shared: Shared,
    living: Callable[[Seen], Sequence[str]],
    limits: Drain,
) -> Commands:
    """Have no guest on the dead computes of QUESTION; those that are UNSEEN have none of Nova's.

    LIVING says what lives there all the same, of what was seen first: then nothing is done. It is
    asked once more right before the first of them is forced down, or its first guest evacuated.
    Guests that stay end the run, with what each needs; what could go has gone by then.
    """
    executing = host.state.is_executing
    passed = unseen()
    left = [c for c in question.computes if c.host not in passed]
    if not left:
        return
    question, run = question.among(left, opened=executing), EvacuationRun()
    seen = question.asked(host, run)
    if seen.state.error:
        yield from refused(seen.state.error)
        return
    if guests := _folders(seen):
        run.shared = shared(guests)
    decision, forcing = question.decide(seen, limits, run), forced(seen)
    lines = planned(decision, run)
    # While it is done, each step is said when it begins.
    told = [stay.text for stay in decision.stays] if executing else lines
    texts = [f"{c.name} is dead: have Nova call its nova-compute down" for c in forcing]
    for line in (*texts, *told):
        say(line)
    if not (lines or forcing):
        return
    if not executing:
        yield StringCommand("true")  # not run: something is to be done
        return
    if wrong := living(seen):
        yield from refused("\n".join(wrong))
        return
    for compute in forcing:
        command = Heard(changing(question.forcing(compute)))
        yield command
        answer = answered(question.fact.script, command.lines)
        if words := answer["refused"] or answer["late"]:
            yield from refused(f"{compute.name} is not forced down: {words}")
            return
    if lines:
        wrong_ones = yield from moving(question, limits, run)
        if wrong_ones:
            yield from refused(wrong_ones)
