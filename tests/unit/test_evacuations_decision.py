"""What is done about each guest of a compute that is dead: decided of what was read."""

from __future__ import annotations

from typing import Any

import pytest

from pyinfra_nova.resources.drains.decision import Decision
from pyinfra_nova.resources.drains.plan_lines import planned
from pyinfra_nova.resources.drains.state import DrainState, Seen
from pyinfra_nova.resources.evacuations.decision import Dead, EvacuationRun, decide, doubtful
from pyinfra_nova.site.drain import Drain

from .test_drains_decision import ANYWHERE, move, stays, steps
from .test_drains_decision import guest as guest_of

DEAD = Dead("compute1", "compute1", "")
AGAIN = ", then deploy again"


def guest(uuid: str = "g1", state: str = "active", **changes: Any) -> dict[str, Any]:
    return {**guest_of(uuid, state), "image": None, **changes}


def evacuation(uuid: str = "g1", status: str = "accepted", **changes: Any) -> dict[str, Any]:
    return move(uuid, status, **{"kind": "evacuation", **changes})


def seen(
    *guests: dict[str, Any],
    moves: tuple[dict[str, Any], ...] = (),
    target: dict[str, Any] | None = None,
    dead: Dead = DEAD,
) -> Seen:
    targets = {g["uuid"]: {**ANYWHERE, **(target or {})} for g in guests if not g["task"]}
    state = {"error": None, "guests": guests, "moves": moves, "targets": targets}
    return Seen([dead], DrainState.model_validate(state))


def decided(*guests: dict[str, Any], run: EvacuationRun | None = None, **more: Any) -> Decision:
    limits = more.pop("limits", Drain())
    return decide(seen(*guests, **more), limits, run or EvacuationRun())


# --- by their state -------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["active", "stopped", "error"])
def test_what_nova_evacuates_goes_where_its_scheduler_sends_it(state: str) -> None:
    (step,) = decided(guest(state=state)).now
    assert step.kind == "evacuate" and step.moves
    assert step.text == "evacuate guest web-g1 (g1) of compute1 to compute2 or compute3"


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("paused", "is PAUSED, which Nova does not evacuate: bring compute1 back, or `openstack "),
        ("suspended", "`openstack server set --state error g1` (what it had in memory is lost)"),
        ("rescued", "is RESCUED, which Nova does not evacuate"),
        ("shelved", "is SHELVED, which Nova does not evacuate"),
        ("shelved", "(what it had in memory is lost; a disk is in image web-g1-shelved)"),
        ("resized", "waits (VERIFY_RESIZE) for somebody to confirm a change, which needs compute1"),
        ("soft-delete", "`openstack server delete --force g1`"),
        ("building", "is being built there, and never will be: `openstack server delete g1`"),
        ("strange", "is STRANGE, which Nova does not evacuate"),
    ],
)
def test_what_nova_does_not_evacuate_is_named_with_what_to_do(state: str, said: str) -> None:
    (text,) = stays(decided(guest(state=state)))
    assert text.startswith("guest web-g1 (g1) on compute1 ")
    assert said in text and text.endswith(AGAIN)


@pytest.mark.parametrize(
    ("state", "task", "said"),
    [
        ("active", "rebooting", "`openstack server set --state active g1` resets that"),
        ("stopped", "powering-on", "`openstack server set --state error g1` resets that"),
        ("active", "migrating", "is at migrating, which nothing there will ever end"),
        ("active", "deleting", "`openstack server delete g1` once more: Nova does it without comp"),
    ],
)
def test_what_a_dead_compute_is_at_never_ends_and_is_named(
    state: str, task: str, said: str
) -> None:
    decision = decided(guest(state=state, task=task))
    assert said in stays(decision)[0]
    assert not decision.stays[0].passing and not decision.goes_on


def test_a_guest_that_can_go_nowhere_is_named() -> None:
    (text,) = stays(decided(guest(), target={"hosts": [], "why": "no room"}))
    assert text == "guest web-g1 (g1) on compute1 can go nowhere: no room"


def test_guests_elsewhere_are_no_concern() -> None:
    assert decided(guest(host="compute3")) == Decision()
    done = evacuation(status="done", target="compute3")
    assert decided(guest(host="compute3"), moves=(done,)) == Decision()


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("migrating", "where it does not end, `openstack server set --state active g1` resets"),
        (None, "`UPDATE migrations SET status = 'error' WHERE id = 7 AND status = 'running'`"),
    ],
)
def test_a_move_to_a_dead_compute_that_has_not_ended_is_named(task: str | None, said: str) -> None:
    under_way = move(source="compute2", target="compute1")
    (text,) = stays(decided(guest(host="compute2", task=task), moves=(under_way,)))
    assert "has a live migration to compute1 from compute2 that is running, and compute1 is" in text
    assert said in text


def test_a_resize_whose_source_is_dead_is_named_with_what_ends_it() -> None:
    """Nova answers 503 to who confirms it; taken back, its guest would be on the dead one."""
    waits = move(status="finished", kind="resize")
    (text,) = stays(decided(guest(host="compute2", state="resized"), moves=(waits,)))
    assert "from compute1 that is finished, and compute1 is dead: bring compute1 back; " in text
    assert "where it never comes, `openstack server set --state active g1` resets that, and" in text
    assert "SET status = 'error' WHERE id = 7 AND status = 'finished'`" in text
    assert text.endswith(AGAIN)


# --- its data -------------------------------------------------------------------------------------


@pytest.mark.parametrize("disk", [{"image": "i1"}, {"ephemeral": True}])
def test_a_disk_that_only_the_dead_compute_had_keeps_its_guest(disk: dict[str, Any]) -> None:
    (text,) = stays(decided(guest(**disk)))
    assert text == (
        "guest web-g1 (g1) on compute1 stays: its disk was only on compute1: bring compute1 back, "
        'or give up what is on it, with "disks_lost": True beside "dead" in the inventory, then '
        "deploy again"
    )


def test_what_is_given_up_is_said_of_each() -> None:
    lost = Dead("compute1", "compute1", "", lost=True)
    (one, two) = decided(
        guest(image="i1"), guest("g2", ephemeral=True), dead=lost, limits=Drain(at_once_per_host=2)
    ).now
    assert "of compute1, its disk made anew from its image i1, to compute2 or" in one.text
    assert "of compute1, its second disk made anew and empty, to compute2 or" in two.text
    (kept,) = decided(guest(), dead=lost).now
    assert "anew" not in kept.text


def test_a_disk_that_is_elsewhere_is_kept() -> None:
    ceph = Dead("compute1", "compute1", "", elsewhere=True, lost=True)
    (step,) = decided(guest(image="i1"), dead=ceph).now
    assert "anew" not in step.text


@pytest.mark.parametrize(
    ("there", "goes"),
    [(("compute2", "compute3"), True), (("compute2",), False), ((), False)],
)
def test_a_folder_is_shared_only_if_each_host_to_which_its_guest_may_go_has_it(
    there: tuple[str, ...], goes: bool
) -> None:
    """Nova makes the disk anew on one that has it not."""
    run = EvacuationRun(shared={"g1": frozenset(there)})
    assert bool(decided(guest(image="i1"), run=run).now) == goes


def test_without_a_host_to_go_to_no_folder_is_shared() -> None:
    nowhere = {"hosts": [], "why": "no room"}
    assert "its disk was only on" in stays(decided(guest(image="i1"), target=nowhere))[0]


# --- on the way -----------------------------------------------------------------------------------


def test_no_guest_is_evacuated_twice() -> None:
    rebuilding = guest(task="rebuild_spawning")
    decision = decided(rebuilding, guest("g2"), moves=(evacuation(status="pre-migrating"),))
    assert decision.now == () and decision.goes_on
    assert [way.text for way in decision.ways] == ["web-g1: compute1 -> compute2, pre-migrating"]
    assert [step.guest.uuid for step in decision.later] == ["g2"]


def test_as_many_go_at_once_as_the_site_says() -> None:
    guests = [guest(f"g{n}") for n in range(4)]
    decision = decided(*guests, limits=Drain(at_once_per_host=3, at_once=2))
    assert len(steps(decision)) == 2 and len(decision.later) == 2


def test_one_that_takes_too_long_is_named_and_left() -> None:
    late = evacuation(age=700.0)
    decision = decided(guest(task="rebuilding"), guest("g2"), moves=(late,))
    (text,) = stays(decision)
    assert text.startswith("guest web-g1 (g1) on compute1 is being evacuated for 700 s by now: let")
    assert "where nova-compute on compute2 is not at it any more, `openstack server set" in text
    assert text.endswith("SET status = 'error' WHERE id = 7 AND status = 'accepted'`" + AGAIN)
    assert decision.held == ("g1",) and [s.guest.uuid for s in decision.later] == ["g2"]


def sent(state: str = "active", **more: Any) -> EvacuationRun:
    """A run that has just had g1 evacuated."""
    run = EvacuationRun()
    (step,) = decided(guest(state=state), run=run, **more).now
    run.note(step, 0.0, None, None)
    return run


def test_what_nova_has_not_noted_yet_is_waited_for() -> None:
    (stay,) = decided(guest(), run=sent()).stays
    assert stay.passing and "Nova has no record of it yet" in stay.why


def test_a_failed_one_is_named_with_novas_words_and_not_tried_again() -> None:
    failed = evacuation(status="error", target=None, cause="NoValidHost: none was found")
    (text,) = stays(decided(guest(state="error"), run=sent(), moves=(failed,)))
    assert text.endswith("was not evacuated: its evacuation is error: NoValidHost: none was found")
    # Another run tries it again.
    assert steps(decided(guest(state="error"), moves=(failed,))) == [("evacuate", "g1")]


def test_what_nova_refuses_is_named_with_its_words() -> None:
    run = EvacuationRun()
    (step,) = decided(guest(), run=run).now
    run.note(step, 0.0, "answers 400: it is locked", None)
    (text,) = stays(decided(guest(), run=run))
    assert text.endswith("is not evacuated by Nova: answers 400: it is locked")


@pytest.mark.parametrize(
    ("had", "now", "over"),
    [
        ("active", {}, True),
        ("stopped", {"state": "stopped"}, True),
        ("error", {}, True),
        ("stopped", {"state": "active"}, False),
        ("active", {"state": "stopped"}, False),
        ("stopped", {"state": "active", "task": "powering-off"}, False),
    ],
)
def test_it_is_over_once_it_is_there_in_the_state_that_it_had(
    had: str, now: dict[str, Any], over: bool
) -> None:
    there = guest(**{"host": "compute2", "state": "active", **now})
    decision = decided(there, run=sent(had), moves=(evacuation(status="done"),))
    assert (decision.stays == ()) == over
    assert all(stay.passing for stay in decision.stays)


def was_off(**changes: Any) -> tuple[EvacuationRun, dict[str, Any]]:
    """A run that has evacuated one that was in ERROR and off, and that one, which Nova started."""
    run = EvacuationRun()
    (step,) = decided(guest(state="error", power=4), run=run).now
    run.note(step, 0.0, None, None)
    return run, guest(**{"host": "compute2", **changes})


DONE = (evacuation(status="done"),)


def test_one_that_an_evacuation_without_a_host_has_left_in_error_is_off_again_at_the_end() -> None:
    run, there = was_off()
    (step,) = decided(there, run=run, moves=DONE).now
    assert (step.kind, step.text) == (
        "stop",
        "stop guest web-g1 (g1) on compute2 again: it was off before it was evacuated",
    )
    run.note(step, 0.0, None, None)
    (stay,) = decided(there, run=run, moves=DONE).stays
    assert stay.passing and stay.why == "was told to stop again"
    assert decided({**there, "state": "stopped"}, run=run, moves=DONE).stays == ()


def test_one_that_is_off_is_seen_to_be_so_by_the_next_run_too() -> None:
    run = EvacuationRun()
    off = guest(state="error", power=4, task="rebuilding")
    decided(off, moves=(evacuation(),), run=run)
    assert steps(decided(guest(host="compute2"), run=run, moves=DONE)) == [("stop", "g1")]


def test_where_nova_does_not_stop_it_its_words_are_said() -> None:
    run, there = was_off()
    (step,) = decided(there, run=run, moves=DONE).now
    run.note(step, 0.0, "answers 409: it is locked", None)
    (text,) = stays(decided(there, run=run, moves=DONE))
    assert text.endswith(
        "was off, and is not stopped again: answers 409: it is locked: `openstack server stop g1`"
    )


def test_one_that_arrives_in_error_is_named() -> None:
    there = guest(host="compute2", state="error", fault="no disk")
    (text,) = stays(decided(there, run=sent(), moves=(evacuation(status="done"),)))
    assert "was moved there, and is in ERROR (no disk)" in text


def test_one_that_is_there_but_whose_record_is_open_is_on_the_way() -> None:
    there = guest(host="compute2", task="rebuild_spawning")
    decision = decided(there, run=sent(), moves=(evacuation(status="pre-migrating"),))
    assert len(decision.ways) == 1


def test_what_has_no_room_beside_the_others_is_said() -> None:
    needs = {"needs": {"VCPU": 1, "MEMORY_MB": 3000}, "free": {"compute2": {"MEMORY_MB": 4096}}}
    run = EvacuationRun()
    guests = [guest("g1"), guest("g2")]
    decision = decided(*guests, run=run, target={**needs, "hosts": ["compute2"]})
    assert planned(decision, run) == [
        "evacuate guest web-g1 (g1) of compute1 to compute2",
        "evacuate guest web-g2 (g2) of compute1 to compute2, if the others leave it room",
    ]


# --- what an earlier run has evacuated ------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "task", "arrives"),
    [
        ("stopped", "rebuilding", "stopped"),
        ("active", "powering-off", "stopped"),
        ("active", "rebuild_spawning", "active"),
        ("error", "rebuilding", "active"),
    ],
)
def test_one_that_was_seen_on_the_way_arrives_in_the_state_that_it_had(
    state: str, task: str, arrives: str
) -> None:
    run = EvacuationRun()
    decided(guest(state=state, task=task), moves=(evacuation(),), run=run)
    there, done = guest(host="compute2", state=arrives), evacuation(status="done")
    assert stays(decided(there, moves=(done,), run=run)) == []
    other = {"active": "stopped", "stopped": "active"}[arrives]
    (text,) = stays(decided({**there, "state": other}, moves=(done,), run=run))
    assert text.endswith(f"and evacuated, and is {other}")


def test_of_one_that_was_at_nothing_just_then_nobody_knows_its_state() -> None:
    """Nova has started it, and is about to stop it again, or not."""
    run = EvacuationRun()
    decided(guest(), moves=(evacuation(status="pre-migrating"),), run=run)
    for state in ("active", "stopped"):
        there, done = guest(host="compute2", state=state), evacuation(status="done")
        assert stays(decided(there, moves=(done,), run=run)) == []


# --- what may run elsewhere -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "status", "doubt"),
    [
        ("live-migration", "running", True),
        ("live-migration", "post-migrating", True),
        ("live-migration", "completed", True),  # which Nova writes before the guest's new host
        ("live-migration", "cancelled", False),
        ("live-migration", "failed", False),
        ("live-migration", "error", True),
        ("migration", "failed", False),
        ("migration", "error", True),
        ("evacuation", "failed", True),
        ("evacuation", "error", True),
        ("evacuation", "done", True),
    ],
)
def test_after_which_moves_a_guest_may_run_where_nova_does_not_have_it(
    kind: str, status: str, doubt: bool
) -> None:
    """Its task was reset by a person, say; else it is not evacuated anyway."""
    moved = move("g1", status, kind=kind, target="compute2")
    found = doubtful(seen(guest(), moves=(moved,)))
    assert {uuid: each.target for uuid, each in found.items()} == (
        {"g1": "compute2"} if doubt else {}
    )
    assert doubtful(seen(guest(task="migrating"), moves=(moved,))) == {}


@pytest.mark.parametrize("changes", [{"target": None}, {"target": "compute1"}, {"source": "c7"}])
def test_one_that_was_never_sent_from_here_to_one_that_lives_is_in_no_doubt(
    changes: dict[str, Any],
) -> None:
    failed = evacuation(status="error", **changes)
    assert doubtful(seen(guest(), moves=(failed,))) == {}


def test_one_that_another_libvirt_has_is_not_evacuated() -> None:
    run = EvacuationRun(elsewhere={"g1": "stays: libvirt on compute2 has it, too"})
    decision = decided(guest(), guest("g2"), run=run)
    assert [step.guest.uuid for step in decision.now] == ["g2"]
    (stay,) = decision.stays
    assert stay.text == "guest web-g1 (g1) on compute1 stays: libvirt on compute2 has it, too"
