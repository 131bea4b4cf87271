"""files/guest_returns.py and what files/drains.py has for it: who has left a compute, and the way
back to it by name."""

from __future__ import annotations

import time
from typing import Any

import drains
import guest_returns
import pytest

from .drain_stand_in import Cloud
from .serving import FAULTS, Json

SINCE = 200.0
"""Seconds; the stand-in's migrations are 100 seconds old."""


@pytest.fixture
def nova(draining: Cloud) -> Cloud:
    return draining


def away(nova: Cloud, since: float = SINCE) -> Json:
    found: Json = guest_returns.answer(nova.request(host="compute1", since=time.time() - since))
    return found


def names(nova: Cloud, since: float = SINCE) -> list[str]:
    found = away(nova, since)
    assert found["error"] is None
    return [guest["uuid"] for guest in found["guests"]]


def moved(nova: Cloud, uuid: str = "g1", *, guest: Json | None = None, **move: Any) -> None:
    nova.guest(uuid, **{"host": "compute2", **(guest or {})})
    kind, status = move.pop("kind", "live-migration"), move.pop("status", "completed")
    nova.migration(uuid, kind, status, **move)


def test_guests_that_were_moved_away_and_are_still_there_have_left(nova: Cloud) -> None:
    moved(nova)
    moved(nova, "g2", guest={"state": "stopped"}, kind="migration", status="confirmed")
    assert names(nova) == ["g1", "g2"]
    assert away(nova)["guests"][1] == {
        **{"uuid": "g2", "name": "web-g2", "host": "compute2", "state": "stopped"},
        **{"task": None, "power": 4, "fault": None, "ephemeral": False},
    }


def test_one_that_has_arrived_though_its_live_migration_is_in_error_has_left(nova: Cloud) -> None:
    moved(nova, status="error")
    moved(nova, "g2", status="error", guest={"host": "compute3"})
    assert names(nova) == ["g1"]


def test_a_move_before_that_moment_was_somebodys_own(nova: Cloud) -> None:
    moved(nova)
    assert names(nova, since=50) == []


def test_only_what_has_moved_since_is_asked_for(nova: Cloud) -> None:
    moved(nova)
    for number in range(9):
        moved(nova, f"h{number}", updated_at="2026-01-01T00:00:00.000000")
    assert names(nova, since=2 * 86400) == ["g1"]
    assert nova.told == 1


@pytest.mark.parametrize(
    "move",
    [
        {"kind": "resize", "status": "confirmed"},
        {"kind": "migration", "status": "confirmed", "new_instance_type_id": 2},
        {"kind": "evacuation", "status": "done"},
        {"kind": "migration", "status": "error"},
        {"status": "failed"},
        {"status": "running"},
        {"source_compute": "compute2", "dest_compute": "compute1"},
    ],
)
def test_what_no_maintenance_has_moved_away_stays(nova: Cloud, move: dict[str, Any]) -> None:
    moved(nova, **move)
    assert names(nova) == []


def test_a_guest_that_has_gone_on_or_is_gone_is_left_alone(nova: Cloud) -> None:
    moved(nova, guest={"host": "compute3"})
    nova.migration("g9", "live-migration", "completed")
    assert names(nova) == []


def test_a_guest_that_has_come_back_already_has_not_left(nova: Cloud) -> None:
    moved(nova, guest={"host": "compute1"})
    back = {"source_compute": "compute2", "dest_compute": "compute1"}
    nova.migration("g1", "live-migration", "completed", **back)
    assert names(nova) == []


@pytest.mark.parametrize("fault", sorted(FAULTS.keys() - {"hang"}))
@pytest.mark.parametrize("at", [1, 2, 3])
def test_what_goes_unanswered_is_no_guest_that_has_not_left(
    nova: Cloud, fault: str, at: int
) -> None:
    moved(nova)
    nova.fail(at, fault)
    found = away(nova)
    assert found["guests"] == []
    assert FAULTS[fault] in found["error"]


def test_a_time_that_is_none_is_an_error(nova: Cloud) -> None:
    moved(nova, created_at="yesterday")
    assert "Nova says 'yesterday' where a time is to be" in away(nova)["error"]


# --- files/drains.py ------------------------------------------------------------------------------


def test_a_guest_is_sent_to_the_host_that_is_named(nova: Cloud) -> None:
    nova.guest("g1")
    nova.guest("g2", "stopped")
    for kind, uuid in (("live", "g1"), ("cold", "g2")):
        step = {"kind": kind, "guest": uuid, "move": None, "to": "compute3"}
        assert drains.answer(nova.request(step=step)) == {"refused": None, "late": None}
    assert nova.acted == [
        ("servers g1 action", {"os-migrateLive": {"host": "compute3", "block_migration": "auto"}}),
        ("servers g2 action", {"migrate": {"host": "compute3"}}),
    ]


def test_only_the_guests_that_are_asked_about_are_told(nova: Cloud) -> None:
    for number in range(3):
        nova.guest(f"g{number}")
    nova.guest("g3", task="migrating", host="compute2")
    nova.migration("g3", "live-migration", "running")
    found = drains.answer(nova.request(only=["g1"]))
    assert [guest["uuid"] for guest in found["guests"]] == ["g1"]
    assert list(found["targets"]) == ["g1"]
    assert found["moves"] == []


def test_which_computes_are_closed_is_told_with_the_reason(nova: Cloud) -> None:
    nova.services["compute1"]["disabled_reason"] = "a fan"
    found = drains.answer(nova.request(hosts=["compute1", "compute2"], only=[]))
    assert found["closed"] == {"compute1": "a fan", "compute2": None}
    assert abs(found["now"] - time.time()) < 60
    nova.services["compute1"]["disabled_reason"] = None
    assert drains.answer(nova.request(only=[]))["closed"] == {"compute1": ""}
