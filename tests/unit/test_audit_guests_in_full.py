"""Findings about guests as an operator gets them, word by word: the remedies are pasted."""

from __future__ import annotations

from typing import Any

import guests
import migrations
import pytest

from .audited_guests import EPOCH, LONG_AGO, WEB, Cloud, ago, guest, migration, named, only, told

HOURS = 3 * 3600


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


def test_a_guest_that_is_stuck(cloud: Cloud) -> None:
    cloud.web.update(task_state="deleting", written=ago(HOURS))
    logs = "see the logs of nova-compute and nova-conductor; when nobody is at it any more, "
    assert only(cloud, guests.stuck_guests) == (
        "compute1",
        f"guest web ({WEB}) has been deleting for 3 hours",
        f"{logs}`openstack server set --state active {WEB}` clears the task",
        EPOCH - HOURS,
        WEB,
    )
    cloud.web.update(task_state="resize_finish")
    assert only(cloud, guests.stuck_guests)[2] == (
        f"{logs}and `virsh list --all --uuid` on compute1 names it, "
        f"`openstack server set --state active {WEB}` clears the task"
    )


@pytest.mark.parametrize(("task", "patience"), [("deleting", 900), ("migrating", 3600)])
def test_a_task_takes_too_long_from_the_very_second_on(
    cloud: Cloud, task: str, patience: int
) -> None:
    cloud.web.update(task_state=task, written=ago(patience - 1))
    assert cloud.found(guests.stuck_guests) == []
    cloud.web.update(written=ago(patience))
    assert len(cloud.found(guests.stuck_guests)) == 1


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (119, "119 seconds"),
        (120, "2 minutes"),
        (7199, "119 minutes"),
        (7200, "2 hours"),
        (172799, "47 hours"),
        (172800, "2 days"),
    ],
)
def test_a_time_is_told_in_the_largest_unit_of_which_there_are_two(
    seconds: int, words: str
) -> None:
    assert guests.minutes(seconds) == words


MIGRATION = {"uuid": named("m"), "written": ago(HOURS)}


@pytest.mark.parametrize(
    ("more", "remedy"),
    [
        (
            {"status": "queued"},
            f"`openstack --os-compute-api-version 2.65 server migration abort {WEB} 1`",
        ),
        (
            {"status": "preparing"},
            "see the log of nova-compute on compute2 and on compute1; when nobody is at it any "
            "more, in the cell's database: `UPDATE migrations SET status = 'error' WHERE id = 1 "
            "AND status = 'preparing'`",
        ),
        (
            {"status": "running", "migration_type": "resize", "dest_compute": None},
            "see the log of nova-compute on compute1 and on compute1; when nobody is at it any "
            "more, in the cell's database: `UPDATE migrations SET status = 'error' WHERE id = 1 "
            "AND status = 'running'`",
        ),
    ],
)
def test_a_migration_that_is_stuck(cloud: Cloud, more: dict[str, Any], remedy: str) -> None:
    cloud.moves(**MIGRATION, **more)
    kind, to = more.get("migration_type", "live-migration"), "compute2"
    to = "a host not chosen yet" if "dest_compute" in more else to
    assert only(cloud, migrations.stuck_migrations) == (
        "compute1",
        f"the {kind} of guest {WEB} from compute1 to {to} has been {more['status']} for 3 hours "
        "without a word",
        remedy,
        EPOCH - HOURS,
        named("m"),
    )


def test_a_migration_is_stuck_from_the_hour_on_and_known_by_its_number_at_need(
    cloud: Cloud,
) -> None:
    cloud.moves(status="running", uuid=None, source_compute=None, written=ago(3599))
    assert cloud.found(migrations.stuck_migrations) == []
    cloud.tables["migrations"][0]["written"] = ago(3600)
    where, *_, key = only(cloud, migrations.stuck_migrations)
    assert (where, key) == ("no host", "1")


def test_a_build_request_that_is_left(cloud: Cloud) -> None:
    uuid = named("new")
    row = {"instance_uuid": uuid, "created_at": ago(900), "made": uuid}
    cloud.tables["build_requests"] = [row]
    beginning = f"the request of 15 minutes ago to build guest {uuid} "
    assert only(cloud, guests.left_build_requests) == (
        "nova-conductor",
        beginning + "is still there, though the guest is made",
        f"in the API database: `DELETE FROM build_requests WHERE instance_uuid = '{uuid}'`; the "  # noqa: S608
        "guest stays",
        EPOCH - 900,
        uuid,
    )
    row["made"] = None
    assert only(cloud, guests.left_build_requests) == (
        "nova-conductor",
        beginning + "has reached no cell",
        "see the logs of nova-conductor and nova-scheduler; "
        f"`openstack server delete {uuid}` takes it back",
        EPOCH - 900,
        uuid,
    )
    row["created_at"] = ago(899)
    assert cloud.found(guests.left_build_requests) == []


def test_a_guest_in_error(cloud: Cloud) -> None:
    cloud.web.update(vm_state="error", written=ago(60))
    assert only(cloud, guests.guests_in_error) == (
        "compute1",
        f"guest web ({WEB}) is in ERROR on compute1",
        f"`openstack server reboot --hard {WEB}` once the cause is gone",
        EPOCH - 60,
        WEB,
    )
    cloud.web.update(vm_state="active")
    cloud.tables["cell0_instances"] = [guest("poor", None, vm_state="error", written=ago(60))]
    poor = named("poor")
    assert only(cloud, guests.guests_in_error) == (
        "no host",
        f"guest poor ({poor}) is in ERROR on no host",
        f"it never ran or runs nowhere any more: `openstack server delete {poor}`",
        EPOCH - 60,
        poor,
    )


def test_guests_of_an_unnamed_host(cloud: Cloud) -> None:
    cloud.add("a", "old9")
    assert only(cloud, guests.guests_of_strange_hosts) == (
        "old9",
        f"1 guest is on old9, which is not in the inventory: a ({named('a')})",
        "name old9 in the inventory, or move its guests away first: `openstack server list "
        "--all-projects --host old9`",
        None,
        "old9",
    )


def test_guests_without_a_node(cloud: Cloud) -> None:
    cloud.web.update(node="it's\\it")
    assert only(cloud, guests.guests_without_node) == (
        "compute1",
        "1 guest is on host compute1, node it's\\it, and no such compute node is in Nova: web "
        f"({WEB})",
        "the node of compute1 is compute1; in the cell's database: `UPDATE instances SET node = "
        "'compute1' WHERE host = 'compute1' AND node <=> 'it''s\\\\it' AND deleted = 0`",
        None,
        "it's\\it",
    )
    cloud.web.update(node=None)
    assert "AND node <=> NULL AND deleted = 0`" in only(cloud, guests.guests_without_node)[2]
    cloud.tables["compute_nodes"].pop(0)
    assert only(cloud, guests.guests_without_node)[2] == (
        "bring nova-compute on compute1 back, or, if the host is gone, `openstack server evacuate "
        "UUID` or `openstack server delete UUID` for each"
    )


UNMAPPED = {"uuid": WEB, "host": "compute1", "created_at": LONG_AGO}


@pytest.mark.parametrize("cells", [1, 2])
def test_a_guest_without_a_mapping_names_the_cell_where_there_is_but_one(
    cloud: Cloud, cells: int
) -> None:
    if cells == 2:
        more = {"id": 3, "uuid": named("cell2"), "name": "cell2", "disabled": 0}
        cloud.tables["cell_mappings"].append(more)
    uuid, number = (named("cell1"), "2") if cells == 1 else ("CELL", "CELL")
    cloud.tables["unmapped_instances"] = [{**UNMAPPED, "mapping": None}]
    beginning, since = f"guest web ({WEB}) ", EPOCH - 30 * 86400
    assert only(cloud, guests.unmapped_guests) == (
        "compute1",
        beginning + "has no mapping to a cell",
        f"`nova-manage cell_v2 map_instances --reset --cell_uuid {uuid}`",
        since,
        WEB,
    )
    cloud.tables["unmapped_instances"] = [{**UNMAPPED, "mapping": 9}]
    assert only(cloud, guests.unmapped_guests) == (
        "compute1",
        beginning + "is mapped to no cell",
        f"in the API database: `UPDATE instance_mappings SET cell_id = {number} WHERE id = 9 AND "  # noqa: S608
        "cell_id <=> NULL`",
        since,
        WEB,
    )
    cloud.tables["unmapped_instances"] = [
        {**UNMAPPED, "uuid": named("x"), "host": None, "mapping": 9}
    ]
    assert only(cloud, guests.unmapped_guests)[:2] == (
        "no host",
        f"guest {named('x')} is mapped to no cell",
    )


def test_a_guest_of_cell1_that_is_mapped_to_cell0(cloud: Cloud) -> None:
    cloud.tables["unmapped_instances"] = [{**UNMAPPED, "mapping": 9, "cell": 1}]
    _, what, remedy, _, _ = only(cloud, guests.unmapped_guests)
    assert what == f"guest web ({WEB}) is mapped to cell0, and is in cell1"
    assert remedy == (
        "in the API database: `UPDATE instance_mappings SET cell_id = 2 WHERE id = 9 AND "
        "cell_id <=> 1`"
    )


def test_a_guest_that_waits_in_another_state_keeps_it(cloud: Cloud) -> None:
    cloud.web.update(vm_state="resized", task_state="deleting", written=ago(HOURS))
    assert only(cloud, guests.stuck_guests)[2] == (
        "see the logs of nova-compute and nova-conductor; when nobody is at it any more, in the "  # noqa: S608
        "cell's database: `UPDATE instances SET task_state = NULL WHERE uuid = "
        f"'{WEB}' AND task_state = 'deleting' AND deleted = 0`"
    )


def test_guests_without_a_machine_type(cloud: Cloud) -> None:
    away = cloud.add("away", None, vm_state="shelved_offloaded")["uuid"]
    gone = cloud.add("gone", None, vm_state="shelved_offloaded")["uuid"]
    cloud.tables["machine_types"] = [{"uuid": uuid} for uuid in (WEB, away, gone, named("x"))]
    here, nowhere = map(told, cloud.found(guests.unset_machine_types))
    assert here == (
        "compute1",
        f"1 guest on compute1 has no machine type written down: web ({WEB})",
        "`systemctl restart nova-compute` on compute1 writes it down",
        None,
        "compute1",
    )
    assert nowhere == (
        "no host",
        f"2 guests on no host have no machine type written down: away ({away}), gone ({gone})",
        "`nova-manage libvirt update_machine_type UUID TYPE` for each, before unshelving",
        None,
        "no host",
    )


def test_a_move_that_is_not_recorded(cloud: Cloud) -> None:
    cloud.moves(dest_node="node2")
    assert only(cloud, guests.moves_not_recorded) == (
        "compute1",
        f"guest web ({WEB}) is on compute1 in Nova, but its live-migration 1 to compute2 is "
        "completed",
        "where `virsh list --all --uuid` on compute2 names it and on compute1 does not, in the "  # noqa: S608
        "cell's database: `UPDATE instances SET host = 'compute2', node = 'node2', task_state = "
        f"NULL WHERE uuid = '{WEB}' AND host = 'compute1' AND deleted = 0`; never clear the task "
        "alone: Nova on compute1 would stop the guest",
        EPOCH - 86400,
        WEB,
    )
    # As old as the move itself, it may be what the move has started.
    cloud.web.update(launched_at=ago(86400))
    assert len(cloud.found(guests.moves_not_recorded)) == 1


def test_who_is_well_hides_nobody_who_comes_after(cloud: Cloud) -> None:
    """Of each kind there are some first that are left alone, each for another reason."""
    soon, late = ago(5), ago(HOURS)
    for name in ("asleep", "fresh", "stuck"):
        cloud.add(name, "compute1")
    rows = {row["display_name"]: row for row in cloud.tables["instances"]}
    rows["fresh"].update(task_state="deleting", written=soon)
    rows["stuck"].update(task_state="deleting", written=late)
    assert only(cloud, guests.stuck_guests)[4] == named("stuck")

    for status, written in (("completed", late), ("running", soon), ("preparing", late)):
        cloud.moves(status=status, written=written)
    assert only(cloud, migrations.stuck_migrations)[4] == named("migration 3")
    cloud.tables["migrations"].clear()

    request = {"instance_uuid": named("a"), "created_at": soon, "made": None}
    old = {**request, "instance_uuid": named("b"), "created_at": late}
    cloud.tables["build_requests"] = [request, old]
    assert only(cloud, guests.left_build_requests)[4] == named("b")

    rows["fresh"]["vm_state"] = "error"  # and at a task
    rows["stuck"].update(vm_state="error", task_state=None)
    assert only(cloud, guests.guests_in_error)[4] == named("stuck")

    unmapped = [{**UNMAPPED, "mapping": 9, "created_at": soon}, {**UNMAPPED, "mapping": 9}]
    cloud.tables["unmapped_instances"] = unmapped
    assert len(cloud.found(guests.unmapped_guests)) == 1

    cloud.tables["machine_types"] = [{"uuid": named(name)} for name in ("x", "fresh", "asleep")]
    assert "asleep" in only(cloud, guests.unset_machine_types)[1]


def test_moves_that_are_as_they_should_be_hide_none_that_is_not(cloud: Cloud) -> None:
    cloud.add("a", "compute1")
    cloud.add("b", "compute1")
    cloud.tables["migrations"] = [
        migration(1, "a", "compute1", "compute2", status="failed"),
        migration(2, "b", "compute1", "compute2", written=ago(5)),
        migration(3, "web", "compute1", "compute2"),
    ]
    assert only(cloud, guests.moves_not_recorded)[4] == WEB


def test_a_guest_that_has_just_been_moved_may_have_a_node_that_is_not_read_yet(
    cloud: Cloud,
) -> None:
    cloud.web.update(node="compute1.example.org", written=ago(5))
    assert cloud.found(guests.guests_without_node) == []


@pytest.mark.parametrize("seconds", [9000, 12600])
def test_a_time_is_told_in_whole_units(seconds: int) -> None:
    assert guests.minutes(seconds) == f"{seconds // 3600} hours"
