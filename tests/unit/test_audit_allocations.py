"""An audit's findings about what is held in Placement; and what it rightly leaves alone."""

from __future__ import annotations

import json
from typing import Any

import allocations
import pytest

from .audited_guests import EPOCH, WEB, Cloud, ago, allocation, guest, kinds, named

STRANGER = named("stranger")


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


def held(cloud: Cloud) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cloud.placement["allocations"]
    return found


def test_a_healthy_cloud_has_no_findings(cloud: Cloud) -> None:
    assert cloud.found(*allocations.DETECTORS) == []


# --- without guest --------------------------------------------------------------------------------


def test_what_a_deleted_guest_holds_can_be_given_back(cloud: Cloud) -> None:
    held(cloud).append(allocation(STRANGER, "compute2"))
    cloud.gone("stranger", since=3600)
    [found] = cloud.found(*allocations.DETECTORS)
    assert found["kind"] == "allocation-of-deleted-guest"
    assert found["where"] == "compute2"
    assert found["what"] == (
        f"guest {STRANGER} is deleted, and still holds DISK_GB 20, MEMORY_MB 2048, VCPU 2 on "
        "compute2"
    )
    assert found["since"] == EPOCH - 3600
    assert found["remedy"] == f"`openstack resource provider allocation delete {STRANGER}`"
    why = {"consumer": STRANGER, "why": "guest-deleted"}
    assert found["repair"] == {"action": "delete-allocation", **why}


def test_what_a_finished_migration_holds_can_be_given_back(cloud: Cloud) -> None:
    cloud.moves(migration_type="resize", status="confirmed", source_compute="compute2")
    consumer = cloud.tables["migrations"][0]["uuid"]
    held(cloud).append(allocation(consumer, "compute2"))
    [found] = cloud.found(*allocations.DETECTORS)
    assert found["kind"] == "allocation-of-finished-migration"
    assert f"migration {consumer} of guest {WEB} is confirmed, and still holds" in found["what"]
    why = {"consumer": consumer, "why": "migration-finished"}
    assert found["repair"] == {"action": "delete-allocation", **why}


def test_a_migration_of_a_deleted_guest_has_finished_with_it(cloud: Cloud) -> None:
    held(cloud).append(allocation(STRANGER, "compute2"))
    row = {"uuid": STRANGER, "instance_uuid": named("x"), "status": "migrating", "deleted": 3}
    cloud.strangers["migrations"].append({**row, "written": ago(3600)})
    assert kinds(cloud.found(*allocations.DETECTORS)) == ["allocation-of-finished-migration"]


def test_a_failed_migration_of_a_guest_in_error_is_for_a_person(cloud: Cloud) -> None:
    cloud.moves(migration_type="resize", status="error", source_compute="compute2")
    cloud.web.update(vm_state="error")
    held(cloud).append(allocation(cloud.tables["migrations"][0]["uuid"], "compute2"))
    [found] = cloud.found(*allocations.DETECTORS)
    assert found["what"].endswith(", while the guest is in ERROR")
    assert found["repair"] is None


def test_what_nobody_in_nova_holds_is_for_a_person(cloud: Cloud) -> None:
    held(cloud).append(allocation(STRANGER, "compute2"))
    [found] = cloud.found(*allocations.DETECTORS)
    assert found["kind"] == "allocation-of-nobody"
    assert "is in none of Nova's databases" in found["what"]
    assert found["repair"] is None


def test_one_consumer_is_one_finding(cloud: Cloud) -> None:
    held(cloud).extend(allocation(STRANGER, host) for host in ("compute1", "compute2"))
    [found] = cloud.found(*allocations.DETECTORS)
    assert "DISK_GB 40, MEMORY_MB 4096, VCPU 4" in found["what"]
    assert sorted(found["where"].split(", ")) == ["compute1", "compute2"]


@pytest.mark.parametrize(
    ("question", "row"),
    [
        ("guests", {"uuid": STRANGER, "deleted": 0, "deleted_at": None, "host": None}),
        ("cell0_guests", {"uuid": STRANGER, "deleted": 0, "deleted_at": None, "host": None}),
        ("guests", {"uuid": STRANGER, "deleted": 7, "deleted_at": ago(30), "host": "compute1"}),
        ("build_requests", {"instance_uuid": STRANGER}),
        ("mappings", {"instance_uuid": STRANGER, "cell_id": None, "queued_for_delete": 0}),
        ("mappings", {"instance_uuid": STRANGER, "cell_id": 3, "queued_for_delete": 0}),
        (
            "migrations",
            {
                "uuid": STRANGER,
                "instance_uuid": WEB,
                "status": "migrating",
                "deleted": 0,
                "written": ago(1),
            },
        ),
    ],
    ids=[
        "just made",
        "in cell0",
        "just deleted",
        "being built",
        "not yet in a cell",
        "in another cell",
        "moving",
    ],
)
def test_consumers_that_nova_knows_when_it_is_asked_again(
    cloud: Cloud, question: str, row: dict[str, Any]
) -> None:
    held(cloud).append(allocation(STRANGER, "compute2"))
    cloud.strangers[question].append(row)
    assert cloud.found(*allocations.DETECTORS) == []


def test_a_guest_that_moved_to_another_cell_is_no_deleted_one(cloud: Cloud) -> None:
    held(cloud).append(allocation(STRANGER, "compute2"))
    cloud.gone("stranger", since=3600)
    cloud.tables["cell_mappings"].append({"id": 3, "uuid": named("cell2"), "name": "cell2"})
    row = {"instance_uuid": STRANGER, "cell_id": 3, "queued_for_delete": 0}
    cloud.strangers["mappings"].append(row)
    assert cloud.found(*allocations.DETECTORS) == []


def test_what_was_taken_this_minute_is_left_alone(cloud: Cloud) -> None:
    held(cloud).append(allocation(STRANGER, "compute2", written=EPOCH - 60))
    assert cloud.found(*allocations.DETECTORS) == []


def test_a_consumer_of_another_service_is_left_alone(cloud: Cloud) -> None:
    held(cloud).append(allocation(STRANGER, "compute2", {"CUSTOM_LEASE": 1}))
    assert cloud.found(*allocations.DETECTORS) == []


def test_without_the_last_question_nothing_is_concluded(cloud: Cloud) -> None:
    assert "strangers" in allocations.allocations_without_guest.needs


# --- guests ---------------------------------------------------------------------------------------


def test_a_guest_that_holds_nothing(cloud: Cloud) -> None:
    held(cloud).clear()
    [found] = cloud.found(*allocations.DETECTORS)
    assert found["kind"] == "guest-without-allocation"
    assert found["what"] == f"guest web ({WEB}) runs on compute1 and holds nothing in Placement"
    assert found["remedy"] == f"`nova-manage placement heal_allocations --instance {WEB}`"


def test_a_guest_on_two_computes_with_no_migration_under_way(cloud: Cloud) -> None:
    held(cloud).append(allocation(WEB, "compute2"))
    [found] = cloud.found(*allocations.DETECTORS)
    assert found["kind"] == "doubled-allocation"
    assert found["where"] == "compute2"
    assert f"guest web ({WEB}) is on compute1 and holds" in found["what"]
    assert f"allocation unset --provider {named('node compute2')} {WEB}`" in found["remedy"]
    assert found["repair"] is None


def test_a_guest_that_holds_another_compute_than_its_own(cloud: Cloud) -> None:
    held(cloud)[:] = [allocation(WEB, "compute2")]
    [found] = cloud.found(*allocations.DETECTORS)
    assert found["kind"] == "allocation-on-another-host"
    assert found["where"] == "compute2"
    assert f"guest web ({WEB}) is on compute1, and what it holds is on compute2" in found["what"]


@pytest.mark.parametrize("vm_state", ["error", "shelved_offloaded"])
def test_a_guest_on_no_host_that_still_holds_something(cloud: Cloud, vm_state: str) -> None:
    cloud.web.update(host=None, node=None, vm_state=vm_state)
    [found] = cloud.found(*allocations.DETECTORS)
    assert found["kind"] == "allocation-of-hostless-guest"
    assert f"guest web ({WEB}) is {vm_state} and on no host" in found["what"]


def test_so_does_one_that_was_never_scheduled(cloud: Cloud) -> None:
    cloud.tables["cell0_instances"] = [guest("poor", None, vm_state="error")]
    held(cloud).append(allocation(named("poor"), "compute2"))
    assert kinds(cloud.found(*allocations.DETECTORS)) == ["allocation-of-hostless-guest"]


def moving(cloud: Cloud) -> None:
    """To be confirmed: the migration holds the source, the guest its new host."""
    cloud.moves(migration_type="resize", status="finished")
    cloud.web.update(host="compute2", node="compute2", vm_state="resized", vcpus=4)
    held(cloud)[:] = [
        allocation(cloud.tables["migrations"][0]["uuid"], "compute1"),
        allocation(WEB, "compute2", {"VCPU": 4, "MEMORY_MB": 2048, "DISK_GB": 20}),
    ]


def live(cloud: Cloud) -> None:
    cloud.moves(status="running")
    cloud.web.update(task_state="migrating")
    held(cloud)[:] = [
        allocation(cloud.tables["migrations"][0]["uuid"], "compute1"),
        allocation(WEB, "compute2"),
    ]


def evacuated(cloud: Cloud) -> None:
    """Its dead host has not come back yet to give back what the guest had there."""
    cloud.moves(migration_type="evacuation", status="done")
    cloud.web.update(host="compute2", node="compute2")
    held(cloud).append(allocation(WEB, "compute2"))


def evacuated_and_moved_on(cloud: Cloud) -> None:
    evacuated(cloud)
    cloud.moves(source_compute="compute2", dest_compute="compute2", status="failed")


def building(cloud: Cloud) -> None:
    cloud.web.update(vm_state="building", task_state="spawning", host=None, node=None)


def unshelving(cloud: Cloud) -> None:
    cloud.web.update(vm_state="shelved_offloaded", task_state="spawning", host=None, node=None)


def shelved(cloud: Cloud) -> None:
    cloud.web.update(vm_state="shelved_offloaded", host=None, node=None)
    held(cloud).clear()


def never_started(cloud: Cloud) -> None:
    cloud.web.update(vm_state="error", launched_at=None)
    held(cloud).clear()


def just_written(cloud: Cloud) -> None:
    cloud.web.update(written=ago(60))
    held(cloud).clear()


def just_moved(cloud: Cloud) -> None:
    cloud.moves(written=ago(60))
    held(cloud).append(allocation(WEB, "compute2"))


def soft_deleted(cloud: Cloud) -> None:
    cloud.web.update(vm_state="soft-delete")


def nested(cloud: Cloud) -> None:
    """Pinned, with a VGPU of a child and disk of a shared storage."""
    gpu, storage = named("gpu"), named("storage")
    cloud.placement["providers"] += [
        {"uuid": gpu, "name": "compute1_pci_0", "parent": named("node compute1")},
        {"uuid": storage, "name": "storage", "parent": None},
    ]
    held(cloud)[:] = [
        allocation(WEB, "compute1", {"PCPU": 2, "MEMORY_MB": 2048}),
        {**allocation(WEB, "compute1", {"VGPU": 1}), "provider": gpu},
        {**allocation(WEB, "compute1", {"DISK_GB": 20}), "provider": storage},
    ]


@pytest.mark.parametrize(
    "state",
    [
        moving,
        live,
        evacuated,
        evacuated_and_moved_on,
        building,
        unshelving,
        shelved,
        never_started,
        just_written,
        just_moved,
        soft_deleted,
        nested,
    ],
)
@pytest.mark.parametrize("by", ["sql", "api"])
def test_what_guests_hold_in_the_midst_of_life(cloud: Cloud, state: Any, by: str) -> None:
    state(cloud)
    if by == "api":
        for each in held(cloud):
            each["written"] = None
    assert cloud.found(*allocations.DETECTORS) == []


def test_what_is_left_after_the_dead_host_came_back_is_found(cloud: Cloud) -> None:
    evacuated(cloud)
    cloud.tables["migrations"][0]["status"] = "completed"
    [found] = cloud.found(*allocations.DETECTORS)
    assert (found["kind"], found["where"]) == ("doubled-allocation", "compute1")


# --- sizes ----------------------------------------------------------------------------------------


def test_a_guest_that_holds_another_size_than_its_flavor(cloud: Cloud) -> None:
    held(cloud)[:] = [allocation(WEB, "compute1", {"VCPU": 1, "MEMORY_MB": 512, "DISK_GB": 20})]
    [found] = cloud.found(*allocations.DETECTORS)
    assert found["kind"] == "allocation-unlike-flavor"
    assert found["what"] == (
        f"guest web ({WEB}) holds 1 CPUs instead of 2, 512 MEMORY_MB instead of 2048 on compute1"
    )
    assert found["remedy"] == f"`nova-manage placement heal_allocations --force --instance {WEB}`"


@pytest.mark.parametrize(
    ("specs", "swap", "on_volume", "resources"),
    [
        ({}, 0, True, {"VCPU": 2, "MEMORY_MB": 2048}),
        ({}, 0, True, {"VCPU": 2, "MEMORY_MB": 2048, "DISK_GB": 20}),
        ({}, 1025, False, {"VCPU": 2, "MEMORY_MB": 2048, "DISK_GB": 22}),
        ({"hw:cpu_policy": "dedicated"}, 0, False, {"PCPU": 2, "MEMORY_MB": 2048, "DISK_GB": 20}),
        (
            {"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "0"},
            0,
            False,
            {"PCPU": 1, "VCPU": 1, "MEMORY_MB": 2048, "DISK_GB": 20},
        ),
        (
            {"hw:cpu_policy": "dedicated", "hw:emulator_threads_policy": "isolate"},
            0,
            False,
            {"PCPU": 3, "MEMORY_MB": 2048, "DISK_GB": 20},
        ),
        ({"resources:VCPU": "0"}, 0, False, {"MEMORY_MB": 2048, "DISK_GB": 20}),
        (
            {"resources1:MEMORY_MB": "100", "resources2:MEMORY_MB": "28", "resources:DISK_GB": "5"},
            0,
            False,
            {"VCPU": 2, "MEMORY_MB": 128, "DISK_GB": 5},
        ),
        (None, None, False, {"VCPU": 64}),
        ({"resources:VCPU": "many"}, 0, False, {"VCPU": 64}),
    ],
    ids=[
        "on a volume",
        "on a volume, of old",
        "swap",
        "pinned",
        "mixed",
        "emulator",
        "none",
        "asked",
        "unknown",
        "nonsense",
    ],
)
def test_sizes_as_nova_reckons_them(
    cloud: Cloud, specs: Any, swap: Any, on_volume: bool, resources: dict[str, int]
) -> None:
    text = None if specs is None else json.dumps(specs)
    cloud.tables["flavors"] = [{"uuid": WEB, "swap": swap, "extra_specs": text}]
    if on_volume:
        cloud.tables["volume_roots"] = [{"instance_uuid": WEB}]
    held(cloud)[:] = [allocation(WEB, "compute1", resources)]
    assert cloud.found(*allocations.DETECTORS) == []
