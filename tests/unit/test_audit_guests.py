"""An audit's findings about guests in Nova's own rows; and what it rightly leaves alone."""

from __future__ import annotations

from typing import Any

import guests
import migrations
import pytest

from .audited_guests import EPOCH, HOSTS, LONG_AGO, WEB, Cloud, ago, guest, kinds, migration, named


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


def test_a_healthy_cloud_has_no_findings(cloud: Cloud) -> None:
    assert cloud.found(*guests.DETECTORS) == []


# --- for too long ---------------------------------------------------------------------------------


def test_a_guest_with_one_task_for_too_long_is_stuck(cloud: Cloud) -> None:
    cloud.web.update(task_state="deleting", written=ago(16 * 60))
    [found] = cloud.found(guests.stuck_guests)
    assert found["kind"] == "guest-stuck"
    assert found["where"] == "compute1"
    assert found["what"] == f"guest web ({WEB}) has been deleting for 16 minutes"
    assert found["since"] == EPOCH - 16 * 60
    assert f"`openstack server set --state active {WEB}`" in found["remedy"]


@pytest.mark.parametrize(
    ("task", "minutes"), [("deleting", 14), ("spawning", 59), ("image_uploading", 59)]
)
def test_a_guest_may_be_at_a_task_as_long_as_it_takes(
    cloud: Cloud, task: str, minutes: int
) -> None:
    cloud.web.update(task_state=task, written=ago(minutes * 60))
    assert cloud.found(guests.stuck_guests) == []


def test_a_guest_that_nobody_builds_is_stuck(cloud: Cloud) -> None:
    row = cloud.add("new", None, vm_state="building", written=ago(3 * 3600))
    [found] = cloud.found(guests.stuck_guests)
    assert found["what"] == f"guest new ({row['uuid']}) has been building for 3 hours"
    assert found["where"] == "no host"
    assert "--state error" in found["remedy"]


def test_a_guest_under_migration_is_judged_by_its_migration(cloud: Cloud) -> None:
    cloud.web.update(task_state="migrating", written=ago(7200))
    cloud.moves(status="running", written=ago(5))
    assert cloud.found(guests.stuck_guests, migrations.stuck_migrations) == []


def test_a_guest_left_in_a_move_is_freed_only_where_it_runs(cloud: Cloud) -> None:
    cloud.web.update(task_state="migrating", written=ago(7200))
    cloud.moves(status="error", written=ago(7200))
    [found] = cloud.found(guests.stuck_guests)
    assert "`virsh list --all --uuid` on compute1 names it" in found["remedy"]


def test_a_migration_of_which_nobody_writes_is_stuck(cloud: Cloud) -> None:
    cloud.moves(status="running", written=ago(2 * 3600))
    [found] = cloud.found(migrations.stuck_migrations)
    assert found["what"] == (
        f"the live-migration of guest {WEB} from compute1 to compute2 has been running for 2 hours "
        "without a word"
    )
    assert found["remedy"] == (
        f"`openstack --os-compute-api-version 2.65 server migration abort {WEB} 1`"
    )


def test_a_guest_that_waits_for_its_turn_to_leave_a_host_is_not_stuck(cloud: Cloud) -> None:
    """Nova moves one after the other; the last of fifty waits for all the others."""
    cloud.moves(status="queued", written=ago(5 * 3600))
    cloud.add("big", "compute1")
    cloud.tables["migrations"].append(
        migration(2, "big", *HOSTS, status="running", written=ago(30))
    )
    assert cloud.found(migrations.stuck_migrations) == []
    cloud.tables["migrations"][1]["written"] = ago(2 * 3600)
    assert len(cloud.found(migrations.stuck_migrations)) == 2
    cloud.tables["migrations"].pop()
    [found] = cloud.found(migrations.stuck_migrations)
    assert "has been queued for 5 hours" in found["what"]


@pytest.mark.parametrize("state", ["resized", "stopped", "shelved_offloaded"])
def test_a_task_that_is_left_in_another_state_is_cleared_alone(cloud: Cloud, state: str) -> None:
    """`--state active` would take a resize for confirmed, or a shelved guest for running."""
    cloud.web.update(vm_state=state, task_state="deleting", written=ago(3600))
    if state == "resized":
        cloud.moves(status="finished", migration_type="resize", written=ago(9 * 3600))
    [found] = cloud.found(guests.stuck_guests)
    assert found["what"] == f"guest web ({WEB}) has been deleting for 60 minutes"
    assert "`UPDATE instances SET task_state = NULL WHERE uuid = " in found["remedy"]
    assert found["remedy"].endswith(f"'{WEB}' AND task_state = 'deleting' AND deleted = 0`")


@pytest.mark.parametrize("status", ["finished", "confirmed", "error", "completed"])
def test_a_migration_that_waits_for_a_person_or_has_ended_is_not_stuck(
    cloud: Cloud, status: str
) -> None:
    cloud.moves(status=status, migration_type="resize", written=ago(30 * 86400))
    assert cloud.found(migrations.stuck_migrations) == []


def test_an_evacuation_without_a_host_yet_is_named_as_that(cloud: Cloud) -> None:
    cloud.moves(
        migration_type="evacuation", status="accepted", dest_compute=None, written=ago(7200)
    )
    [found] = cloud.found(migrations.stuck_migrations)
    assert "from compute1 to a host not chosen yet has been accepted" in found["what"]


# --- build requests -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "says", "remedy"),
    [
        (None, "has reached no cell", "`openstack server delete "),
        (named("new"), "is still there, though the guest is made", "`DELETE FROM build_requests "),
    ],
)
def test_a_request_to_build_that_is_left_over(
    cloud: Cloud, made: Any, says: str, remedy: str
) -> None:
    row = {"instance_uuid": named("new"), "created_at": ago(1200), "made": made}
    cloud.tables["build_requests"] = [row]
    [found] = cloud.found(guests.left_build_requests)
    assert found["kind"] == "build-request-left"
    assert found["what"] == f"the request of 20 minutes ago to build guest {named('new')} {says}"
    assert remedy in found["remedy"]


def test_a_build_under_way_is_no_left_over_request(cloud: Cloud) -> None:
    row = {"instance_uuid": named("new"), "created_at": ago(300), "made": None}
    cloud.tables["build_requests"] = [row]
    assert cloud.found(*guests.DETECTORS) == []


# --- errors and places ----------------------------------------------------------------------------


def test_a_guest_in_error_with_the_last_words_of_nova(cloud: Cloud) -> None:
    cloud.web.update(vm_state="error")
    cloud.tables["faults"] = [
        {"id": 2, "instance_uuid": WEB, "message": "Disk is full"},
        {"id": 1, "instance_uuid": WEB, "message": "Timeout"},
    ]
    [found] = cloud.found(guests.guests_in_error)
    assert found["what"] == f"guest web ({WEB}) is in ERROR on compute1: Disk is full"
    assert f"`openstack server reboot --hard {WEB}`" in found["remedy"]


def test_a_guest_that_never_found_a_host_is_in_cell0(cloud: Cloud) -> None:
    cloud.tables["cell0_instances"] = [guest("poor", None, vm_state="error")]
    [found] = cloud.found(guests.guests_in_error)
    assert found["where"] == "no host"
    assert f"`openstack server delete {named('poor')}`" in found["remedy"]


def test_a_guest_in_error_that_is_being_deleted_is_left_alone(cloud: Cloud) -> None:
    cloud.web.update(vm_state="error", task_state="deleting", written=ago(5))
    assert cloud.found(*guests.DETECTORS) == []


def test_guests_of_a_host_that_the_inventory_does_not_name_are_one_finding(cloud: Cloud) -> None:
    cloud.add("a", "old9")
    cloud.add("b", "old9")
    [found] = cloud.found(guests.guests_of_strange_hosts)
    assert found["where"] == "old9"
    assert found["what"] == (
        f"2 guests are on old9, which is not in the inventory: a ({named('a')}), b ({named('b')})"
    )


def test_those_of_a_retired_compute_are_the_deploys_to_move(cloud: Cloud) -> None:
    cloud.add("a", "gone9")
    [found] = cloud.found(guests.guests_of_strange_hosts)
    assert "1 guest is on gone9, which is retired in the inventory: a (" in found["what"]
    assert found["remedy"] == "deploy gone9, which moves them away, or says what keeps them"


def test_of_many_guests_five_are_named(cloud: Cloud) -> None:
    for number in range(8):
        cloud.add(f"g{number}", "old9")
    [found] = cloud.found(guests.guests_of_strange_hosts)
    assert found["what"].endswith(f"g4 ({named('g4')}) and 3 more")


def test_guests_on_another_node_than_their_host_has(cloud: Cloud) -> None:
    cloud.web.update(node="compute1.example.org")
    [found] = cloud.found(guests.guests_without_node)
    assert found["what"] == (
        "1 guest is on host compute1, node compute1.example.org, and no such compute node is in "
        f"Nova: web ({WEB})"
    )
    assert (
        "`UPDATE instances SET node = 'compute1' WHERE host = 'compute1' AND node <=> "
        "'compute1.example.org' AND deleted = 0`" in found["remedy"]
    )


def test_guests_of_a_host_without_compute_node(cloud: Cloud) -> None:
    cloud.tables["compute_nodes"].pop(0)
    [found] = cloud.found(guests.guests_without_node)
    assert "bring nova-compute on compute1 back" in found["remedy"]


@pytest.mark.parametrize("vm_state", ["shelved_offloaded", "error", "building"])
def test_a_guest_on_no_host_has_no_node_and_needs_none(cloud: Cloud, vm_state: str) -> None:
    cloud.add("away", None, vm_state=vm_state, written=ago(60))
    assert cloud.found(guests.guests_without_node, guests.guests_of_strange_hosts) == []


@pytest.mark.parametrize(
    ("mapping", "what", "remedy"),
    [
        (None, "has no mapping to a cell", f"map_instances --reset --cell_uuid {named('cell1')}`"),
        (9, "is mapped to no cell", "SET cell_id = 2 WHERE id = 9 AND cell_id <=> NULL`"),
    ],
)
def test_a_guest_that_the_api_does_not_find(
    cloud: Cloud, mapping: Any, what: str, remedy: str
) -> None:
    row = {"uuid": WEB, "host": "compute1", "created_at": LONG_AGO, "mapping": mapping}
    cloud.tables["unmapped_instances"] = [row]
    [found] = cloud.found(guests.unmapped_guests)
    assert found["what"] == f"guest web ({WEB}) {what}"
    assert remedy in found["remedy"]


def test_a_guest_that_runs_and_is_mapped_to_where_failed_ones_are(cloud: Cloud) -> None:
    row = {"uuid": WEB, "host": "compute1", "created_at": LONG_AGO, "mapping": 7, "cell": 1}
    cloud.tables["unmapped_instances"] = [row]
    [found] = cloud.found(guests.unmapped_guests)
    assert found["what"] == f"guest web ({WEB}) is mapped to cell0, and is in cell1"
    assert "SET cell_id = 2 WHERE id = 7 AND cell_id <=> 1`" in found["remedy"]


def test_a_guest_that_is_just_being_mapped_is_left_alone(cloud: Cloud) -> None:
    row = {"uuid": WEB, "host": None, "created_at": ago(2), "mapping": 9}
    cloud.tables["unmapped_instances"] = [row]
    assert cloud.found(guests.unmapped_guests) == []


# --- machine types --------------------------------------------------------------------------------


def test_a_guest_without_machine_type(cloud: Cloud) -> None:
    cloud.tables["machine_types"] = [{"uuid": WEB, "host": "compute1"}]
    [found] = cloud.found(guests.unset_machine_types)
    assert found["what"] == f"1 guest on compute1 has no machine type written down: web ({WEB})"
    assert found["remedy"] == "`systemctl restart nova-compute` on compute1 writes it down"


def test_a_shelved_guest_without_machine_type_is_for_nova_manage(cloud: Cloud) -> None:
    row = cloud.add("away", None, vm_state="shelved_offloaded")
    cloud.tables["machine_types"] = [{"uuid": row["uuid"], "host": None}]
    [found] = cloud.found(guests.unset_machine_types)
    assert "`nova-manage libvirt update_machine_type UUID TYPE`" in found["remedy"]


@pytest.mark.parametrize(
    ("hypervisor", "more"),
    [
        ("fake", {}),
        ("QEMU", {"vm_state": "building"}),
        ("QEMU", {"task_state": "rebuilding", "written": ago(5)}),
    ],
)
def test_guests_that_have_no_machine_type_yet_or_ever(
    cloud: Cloud, hypervisor: str, more: dict[str, Any]
) -> None:
    cloud.tables["compute_nodes"][0]["hypervisor_type"] = hypervisor
    cloud.tables["machine_types"] = [{"uuid": WEB, "host": "compute1"}]
    cloud.web.update(more)
    assert cloud.found(guests.unset_machine_types) == []


# --- moves that Nova did not write down -----------------------------------------------------------


def test_a_move_that_has_ended_while_the_guest_is_still_at_its_source(cloud: Cloud) -> None:
    cloud.moves()
    [found] = cloud.found(guests.moves_not_recorded)
    assert found["kind"] == "move-not-recorded"
    assert found["what"] == (
        f"guest web ({WEB}) is on compute1 in Nova, but its live-migration 1 to compute2 is "
        "completed"
    )
    assert f"node = 'compute2', task_state = NULL WHERE uuid = '{WEB}'" in found["remedy"]
    assert found["since"] == EPOCH - 86400


def test_such_a_guest_is_not_called_stuck_for_its_task_must_not_be_cleared(cloud: Cloud) -> None:
    cloud.moves()
    cloud.web.update(task_state="migrating", written=ago(86400))
    assert kinds(cloud.found(*guests.DETECTORS)) == ["move-not-recorded"]


@pytest.mark.parametrize(
    ("move", "more"),
    [
        ({}, {"host": "compute2", "node": "compute2"}),
        ({"written": ago(30)}, {}),
        ({"status": "reverted"}, {}),
        ({"status": "failed"}, {}),
        ({"status": "running"}, {}),
        ({"dest_compute": "compute1"}, {}),
        ({}, {"launched_at": ago(3600)}),
    ],
    ids=[
        "at its new host",
        "just now",
        "reverted",
        "failed",
        "under way",
        "in place",
        "unshelved since",
    ],
)
def test_moves_that_are_as_they_should_be(
    cloud: Cloud, move: dict[str, Any], more: dict[str, Any]
) -> None:
    cloud.moves(**move)
    cloud.web.update(more)
    assert cloud.found(guests.moves_not_recorded) == []


def test_of_several_moves_the_last_one_counts(cloud: Cloud) -> None:
    cloud.moves()
    cloud.moves(source_compute="compute2", dest_compute="compute1")
    assert cloud.found(guests.moves_not_recorded) == []
