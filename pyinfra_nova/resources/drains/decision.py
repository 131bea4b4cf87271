"""What is to be done next so that computes come to have no guests: decided of what was read alone.

Guests that run, or are paused, move alive; those that are off move cold and are confirmed. What is
in any other state is named with what its owner or an operator would have to do: nothing is forced.
A guest whose move has failed is not moved again in the same run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pyinfra_nova.resources.drains import arrivals
from pyinfra_nova.resources.drains.arrivals import Sides
from pyinfra_nova.resources.drains.remedies import (
    AGAIN,
    BEING_DELETED,
    ENDS,
    REMEDIES,
    SECOND_DISK,
    broken,
)
from pyinfra_nova.resources.drains.state import COLD, LIVE, Guest, Move, Seen, Target
from pyinfra_nova.resources.drains.verdicts import Stay, Step, StepKind, Verdict, Way
from pyinfra_nova.site.drain import Drain

RUNNING = ("active", "paused")
POWERED = (1, 3)
"""nova/compute/power_state.py: RUNNING, PAUSED."""
MADE = ("completed", "confirmed", "done")
PASSING = ("building", "shelved_offloaded")
"""An offloaded guest is on its compute until Nova has freed what it held (compute/manager.py)."""
SENT = ("migrating", "resize_prep", "resize_migrating", "resize_migrated", "resize_finish")
"""nova/compute/task_states.py: Nova notes them before nova-conductor makes the move's record."""
QUEUED = "queued"
"""nova-compute sends off one live migration at a time (max_concurrent_live_migrations); the others
that it was told wait so (compute/manager.py, live_migration)."""
ENDING = 120
"""Seconds that a live migration may take to end once it is told to: it is undone on both sides."""


@dataclass
class Run:
    """What the present run has done and seen; nothing of it outlives it.

    Attributes:
        targets: where guests could go, as it was when each was first seen.
        moved: the guests that were seen on the way, sent there, or confirmed.
        tried: how old a move was when a step was done about it, by guest and kind of step.
        refused: Nova's words where it has refused a step.
        late: the steps that came too late.
        sent: the newest move that a guest had when this run told Nova to move it, or 0.
        given_up: the guests on the way that hold nobody up any more.
        asked_after: how many had been moved when it was last asked where the others could go.
        behind: how old each live migration was when it last waited for another one's end.
        sides: what libvirt says of guests that may have arrived though they are in ERROR.
    """

    targets: dict[str, Target] = field(default_factory=dict)
    moved: set[str] = field(default_factory=set)
    tried: dict[tuple[str, StepKind], float] = field(default_factory=dict)
    refused: dict[tuple[str, StepKind], str] = field(default_factory=dict)
    late: set[tuple[str, StepKind]] = field(default_factory=set)
    sent: dict[str, int] = field(default_factory=dict)
    given_up: set[str] = field(default_factory=set)
    asked_after: int = 0
    behind: dict[int, float] = field(default_factory=dict)
    sides: Sides = field(default_factory=Sides)

    def age_of(self, move: Move) -> float:
        """The seconds that count of MOVE: not those in which it was not yet its turn."""
        return move.age - self.behind.get(move.id, 0.0)

    def asks_again(self) -> bool:
        """Forget of whom it is known that they can go nowhere, if others have moved since."""
        nowhere = [uuid for uuid, target in self.targets.items() if not target.hosts]
        if not nowhere or len(self.moved) == self.asked_after:
            return False
        self.asked_after = len(self.moved)
        for uuid in nowhere:
            del self.targets[uuid]
        return True

    def is_unheard(self, guest: Guest, move: Move | None) -> bool:
        """Whether Nova was told to move a guest, and has made no record of it yet."""
        before = self.sent.get(guest.uuid)
        return before is not None and (move is None or move.id <= before)

    def gives_up(self, decision: Decision) -> bool:
        """Have the others go on, if some wait for nothing but guests that are not waited for."""
        if not decision.later or self.given_up.issuperset(decision.held):
            return False
        self.given_up.update(decision.held)
        return True

    def note(self, step: Step, age: float, refused: str | None, late: str | None) -> None:
        """STEP was done, on a move of AGE seconds; Nova has REFUSED it; or it came too LATE.

        What comes too late once is decided anew; twice, and there is no use in it.
        """
        what = (step.guest.uuid, step.kind)
        if refused or (late and what in self.late):
            self.refused[what] = str(refused or late)
        elif late:
            self.late.add(what)
        else:
            self.tried[what] = age
            if step.moves:
                self.sent[step.guest.uuid] = step.move or 0
            if step.moves or step.kind == "confirm":
                self.moved.add(step.guest.uuid)


@dataclass(frozen=True)
class Decision:
    """What of it is done now, and what of each guest is said.

    Attributes:
        now: the steps to be done at once.
        later: those that wait for others to be over: those on the way, or some that are given up.
        ways: the guests that are on the way.
        stays: those that nothing is done about.
        held: the guests among these that are on the way, and hold others up.
    """

    now: tuple[Step, ...] = ()
    later: tuple[Step, ...] = ()
    ways: tuple[Way, ...] = ()
    stays: tuple[Stay, ...] = ()
    held: tuple[str, ...] = ()

    @property
    def goes_on(self) -> bool:
        """Whether something is being done, or is to be.

        Those that wait for a move which is not waited for are left out: they would wait for ever.
        """
        return bool(self.now or self.ways)


def decide(seen: Seen, limits: Drain, run: Run) -> Decision:
    """What is next, of what was SEEN just now, within LIMITS; RUN is told what was seen."""
    run.targets.update(seen.state.targets)
    run.behind.update(_in_line(seen, limits, run))
    steps: list[Step] = []
    ways: list[Way] = []
    stays: list[Stay] = []
    left: list[str] = []
    held: list[str] = []
    for guest in sorted(seen.state.guests, key=lambda guest: (guest.name, guest.uuid)):
        move = seen.moves.get(guest.uuid)
        here = bool(seen.touched(guest))
        verdict = _arrived(guest, move, seen, run)
        if verdict is None and here:
            verdict = _judged(guest, move, seen, limits, run)
        elif verdict is None and guest.uuid in run.moved and guest.state == "error":
            verdict = Stay(guest, broken(guest))
        if isinstance(verdict, Step):
            steps.append(verdict)
        elif isinstance(verdict, Stay):
            stays.append(verdict)
        elif isinstance(verdict, Way):
            ways.append(verdict)
        source = _leaves(guest, move) if here else None
        if source in seen.hosts:
            run.moved.add(guest.uuid)
            if guest.uuid not in run.given_up:
                left.append(str(source))
            # Where Nova begins nothing of what this run tells it, more would only be stuck, too.
            if isinstance(verdict, Stay) and not run.is_unheard(guest, move):
                held.append(guest.uuid)
    now, later = within(limits, steps, left)
    return Decision(tuple(now), tuple(later), tuple(ways), tuple(stays), tuple(held))


def within(
    limits: Drain, steps: Sequence[Step], left: Sequence[str]
) -> tuple[list[Step], list[Step]]:
    """The steps that may be done now, and those that wait; a guest each is leaving those LEFT."""
    of_host: dict[str, int] = {}
    for host in left:
        of_host[host] = of_host.get(host, 0) + 1
    now, later = [], []
    for step in steps:
        busy = of_host.get(step.source, 0)
        if not step.moves:
            now.append(step)
        elif busy < limits.at_once_per_host and sum(of_host.values()) < limits.at_once:
            of_host[step.source] = busy + 1
            now.append(step)
        else:
            later.append(step)
    return now, later


def _is_under_way(guest: Guest, move: Move) -> bool:
    """A record alone is not enough: one that a dead process has left never ends."""
    if move.has_ended or move.status == "finished":
        return False
    return bool(guest.task) or guest.state == "resized"


def _leaves(guest: Guest, move: Move | None) -> str | None:
    """The compute that a guest is on the way from, if it is."""
    if move and _is_under_way(guest, move):
        return move.source
    return guest.host if guest.task in SENT else None


def _in_line(seen: Seen, limits: Drain, run: Run) -> dict[int, float]:
    """The live migrations whose turn it is not, by number with their age.

    What one waits for that nobody waits for any more is not the reason: else it were without end.
    """
    here = [(guest, seen.moves.get(guest.uuid)) for guest in seen.state.guests]
    live = [(g, m) for g, m in here if m and m.kind == LIVE and _is_under_way(g, m)]
    at_work = {
        move.source
        for guest, move in live
        if move.status != QUEUED
        and not isinstance(_on_the_way(guest, move, seen, limits, run), Stay)
    }
    return {m.id: m.age for _, m in live if m.status == QUEUED and m.source in at_work}


def _arrived(guest: Guest, move: Move | None, seen: Seen, run: Run) -> Verdict:
    """What is to be done for one that has come to the target of its move, which is in error."""
    if move and arrivals.is_arrived(guest, move, seen):
        if why := _undone(guest, "set_active", run) or run.sides.against(move):
            return Stay(guest, arrivals.unproven(guest, why))
        text = arrivals.setting(guest, move)
        return Step("set_active", guest, str(move.source), text, move.id)
    if move and arrivals.is_held(guest, move, seen):
        text = arrivals.freeing(guest, move)
        if why := _undone(guest, "free", run):
            return Stay(guest, f"has arrived; not done: {text}: {why}; see `./run audit`")
        return Step("free", guest, str(move.source), text, move.id)
    return None


def _undone(guest: Guest, kind: StepKind, run: Run) -> str:
    """Why a step is not done again, or ""."""
    if refused := run.refused.get((guest.uuid, kind)):
        return refused
    return "it was done, and is as before" if (guest.uuid, kind) in run.tried else ""


def _judged(guest: Guest, move: Move | None, seen: Seen, limits: Drain, run: Run) -> Verdict:
    if guest.task in ("deleting", "soft-deleting"):
        return Stay(guest, BEING_DELETED.format(uuid=guest.uuid), passing=True)
    if move and _is_under_way(guest, move):
        return _on_the_way(guest, move, seen, limits, run)
    if move and move.status == "finished" and guest.state == "resized" and not guest.task:
        return _unconfirmed(guest, move, seen, run)
    if guest.task:
        ended = guest.uuid in run.sent and not run.is_unheard(guest, move)
        though = f", though its {move.called} is {move.status}" if move and ended else ""
        return Stay(guest, f"is at {guest.task}{though}: {ENDS}", passing=True)
    if move and guest.host not in seen.hosts:
        idle = f"has a {move.called} that is {move.status}, and nothing is done to it"
        return Stay(guest, f"{idle}: see `./run audit`", passing=True)
    return _idle(guest, move, seen, run)


def _on_the_way(guest: Guest, move: Move, seen: Seen, limits: Drain, run: Run) -> Verdict:
    age = run.age_of(move)
    if age <= limits.timeout:
        return Way(guest, move)
    taken = f"is on the way for {age:.0f} s by now"
    if move.kind != LIVE or move.source not in seen.hosts:
        return Stay(guest, f"{taken} ({move.called}): let it end{AGAIN}")
    # A guest that is paused has nothing to force, nor has what does not run yet (compute/api.py,
    # live_migrate_force_complete).
    runs = guest.state == "active" and move.status not in (QUEUED, "preparing")
    forced = limits.then == "force_complete" and runs
    kind: StepKind = "force_complete" if forced else "abort"
    if refused := run.refused.get((guest.uuid, kind)):
        # It may be about to end: then there is nothing to abort any more.
        return Stay(guest, f"{taken}, and Nova does not {kind} it: {refused}", passing=True)
    tried = run.tried.get((guest.uuid, kind))
    abort = f"`openstack server migration abort {guest.uuid} {move.id}`"
    if tried is None:
        verb = "force" if forced else "abort"
        text = f"{verb} the {move.called} of {guest.called}: it {taken}"
        return Step(kind, guest, str(move.source), text, move.id)
    if age > tried + max(limits.timeout, ENDING):
        return Stay(guest, f"{taken}, though it was told to {kind}: {abort}{AGAIN}")
    return Way(guest, move)


def _unconfirmed(guest: Guest, move: Move, seen: Seen, run: Run) -> Verdict:
    """A cold migration from one of the computes is this run's, or an operator's; no resize is."""
    if not (move.kind == COLD and move.same_flavor and move.source in seen.hosts):
        return Stay(guest, REMEDIES["resized"].format(uuid=guest.uuid))
    command = f"`openstack server resize confirm {guest.uuid}`"
    if refused := run.refused.get((guest.uuid, "confirm")):
        return Stay(guest, f"is not confirmed: {refused}; {command}{AGAIN}")
    if (guest.uuid, "confirm") in run.tried:
        log = f"nova-compute.log on {move.source}"
        return Stay(guest, f"is not confirmed: see {log}; {command}{AGAIN}")
    text = f"confirm the cold migration of {guest.called} from {move.source} to {move.target}"
    return Step("confirm", guest, str(move.source), text, move.id)


def _idle(guest: Guest, move: Move | None, seen: Seen, run: Run) -> Verdict:
    """One that is on a compute that it is to leave."""
    passing = guest.state in PASSING
    if move and arrivals.is_elsewhere(guest, move, seen, run.sides):
        return Stay(guest, arrivals.misplaced(guest, move))
    if known := REMEDIES.get(guest.state):
        disk = SECOND_DISK if guest.ephemeral else ""
        words = {"fault": guest.fault or "no reason given", "disk": disk}
        return Stay(guest, known.format(uuid=guest.uuid, **words), passing)
    if guest.state not in (*RUNNING, "stopped"):
        return Stay(guest, f"is {guest.state}: {ENDS}", passing)
    if guest.state in RUNNING and guest.power not in POWERED:
        text = f"is {guest.state.upper()} in Nova, but not for its hypervisor"
        return Stay(guest, f"{text}: `openstack server stop {guest.uuid}`{AGAIN}")
    kind: StepKind = "cold" if guest.state == "stopped" else "live"
    if guest.uuid in run.moved:
        return Stay(guest, _failed(guest, move, run))
    if refused := run.refused.get((guest.uuid, kind)):
        return Stay(guest, f"is not moved by Nova: {refused}")
    if seen.state.computes.get(str(guest.host)) != "up":
        return Stay(guest, "cannot be moved while nova-compute there is down")
    target = run.targets.get(guest.uuid)
    if target is None:  # it was at something when its targets were asked for
        return Stay(guest, "is looked at anew", passing=True)
    if target.bound and guest.state in RUNNING:
        text = f"has {target.bound}, which does not move while it runs: "
        first = f"`openstack server unpause {guest.uuid}`, " if guest.state == "paused" else ""
        return Stay(guest, f"{text}{first}`openstack server stop {guest.uuid}`{AGAIN}")
    if not target.places:
        return Stay(guest, f"can go nowhere: {target.why}")
    how = "cold" if kind == "cold" else "alive"
    text = f"move {guest.called} of {guest.host} {how}, to {target.places}"
    return Step(kind, guest, str(guest.host), text, move.id if move else None)


def _failed(guest: Guest, move: Move | None, run: Run) -> str:
    # By a move that was made well it has come here.
    if move is None or (move.target == guest.host and move.status in MADE):
        return "was not moved, and Nova does not say why: see nova-conductor.log"
    end = f"is {move.status}" + (f": {move.cause}" if move.cause else "")
    if aborted := run.tried.get((guest.uuid, "abort")):  # which Nova calls failed, or cancelled
        end = f"was aborted after {aborted:.0f} s, longer than drain.timeout"
    return f"was not moved: its {move.called} {end}"
