"""Moves that take too long, fail half-way or come to nothing: what becomes of the others."""

from __future__ import annotations

from typing import Any

import pytest

from pyinfra_nova.resources.drains.decision import Decision, Run, decide
from pyinfra_nova.resources.drains.plan_lines import planned
from pyinfra_nova.site.drain import Drain

from .test_drains_decision import COMPUTE1, COMPUTE2, decided, guest, move, seen, steps

COLD = {"kind": "migration", "status": "migrating"}


# --- what holds others up -------------------------------------------------------------------------


def test_who_waits_for_a_move_that_is_given_up_does_not_wait_without_end() -> None:
    stuck = guest("g1", "stopped", task="resize_migrating", power=4)
    decision = decided(stuck, guest("g2"), moves=(move("g1", age=601.0, **COLD),))
    assert steps(decision) == []
    assert [step.guest.uuid for step in decision.later] == ["g2"]
    assert [stay.guest.uuid for stay in decision.stays] == ["g1"]
    assert not decision.goes_on and decision.held == ("g1",)
    under_way = decided(stuck, guest("g2"), moves=(move("g1", age=600.0, **COLD),))
    assert under_way.goes_on


@pytest.mark.parametrize("task", ["migrating", "resize_prep"])
def test_a_guest_whose_move_has_no_record_yet_takes_its_place_already(task: str) -> None:
    """Nova notes at once what a guest is at; the record is nova-conductor's, who may be slow."""
    run = Run()
    decision = decided(guest("g1", task=task), guest("g2"), run=run)
    assert steps(decision) == [] and not decision.goes_on
    ends = "let it end; `./run audit` says what to do where nobody is at it any more"
    assert [stay.why for stay in decision.stays] == [f"is at {task}: {ends}"]
    assert decision.stays[0].passing
    assert run.moved == {"g1"}
    other = decided(guest("g1", task="rebooting"), guest("g2"))
    assert steps(other) == [("live", "g2")]
    before = move("g1", "completed", source="compute3", target="compute1")
    assert steps(decided(guest("g1", task=task), guest("g2"), moves=(before,))) == []


# --- what nova-compute has not begun with ---------------------------------------------------------


def queue(*ages: float, first: str = "running") -> tuple[dict[str, Any], ...]:
    """Live migrations of g1, g2 and so on, all from compute1, of which the first is at work."""
    return tuple(
        move(f"g{at}", first if at == 1 else "queued", id=6 + at, age=age)
        for at, age in enumerate(ages, 1)
    )


def waiting(run: Run, *moves: dict[str, Any], **more: Any) -> Decision:
    guests = [guest(each["guest"], task="migrating") for each in moves]
    return decided(*guests, moves=moves, run=run, **more)


def test_a_live_migration_that_waits_for_another_one_has_all_its_time_from_its_turn_on() -> None:
    """By default nova-compute sends off one at a time, and Nova has them all begun at once."""
    run = Run()
    late = waiting(run, *queue(700.0, 690.0, 690.0))
    assert steps(late) == [("abort", "g1")]
    assert [way.guest.uuid for way in late.ways] == ["g2", "g3"]
    run.note(late.now[0], 700.0, None, None)
    assert len(waiting(run, *queue(710.0, 700.0, 700.0)).ways) == 3
    # The first one was aborted, and it is the second one's turn.
    after = (*queue(700.0, 1299.0)[1:], move("g3", "queued", id=9, age=1299.0))
    after = ({**after[0], "status": "running"}, after[1])
    assert [way.guest.uuid for way in waiting(run, *after).ways] == ["g2", "g3"]
    after = ({**after[0], "age": 1301.0}, {**after[1], "age": 1301.0})
    (step,) = waiting(run, *after).now
    assert (step.kind, step.guest.uuid) == ("abort", "g2")
    assert "it is on the way for 601 s by now" in step.text


def test_one_that_waits_for_what_cannot_be_aborted_does_not_wait_without_end() -> None:
    run = Run()
    (step,) = waiting(run, *queue(601.0, 600.0)).now
    run.note(step, 601.0, None, None)
    stuck = waiting(run, *queue(1202.0, 1200.0))
    assert [stay.guest.uuid for stay in stuck.stays] == ["g1"]
    assert [way.guest.uuid for way in stuck.ways] == ["g2"]
    (step,) = waiting(run, *queue(1202.5, 1201.0)).now
    assert (step.kind, step.guest.uuid) == ("abort", "g2")


def test_one_that_waits_with_nothing_before_it_has_no_more_time_than_others() -> None:
    (step,) = waiting(Run(), *queue(601.0, first="queued")).now
    assert (step.kind, step.guest.uuid) == ("abort", "g1")
    elsewhere = move("g2", "running", source="compute2", target="compute1", id=8)
    computes = (COMPUTE1, COMPUTE2)
    found = waiting(Run(), *queue(601.0, first="queued"), elsewhere, computes=computes)
    assert steps(found) == [("abort", "g1")]


@pytest.mark.parametrize("status", ["queued", "preparing"])
def test_what_does_not_run_yet_cannot_be_forced_so_it_is_aborted(status: str) -> None:
    limits = Drain(then="force_complete")
    found = waiting(Run(), *queue(601.0, first=status), limits=limits)
    assert steps(found) == [("abort", "g1")]
    assert steps(waiting(Run(), *queue(601.0), limits=limits)) == [("force_complete", "g1")]


# --- what has failed half-way ---------------------------------------------------------------------


def test_a_guest_that_was_moved_and_is_in_error_there_is_named() -> None:
    ended = move(status="completed")
    broken = guest(host="compute2", state="error", fault="no port binding")
    (stay,) = decided(broken, moves=(ended,), run=Run(moved={"g1"})).stays
    assert stay.text == (
        "guest web-g1 (g1) on compute2 was moved there, and is in ERROR (no port binding): see "
        "`openstack server event list g1`"
    )
    assert not stay.passing
    assert decided(broken, moves=(ended,)) == Decision()
    well = guest(host="compute2")
    assert decided(well, moves=(ended,), run=Run(moved={"g1"})) == Decision()


def test_a_guest_whose_confirmation_ends_in_an_error_is_named_though_another_run_has_moved_it() -> (
    None
):
    run, finished = Run(), (move(kind="migration", status="finished"),)
    (step,) = decided(guest(host="compute2", state="resized"), moves=finished, run=run).now
    run.note(step, 20.0, None, None)
    broken = guest(host="compute2", state="error", fault="disk is busy")
    ended = (move(kind="migration", status="confirmed"),)
    (stay,) = decided(broken, moves=ended, run=run).stays
    assert "was moved there, and is in ERROR (disk is busy)" in stay.why


# --- what was refused, or came too late -----------------------------------------------------------


def test_what_nova_refused_of_one_step_says_nothing_of_the_next() -> None:
    """Two deploys at once: the other one was first, and may be gone when the guest has moved."""
    run, stopped = Run(), guest(state="stopped", power=4)
    (step,) = decided(stopped, run=run).now
    run.note(step, 0.0, "answers 409: it is at resize_prep", None)
    arrived = guest(host="compute2", state="resized", power=4)
    finished = move(kind="migration", status="finished")
    assert steps(decided(arrived, moves=(finished,), run=run)) == [("confirm", "g1")]
    run = Run()
    (step,) = decided(guest(), run=run).now
    run.note(step, 0.0, "answers 409: it is at migrating", None)
    late = move(age=601.0)
    (step,) = decided(guest(task="migrating"), moves=(late,), run=run).now
    run.note(step, 601.0, None, None)
    assert decided(guest(task="migrating"), moves=(late,), run=run).ways
    for ended in ("cancelled", "failed"):
        (stay,) = decided(guest(), moves=(move(status=ended),), run=run).stays
        assert stay.why == (
            "was not moved: its live migration to compute2 was aborted after 601 s, longer than "
            "drain.timeout"
        )


def test_what_came_too_late_was_not_done_and_is_decided_anew() -> None:
    run, arrived = Run(), guest(host="compute2", state="resized", power=4)
    finished = (move(kind="migration", status="finished"),)
    for _ in range(2):
        (step,) = decided(arrived, moves=finished, run=run).now
        run.note(step, 20.0, None, "it does not wait to be confirmed")
    (stay,) = decided(arrived, moves=finished, run=run).stays
    assert "is not confirmed: it does not wait to be confirmed" in stay.why


def test_an_abort_that_comes_just_before_the_end_is_refused_but_the_end_is_waited_for() -> None:
    run, late = Run(), (move(age=601.0, status="post-migrating"),)
    (step,) = decided(guest(task="migrating"), moves=late, run=run).now
    run.note(step, 601.0, "it is post-migrating", None)
    assert [s.passing for s in decided(guest(task="migrating"), moves=late, run=run).stays] == [
        True
    ]


def test_an_older_move_is_not_called_the_one_that_has_failed() -> None:
    before = move(status="completed", source="compute3", target="compute1")
    (stay,) = decided(guest(), moves=(before,), run=Run(moved={"g1"})).stays
    assert "Nova does not say why" in stay.why


# --- what several guests together have no place for -----------------------------------------------


def test_a_plan_gives_no_two_guests_of_a_group_that_keeps_apart_the_same_place() -> None:
    apart = {
        "hosts": ["compute3"],
        "group": {"id": "group-1", "name": "db", "left": {"compute3": 1}},
    }
    guests = [guest("g1"), guest("g2"), guest("g3", host="compute2")]
    run = Run()
    found = seen(*guests, target=apart, computes=(COMPUTE1, COMPUTE2))
    found.state.targets["g2"].group = None
    lines = planned(decide(found, Drain(), run), run)
    moved = "move guest web-{0} ({0}) of {1} alive, to compute3"
    assert lines == [
        moved.format("g1", "compute1"),
        moved.format("g3", "compute2") + ", if no other of server group db goes there",
        moved.format("g2", "compute1"),
    ]


def test_a_guest_whose_move_has_ended_before_it_began_holds_up_nobody_for_good() -> None:
    """nova-conductor leaves it at `migrating` where something fails that nobody has thought of."""
    run, before = Run(), (move(status="error"),)
    (step,) = decided(guest(), moves=before, run=run).now
    run.note(step, 0.0, None, None)
    waits = decided(guest(task="migrating"), guest("g2"), moves=before, run=run)
    (stay,) = waits.stays
    assert waits.held == () and stay.why.startswith("is at migrating: ")
    after = (move(status="error", id=8),)
    failed = decided(guest(task="migrating", state="error"), guest("g2"), moves=after, run=run)
    assert failed.held == ("g1",)
    (stay,) = failed.stays
    assert stay.why.startswith("is at migrating, though its live migration to compute2 is error: ")
