"""files/cloud_aggregates.py against a stand-in for the APIs, over real sockets."""

from __future__ import annotations

from typing import Any

import pytest

from .cloud_requests import LARGE, asked, converge, refused, remarks
from .cloud_stand_in import StandIn


def aggregate(cloud: StandIn, name: str, *hosts: str, zone: str | None = None) -> dict[str, Any]:
    made = cloud.make_aggregate({"aggregate": {"name": name, "availability_zone": zone}}, {})
    made["aggregate"]["hosts"] += hosts
    return dict(made)["aggregate"]  # type: ignore[no-any-return]


def test_an_aggregate_gets_what_is_declared_and_keeps_the_rest(cloud: StandIn) -> None:
    mine = aggregate(cloud, "ssd", "compute2", zone="az0")
    mine["metadata"].update(theirs="1", old="2")
    wanted = {"hosts": ["compute1"], "availability_zone": "az1"}
    wanted["metadata"] = {"ssd": "true", "old": None}  # type: ignore[assignment]
    assert converge(cloud, aggregates={"ssd": wanted}) == [
        "aggregate ssd: availability zone az1 (was az0)",
        "aggregate ssd: add host compute1",
        "aggregate ssd: metadata ssd true (was not set)",
        "aggregate ssd: no metadata old (was 2)",
    ]
    assert mine["hosts"] == ["compute2", "compute1"]
    assert mine["metadata"] == {"theirs": "1", "ssd": "true"}


def test_other_hosts_are_taken_out_only_when_asked(cloud: StandIn) -> None:
    mine = aggregate(cloud, "ssd", "compute1", "compute2")
    assert converge(cloud, aggregates={"ssd": {"hosts": ["compute1"]}}) == []
    wanted = {"hosts": ["compute1"], "only_these_hosts": True}
    assert converge(cloud, aggregates={"ssd": wanted}) == ["aggregate ssd: take host compute2 out"]
    assert mine["hosts"] == ["compute1"]


def test_a_host_moves_from_one_aggregate_to_another_in_one_run(cloud: StandIn) -> None:
    aggregate(cloud, "old", "compute1", "compute2", zone="az1")
    aggregates = {
        "new": {"availability_zone": "az2", "hosts": ["compute1"]},
        "old": {"hosts": ["compute2"], "only_these_hosts": True},
    }
    planned = converge(cloud, aggregates=aggregates)
    assert planned[0] == "aggregate old: take host compute1 out"


def test_a_host_in_somebody_elses_zone_is_refused(cloud: StandIn) -> None:
    aggregate(cloud, "theirs", "compute1", zone="az1")
    mine = {"ssd": {"availability_zone": "az2", "hosts": ["compute1"]}}
    assert refused(cloud, aggregates=mine) == (
        "host compute1 is in availability zone az1 by aggregate theirs, so it cannot be in az2"
    )


def test_an_aggregate_is_removed_with_the_hosts_that_are_named(cloud: StandIn) -> None:
    aggregate(cloud, "ssd", "compute1", "compute2")
    text = refused(cloud, aggregates={"ssd": {"absent": True, "hosts": ["compute1"]}})
    assert text.startswith("aggregate ssd is not removed: compute2 is in it")
    gone = {"ssd": {"absent": True, "hosts": ["compute1", "compute2"]}}
    assert converge(cloud, aggregates=gone)[-1] == "remove aggregate ssd"
    assert cloud.aggregates == {}


def test_hosts_that_nova_does_not_know_yet_are_named(cloud: StandIn) -> None:
    wanted = {"ssd": {"hosts": ["compute3"]}}
    answer = asked(cloud, aggregates=wanted)
    assert answer["unregistered"] == ["compute3"]
    assert "aggregate ssd: add host compute3" in answer["changes"]
    answer = asked(cloud, aggregates=wanted, left_out=["compute3"])
    assert answer["unregistered"] == []
    assert "this run leaves it out" in answer["remarks"][0]


GPU = {"gpu": {"hosts": ["compute1"], "metadata": {"trait:CUSTOM_GPU": "required"}}}


def test_a_trait_of_an_aggregate_is_given_to_its_hosts(cloud: StandIn) -> None:
    cloud.conflicts = 2
    flavors = {"g1": {**LARGE, "extra_specs": {"trait:CUSTOM_GPU": "required"}}}
    assert remarks(cloud, aggregates=GPU, flavors=flavors) == []
    assert "give host compute1 the trait CUSTOM_GPU" in converge(cloud, aggregates=GPU)
    assert cloud.traits == {
        "rp-compute1": ["CUSTOM_GPU", "HW_CPU_X86_AVX"],
        "rp-compute2": ["HW_CPU_X86_AVX"],
    }


def test_a_provider_that_keeps_changing_ends_the_run(cloud: StandIn) -> None:
    cloud.conflicts = 9
    with pytest.raises(SystemExit, match="the resource provider keeps changing"):
        asked(cloud, apply=True, aggregates=GPU)


def test_a_standard_trait_is_the_drivers_to_give(cloud: StandIn) -> None:
    wanted = {"gpu": {"hosts": ["compute1"], "metadata": {"trait:HW_GPU_API_VULKAN": "required"}}}
    (text,) = remarks(cloud, aggregates=wanted)
    assert text.startswith("host compute1 does not have the trait HW_GPU_API_VULKAN")
    converge(cloud, aggregates=wanted)
