"""Findings about providers and aggregates as an operator gets them, word by word."""

from __future__ import annotations

import pytest

from .audited_cloud import AGGREGATE, Cloud, ago, member, node, provider


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


def test_a_provider_that_is_no_node(cloud: Cloud) -> None:
    assert cloud.placement is not None
    cloud.placement["providers"].append(provider("gone"))
    assert cloud.in_words("provider-without-node") == (
        "gone",
        "provider gone (n-gone) is in Placement, but no compute node in Nova",
        "`openstack resource provider delete n-gone`",
        None,
        "n-gone",
    )
    held = {"provider": "n-gone", "resources": {"VCPU": 1}, "written": None}
    cloud.placement["allocations"] += [{**held, "consumer": "c1"}, {**held, "consumer": "c2"}]
    cloud.placement["providers"][-1]["name"] = "COMPUTE2.example.org"
    assert cloud.in_words("provider-without-node") == (
        "COMPUTE2.example.org",
        "provider COMPUTE2.example.org (n-gone) is in Placement, but no compute node in Nova; "
        "while it has that name, compute2 can make none of its own; 2 consumers hold allocations "
        "of it",
        "`openstack resource provider delete n-gone`, once nobody has allocations of it any more",
        None,
        "n-gone",
    )


def test_a_node_without_a_provider(cloud: Cloud) -> None:
    assert cloud.placement is not None
    cloud.placement["providers"].pop()
    cloud.row("compute_nodes", host="compute2").update(
        created_at=ago(120), hypervisor_hostname="c2.example.org"
    )
    assert cloud.in_words("node-without-provider") == (
        "compute2",
        "compute node c2.example.org (n-compute2) of compute2 has no provider in Placement",
        "`systemctl restart nova-compute` on compute2; its log says what keeps it from making one",
        None,
        "n-compute2",
    )
    cloud.row("compute_nodes", host="compute2")["created_at"] = ago(119)
    assert cloud.findings("node-without-provider") == []


@pytest.mark.parametrize(("aggregate", "name"), [(7, "fast"), (8, "8")])
def test_a_member_that_is_a_stranger(cloud: Cloud, aggregate: int, name: str) -> None:
    cloud.databases["aggregate_hosts"].append(member("gone", aggregate))
    where, what, remedy, _, _ = cloud.in_words("aggregate-member-of-a-stranger")
    assert (where, what, remedy) == (
        "gone",
        f"gone is in aggregate {name}; neither the inventory nor Nova has such a compute",
        f"`openstack aggregate remove host {name} gone`",
    )


def test_members_that_placement_lacks(cloud: Cloud) -> None:
    assert cloud.placement is not None
    cloud.databases["aggregate_hosts"].append(member("compute2", age=120))
    cloud.placement["aggregates"] = {}
    assert cloud.in_words("aggregate-not-in-placement") == (
        "fast",
        f"aggregate fast ({AGGREGATE}) lacks compute1, compute2 in Placement",
        "`nova-manage placement sync_aggregates` on the primary controller",
        None,
        AGGREGATE,
    )
    (found,) = cloud.findings()
    wanted = {"aggregate": AGGREGATE, "hosts": ["compute1", "compute2"]}
    assert found["repair"] == {"action": "sync-aggregates", **wanted}
    cloud.row("aggregate_hosts", host="compute2")["created_at"] = ago(119)
    assert "lacks compute1 in Placement" in cloud.in_words("aggregate-not-in-placement")[1]


def test_a_member_that_only_placement_has(cloud: Cloud) -> None:
    assert cloud.placement is not None
    cloud.placement["aggregates"]["n-compute2"] = ["z-theirs", AGGREGATE, "a-theirs"]
    assert cloud.in_words("aggregate-member-in-placement-only") == (
        "compute2",
        f"compute2 is in aggregate fast ({AGGREGATE}) in Placement, not in Nova",
        "`openstack resource provider aggregate set --generation $(openstack resource provider "
        "show -f value -c generation n-compute2) --aggregate a-theirs --aggregate z-theirs "
        "n-compute2`",
        None,
        AGGREGATE,
    )
    cloud.databases["compute_nodes"].append(node("compute3", created_at=ago(60)))
    cloud.placement["aggregates"] = {"n-compute1": [AGGREGATE], "n-compute3": [AGGREGATE]}
    assert cloud.findings("aggregate-member-in-placement-only") == []
