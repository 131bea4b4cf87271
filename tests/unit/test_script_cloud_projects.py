"""files/cloud_projects.py against a stand-in for the APIs, over real sockets."""

from __future__ import annotations

from .cloud_requests import KEY, asked, converge, group, refused
from .cloud_stand_in import StandIn


def test_another_policy_is_drift_unless_the_group_may_be_replaced(cloud: StandIn) -> None:
    group(cloud, "g")
    group(cloud, "theirs")
    soft = {"policy": "soft-affinity"}
    text = refused(cloud, server_groups={"g": soft})
    assert text.startswith("server group g differs: soft-affinity (was affinity); Nova changes no")
    planned = converge(cloud, server_groups={"g": {**soft, "replace": True}})
    assert planned == ["replace server group g: soft-affinity (was affinity)"]
    assert {g["name"] for g in cloud.groups.values()} == {"g", "theirs"}


def test_a_group_with_members_is_neither_replaced_nor_removed(cloud: StandIn) -> None:
    group(cloud, "g", members=["guest"])
    wanted = {"policy": "soft-affinity", "replace": True}
    assert "is not replaced: it has 1 members" in refused(cloud, server_groups={"g": wanted})
    gone = {"g": {"absent": True}}
    assert "is not removed: it has 1 members" in refused(cloud, server_groups=gone)


def test_an_empty_group_is_removed_when_asked(cloud: StandIn) -> None:
    group(cloud, "g")
    gone = {"g": {"absent": True}, "never-there": {"absent": True}}
    assert converge(cloud, server_groups=gone) == ["remove server group g"]


def test_two_groups_of_one_name_are_refused(cloud: StandIn) -> None:
    group(cloud, "g"), group(cloud, "g")
    wanted = {"g": {"policy": "affinity"}}
    assert "there are 2 server groups g" in refused(cloud, server_groups=wanted)


def test_a_quota_changes_in_the_limits_that_are_declared(cloud: StandIn) -> None:
    cloud.quotas = {"instances": 5}
    wanted = {"admin": {"cores": -1, "instances": 5}}
    assert converge(cloud, quotas=wanted) == ["quota of project admin: cores -1 (was 20)"]
    assert cloud.quotas == {"instances": 5, "cores": -1}
    gone = {"admin": {"absent": True}}
    assert converge(cloud, quotas=gone) == ["quota of project admin: the default one"]
    assert cloud.quotas == {}


def test_the_quota_of_each_project_is_judged_by_itself(cloud: StandIn) -> None:
    default, more = {"absent": True}, {"cores": 40}
    said = "quota of project others: cores 40 (was 20)"
    assert converge(cloud, quotas={"admin": default, "others": more}) == [said]
    assert converge(cloud, quotas={"others": default, "admin": {"cores": 20}}) == [
        "quota of project others: the default one"
    ]
    cloud.quotas_of_others = {"cores": 40}
    assert converge(cloud, quotas={"admin": {"ram": 1024}}) == [
        "quota of project admin: ram 1024 (was 51200)"
    ]
    assert (cloud.quotas, cloud.quotas_of_others) == ({"ram": 1024}, {"cores": 40})


def test_all_projects_that_are_not_there_are_named(cloud: StandIn) -> None:
    said = "there is no project {} in domain Default, which has a quota"
    none = {name: {"cores": 4} for name in ("x", "y")}
    assert asked(cloud, quotas=none)["refused"] == [said.format(name) for name in none]


def test_the_quota_of_a_project_that_is_not_there_is_refused(cloud: StandIn) -> None:
    assert "there is no project x in domain Default" in refused(cloud, quotas={"x": {"cores": 4}})
    elsewhere = {"admin": {"cores": 4, "domain": "other"}}
    assert "there is no project admin in domain other" in refused(cloud, quotas=elsewhere)


def test_a_keypair_is_compared_without_its_comment(cloud: StandIn) -> None:
    cloud.keypairs = {"mine": {"name": "mine", "public_key": KEY + " old comment"}}
    assert converge(cloud, keypairs={"mine": {"public_key": KEY + " new comment"}}) == []


def test_another_key_is_drift_unless_it_may_be_replaced(cloud: StandIn) -> None:
    cloud.keypairs = {"mine": {"name": "mine", "public_key": "ssh-ed25519 AAAAother"}}
    cloud.keypairs["theirs"] = {"name": "theirs", "public_key": "ssh-ed25519 AAAAtheirs"}
    assert "another public key" in refused(cloud, keypairs={"mine": {"public_key": KEY}})
    wanted = {"mine": {"public_key": KEY, "replace": True}}
    assert converge(cloud, keypairs=wanted) == ["replace keypair mine: another public key"]
    assert converge(cloud, keypairs={"mine": {"absent": True}}) == ["remove keypair mine"]
    assert list(cloud.keypairs) == ["theirs"]
