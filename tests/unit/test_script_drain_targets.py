"""files/drain_targets.py: where guests of computes that are to have none could go."""

from __future__ import annotations

from typing import Any

import drain_targets
import pytest

from .drain_stand_in import HOST, Cloud
from .serving import Json
from .test_script_drains import nova, read, well

__all__ = ["nova"]


def target(nova: Cloud, uuid: str = "g1", **more: Any) -> Json:
    found: Json = well(nova, **more)["targets"][uuid]
    return found


def test_what_it_holds_counts_not_what_its_flavor_says(nova: Cloud) -> None:
    nova.guest("g1", flavor={"extra_specs": {"trait:CUSTOM_SSD": "required", "hw:x": "y"}})
    nova.held["g1"] = {"resources": {"PCPU": 2, "MEMORY_MB": 512}}
    target(nova)
    assert nova.queries == [
        {
            **{"resources": "MEMORY_MB:512,PCPU:2", "required": "CUSTOM_SSD", "limit": "1000"},
            **{"root_required": "!COMPUTE_STATUS_DISABLED"},
        }
    ]


def test_without_an_allocation_its_flavor_counts(nova: Cloud) -> None:
    nova.guest("g1", image="", flavor={"swap": 100, "ephemeral": 5})
    del nova.held["g1"]
    assert target(nova)["needs"] == {"VCPU": 2, "MEMORY_MB": 1024, "DISK_GB": 6}


def test_groups_of_resources_stay_together(nova: Cloud) -> None:
    specs = {"resources1:VGPU": "1", "trait1:CUSTOM_A": "required", "trait:CUSTOM_B": "forbidden"}
    nova.guest("g1", flavor={"extra_specs": {**specs, "resources:CUSTOM_X": "3"}})
    target(nova)
    (query,) = nova.queries
    assert query["resources1"] == "VGPU:1" and query["required1"] == "CUSTOM_A"
    assert query["required"] == "!CUSTOM_B"
    assert query["resources"] == "CUSTOM_X:3,DISK_GB:10,MEMORY_MB:1024,VCPU:2"


def test_two_groups_of_resources_say_how_they_are_to_be_placed(nova: Cloud) -> None:
    specs = {"resources1:VGPU": "1", "resources2:VGPU": "1", "group_policy": "isolate"}
    nova.guest("g1", flavor={"extra_specs": specs})
    target(nova)
    assert nova.queries[0]["group_policy"] == "isolate"


def test_where_there_is_no_room_it_is_said_how_much_is_needed(nova: Cloud) -> None:
    nova.guest("g1")
    nova.room = {name: {"VCPU": 1} for name in nova.room}
    found = target(nova)
    assert found["hosts"] == []
    words = "10 GiB of disk, 1024 MiB of memory, 2 vCPU free: open or add one"
    assert found["why"] == f"no other compute has {words}"


def test_what_placement_refuses_is_said_in_its_words(nova: Cloud) -> None:
    nova.guest("g1", flavor={"extra_specs": {"trait:CUSTOM_TYPO": "required"}})
    assert "No such trait(s): CUSTOM_TYPO." in target(nova)["why"]


def test_what_is_closed_down_or_drained_too_is_no_target(nova: Cloud) -> None:
    nova.guest("g1")
    nova.services["compute2"]["status"] = "disabled"
    nova.services["compute3"]["state"] = "down"
    assert target(nova)["why"].startswith("compute2, compute3 would have room, but takes no guests")
    nova.services["compute3"]["state"] = "up"
    assert target(nova)["hosts"] == ["compute3"]
    assert target(nova, hosts=["compute1", "compute3"])["hosts"] == []


def test_what_the_same_deploy_closes_first_is_no_target(nova: Cloud) -> None:
    nova.guest("g1")
    assert target(nova, closing=["compute1", "compute2"])["hosts"] == ["compute3"]
    why = target(nova, closing=["compute2", "compute3"])["why"]
    assert why.startswith("compute2, compute3 would have room, but takes no guests")


def test_what_the_same_deploy_opens_first_is_a_target(nova: Cloud) -> None:
    nova.guest("g1")
    for name in ("compute2", "compute3"):
        nova.services[name].update(status="disabled", disabled_reason="a fan")
    assert target(nova)["hosts"] == []
    assert nova.queries[-1]["root_required"] == "!COMPUTE_STATUS_DISABLED"
    assert target(nova, opening=["compute2"])["hosts"] == ["compute2"]
    assert "root_required" not in nova.queries[-1]
    # Nova opens these itself, once libvirt is there again.
    nova.services["compute2"].update(disabled_reason="AUTO: Connection to libvirt lost: 1")
    assert target(nova, opening=["compute2"])["hosts"] == []
    assert nova.queries[-1]["root_required"] == "!COMPUTE_STATUS_DISABLED"


def test_what_the_same_deploy_adds_may_be_a_target(nova: Cloud) -> None:
    """Nova does not know it before, so nobody can be asked what it will have."""
    nova.guest("g1")
    opening = ["compute2", "compute4"]
    found = target(nova, opening=opening)
    assert (found["hosts"], found["new"]) == (["compute2", "compute3"], ["compute4"])
    nova.room = {name: {"VCPU": 1} for name in nova.room}
    nova.specs["g1"] = {"availability_zone": "east"}
    found = target(nova, opening=opening)
    assert (found["hosts"], found["new"]) == ([], ["compute4"])
    nova.group("anti-affinity", "g1")
    assert target(nova, opening=opening)["new"] == ["compute4"]
    # It has none of its members, and Nova would not move this one there.
    nova.group("affinity", "g1")
    found = target(nova, opening=opening)
    assert (found["hosts"], found["new"]) == ([], [])
    nova.specs.clear()
    assert target(nova, opening=opening)["new"] == []


def test_a_zone_that_was_asked_for_is_kept_to(nova: Cloud) -> None:
    nova.guest("g1")
    nova.specs["g1"] = {"availability_zone": "east"}
    assert "availability zone east, where compute2, compute3 is not" in target(nova)["why"]
    nova.services["compute3"]["zone"] = "east"
    assert target(nova)["hosts"] == ["compute3"]


def test_a_group_keeps_its_members_apart(nova: Cloud) -> None:
    for uuid, host in (("g1", "compute1"), ("g2", "compute2"), ("g3", "compute3")):
        nova.guest(uuid, host=host)
    nova.group("anti-affinity", "g1", "g2")
    found = target(nova)
    assert found["hosts"] == ["compute3"]
    assert found["group"] == {"id": "group-1", "name": "db {0}", "left": {"compute3": 1}}
    nova.group("anti-affinity", "g1", "g2", "g3", max_server_per_host=3)
    nova.guests["g3"][HOST] = "compute2"
    found = target(nova)
    assert found["hosts"] == ["compute2", "compute3"]
    assert found["group"]["left"] == {"compute2": 1, "compute3": 3}
    nova.guests["g3"][HOST] = "compute3"
    nova.group("soft-anti-affinity", "g1", "g2", "g3")
    assert target(nova)["hosts"] == ["compute2", "compute3"]
    assert target(nova)["group"] is None
    nova.group("anti-affinity", "g1", "g2", "g3")
    said = target(nova)["why"]
    assert said.startswith("server group db {0} (anti-affinity) keeps it from compute2, compute3")


def test_a_group_keeps_its_members_together(nova: Cloud) -> None:
    nova.guest("g1")
    nova.guest("g2", host="compute2")
    nova.group("affinity", "g1", "g2")
    assert target(nova)["hosts"] == ["compute2"]
    nova.group("affinity", "g1")
    assert "`openstack server shelve --offload g1`" in target(nova)["why"]


def test_a_group_or_a_member_that_is_gone_keeps_nobody(nova: Cloud) -> None:
    nova.guest("g1")
    nova.group("anti-affinity", "g1", "g9")
    assert target(nova)["hosts"] == ["compute2", "compute3"]
    nova.groups.clear()
    assert target(nova)["hosts"] == ["compute2", "compute3"]


def pci(**more: Any) -> Json:
    each = {"alias_name": "gpu", "spec": [{"vendor_id": "10de"}], **more}
    requests = {"nova_object.data": {"requests": [{"nova_object.data": each}]}}
    return {"pci_requests": requests}


def test_a_pci_device_of_the_flavor_is_named(nova: Cloud) -> None:
    nova.guest("g1")
    nova.specs["g1"] = pci()
    assert target(nova)["bound"] == "PCI device gpu"
    nova.specs["g1"] = pci(alias_name=None)  # of a port
    assert target(nova)["bound"] is None
    nova.specs["g1"] = pci(spec=[{"live_migratable": "true"}])
    assert target(nova)["bound"] is None


def test_a_guest_of_which_nova_has_lost_what_its_scheduler_is_told_is_not_moved(
    nova: Cloud,
) -> None:
    """Asked to move it, Nova answers 500, which would end the run before the guests after it."""
    nova.guest("g1")
    nova.guest("g2")
    del nova.specs["g1"]
    found = well(nova)["targets"]
    assert found["g1"]["hosts"] == []
    assert found["g1"]["why"].startswith("Nova has no record of it for its scheduler")
    assert found["g2"]["hosts"] == ["compute2", "compute3"]


@pytest.mark.parametrize("state", ["active", "stopped"])
def test_a_guest_with_a_tpm_is_its_owners_to_move(nova: Cloud, state: str) -> None:
    """Its secret is his: where an operator moves it cold, it cannot be made on the other side."""
    tpm = {"hw:tpm_version": "2.0"}
    nova.guest("g1", state, flavor={"extra_specs": tpm})
    found = target(nova)
    assert found["hosts"] == []
    assert found["why"].startswith("it has an emulated TPM, whose secret only its owner may read")
    properties = {"nova_object.data": {"hw_tpm_version": "1.2", "hw_tpm_model": "tpm-tis"}}
    nova.specs["g1"] = {"image": {"nova_object.data": {"properties": properties}}}
    nova.guest("g1", state)
    assert target(nova)["hosts"] == []
    for keeper in ("host", "deployment"):
        specs = {**tpm, "hw:tpm_secret_security": keeper}
        nova.guest("g1", state, flavor={"extra_specs": specs})
        assert target(nova)["hosts"] == ["compute2", "compute3"]


def test_a_database_that_does_not_answer_ends_it(
    nova: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    nova.guest("g1")
    gone = (None, OSError("2013: Lost connection"), False)
    monkeypatch.setattr(drain_targets.nova_state, "look", lambda *_: gone)
    assert read(nova) == {"error": "2013: Lost connection"}
