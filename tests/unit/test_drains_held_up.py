"""Moves that take too long, fail half-way or come to nothing: what becomes of the others."""

from __future__ import annotations

from .test_drains_decision import decided, guest, move, steps

COLD = {"kind": "migration", "status": "migrating"}


# --- what holds others up -------------------------------------------------------------------------


def test_who_waits_for_a_move_that_is_given_up_does_not_wait_without_end() -> None:
    stuck = guest("g1", "stopped", task="resize_migrating", power=4)
    decision = decided(stuck, guest("g2"), moves=(move("g1", age=601.0, **COLD),))
    assert steps(decision) == []
    assert [step.guest.uuid for step in decision.later] == ["g2"]
    assert [stay.guest.uuid for stay in decision.stays] == ["g1"]
    assert not decision.goes_on
    under_way = decided(stuck, guest("g2"), moves=(move("g1", age=600.0, **COLD),))
    assert under_way.goes_on
