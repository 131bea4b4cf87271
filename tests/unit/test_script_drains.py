"""files/drains.py: the guests of computes that are to have none, and their moves."""

from __future__ import annotations

import time
from typing import Any

import drains
import newest_moves
import pytest

from .drain_stand_in import Cloud
from .serving import Json


@pytest.fixture
def nova(draining: Cloud) -> Cloud:
    return draining


def read(nova: Cloud, **more: Any) -> Json:
    found: Json = drains.answer(nova.request(**more))
    return found


def well(nova: Cloud, **more: Any) -> Json:
    found = read(nova, **more)
    assert found["error"] is None
    return found


# --- what is read ---------------------------------------------------------------------------------


def test_a_compute_without_guests_costs_a_handful_of_requests(nova: Cloud) -> None:
    nova.guest("g1", host="compute2")
    found = well(nova)
    assert (found["guests"], found["moves"], found["targets"]) == ([], [], {})
    assert found["computes"] == {"compute1": "up"}
    assert nova.asked == [
        *["POST /v3/auth/tokens", "GET /compute/os-migrations", "GET /compute/servers/detail"],
        "GET /compute/os-services",
    ]


def test_a_guest_is_told_with_its_state_and_where_it_could_go(nova: Cloud) -> None:
    nova.guest("g1", task=None)
    found = well(nova)
    assert found["guests"] == [
        {
            **{"uuid": "g1", "name": "web-g1", "host": "compute1", "state": "active"},
            **{"task": None, "power": 1, "fault": None, "ephemeral": False},
        }
    ]
    target = found["targets"]["g1"]
    assert target["hosts"] == ["compute2", "compute3"]
    assert target["needs"] == {"VCPU": 2, "MEMORY_MB": 1024, "DISK_GB": 10}
    assert target["free"]["compute2"]["MEMORY_MB"] == 1024


def test_guests_of_a_kind_ask_placement_once(nova: Cloud) -> None:
    for number in range(5):
        nova.guest(f"g{number}")
    well(nova)
    assert len(nova.queries) == 1
    assert len(nova.asked) == 7


def test_what_is_placed_already_is_not_asked_for_again(nova: Cloud) -> None:
    nova.guest("g1")
    assert well(nova, placed=["g1"])["targets"] == {}
    assert nova.queries == []


def test_a_cell_that_does_not_answer_is_no_compute_without_guests(nova: Cloud) -> None:
    """The API leaves its guests out without a word, and lists of its services only hosts."""
    nova.guest("g1")
    nova.is_down = True
    assert "answers 200, but one without `id`" in read(nova)["error"]


def test_a_compute_that_nova_does_not_know_is_no_compute_without_guests(nova: Cloud) -> None:
    assert read(nova, hosts=["compute9"])["error"] == "Nova has no nova-compute on compute9"


def test_an_api_that_passes_over_the_filter_is_seen(
    nova: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    nova.guest("g1", host="compute2")
    monkeypatch.setattr(nova, "listed", lambda _: list(nova.guests.values()))
    assert read(nova)["error"].endswith("answers 200, but with a guest of compute2")


def test_the_newest_move_of_each_guest_is_told_page_by_page(nova: Cloud) -> None:
    nova.guest("g1")
    nova.migration("g1", "live-migration", "error")
    nova.migration("g1", "live-migration", "completed")
    nova.migration("g2", "live-migration", "completed")
    nova.page = 1
    assert [(m["guest"], m["status"]) for m in well(nova)["moves"]] == [("g1", "completed")]


def old(days: int = 30) -> Json:
    times = time.strftime("%Y-%m-%dT%H:%M:%S.000000", time.gmtime(time.time() - days * 86400))
    return {"created_at": times, "updated_at": times}


def test_what_a_look_costs_does_not_grow_with_the_age_of_a_cloud(nova: Cloud) -> None:
    nova.guest("g1")
    for number in range(500):
        nova.migration(f"h{number}", "live-migration", "completed", **old())
    nova.migration("g1", "live-migration", "completed", **old())
    nova.migration("g1", "live-migration", "error")
    assert [(m["guest"], m["status"]) for m in well(nova)["moves"]] == [("g1", "error")]
    assert nova.told == 1
    assert nova.asked.count("GET /compute/os-migrations") == 1


def test_a_move_that_has_gone_on_for_long_or_has_just_begun_is_told_all_the_same(
    nova: Cloud,
) -> None:
    nova.guest("g1", "resized", host="compute2")
    nova.migration("g1", "migration", "finished", **old())
    nova.guest("g2", task="migrating")
    nova.migration("g2", "live-migration", "accepted", updated_at=None)
    found = [(m["guest"], m["status"]) for m in well(nova)["moves"]]
    assert found == [("g1", "finished"), ("g2", "accepted")]


def test_a_record_that_never_ended_is_no_move_once_there_is_a_newer_one(nova: Cloud) -> None:
    """A dead process has left it; the guest has moved on since, long ago."""
    nova.guest("g1", host="compute2")
    nova.migration("g1", "live-migration", "running", **old(60))
    nova.migration("g1", "live-migration", "completed", **old(30))
    assert well(nova)["moves"] == []
    elsewhere = {"source_compute": "compute2", "dest_compute": "compute3"}
    nova.migration("g1", "live-migration", "completed", **elsewhere, **old(20))
    assert well(nova)["moves"] == []


def test_a_database_that_does_not_answer_is_no_end_of_all_moves(
    nova: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    nova.guest("g1", "resized", host="compute2")
    nova.migration("g1", "migration", "finished", **old())
    refused = (None, OSError("1205: Lock wait timeout"), False)
    monkeypatch.setattr(newest_moves.nova_state, "look", lambda *_: refused)
    assert read(nova) == {"error": "1205: Lock wait timeout"}


def test_what_root_has_read_in_the_place_of_an_account_that_has_drifted_is_an_answer(
    nova: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    nova.guest("g1", "resized", host="compute2")
    nova.migration("g1", "migration", "finished", **old())
    refused = OSError("1045: Access denied")
    look = newest_moves.nova_state.look
    monkeypatch.setattr(
        newest_moves.nova_state, "look", lambda *asked: (look(*asked)[0], refused, True)
    )
    assert [m["status"] for m in well(nova)["moves"]] == ["finished"]


def test_a_live_migration_has_its_figures(nova: Cloud) -> None:
    nova.guest("g1", task="migrating")
    move = nova.migration("g1", "live-migration", "running")
    figures = {"memory_total_bytes": 4 << 30, "memory_remaining_bytes": 1 << 30}
    nova.figures[move["id"]] = figures
    (told,) = well(nova)["moves"]
    assert (told["total"], told["remaining"]) == (4096, 1024)
    assert 99 < told["age"] < 110
    nova.figures.clear()  # it has ended since it was listed
    assert well(nova)["moves"][0]["remaining"] is None


def test_what_waits_elsewhere_to_be_confirmed_is_told(nova: Cloud) -> None:
    nova.guest("g1", "resized", host="compute2")
    nova.migration("g1", "migration", "finished")
    found = well(nova)
    assert [(g["uuid"], g["host"]) for g in found["guests"]] == [("g1", "compute2")]
    assert found["moves"][0]["same_flavor"]


@pytest.mark.parametrize(
    ("status", "age"),
    [("confirming", 5), ("reverting", 5), ("finished", 100), ("running", 100)],
)
def test_what_ends_a_resize_is_as_old_as_the_request_for_it(
    nova: Cloud, status: str, age: int
) -> None:
    """The resize may have waited for days; a live one notes its progress at every moment."""
    nova.guest("g1", "resized", host="compute2", task="x")
    begun = time.strftime("%Y-%m-%dT%H:%M:%S.000000", time.gmtime(time.time() - 5))
    kind = "live-migration" if status == "running" else "migration"
    nova.migration("g1", kind, status, updated_at=begun)
    (told,) = well(nova)["moves"]
    assert age - 2 < told["age"] < age + 10


def test_a_record_of_a_guest_that_is_gone_is_over(nova: Cloud) -> None:
    nova.migration("g1", "live-migration", "running")
    found = well(nova)
    assert (found["guests"], found["moves"]) == ([], [])


def test_a_404_that_is_not_novas_does_not_say_that_a_guest_is_gone(
    nova: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy has its own, and so does another service at the same address."""
    answer = drains.rest.Answer("GET x", 404, {}, b"<html>Not Found</html>")
    asked, real = [], drains.rest.ask

    def ask(method: str, url: str, *more: Any) -> Any:
        if not url.endswith("/servers/g1"):
            return real(method, url, *more)
        asked.append(url)
        return answer

    monkeypatch.setattr(drains.rest, "ask", ask)
    nova.migration("g1", "live-migration", "running")
    assert "answers 404, but with no JSON object" in read(nova)["error"]
    answer.data = b'{"error": {"code": 404, "message": "no such page"}}'
    assert read(nova)["error"].endswith("answers 404: no such page")
    answer.data = b'{"itemNotFound": {"code": 404, "message": "Instance g1 could not be found."}}'
    assert well(nova)["moves"] == []
    assert len(asked) == 3


def action(number: int, what: str, message: str | None = "Error") -> Json:
    text = f"Traceback ...\nnova.exception.NoValidHost: {number}\n"
    event = {"result": message, "traceback": text}
    found = {"request_id": f"req-{number}", "action": what, "message": message}
    return {**found, "events": [event]}


def test_a_failed_move_has_its_cause_if_that_is_asked_for(nova: Cloud) -> None:
    nova.guest("g1")
    nova.migration("g1", "live-migration", "error")
    nova.actions["g1"] = [action(3, "reboot"), action(2, "live-migration"), action(1, "migrate")]
    (told,) = well(nova, moved=["g1"])["moves"]
    assert told["cause"] == "nova.exception.NoValidHost: 2"
    nova.actions["g1"][1]["message"] = None  # what failed before it is not its cause
    assert well(nova, moved=["g1"])["moves"][0]["cause"] is None
    asked = len(nova.asked)
    well(nova)
    assert not any("os-instance-actions" in line for line in nova.asked[asked:])


def test_what_was_moved_and_is_in_error_elsewhere_is_told(nova: Cloud) -> None:
    """Nova calls a live migration completed though its last part has failed on the other side."""
    nova.guest("g1", "error", host="compute2", fault={"message": "no port binding"})
    nova.guest("g2", "error", host="compute2")
    nova.migration("g1", "live-migration", "completed")
    assert well(nova)["guests"] == []
    (told,) = well(nova, moved=["g1"])["guests"]
    assert (told["uuid"], told["host"], told["fault"]) == ("g1", "compute2", "no port binding")


def test_domains_of_libvirt_are_looked_up(nova: Cloud) -> None:
    nova.guest("g1", host="compute2")
    assert well(nova, domains=["g1", "g9"])["domains"] == {"g1": "compute2", "g9": None}


def test_a_domain_of_a_guest_that_is_on_no_compute_is_still_of_a_guest_of_novas(
    nova: Cloud,
) -> None:
    nova.guest("g1", "shelved_offloaded", host=None)
    found = well(nova, domains=["g1"])
    assert found["domains"] == {"g1": "no compute"}
    assert found["guests"] == []
