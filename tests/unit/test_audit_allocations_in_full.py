"""Findings about allocations as an operator gets them, word by word: the remedies are pasted."""

from __future__ import annotations

import json
from typing import Any

import allocations
import pytest

from .audited_guests import EPOCH, WEB, Cloud, ago, allocation, guest, named, only

SHOW = "openstack resource provider allocation show"
DELETE = "openstack resource provider allocation delete"
HEAL = "nova-manage placement heal_allocations"
NOBODY = named("nobody")
ONE, TWO = named("node compute1"), named("node compute2")
DAY = 86400
ALL = "DISK_GB 20, MEMORY_MB 2048, VCPU 2"


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


def test_what_nobody_holds(cloud: Cloud) -> None:
    cloud.placement["allocations"] += [
        allocation(NOBODY, "compute2"),
        allocation(NOBODY, "compute1", {"VCPU": 1, "CUSTOM_X": 3}),
    ]
    where = "compute2, compute1" if TWO < ONE else "compute1, compute2"
    assert only(cloud, allocations.allocations_without_guest) == (
        where,
        f"{NOBODY} holds CUSTOM_X 3, DISK_GB 20, MEMORY_MB 2048, VCPU 3 on {where} and is in none "
        "of Nova's databases: a guest whose row is archived, or a consumer of another service",
        f"`{SHOW} {NOBODY}`; if it is nobody's, `{DELETE} {NOBODY}`",
        None,
        NOBODY,
    )


def test_what_a_deleted_guest_holds(cloud: Cloud) -> None:
    cloud.gone("nobody", DAY)
    cloud.placement["allocations"].append(allocation(NOBODY, "compute2"))
    assert only(cloud, allocations.allocations_without_guest) == (
        "compute2",
        f"guest {NOBODY} is deleted, and still holds {ALL} on compute2",
        f"`{DELETE} {NOBODY}`",
        EPOCH - DAY,
        NOBODY,
    )
    (found,) = cloud.found(allocations.allocations_without_guest)
    assert found["repair"] == {
        "action": "delete-allocation",
        "consumer": NOBODY,
        "why": "guest-deleted",
    }


@pytest.mark.parametrize("in_error", [False, True])
def test_what_a_migration_holds_that_has_ended(cloud: Cloud, in_error: bool) -> None:
    cloud.moves(status="error", written=ago(DAY))
    if in_error:
        cloud.web["vm_state"] = "error"
    migration = named("migration 1")
    cloud.placement["allocations"].append(allocation(migration, "compute2"))
    assert only(cloud, allocations.allocations_without_guest) == (
        "compute2",
        f"migration {migration} of guest {WEB} is error, and still holds {ALL} on compute2"
        + (", while the guest is in ERROR" if in_error else ""),
        ("bring the guest out of its ERROR, then " if in_error else "") + f"`{DELETE} {migration}`",
        EPOCH - DAY,
        migration,
    )
    (found,) = cloud.found(allocations.allocations_without_guest)
    wanted = {"action": "delete-allocation", "consumer": migration, "why": "migration-finished"}
    assert found["repair"] == (None if in_error else wanted)


def test_a_guest_that_holds_nothing(cloud: Cloud) -> None:
    cloud.placement["allocations"].clear()
    assert only(cloud, allocations.guests_and_their_allocations) == (
        "compute1",
        f"guest web ({WEB}) runs on compute1 and holds nothing in Placement",
        f"`{HEAL} --instance {WEB}`",
        None,
        WEB,
    )


def test_a_guest_on_no_host(cloud: Cloud) -> None:
    cloud.web.update(host=None, node=None, vm_state="shelved_offloaded")
    assert only(cloud, allocations.guests_and_their_allocations) == (
        "compute1",
        f"guest web ({WEB}) is shelved_offloaded and on no host, and still holds {ALL} on compute1",
        f"`{DELETE} {WEB}`",
        EPOCH - DAY,
        WEB,
    )


def test_a_guest_on_two_computes(cloud: Cloud) -> None:
    cloud.placement["allocations"].append(
        allocation(WEB, "compute2", {"VCPU": 1}, written=EPOCH - 2 * DAY)
    )
    parts = {ONE: f"{ALL} on compute1", TWO: "VCPU 1 on compute2"}
    assert only(cloud, allocations.guests_and_their_allocations) == (
        "compute2",
        f"guest web ({WEB}) is on compute1 and holds "
        + " and ".join(parts[root] for root in sorted(parts))
        + ", with no migration under way",
        "when compute2 does not run it, `openstack --os-placement-api-version 1.12 resource "
        f"provider allocation unset --provider {TWO} {WEB}`",
        EPOCH - DAY,
        WEB,
    )


def test_a_guest_on_three_computes_of_which_two_are_not_listed(cloud: Cloud) -> None:
    for uuid in ("zz-8", "zz-9"):
        cloud.placement["allocations"].append(allocation(WEB, "", {"VCPU": 1}, provider=uuid))
    where, what, remedy, _, _ = only(cloud, allocations.guests_and_their_allocations)
    assert (where, "and VCPU 1 on zz-8 and VCPU 1 on zz-9, with no" in what) == ("zz-8", True)
    assert remedy == (
        "when zz-8, zz-9 does not run it, `openstack --os-placement-api-version 1.12 resource "
        f"provider allocation unset --provider zz-8 --provider zz-9 {WEB}`"
    )


def test_a_guest_whose_allocation_is_on_another_compute(cloud: Cloud) -> None:
    cloud.placement["allocations"] = [allocation(WEB, "compute2")]
    assert only(cloud, allocations.guests_and_their_allocations) == (
        "compute2",
        f"guest web ({WEB}) is on compute1, and what it holds is on compute2: {ALL}",
        f"when compute2 does not run it, `{DELETE} {WEB}` and `{HEAL} --instance {WEB}`",
        EPOCH - DAY,
        WEB,
    )


def test_a_guest_of_another_size(cloud: Cloud) -> None:
    held = {"VCPU": 1, "PCPU": 2, "MEMORY_MB": 1024, "DISK_GB": 20}
    cloud.placement["allocations"] = [allocation(WEB, "compute1", held)]
    assert only(cloud, allocations.guests_and_their_allocations) == (
        "compute1",
        f"guest web ({WEB}) holds 3 CPUs instead of 2, 1024 MEMORY_MB instead of 2048 on compute1",
        f"`{HEAL} --force --instance {WEB}`",
        EPOCH - DAY,
        WEB,
    )


def test_what_is_held_of_a_child_counts_as_held_of_its_root(cloud: Cloud) -> None:
    """Such as memory of a NUMA node: two parts of one compute are no two computes."""
    child = {"uuid": "numa0", "name": "compute1_NUMA0", "parent": ONE}
    inner = {"uuid": "core0", "name": "compute1_CORE0", "parent": "numa0"}
    cloud.placement["providers"] += [child, inner]
    parts = {"numa0": {"MEMORY_MB": 1024}, "core0": {"VCPU": 1, "MEMORY_MB": 1024}}
    own = allocation(WEB, "compute1", {"VCPU": 1, "DISK_GB": 20})
    cloud.placement["allocations"] = [own] + [
        allocation(WEB, "compute1", held, provider=provider) for provider, held in parts.items()
    ]
    assert cloud.found(allocations.guests_and_their_allocations) == []
    cloud.web.update(host="compute2", node="compute2")
    assert only(cloud, allocations.guests_and_their_allocations)[:2] == (
        "compute1",
        f"guest web ({WEB}) is on compute2, and what it holds is on compute1: {ALL}",
    )


def test_a_provider_that_is_not_listed_is_told_by_its_identifier(cloud: Cloud) -> None:
    cloud.placement["allocations"].append(allocation(NOBODY, "compute2", provider="rp-9"))
    assert only(cloud, allocations.allocations_without_guest)[0] == "rp-9"


def test_consumers_that_are_left_alone_hide_none_that_is_nobodys(cloud: Cloud) -> None:
    other = allocation(named("port"), "compute1", {"NET_BW_EGR_KILOBIT_PER_SEC": 1})
    fresh = allocation(named("new"), "compute1", written=EPOCH - 5)
    cloud.placement["allocations"] += [other, fresh, allocation(NOBODY, "compute2")]
    assert only(cloud, allocations.allocations_without_guest)[4] == NOBODY


def test_guests_that_are_left_alone_hide_none_that_holds_nothing(cloud: Cloud) -> None:
    cloud.tables["cell0_instances"] = [guest("poor", None, vm_state="error")]
    cloud.web.update(vm_state="building")
    cloud.add("fresh", "compute1", vm_state="paused")
    cloud.placement["allocations"][-1] |= {"provider": TWO, "written": EPOCH - 5}
    last = cloud.add("last", "compute1")["uuid"]
    cloud.placement["allocations"].pop()
    assert only(cloud, allocations.guests_and_their_allocations)[4] == last


def flavor(swap: int | None, specs: dict[str, str] | None) -> dict[str, Any]:
    return {"swap": swap, "extra_specs": None if specs is None else json.dumps(specs)}


PLAIN = {"CPUs": {2}, "MEMORY_MB": {2048}, "DISK_GB": {20}}


@pytest.mark.parametrize(
    ("kind", "on_volume", "right"),
    [
        (None, False, PLAIN),
        (flavor(0, {"hw:cpu_policy": "shared"}), False, PLAIN),
        (flavor(1025, {}), True, {**PLAIN, "DISK_GB": {2, 22}}),
        (flavor(None, {}), False, None),
        (flavor(0, None), False, None),
        (flavor(0, {"resources:VCPU": "many"}), False, None),
        (
            flavor(0, {"resources:VCPU": "3", "resources1:PCPU": "2", "resources:DISK_GB": "0"}),
            False,
            {**PLAIN, "CPUs": {5}, "DISK_GB": {0}},
        ),
    ],
)
def test_what_a_guest_of_a_flavor_holds_and_when_nobody_can_tell(
    kind: dict[str, Any] | None, on_volume: bool, right: dict[str, set[int]] | None
) -> None:
    assert allocations.expected(guest("g", "compute1"), kind, on_volume) == right
