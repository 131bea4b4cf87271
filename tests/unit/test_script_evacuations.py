"""files/evacuations.py: the guests of computes that are dead, and what is done to have them go."""

from __future__ import annotations

from typing import Any

import evacuations
import pytest

from .drain_stand_in import HOST
from .evacuation_stand_in import DeadCloud, ago
from .serving import FAULTS, ApiError, Json

DONE = {"refused": None, "late": None}
EVACUATED: Json = {"evacuate": {}}
MORE = {"addresses": True}


@pytest.fixture
def nova(dead_cloud: DeadCloud) -> DeadCloud:
    return dead_cloud


def read(nova: DeadCloud, **more: Any) -> Json:
    found: Json = evacuations.answer(nova.request(**more))
    return found


def well(nova: DeadCloud, **more: Any) -> Json:
    found = read(nova, **more)
    assert found["error"] is None
    return found


# --- what is read ---------------------------------------------------------------------------------


def test_a_guest_is_told_with_what_its_disks_are_and_where_it_could_go(nova: DeadCloud) -> None:
    nova.guest("g1")
    nova.guest("g2", image={"id": "i1"}, flavor={"ephemeral": 5})
    found = well(nova)
    assert [(g["uuid"], g["image"], g["ephemeral"]) for g in found["guests"]] == [
        ("g1", None, False),
        ("g2", "i1", True),
    ]
    assert found["targets"]["g1"]["hosts"] == ["compute2", "compute3"]
    assert found["computes"] == {"compute1": "down"}
    assert found["agents"] == {} and found["domains"] == {}


def test_a_service_is_told_with_its_last_heartbeat(nova: DeadCloud) -> None:
    (service,) = well(nova)["services"].values()
    assert service["id"] == "id-compute1" and not service["forced_down"]
    assert 600 <= service["age"] < 610
    assert service["beat"].startswith("20")
    nova.records["compute1"].update(last_seen_up=None, forced_down=1)
    (service,) = well(nova)["services"].values()
    assert (service["forced_down"], service["beat"], service["age"]) == (True, None, None)


def test_one_in_error_may_go_and_one_at_something_is_not_asked_about(nova: DeadCloud) -> None:
    nova.guest("g1", "error")
    nova.guest("g2", task="rebooting")
    nova.guest("g3", "paused")
    assert list(well(nova)["targets"]) == ["g1"]


def test_addresses_are_asked_for_where_they_are_needed(nova: DeadCloud) -> None:
    floating = {"addr": "198.51.100.7", "OS-EXT-IPS:type": "floating"}
    inner = {"addr": "10.9.0.5", "OS-EXT-IPS:type": "fixed"}
    nova.guest("g1", addresses={"inner": [inner, floating]})
    nova.guest("g2")
    nova.port("g1", "n1", "10.9.0.5")
    nova.port("g2", "n2", "203.0.113.5", "2001:db8::5")
    nova.port("", "n1", "10.9.0.9")  # a DHCP server's
    nova.networks = [
        {"id": "n1", "provider:network_type": "vxlan"},
        {"id": "n2", "provider:network_type": "flat"},
    ]
    assert well(nova)["guests"][0]["addresses"] == []
    assert not any("/network" in asked for asked in nova.asked)
    one, two = (guest["addresses"] for guest in well(nova, **MORE)["guests"])
    assert one == [
        {"address": "10.9.0.5", "network": "n1", "direct": False},
        {"address": "198.51.100.7", "network": None, "direct": True},
    ]
    assert two == [
        {"address": "203.0.113.5", "network": "n2", "direct": True},
        {"address": "2001:db8::5", "network": "n2", "direct": True},
    ]


def test_of_many_guests_addresses_are_asked_for_together(nova: DeadCloud) -> None:
    for number in range(120):
        nova.guest(f"g{number}")
        nova.port(f"g{number}", f"n{number}", f"10.9.0.{number}")
    nova.networks = [
        {"id": f"n{number}", "provider:network_type": "geneve"} for number in range(120)
    ]
    guests = well(nova, **MORE)["guests"]
    assert len(guests) == 120 and not any(guest["addresses"][0]["direct"] for guest in guests)
    assert sum("/network" in asked for asked in nova.asked) == 5  # ports, networks, agents


def test_neutrons_agents_that_live_are_told(nova: DeadCloud) -> None:
    nova.agents = [
        {"id": "1", "host": "compute1", "agent_type": "L3 agent", "alive": False},
        {"id": "2", "host": "compute1", "agent_type": "Open vSwitch agent", "alive": True},
        {"id": "3", "host": "compute2", "agent_type": "L3 agent", "alive": True},
    ]
    assert well(nova, **MORE)["agents"] == {"compute1": ["Open vSwitch agent"]}


def test_guests_that_were_sent_are_told_wherever_they_are(nova: DeadCloud) -> None:
    nova.guest("g1", "stopped", host="compute2")
    nova.migration("g1", "evacuation", "done")
    assert well(nova)["guests"] == []
    found = well(nova, moved=["g1"])
    assert [(g["uuid"], g["host"]) for g in found["guests"]] == [("g1", "compute2")]
    assert [move["status"] for move in found["moves"]] == ["done"]


def test_why_an_evacuation_failed_is_told(nova: DeadCloud) -> None:
    nova.guest("g1", "error")
    nova.migration("g1", "evacuation", "error", dest_compute=None)
    nova.actions["g1"] = [{"action": "evacuate", "request_id": "r", "message": "Error"}]
    nova.actions["g1"][0]["events"] = [{"result": "Error", "traceback": "x\nNoValidHost: none\n"}]
    (move,) = well(nova, moved=["g1"])["moves"]
    assert move["cause"] == "NoValidHost: none"


def test_the_last_move_is_told_however_long_ago_it_was(nova: DeadCloud) -> None:
    nova.guest("g1")
    long_ago = {"created_at": "2020-01-01T00:00:00", "updated_at": "2020-01-01T00:01:00"}
    nova.migration("g1", "evacuation", "error", **long_ago)
    assert [move["status"] for move in well(nova)["moves"]] == ["error"]


def test_a_move_from_or_to_it_is_told_with_its_guest(nova: DeadCloud) -> None:
    nova.guest("g1", host="compute2", task="migrating")
    under_way = {"source_compute": "compute2", "dest_compute": "compute1"}
    nova.migration("g1", "live-migration", "running", **under_way)
    nova.figures[1] = {"memory_total_bytes": None, "memory_remaining_bytes": None}
    found = well(nova)
    assert [move["guest"] for move in found["moves"]] == ["g1"]
    assert [guest["host"] for guest in found["guests"]] == ["compute2"]


def test_a_host_that_nova_has_no_more_has_no_guests(nova: DeadCloud) -> None:
    del nova.records["compute1"]
    found = well(nova)
    assert (found["services"], found["guests"], found["computes"]) == ({}, [], {})


def test_a_compute_that_only_the_database_has_is_no_compute_without_guests(
    nova: DeadCloud,
) -> None:
    nova.services["compute1"]["host"] = "compute7"
    assert "its API lists none there" in read(nova)["error"]


def test_with_a_tpm_or_alone_in_its_group_a_guest_stays(nova: DeadCloud) -> None:
    nova.guest("g1", flavor={"extra_specs": {"hw:tpm_version": "2.0"}})
    nova.guest("g2")
    nova.group("affinity", "g2")
    targets = well(nova)["targets"]
    assert targets["g1"]["why"] == (
        "it has an emulated TPM, and Nova evacuates none such: bring the host back"
    )
    assert targets["g2"]["why"].endswith("keeps it from compute2, compute3: bring the host back")


# --- one step -------------------------------------------------------------------------------------


def step(nova: DeadCloud, **wanted: Any) -> Json:
    found: Json = evacuations.answer(nova.request(step=wanted))
    return found


def force(nova: DeadCloud) -> Json:
    return step(nova, kind="force_down", host="compute1")


def evacuate(nova: DeadCloud, *, anew: bool = False) -> Json:
    return step(nova, kind="evacuate", guest="g1", anew=anew)


def test_a_silent_service_is_forced_down_once(nova: DeadCloud) -> None:
    assert (force(nova), force(nova)) == (DONE, DONE)
    assert nova.acted == [("os-services id-compute1", {"forced_down": True})]


def test_one_that_has_spoken_meanwhile_is_not(nova: DeadCloud) -> None:
    nova.records["compute1"]["last_seen_up"] = ago(20)
    assert force(nova)["late"] == "the last heartbeat of its nova-compute is 20 s old"
    assert nova.acted == []


def test_one_that_is_gone_is_not(nova: DeadCloud) -> None:
    del nova.records["compute1"]
    assert force(nova)["late"] == "Nova has no nova-compute on compute1"


def test_what_was_done_without_an_answer_is_done(nova: DeadCloud) -> None:
    nova.fail(2, "lost")
    assert force(nova) == DONE
    assert nova.records["compute1"]["forced_down"] == 1


def test_what_was_not_done_ends_it(nova: DeadCloud) -> None:
    nova.fail(2, "silence")
    with pytest.raises(SystemExit, match="does not answer"):
        force(nova)
    assert nova.records["compute1"]["forced_down"] == 0


@pytest.mark.parametrize("state", ["active", "stopped", "error"])
def test_a_guest_is_evacuated_where_the_scheduler_sends_it(nova: DeadCloud, state: str) -> None:
    nova.guest("g1", state)
    force(nova)
    assert evacuate(nova) == DONE
    assert nova.acted[1:] == [("servers g1 action", EVACUATED)]


def test_not_before_its_compute_is_forced_down(nova: DeadCloud) -> None:
    nova.guest("g1")
    assert evacuate(nova)["late"] == "the nova-compute of compute1 is not forced down"
    assert nova.acted == []


def test_not_once_its_compute_has_its_power_back(nova: DeadCloud) -> None:
    """In the middle of a long run, say: forced down it still is, and its guests may run again."""
    nova.guest("g1")
    force(nova)
    nova.records["compute1"]["last_seen_up"] = ago(3)
    late = evacuate(nova)["late"]
    assert late == "the last heartbeat of its nova-compute is 3 s old"
    assert len(nova.acted) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"state": "paused"}, "it is paused by now"),
        ({"task": "rebuilding"}, "it is rebuilding by now"),
        ({"host": "compute2"}, "it is on compute2 by now"),
        ({"image": {"id": "i1"}}, "a disk of it was only on compute1"),
        ({"flavor": {"ephemeral": 1}}, "a disk of it was only on compute1"),
    ],
)
def test_one_that_has_changed_meanwhile_is_left_alone(
    nova: DeadCloud, changes: Json, said: str
) -> None:
    force(nova)
    assert evacuate(nova)["late"] == "Nova no longer has it"
    nova.guest("g1", **changes)
    assert evacuate(nova) == {"refused": None, "late": said}
    assert len(nova.acted) == 1


def test_a_disk_that_is_given_up_is_made_anew(nova: DeadCloud) -> None:
    nova.guest("g1", image={"id": "i1"})
    force(nova)
    assert evacuate(nova, anew=True) == DONE
    assert nova.acted[-1] == ("servers g1 action", EVACUATED)


def test_one_with_an_evacuation_under_way_is_not_evacuated_again(nova: DeadCloud) -> None:
    nova.guest("g1")
    force(nova)
    nova.migration("g1", "evacuation", "accepted", dest_compute=None)
    assert evacuate(nova)["late"] == "an evacuation of it is under way"
    nova.migrations[0]["status"] = "error"
    assert evacuate(nova) == DONE


@pytest.mark.parametrize("status", [400, 403, 409])
def test_what_nova_refuses_is_its_answer(
    nova: DeadCloud, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    def act(_: str) -> None:
        raise ApiError(status, "Compute service of compute1 is still in use.")

    nova.guest("g1")
    force(nova)
    monkeypatch.setattr(nova, "act", act)
    assert evacuate(nova)["refused"].endswith("is still in use.")


def test_one_that_its_evacuation_has_started_is_stopped(nova: DeadCloud) -> None:
    assert step(nova, kind="stop", guest="g1")["late"] == "Nova no longer has it"
    nova.guest("g1", host="compute2")
    move = nova.migration("g1", "evacuation", "done")
    assert step(nova, kind="stop", guest="g1") == DONE
    assert nova.acted.pop() == ("servers g1 action", {"os-stop": None})
    for changes in (
        {"status": "accepted"},
        {"migration_type": "migration"},
        {"source_compute": "compute3"},
        {"dest_compute": "compute3"},
    ):
        nova.migrations = [{**move, **changes}]
        late = step(nova, kind="stop", guest="g1")["late"]
        assert late == "that it was evacuated is not the last that has happened to it"
    nova.migrations = [move]
    nova.guest("g1", "stopped", host="compute2")
    assert step(nova, kind="stop", guest="g1")["late"] == "it is stopped by now"
    assert nova.acted == []


# --- what goes unanswered -------------------------------------------------------------------------


def everything(nova: DeadCloud) -> Json:
    nova.agents = []
    return nova.request(addresses=True, moved=["g2"])


def prepared(nova: DeadCloud) -> int:
    """How many requests one look takes at most."""
    nova.guest("g1")
    nova.guest("g2", host="compute2")
    nova.group("anti-affinity", "g1", "g2")
    nova.migration("g2", "evacuation", "done")
    nova.port("g1", "n1", "10.9.0.5")
    nova.networks = [{"id": "n1", "provider:network_type": "vlan"}]
    assert evacuations.answer(everything(nova))["error"] is None
    return len(nova.asked)


@pytest.mark.parametrize("fault", sorted(FAULTS.keys() - {"hang"}))
def test_a_look_is_whole_or_an_error(nova: DeadCloud, fault: str) -> None:
    count = prepared(nova)
    for at in range(1, count + 1):
        nova.fail(at, fault)
        found = evacuations.answer(everything(nova))
        assert list(found) == ["error"] and FAULTS[fault] in found["error"], nova.asked[-1]


@pytest.mark.parametrize("fault", sorted(FAULTS.keys() - {"hang"}))
def test_after_a_request_without_an_answer_nothing_is_done(nova: DeadCloud, fault: str) -> None:
    nova.guest("g1")
    force(nova)
    nova.acted.clear()
    nova.asked.clear()
    assert evacuate(nova) == DONE
    reads = len(nova.asked) - 1
    nova.acted.clear()
    for at in range(1, reads + 1):
        nova.fail(at, fault)
        with pytest.raises(SystemExit):
            evacuate(nova)
        assert nova.acted == [] and nova.guests["g1"][HOST] == "compute1"
