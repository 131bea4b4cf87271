"""Placement's providers and aggregates against Nova's."""

from __future__ import annotations

import pytest

from .audited_cloud import AGGREGATE, Cloud, Row, ago, member, node, provider, service


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


def placement(cloud: Cloud) -> Row:
    assert cloud.placement is not None
    return cloud.placement


def test_a_provider_that_no_compute_node_has(cloud: Cloud) -> None:
    placement(cloud)["providers"].append(provider("gone"))
    found = cloud.only("provider-without-node")
    assert found["what"] == "provider gone (n-gone) is in Placement, but no compute node in Nova"
    assert found["remedy"] == "`openstack resource provider delete n-gone`"
    assert found["repair"] is None


def test_one_of_which_somebody_has_a_part(cloud: Cloud) -> None:
    placement(cloud)["providers"].append(provider("gone"))
    placement(cloud)["inventories"]["n-gone"] = {"MEMORY_MB": [1, 0, 1.0]}
    held = {"provider": "n-gone", "consumer": "g", "resources": {"VCPU": 1}, "written": None}
    placement(cloud)["allocations"].append(held)
    (found,) = cloud.findings("provider-without-node")
    assert "; 1 consumer holds allocations of it" in found["what"]
    assert found["remedy"].endswith("once nobody has allocations of it any more")


def test_one_with_the_name_of_a_compute_keeps_that_from_its_own(cloud: Cloud) -> None:
    placement(cloud)["providers"][1]["uuid"] = "former"
    found = {each["kind"]: each for each in cloud.findings()}
    assert set(found) == {"provider-without-node", "node-without-provider"}
    text = "while it has that name, compute2 can make none of its own"
    assert text in found["provider-without-node"]["what"]
    assert found["node-without-provider"]["where"] == "compute2"


def test_providers_of_others_are_left_alone(cloud: Cloud) -> None:
    placement(cloud)["providers"] += [
        provider("shared", uuid="shared"),
        provider("compute1:Open vSwitch agent", uuid="agent", parent="n-compute1"),
    ]
    placement(cloud)["inventories"]["shared"] = {"DISK_GB": [1000, 0, 1.0]}
    assert cloud.findings() == []


def test_the_node_of_a_provider_may_be_read_before_it_was_made(cloud: Cloud) -> None:
    cloud.expected["services"]["nova-compute"].append("compute3")
    cloud.expected["computes"]["compute3"] = "10.0.0.33"
    cloud.databases["services"].append(service("nova-compute", "compute3", created_at=ago(20)))
    placement(cloud)["providers"].append(provider("compute3.example.org"))
    assert cloud.findings() == []


def test_the_provider_of_a_node_comes_a_little_later(cloud: Cloud) -> None:
    cloud.databases["compute_nodes"].remove(cloud.row("compute_nodes", host="compute2"))
    cloud.databases["compute_nodes"].append(node("compute2", uuid="new", created_at=ago(5)))
    placement(cloud)["providers"].pop()
    assert cloud.findings() == []


def test_a_member_of_an_aggregate_that_is_no_compute(cloud: Cloud) -> None:
    cloud.databases["aggregate_hosts"].append(member("gone"))
    found = cloud.only("aggregate-member-of-a-stranger")
    assert found["where"] == "gone"
    assert found["remedy"] == "`openstack aggregate remove host fast gone`"


@pytest.mark.parametrize("known", [[], ["of-somebody-else"]])
def test_an_aggregate_that_placement_lacks(cloud: Cloud, known: list[str]) -> None:
    placement(cloud)["aggregates"]["n-compute1"] = known
    found = cloud.only("aggregate-not-in-placement")
    assert found["what"] == f"aggregate fast ({AGGREGATE}) lacks compute1 in Placement"
    assert found["repair"] == {
        "action": "sync-aggregates",
        "aggregate": AGGREGATE,
        "hosts": ["compute1"],
    }


def test_nova_tells_placement_of_a_new_member_a_moment_later(cloud: Cloud) -> None:
    cloud.databases["aggregate_hosts"].append(member("compute2", age=3))
    assert cloud.findings() == []


def test_a_member_that_placement_alone_has(cloud: Cloud) -> None:
    placement(cloud)["aggregates"]["n-compute2"] = [AGGREGATE, "kept"]
    found = cloud.only("aggregate-member-in-placement-only")
    assert found["what"] == f"compute2 is in aggregate fast ({AGGREGATE}) in Placement, not in Nova"
    assert found["remedy"].endswith("n-compute2) --aggregate kept n-compute2`")
    assert found["repair"] is None


def test_aggregates_of_others_in_placement_are_left_alone(cloud: Cloud) -> None:
    placement(cloud)["aggregates"]["n-compute2"] = ["of-neutron"]
    assert cloud.findings() == []
