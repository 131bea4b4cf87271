"""files/drains.py: one step for one guest, after it was read again; and what goes unanswered."""

from __future__ import annotations

from typing import Any

import drains
import pytest
import rest

from .drain_stand_in import Cloud
from .serving import FAULTS, ApiError, Json


@pytest.fixture
def nova(draining: Cloud) -> Cloud:
    return draining


def step(nova: Cloud, kind: str, uuid: str = "g1", move: int | None = None) -> Json:
    wanted = {"kind": kind, "guest": uuid, "move": move}
    found: Json = drains.answer(nova.request(step=wanted))
    return found


DONE = {"refused": None, "late": None}


def test_a_guest_is_moved_where_the_scheduler_sends_it(nova: Cloud) -> None:
    nova.guest("g1")
    nova.guest("g2", "stopped")
    assert (step(nova, "live"), step(nova, "cold", "g2")) == (DONE, DONE)
    assert nova.acted == [
        ("servers g1 action", {"os-migrateLive": {"host": None, "block_migration": "auto"}}),
        ("servers g2 action", {"migrate": {"host": None}}),
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"state": "stopped"}, "it is stopped by now"),
        ({"task": "deleting"}, "it is deleting by now"),
        ({"host": "compute2"}, "it is on compute2 by now"),
    ],
)
def test_a_guest_that_has_changed_meanwhile_is_left_alone(
    nova: Cloud, changes: dict[str, str], said: str
) -> None:
    nova.guest("g1", **changes)
    assert step(nova, "live") == {"refused": None, "late": said}
    assert step(nova, "live", "g9")["late"] == "Nova no longer has it"
    assert nova.acted == []


def test_only_a_move_of_the_same_flavor_from_here_is_confirmed(nova: Cloud) -> None:
    nova.guest("g1", "resized", host="compute2")
    assert step(nova, "confirm")["late"] == "Nova has no migration of it"
    for changes in (
        {"migration_type": "resize"},
        {"new_instance_type_id": 2},
        {"source_compute": "compute3"},
    ):
        nova.migration("g1", "migration", "finished").update(changes)
        assert step(nova, "confirm")["late"] == "that is its owner's to confirm"
    nova.migration("g1", "migration", "confirming")
    assert step(nova, "confirm")["late"] == "it does not wait to be confirmed"
    assert nova.acted == []
    nova.migration("g1", "migration", "finished")
    assert step(nova, "confirm") == DONE
    assert nova.acted == [("servers g1 action", {"confirmResize": None})]


def test_a_live_migration_is_aborted_or_forced_if_it_still_is_the_one(nova: Cloud) -> None:
    nova.guest("g1", task="migrating")
    nova.migration("g1", "live-migration", "running")
    assert (step(nova, "abort", move=1), step(nova, "force_complete", move=1)) == (DONE, DONE)
    assert nova.acted == [
        ("servers g1 migrations 1", None),
        ("servers g1 migrations 1 action", {"force_complete": None}),
    ]
    nova.migration("g1", "live-migration", "running")
    assert step(nova, "abort", move=1)["late"] == "its live migration has ended"
    nova.migrations[0].update(source_compute="compute3")
    assert step(nova, "abort", move=2)["late"] == "its live migration is not from here"


def refusing(status: int) -> Any:
    def act(*_: Any) -> None:
        raise ApiError(status, "Instance g1 is locked")

    return act


@pytest.mark.parametrize("status", [400, 403, 404, 409])
def test_what_nova_refuses_is_its_answer(
    nova: Cloud, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    nova.guest("g1")
    monkeypatch.setattr(nova, "act", refusing(status))
    found = step(nova, "live")
    assert found["late"] is None
    assert found["refused"].endswith(f"answers {status}: Instance g1 is locked")


@pytest.mark.parametrize("status", [401, 429, 503])
def test_any_other_error_says_nothing_of_the_guest_and_ends_it(
    nova: Cloud, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    nova.guest("g1")
    monkeypatch.setattr(nova, "act", refusing(status))
    with pytest.raises(SystemExit, match=f"answers {status}"):
        step(nova, "live")


# --- what goes unanswered -------------------------------------------------------------------------


def everything(nova: Cloud) -> None:
    """Guests for which every request is made that there is."""
    nova.guest("g1")
    nova.guest("g2", task="migrating")
    nova.guest("g3", "resized", host="compute2")
    nova.guest("g4")
    nova.group("anti-affinity", "g1", "g5")
    nova.guest("g5", host="compute3")
    move = nova.migration("g2", "live-migration", "running")
    nova.figures[move["id"]] = {"memory_total_bytes": None, "memory_remaining_bytes": None}
    nova.migration("g3", "migration", "finished")
    nova.migration("g4", "live-migration", "error")
    failed = {"request_id": "r", "action": "live-migration", "message": "Error"}
    nova.actions["g4"] = [{**failed, "events": []}]


REQUESTS = 14


def test_the_requests_are_all_there_are(nova: Cloud) -> None:
    everything(nova)
    assert drains.answer(nova.request(moved=["g4"]))["error"] is None
    assert len(nova.asked) == REQUESTS


@pytest.mark.parametrize("fault", sorted(FAULTS.keys() - {"hang"}))
@pytest.mark.parametrize("at", range(1, REQUESTS + 1))
def test_what_goes_unanswered_ends_the_look_with_the_words(
    nova: Cloud, fault: str, at: int
) -> None:
    everything(nova)
    nova.fail(at, fault)
    found = drains.answer(nova.request(moved=["g4"]))
    assert list(found) == ["error"]
    assert FAULTS[fault] in found["error"]
    assert len(nova.asked) == at


@pytest.mark.parametrize("fault", sorted(FAULTS.keys() - {"hang"}))
@pytest.mark.parametrize(
    ("kind", "uuid", "last"), [("live", "g1", 3), ("confirm", "g3", 4), ("abort", "g2", 4)]
)
def test_what_goes_unanswered_ends_a_step_with_the_words(
    nova: Cloud, fault: str, kind: str, uuid: str, last: int
) -> None:
    everything(nova)
    for at in range(1, last + 1):
        nova.fail(at, fault)
        if fault == "page" and at == last:
            continue  # any 2xx of an action is its answer
        with pytest.raises(SystemExit, match=FAULTS[fault]):
            step(nova, kind, uuid, move=1)
    assert nova.acted == []


def test_a_request_that_hangs_ends(nova: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "TIMEOUT", 0.2)
    nova.fail(3, "hang")
    assert FAULTS["hang"] in drains.answer(nova.request())["error"]
