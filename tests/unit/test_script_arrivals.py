"""files/arrivals.py: guests that have arrived though Nova has them in ERROR, read and mended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import drain_targets
import drains
import pytest

from .arrival_stand_in import FAULT, ArrivalCloud, at
from .drain_stand_in import HOST, POWER, STATE, TASK
from .serving import FAULTS, Json, running

DONE = {"refused": None, "late": None}
RESET = ("servers g1 action", {"os-resetState": {"state": "active"}})
UNBOUND: tuple[str, Json] = ("DELETE ports p1 bindings compute1", {})
ACTIVATED: tuple[str, Json] = ("PUT ports p1 bindings compute2 activate", {})


@pytest.fixture
def nova(monkeypatch: pytest.MonkeyPatch) -> Iterator[ArrivalCloud]:
    with running(ArrivalCloud()) as cloud:
        state = drain_targets.nova_state
        monkeypatch.setattr(state, "read_table", cloud.read_table)
        monkeypatch.setattr(state, "look", lambda asked, read: (read(None, asked), None, False))
        yield cloud


def well(nova: ArrivalCloud, **more: Any) -> Json:
    found: Json = drains.answer(nova.request(**more))
    assert found["error"] is None
    return found


def told(nova: ArrivalCloud, **more: Any) -> list[tuple[str, bool, bool]]:
    return [(m["guest"], m["twice"], m["holds"]) for m in well(nova, **more)["moves"]]


def step(nova: ArrivalCloud, kind: str, uuid: str = "g1", move: int = 1) -> Json:
    found: Json = drains.answer(nova.request(step={"kind": kind, "guest": uuid, "move": move}))
    return found


# --- what is read ---------------------------------------------------------------------------------


def test_one_that_an_earlier_run_has_moved_is_found_by_the_moves_of_the_compute(
    nova: ArrivalCloud,
) -> None:
    nova.arrived()
    found = well(nova)
    assert [(g["uuid"], g["host"], g["fault"]) for g in found["guests"]] == [
        ("g1", "compute2", FAULT)
    ]
    assert told(nova) == [("g1", True, False)]
    assert told(nova, moved=["g1"]) == [("g1", True, False)]
    assert told(nova, only=["g9"]) == []


def test_one_that_is_well_there_while_its_move_holds_the_source_is_found(
    nova: ArrivalCloud,
) -> None:
    nova.arrived(state="active", fault=None)
    assert told(nova) == [("g1", False, True)]
    nova.left.clear()
    assert told(nova) == []


@pytest.mark.parametrize(
    ("guest", "move"),
    [
        ({"fault": {"message": "disk is full", "created": at(50)}}, {}),
        ({"fault": {"message": FAULT, "created": at(200)}}, {}),
        ({"fault": None}, {}),
        ({"host": "compute3"}, {}),
        ({}, {"migration_type": "migration"}),
        ({}, {"status": "completed"}),
        ({}, {"source_compute": "compute3"}),
    ],
)
def test_any_other_error_is_no_such_one(
    nova: ArrivalCloud, guest: dict[str, Any], move: dict[str, Any]
) -> None:
    nova.arrived(**guest)
    nova.migrations[0].update(move)
    found = well(nova)
    assert (found["guests"], found["moves"]) == ([], [])


@pytest.mark.parametrize("changes", [{}, {"state": "active", "fault": None}])
def test_one_that_has_been_elsewhere_since_is_no_longer_of_that_move(
    nova: ArrivalCloud, changes: dict[str, Any]
) -> None:
    nova.arrived(**changes)
    nova.migration("g1", "migration", "confirmed", source_compute="compute2")
    nova.migrations[0]["dest_compute"] = "compute3"
    nova.migration("g1", "live-migration", "completed", source_compute="compute3")
    assert told(nova) == []


def test_without_a_live_migration_in_error_nothing_more_is_asked(nova: ArrivalCloud) -> None:
    nova.guest("g1", host="compute2")
    nova.migration("g1", "live-migration", "completed")
    well(nova)
    assert len(nova.asked) == 4
    # One whose guest has stayed where it was holds nobody's place.
    nova.guest("g2")
    nova.migration("g2", "live-migration", "error")
    asked = len(nova.asked)
    well(nova, placed=["g2"])
    assert len(nova.asked) == asked + 4


# --- what is done ---------------------------------------------------------------------------------


def test_it_is_set_active_once_its_port_is_bound_there_alone(nova: ArrivalCloud) -> None:
    nova.arrived()
    assert step(nova, "set_active") == DONE
    assert nova.acted == [UNBOUND, RESET]
    assert nova.bindings == {"p1": {"compute2": "ACTIVE"}}
    assert nova.where() == ("compute2", "active")
    assert told(nova) == [("g1", False, True)]
    assert step(nova, "free") == DONE
    assert nova.puts == [("move-1", {})]
    assert told(nova) == []


def test_a_binding_that_nobody_has_activated_is_activated_first(nova: ArrivalCloud) -> None:
    nova.arrived()
    nova.bindings["p1"] = {"compute1": "ACTIVE", "compute2": "INACTIVE"}
    assert step(nova, "set_active") == DONE
    assert nova.acted == [ACTIVATED, UNBOUND, RESET]
    assert nova.bindings == {"p1": {"compute2": "ACTIVE"}}


@pytest.mark.parametrize(
    ("bindings", "said"),
    [
        ({"p1": {"compute1": "ACTIVE"}}, "its port p1 is not bound to compute2"),
        ({"p1": {"compute3": "ACTIVE"}}, "its port p1 is bound to compute3"),
        ({"p1": {"compute1": "INACTIVE"}}, "its port p1 is bound to "),
        ({}, "Neutron has no port of it"),
    ],
)
def test_one_whose_port_is_not_bound_there_stays_as_it_is(
    nova: ArrivalCloud, bindings: dict[str, dict[str, str]], said: str
) -> None:
    nova.arrived()
    nova.bindings = bindings
    nova.owners = dict.fromkeys(bindings, "g1")
    assert step(nova, "set_active") == {"refused": None, "late": said}
    assert nova.acted == []


def test_a_neutron_that_activates_nothing_has_its_words_told(nova: ArrivalCloud) -> None:
    nova.arrived()
    nova.bindings["p1"] = {"compute1": "ACTIVE", "compute2": "INACTIVE"}
    nova.neutron_says = "Request Failed: internal server error"
    assert step(nova, "set_active")["late"].endswith("answers 500: " + nova.neutron_says)
    assert RESET not in nova.acted and nova.where() == ("compute2", "error")


@pytest.mark.parametrize(
    ("guest", "move", "said"),
    [
        ({"task": "rebooting"}, {}, "it is rebooting by now"),
        ({"state": "active", "fault": None}, {}, "it is active by now"),
        ({"fault": {"message": "x", "created": at(50)}}, {}, "it is error by now"),
        ({"host": "compute1"}, {}, "it is on compute1 by now"),
        ({}, {"status": "running"}, "its live migration is another one by now"),
        ({}, {"id": 9}, "its live migration is another one by now"),
        ({}, {"source_compute": "compute3"}, "its live migration is another one by now"),
    ],
)
def test_one_that_has_changed_meanwhile_is_left_alone(
    nova: ArrivalCloud, guest: dict[str, Any], move: dict[str, Any], said: str
) -> None:
    nova.arrived(**guest)
    nova.migrations[0].update(move)
    assert step(nova, "set_active") == {"refused": None, "late": said}
    assert nova.acted == []


def test_one_that_nova_takes_to_be_off_is_left_alone(nova: ArrivalCloud) -> None:
    nova.arrived()["OS-EXT-STS:power_state"] = 4
    assert step(nova, "set_active")["late"] == "Nova has it in power state 4"
    assert nova.acted == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({TASK: "rebuild_spawning"}, "it is rebuild_spawning by now"),
        ({TASK: "deleting"}, "it is deleting by now"),
        ({HOST: "compute3"}, "it is on compute3 by now"),
        ({STATE: "active"}, "it is active by now"),
        ({POWER: 4}, "Nova has it in power state 4"),
    ],
)
def test_one_that_changes_while_its_ports_are_bound_is_left_alone(
    nova: ArrivalCloud, change: dict[str, Any], said: str
) -> None:
    nova.arrived()
    nova.meanwhile = change
    assert step(nova, "set_active") == {"refused": None, "late": said}
    assert RESET not in nova.acted


@pytest.mark.parametrize("kind", ["direct", "macvtap", "vdpa"])
def test_one_with_a_device_of_its_host_is_left_alone(nova: ArrivalCloud, kind: str) -> None:
    nova.arrived()
    nova.kind = kind
    assert step(nova, "set_active")["late"] == (
        f"its port p1 is a device of its host's ({kind}), which Nova may not have given it there"
    )
    assert nova.acted == []


def test_that_it_is_active_is_read_after(nova: ArrivalCloud) -> None:
    nova.arrived()
    nova.stays = True
    assert step(nova, "set_active")["late"] == "it was set active, and is error"


def test_what_a_move_holds_stays_as_long_as_its_guest_is_not_well(nova: ArrivalCloud) -> None:
    nova.arrived()
    assert step(nova, "free")["late"] == "it is in error"
    nova.guests["g1"].update({STATE: "active", HOST: "compute3"})
    assert step(nova, "free")["late"] == "it is on compute3 by now"
    assert nova.puts == []
    nova.guests["g1"][HOST] = "compute2"
    nova.left.clear()
    assert step(nova, "free") == DONE
    assert nova.puts == []


def test_what_a_move_holds_is_not_taken_from_who_has_changed_it_meanwhile(
    nova: ArrivalCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    nova.arrived(state="active", fault=None)
    held = drains.arrivals.held_by

    def older(*asked: Any) -> Json:
        return {**held(*asked), "consumer_generation": 2}

    monkeypatch.setattr(drains.arrivals, "held_by", older)
    assert step(nova, "free")["refused"].endswith("answers 409: consumer generation conflict")
    assert nova.puts == []


# --- what goes unanswered -------------------------------------------------------------------------


def test_the_requests_are_all_there_are(nova: ArrivalCloud) -> None:
    nova.arrived()
    nova.bindings["p1"] = {"compute1": "ACTIVE", "compute2": "INACTIVE"}
    for kind, requests in (("set_active", 14), ("free", 7)):
        nova.asked.clear()
        assert step(nova, kind) == DONE
        assert len(nova.asked) == requests


@pytest.mark.parametrize("fault", sorted(FAULTS.keys() - {"hang"}))
@pytest.mark.parametrize(("kind", "requests"), [("set_active", 13), ("free", 7)])
def test_what_goes_unanswered_ends_a_step_and_the_next_run_ends_it_right(
    nova: ArrivalCloud, kind: str, requests: int, fault: str
) -> None:
    for at_request in range(1, requests + 1):
        nova.migrations.clear()
        changes: Json = {} if kind == "set_active" else {"state": "active", "fault": None}
        nova.arrived(**changes)
        nova.bindings["p1"] = {"compute1": "ACTIVE", "compute2": "INACTIVE"}
        nova.acted.clear()
        nova.puts.clear()
        nova.fail(at_request, fault)
        try:
            found = step(nova, kind)
        except SystemExit as error:
            assert str(error)
        else:
            # What changes something may be answered with anything that is 2xx.
            assert fault == "page" or found["late"], at_request
        nova.fail(0, "")
        for _ in range(2):
            for guest, twice, holds in told(nova):
                assert twice or holds
                assert step(nova, "set_active" if twice else "free", guest) == DONE
        assert nova.where() == ("compute2", "active"), at_request
        assert told(nova) == []
        assert nova.bindings["p1"]["compute2"] == "ACTIVE" or kind == "free"
