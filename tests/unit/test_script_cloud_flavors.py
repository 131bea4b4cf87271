"""files/cloud_flavors.py against a stand-in for the APIs, over real sockets."""

from __future__ import annotations

from typing import Any

from .cloud_requests import LARGE, changes, converge, refused, remarks
from .cloud_stand_in import StandIn


def test_foreign_flavors_and_undeclared_extra_specs_are_left_alone(cloud: StandIn) -> None:
    foreign = dict(cloud.flavor("theirs", vcpus=9, extra_specs={"a": "b"}))
    cloud.flavor("m1", **LARGE, extra_specs={"hw:cpu_policy": "shared", "quota:x": "1"})
    planned = converge(
        cloud, flavors={"m1": {**LARGE, "extra_specs": {"hw:cpu_policy": "dedicated"}}}
    )
    assert planned == ["flavor m1: extra spec hw:cpu_policy dedicated (was shared)"]
    mine = next(f for f in cloud.flavors.values() if f["name"] == "m1")
    assert mine["extra_specs"] == {"hw:cpu_policy": "dedicated", "quota:x": "1"}
    assert foreign in cloud.flavors.values()


def test_only_what_differs_is_sent(cloud: StandIn) -> None:
    specs = {"a": "1", "b": "2"}
    flavor = cloud.flavor("m1", **LARGE, extra_specs={"a": "1", "c": "3"}, description="old")
    wanted = {**LARGE, "description": "new", "extra_specs": {**specs, "c": None}}
    assert converge(cloud, flavors={"m1": wanted}) == [
        "flavor m1: description 'new'",
        "flavor m1: extra spec b 2 (was not set)",
        "flavor m1: no extra spec c (was 3)",
    ]
    assert flavor["extra_specs"] == specs


def test_a_new_flavor_is_said_with_all_that_it_gets(cloud: StandIn) -> None:
    wanted = {**LARGE, "is_public": False, "extra_specs": {"a": "b", "c": None}}
    assert converge(cloud, flavors={"m1": wanted}) == [
        "create flavor m1: vcpus 2, ram 1024, disk 10, is_public False, extra spec a b"
    ]
    (made,) = cloud.flavors.values()
    assert (made["extra_specs"], made["os-flavor-access:is_public"]) == ({"a": "b"}, False)


def test_the_identifier_of_another_flavor_is_not_to_be_had(cloud: StandIn) -> None:
    cloud.flavor("theirs", id="42")
    text = "flavor m1 cannot have id 42: another flavor has it"
    assert refused(cloud, flavors={"m1": {**LARGE, "id": "42"}}) == text
    assert changes(cloud, flavors={"theirs": {"vcpus": 1, "ram": 512, "disk": 1, "id": "42"}}) == []


def test_other_numbers_of_a_flavor_are_drift_unless_it_may_be_replaced(cloud: StandIn) -> None:
    cloud.flavor("m1", vcpus=1, ram=1024, disk=10)
    text = refused(cloud, flavors={"m1": LARGE})
    assert text.startswith("flavor m1 differs: vcpus 2 (was 1); Nova changes no number")
    assert "replace: true" in text


def test_a_replaced_flavor_keeps_its_id_and_what_is_not_declared(cloud: StandIn) -> None:
    cloud.flavor("m1", **{"id": "42", "os-flavor-access:is_public": False}, extra_specs={"a": "b"})
    cloud.access["42"] = ["their-project"]
    wanted = {**LARGE, "extra_specs": {"c": "d"}, "replace": True}
    assert converge(cloud, flavors={"m1": wanted}) == [
        "replace flavor m1: vcpus 2 (was 1), ram 1024 (was 512), disk 10 (was 1)"
    ]
    assert cloud.flavors["42"]["extra_specs"] == {"a": "b", "c": "d"}
    assert cloud.flavors["42"]["os-flavor-access:is_public"] is False
    assert cloud.access["42"] == ["their-project"]


def test_a_flavor_is_removed_when_asked_unless_guests_have_it(cloud: StandIn) -> None:
    flavor = cloud.flavor("m1")
    cloud.flavor("other")
    cloud.guests = [flavor["id"]]
    gone = {"m1": {"absent": True}, "never-there": {"absent": True}}
    assert refused(cloud, flavors=gone) == "flavor m1 is not removed: there are guests of it"
    cloud.guests = []
    assert converge(cloud, flavors=gone) == ["remove flavor m1"]
    assert [flavor["name"] for flavor in cloud.flavors.values()] == ["other"]


def test_a_trait_that_no_host_has_is_said(cloud: StandIn) -> None:
    def flavors(trait: str, value: str = "required") -> dict[str, Any]:
        return {"m1": {**LARGE, "extra_specs": {f"trait:{trait}": value}}}

    no_host = "no host has the trait {}, so no guest of flavor m1 finds one"
    assert remarks(cloud, flavors=flavors("CUSTOM_X")) == [no_host.format("CUSTOM_X")]
    vulkan = "HW_GPU_API_VULKAN"
    assert remarks(cloud, flavors=flavors(vulkan)) == [no_host.format(vulkan)]
    assert remarks(cloud, flavors=flavors("HW_CPU_X86_AVX")) == []
    assert remarks(cloud, flavors=flavors("CUSTOM_X", "forbidden")) == []
