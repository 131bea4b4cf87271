"""What is to be done next so that dead computes come to have no guests: decided of what was read.

Nova evacuates guests that are ACTIVE, STOPPED or in ERROR (nova/compute/api.py, evacuate), and its
scheduler chooses where to. One whose disk was on its compute alone is made anew by that, so it is
only named unless the operator has given such disks up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pyinfra_nova.resources.drains.decision import (
    Decision,
    Run,
    within,
)
from pyinfra_nova.resources.drains.remedies import AGAIN, broken
from pyinfra_nova.resources.drains.state import Drained, Guest, Move, Seen
from pyinfra_nova.resources.drains.verdicts import Stay, Step, Verdict, Way
from pyinfra_nova.site.drain import Drain

EVACUATION = "evacuation"
STATES = ("active", "stopped", "error")
OFF, SHUTDOWN = "off", 4
"""An evacuation that finds no host leaves its guest in ERROR (conductor/manager.py,
rebuild_instance), and the next one starts what is in ERROR: that it was off says its power state
alone (compute/power_state.py)."""
TO_ERROR = (
    "is {state}, which Nova does not evacuate: bring {host} back, or `openstack server set --state "
    "error {uuid}` (what it had in memory is lost)" + AGAIN
)
REMEDIES = {
    "paused": TO_ERROR,
    "suspended": TO_ERROR,
    "rescued": TO_ERROR,
    # What Nova makes when it shelves (compute/api.py, shelve); it is made anew of its first image.
    "shelved": TO_ERROR.replace(
        "memory is lost", "memory is lost; a disk is in image {name}-shelved"
    ),
    "resized": "waits (VERIFY_RESIZE) for somebody to confirm a change, which needs {host}: bring "
    "{host} back, or `openstack server set --state error {uuid}`" + AGAIN,
    "soft-delete": "is deleted, and can still be restored: `openstack server delete --force {uuid}`"
    + AGAIN,
    "building": "is being built there, and never will be: `openstack server delete {uuid}`" + AGAIN,
}
RESET = "`openstack server set --state {state} {uuid}` resets that"
DELETED = "`openstack server delete {uuid}` once more: Nova does it without {host}"
RECORD = (
    "in the cell's database `UPDATE migrations SET status = 'error' WHERE id = {id} AND status = "
    "'{status}'`"
)
"""Nova has no command that ends a migration of which one side is dead. `error` it is, as where Nova
gives up a confirmation (nova/compute/manager.py, _poll_unconfirmed_resizes): nobody has taken away
what the source has, and by this word Nova does so if the guest is deleted before the source comes
back (_cleanup_incomplete_migrations)."""
UNDONE = ("cancelled", "failed")
"""How Nova ends a migration that both sides have taken back. `error` is no such word: a live one in
which Neutron could not be told of the arrival ends so, and its guest runs on the target."""
ELSEWHERE = (
    "stays: libvirt on {target} has it, too, since its {move}, which is {status}; it would run "
    "twice, and destroy its disk. Where it is not wanted there, `virsh destroy {uuid}` and `virsh "
    "undefine {uuid}` on {target}" + AGAIN
)
UNKNOWN = (
    "stays: it may run on {target}, since its {move}, which is {status}, and libvirt there was not "
    "asked: {why}. Have it answer"
    + AGAIN
    + "; or see there that it has no {uuid}, then `openstack "
    "server evacuate {uuid}`"
)
ONLY_THERE = (
    "stays: its disk was only on {host}: bring {host} back, or give up what is on it, with "
    '"disks_lost": True beside "dead" in the inventory' + AGAIN
)


@dataclass(frozen=True)
class Dead(Drained):
    """A compute that has no power.

    Attributes:
        lost: the operator's word that the disks which only it had are lost.
        elsewhere: whether the disks that Nova makes there are not on it.
    """

    lost: bool = False
    elsewhere: bool = False


@dataclass
class EvacuationRun(Run):
    """What the present run has done and seen, of guests that are evacuated.

    Attributes:
        had: the state of each when it was evacuated, also by an earlier run, as far as it is known;
            OFF where it was in ERROR, and off.
        shared: of each guest the hosts of nova-compute that have its folder on shared storage.
        elsewhere: of guests that another libvirt has, or may have, why they stay.
    """

    had: dict[str, str] = field(default_factory=dict)
    shared: Mapping[str, frozenset[str]] = field(default_factory=dict)
    elsewhere: Mapping[str, str] = field(default_factory=dict)


def doubtful(seen: Seen) -> dict[str, Move]:
    """The moves after which a guest may run where Nova does not have it, by guest.

    One that is alive when its source dies may be there. An evacuation that fails after the guest
    was started leaves it running (nova/compute/manager.py, rebuild_instance).
    """
    found = {}
    for guest in seen.state.guests:
        move = seen.moves.get(guest.uuid)
        if guest.host not in seen.hosts or guest.task or not move or move.source != guest.host:
            continue
        undone = move.kind != EVACUATION and move.status in UNDONE
        if move.target and move.target not in seen.hosts and not undone:
            found[guest.uuid] = move
    return found


def is_there(move: Move, why: str | None) -> str:
    """Why a guest stays that libvirt at the target of MOVE has, or that was not asked, and WHY."""
    words = {"target": move.target, "status": move.status, "uuid": move.guest, "why": why}
    return (UNKNOWN if why else ELSEWHERE).format(move=move.kind, **words)


def is_local(guest: Guest) -> bool:
    """Whether a disk of it was made on its compute."""
    return bool(guest.image or guest.ephemeral)


def decide(seen: Seen, limits: Drain, run: EvacuationRun) -> Decision:
    """What is next, of what was SEEN just now, within LIMITS; RUN is told what was seen."""
    run.targets.update(seen.state.targets)
    steps: list[Step] = []
    ways: list[Way] = []
    stays: list[Stay] = []
    left: list[str] = []
    held: list[str] = []
    for guest in sorted(seen.state.guests, key=lambda guest: (guest.name, guest.uuid)):
        move = seen.moves.get(guest.uuid)
        if not seen.touched(guest) and guest.uuid not in run.moved:
            continue
        verdict = _judged(guest, move, seen, limits, run)
        if isinstance(verdict, Step):
            steps.append(verdict)
        elif isinstance(verdict, Stay):
            stays.append(verdict)
        elif isinstance(verdict, Way):
            ways.append(verdict)
        unheard = run.is_unheard(guest, move)
        if unheard or _is_evacuated(move, seen):
            run.moved.add(guest.uuid)
            if had := _had(guest):
                run.had.setdefault(guest.uuid, had)
            if guest.uuid not in run.given_up:
                left.append(str(move.source if move and not unheard else guest.host))
            if isinstance(verdict, Stay) and not unheard:
                held.append(guest.uuid)
    now, later = within(limits, steps, left)
    run.had.update((step.guest.uuid, _state(step.guest)) for step in now if step.moves)
    return Decision(tuple(now), tuple(later), tuple(ways), tuple(stays), tuple(held))


def _had(guest: Guest) -> str | None:
    """The state of one that is being evacuated; Nova starts each, then stops it again."""
    if guest.task == "powering-off":
        return "stopped"
    return _state(guest) if guest.task else None  # between the two nobody can tell


def _state(guest: Guest) -> str:
    return OFF if guest.state == "error" and guest.power == SHUTDOWN else guest.state


def _is_evacuated(move: Move | None, seen: Seen) -> bool:
    """Whether an evacuation from one of the computes is under way."""
    return bool(
        move and move.kind == EVACUATION and not move.has_ended and move.source in seen.hosts
    )


def _judged(
    guest: Guest, move: Move | None, seen: Seen, limits: Drain, run: EvacuationRun
) -> Verdict:
    if move and _is_evacuated(move, seen):
        if move.age <= limits.timeout:
            return Way(guest, move)
        reset = f"`openstack server set --state error {guest.uuid}`, and {_record(move)}"
        who = f"nova-compute on {move.target}" if move.target else "nova-conductor"
        how = f"let it end; where {who} is not at it any more, {reset}"
        return Stay(guest, f"is being evacuated for {move.age:.0f} s by now: {how}")
    if guest.host not in seen.hosts:
        came = guest.uuid in run.moved
        return _arrived(guest, move, run) if came else _between(guest, move, seen)
    if run.is_unheard(guest, move):
        return Stay(guest, "is to be evacuated, and Nova has no record of it yet", passing=True)
    if guest.task:
        remedy = DELETED if guest.task in ("deleting", "soft-deleting") else RESET
        words = remedy.format(state=_reset_to(guest), uuid=guest.uuid, host=guest.host)
        return Stay(guest, f"is at {guest.task}, which nothing there will ever end: {words}{AGAIN}")
    return _idle(guest, move, seen, run)


def _reset_to(guest: Guest) -> str:
    """To what a person may set it so that it is evacuated: a reset takes its task away."""
    return "active" if guest.state == "active" else "error"


def _arrived(guest: Guest, move: Move | None, run: EvacuationRun) -> Verdict:
    """One that this run has evacuated, or has seen on the way: it has the state that it had."""
    if guest.state == "error":
        return Stay(guest, broken(guest))
    if guest.task:
        return Stay(guest, f"is at {guest.task}", passing=True)
    was = run.had.get(guest.uuid)
    if was == OFF and guest.state == "active" and move and move.has_ended:
        return _stopped_again(guest, move, run)
    wanted = "stopped" if was in ("stopped", OFF) else "active"
    if was and guest.state != wanted:
        return Stay(guest, f"was {was} and evacuated, and is {guest.state}", passing=True)
    if move and move.kind == EVACUATION and not move.has_ended:
        return Stay(guest, f"has an evacuation that is {move.status}", passing=True)
    return None


def _stopped_again(guest: Guest, move: Move, run: EvacuationRun) -> Verdict:
    if refused := run.refused.get((guest.uuid, "stop")):
        by_hand = f"`openstack server stop {guest.uuid}`"
        return Stay(guest, f"was off, and is not stopped again: {refused}: {by_hand}")
    if (guest.uuid, "stop") in run.tried:
        return Stay(guest, "was told to stop again", passing=True)
    text = f"stop {guest.called} on {guest.host} again: it was off before it was evacuated"
    return Step("stop", guest, str(move.source), text, move.id)


def _between(guest: Guest, move: Move | None, seen: Seen) -> Verdict:
    """One that lives, and has a move from or to a dead compute that has not ended."""
    if move is None:
        return None
    dead = move.source if move.source in seen.hosts else move.target
    what = f"has a {move.called} from {move.source} that is {move.status}, and {dead} is dead"
    if guest.task:
        # A live migration ends once its source notices; no other does.
        words = RESET.format(state=_reset_to(guest), uuid=guest.uuid)
        return Stay(guest, f"{what}: where it does not end, {words}{AGAIN}", passing=True)
    if guest.state == "resized" and move.source == dead:
        # Nova answers 503 to who confirms it (nova/compute/api.py, confirm_resize).
        reset = RESET.format(state="active", uuid=guest.uuid)
        how = f"{reset}, and {_record(move)}"
        return Stay(guest, f"{what}: bring {dead} back; where it never comes, {how}")
    return Stay(guest, f"{what}: where it does not end, {_record(move)}")


def _record(move: Move) -> str:
    return RECORD.format(id=move.id, status=move.status) + AGAIN


def _idle(guest: Guest, move: Move | None, seen: Seen, run: EvacuationRun) -> Verdict:
    if guest.uuid in run.sent:
        return Stay(guest, _failed(guest, move))
    if guest.state not in STATES:
        text = REMEDIES.get(guest.state, TO_ERROR)
        words = {"state": guest.state.upper(), "uuid": guest.uuid, "name": guest.name}
        return Stay(guest, text.format(**words, host=guest.host))
    if refused := run.refused.get((guest.uuid, "evacuate")):
        return Stay(guest, f"is not evacuated by Nova: {refused}")
    if why := run.elsewhere.get(guest.uuid):
        return Stay(guest, why)
    target = run.targets.get(guest.uuid)
    if target is None:  # it was at something when its targets were asked for
        return Stay(guest, "is looked at anew", passing=True)
    dead = next(c for c in seen.computes if isinstance(c, Dead) and c.host == guest.host)
    kept = not is_local(guest) or dead.elsewhere
    if not kept and not dead.lost:
        seen_on = run.shared.get(guest.uuid, frozenset())
        if not target.hosts or not seen_on.issuperset(target.hosts):
            return Stay(guest, ONLY_THERE.format(host=guest.host))
        kept = True
    if not target.places:
        return Stay(guest, f"can go nowhere: {target.why}")
    how = "" if kept else f", {_made_anew(guest)},"
    text = f"evacuate {guest.called} of {guest.host}{how} to {target.places}"
    return Step("evacuate", guest, str(guest.host), text, move.id if move else None)


def _made_anew(guest: Guest) -> str:
    if guest.image is None:
        return "its second disk made anew and empty"
    return f"its disk made anew from its image {guest.image}"


def _failed(guest: Guest, move: Move | None) -> str:
    if move is None or move.kind != EVACUATION:
        return "was not evacuated, and Nova does not say why: see nova-conductor.log"
    cause = move.cause or guest.fault or "Nova does not say why, see nova-conductor.log"
    return f"was not evacuated: its {move.called} is {move.status}: {cause}"
