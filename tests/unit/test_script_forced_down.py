"""files/forced_down.py: a compute counts again once its nova-compute runs and has cleaned up."""

from __future__ import annotations

from typing import Any

import forced_down
import pytest

from .evacuation_stand_in import DeadCloud, ago
from .serving import FAULTS


@pytest.fixture
def nova(dead_cloud: DeadCloud, monkeypatch: pytest.MonkeyPatch) -> DeadCloud:
    """compute1 is forced down, and beats at the first wait."""
    dead_cloud.records["compute1"]["forced_down"] = 1

    def sleep(_: float) -> None:
        dead_cloud.records["compute1"]["last_seen_up"] = ago(0)

    monkeypatch.setattr(forced_down.time, "sleep", sleep)
    return dead_cloud


def lift(nova: DeadCloud, *hosts: str, wait: float = 5) -> None:
    assert forced_down.answer(nova.request(hosts=list(hosts or ["compute1"]), wait=wait)) == {}


def test_it_counts_once_its_heartbeat_has_moved(nova: DeadCloud) -> None:
    lift(nova)
    assert nova.acted == [("os-services id-compute1", {"forced_down": False})]


def test_not_as_long_as_it_is_silent(nova: DeadCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forced_down.time, "sleep", lambda _: None)
    with pytest.raises(
        SystemExit, match="compute1 stays forced down: its nova-compute has sent no"
    ):
        lift(nova, wait=0)
    assert nova.acted == []


def test_not_as_long_as_something_is_left_there_of_evacuated_guests(
    nova: DeadCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    nova.evacuated["compute1"] = 2
    with pytest.raises(SystemExit, match="has not taken away 2 guests evacuated from there, which"):
        lift(nova, wait=0.1)
    beats = iter(range(3))

    def sleep(_: float) -> None:
        nova.records["compute1"]["last_seen_up"] = ago(0)
        if next(beats) == 1:
            nova.evacuated.clear()

    monkeypatch.setattr(forced_down.time, "sleep", sleep)
    lift(nova)
    assert len(nova.acted) == 1


def test_what_counts_already_is_left_alone(nova: DeadCloud) -> None:
    nova.records["compute1"]["forced_down"] = 0
    lift(nova)
    assert nova.acted == []


def test_one_that_nova_does_not_have_is_named(nova: DeadCloud) -> None:
    with pytest.raises(SystemExit, match="compute9 stays forced down: Nova has no nova-compute"):
        lift(nova, "compute1", "compute9", wait=0.1)


@pytest.mark.parametrize("fault", sorted(FAULTS.keys() - {"hang", "page"}))
def test_what_goes_unanswered_ends_it(nova: DeadCloud, fault: str, **_: Any) -> None:
    for at in (1, 2):
        nova.fail(at, fault)
        with pytest.raises(SystemExit, match=FAULTS[fault]):
            lift(nova)
    assert nova.acted == []
