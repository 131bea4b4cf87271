"""A host's clock against this machine's: what takes time is never taken for what is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyinfra_nova.run.clock import Offset

SECONDS = st.floats(0, 1000)


@given(st.floats(-1000, 1000), SECONDS, SECONDS, SECONDS)
def test_a_delay_moves_neither_end_past_the_truth(
    ahead: float, there: float, back: float, queued: float
) -> None:
    """Whether on the way there, on the way back, or because this machine had other things to do."""
    asked = 10_000.0
    told = asked + there + ahead
    offset = Offset.of(asked, told, asked + there + back + queued)
    assert offset.least - 1e-6 <= ahead <= offset.most + 1e-6
    assert abs(offset.skew) <= abs(ahead) + 1e-6


@pytest.mark.parametrize(
    ("asked", "told", "answered", "skew", "is_decided"),
    [
        (100.0, 100.2, 100.5, 0.0, True),
        (100.0, 160.2, 100.5, 59.7, True),
        (100.0, 40.2, 100.5, -59.8, True),
        # A minute to answer: 100 s ahead is certain, 30 s are not.
        (100.0, 260.0, 160.0, 100.0, True),
        (100.0, 130.0, 160.0, 0.0, False),
        (100.0, 100.0, 160.0, 0.0, False),
    ],
)
def test_what_is_certain_is_the_skew(
    asked: float, told: float, answered: float, skew: float, is_decided: bool
) -> None:
    offset = Offset.of(asked, told, answered)
    assert offset.skew == pytest.approx(skew)
    assert offset.decides(10) is is_decided


def test_two_answers_say_more_than_one() -> None:
    wide, other = Offset(-60, 5), Offset(-3, 90)
    assert wide.narrowed(other) == Offset(-3, 5)
    assert not wide.decides(10) and not other.decides(10)
    assert wide.narrowed(other).decides(10)


def test_of_a_clock_that_was_set_meanwhile_the_later_answer_counts() -> None:
    assert Offset(-60, -50).narrowed(Offset(-1, 1)) == Offset(-1, 1)
