"""files/cloud_objects.py against a stand-in for the APIs (cloud_stand_in.py), over real sockets."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloud_objects
import pytest
import rest

from .cloud_stand_in import PROJECT, StandIn
from .serving import running

LOGIN = {
    "username": "admin",
    "password": "x",
    "user_domain": "Default",
    "project": "admin",
    "project_domain": "Default",
}
LARGE = {"vcpus": 2, "ram": 1024, "disk": 10}
KEY = "ssh-ed25519 AAAAkey"


@pytest.fixture
def cloud() -> Iterator[StandIn]:
    with running(StandIn()) as cloud:
        yield cloud


def asked(cloud: StandIn, apply: bool = False, **kinds: Any) -> dict[str, Any]:
    cloud.asked.clear()
    more = {key: kinds.pop(key) for key in ("left_out",) if key in kinds}
    request = {
        "auth_url": cloud.url + "/identity/v3",
        "region": "RegionOne",
        "interface": "internal",
        "admin": LOGIN,
        "left_out": [],
        "declared": kinds,
        "apply": apply,
        **more,
    }
    return dict(cloud_objects.answer(request))


def changes(cloud: StandIn, **kinds: Any) -> list[str]:
    """What is planned, which changes nothing; nothing may be refused."""
    answer = asked(cloud, **kinds)
    assert (answer["error"], answer["refused"]) == (None, [])
    assert cloud.changes() == []
    return list(answer["changes"])


def converge(cloud: StandIn, **kinds: Any) -> list[str]:
    """Bring the cloud in line; what was planned is done, and then there is nothing left."""
    planned = changes(cloud, **kinds)
    assert asked(cloud, apply=True, **kinds)["changes"] == planned
    assert changes(cloud, **kinds) == []
    return planned


def refused(cloud: StandIn, **kinds: Any) -> str:
    """Why nothing is done."""
    (text,) = asked(cloud, **kinds)["refused"]
    with pytest.raises(SystemExit) as error:
        asked(cloud, apply=True, **kinds)
    assert str(error.value) == text
    assert cloud.changes() == []
    return str(text)


def remarks(cloud: StandIn, **kinds: Any) -> list[str]:
    return list(asked(cloud, **kinds)["remarks"])


# --- all kinds ------------------------------------------------------------------------------------


def test_nothing_is_asked_of_an_api_for_kinds_that_are_not_declared(cloud: StandIn) -> None:
    assert changes(cloud) == []
    assert cloud.asked == ["POST /identity/v3/auth/tokens"]


def test_a_wrong_password_and_a_missing_api_are_named(cloud: StandIn) -> None:
    cloud.services = ("image",)
    answer = asked(cloud, flavors={"m1": LARGE})
    assert answer["answers"] is False
    assert answer["error"] == "the catalogue has no internal endpoint of type compute in RegionOne"
    with pytest.raises(SystemExit, match="no internal endpoint of type compute"):
        asked(cloud, apply=True, flavors={"m1": LARGE})
    request = {"auth_url": cloud.url + "/identity/v3", "admin": {**LOGIN, "password": "y"}}
    answer = cloud_objects.answer({**request, "declared": {}, "apply": False})
    assert answer["error"] == (
        f"{cloud.url}/identity/v3 refuses user admin (401): "
        "The request you have made requires authentication."
    )


def test_one_run_makes_every_kind_and_the_next_nothing(cloud: StandIn, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(b"content")
    planned = converge(
        cloud,
        flavors={"m1": {**LARGE, "extra_specs": {"hw:cpu_policy": "shared"}}},
        aggregates={"ssd": {"availability_zone": "az1", "hosts": ["compute1"]}},
        server_groups={"spread": {"policy": "anti-affinity", "max_server_per_host": 2}},
        quotas={"admin": {"cores": 40}},
        keypairs={"mine": {"public_key": KEY + " me@here"}},
        images={"i": {"file": str(tmp_path / "image"), "disk_format": "raw"}},
    )
    assert planned == [
        "create flavor m1: vcpus 2, ram 1024, disk 10, extra spec hw:cpu_policy shared",
        "create aggregate ssd in availability zone az1",
        "aggregate ssd: add host compute1",
        "create server group spread: anti-affinity, at most 2 on a host",
        "quota of project admin: cores 40 (was 20)",
        "create keypair mine",
        f"upload image i: {tmp_path}/image",
    ]


def test_an_error_of_an_api_is_reported_with_its_message(cloud: StandIn) -> None:
    with pytest.raises(SystemExit) as error:
        asked(cloud, apply=True, flavors={"m1": LARGE}, quotas={"admin": {"cores": 1}})
    assert str(error.value) == (
        f"quota of project admin: cores 1 (was 20): PUT {cloud.url}/compute/v2.1/os-quota-sets/"
        f"{PROJECT} answers 400: Quota limit 1 for cores must be greater than or equal to 4. "
        "(1 changes were made before)"
    )


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"badRequest": {"code": 400, "message": "too big"}}', "too big"),
        ('{"errors": [{"title": "Conflict", "detail": "a generation"}]}', "a generation"),
        ("<html><h1>403 Forbidden</h1> no<br/> rights</html>", "403 Forbidden no rights"),
        ("[]", "[]"),
    ],
)
def test_every_service_says_what_is_wrong_in_its_own_way(body: str, said: str) -> None:
    assert rest.said_by(body) == said


# --- flavors --------------------------------------------------------------------------------------


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


# --- aggregates -----------------------------------------------------------------------------------


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


# --- server groups, quotas, keypairs --------------------------------------------------------------


def group(cloud: StandIn, name: str, **more: Any) -> dict[str, Any]:
    made = cloud.make_group({"server_group": {"name": name, "policy": "affinity", **more}}, {})
    return dict(made["server_group"])


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


# --- images ---------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(b"what the disk holds")
    return path


def checksum(file: Path, kind: str) -> str:
    return f"{kind}:{hashlib.new(kind, file.read_bytes()).hexdigest()}"


@pytest.mark.parametrize("kind", ["sha256", "sha512"])
def test_an_image_with_the_right_checksum_is_uploaded_once(
    cloud: StandIn, file: Path, kind: str
) -> None:
    wanted = {"file": str(file), "disk_format": "raw", "checksum": checksum(file, kind)}
    wanted |= {"properties": {"os_distro": "debian"}, "min_ram": 64}  # type: ignore[dict-item]
    assert converge(cloud, images={"i": wanted}) == [f"upload image i: {file}"]
    (image,) = cloud.images.values()
    assert (image["status"], image["os_distro"], image["min_ram"]) == ("active", "debian", 64)
    # From here on the file is not needed.
    file.unlink()
    assert converge(cloud, images={"i": wanted}) == []


def test_properties_change_without_an_upload(cloud: StandIn, file: Path) -> None:
    wanted: dict[str, Any] = {"file": str(file), "disk_format": "raw"}
    converge(cloud, images={"i": {**wanted, "properties": {"a": "1", "b": "2"}}})
    cloud.images[next(iter(cloud.images))]["theirs"] = "kept"
    wanted |= {"min_ram": 128, "properties": {"a": "x", "b": None, "c": "3"}}
    assert converge(cloud, images={"i": wanted}) == [
        "image i: min_ram 128 (was 0), property a x (was 1), no property b (was 2), "
        "property c 3 (was not set)"
    ]
    assert "PUT" not in " ".join(cloud.asked)
    (image,) = cloud.images.values()
    assert (image["theirs"], "b" in image) == ("kept", False)


def test_other_content_is_drift_unless_the_image_may_be_replaced(
    cloud: StandIn, file: Path
) -> None:
    wanted = {"file": str(file), "disk_format": "raw"}
    converge(cloud, images={"i": wanted})
    (old,) = cloud.images
    file.write_bytes(b"something else")
    assert "it holds something else than is declared" in refused(cloud, images={"i": wanted})
    planned = converge(cloud, images={"i": {**wanted, "replace": True}})
    assert planned == [f"replace image i: {file}"]
    assert len(cloud.images) == 1 and old not in cloud.images


def test_content_that_is_not_as_declared_is_not_uploaded(cloud: StandIn, file: Path) -> None:
    wanted = {"file": str(file), "disk_format": "raw", "checksum": "sha256:" + "0" * 64}
    with pytest.raises(SystemExit, match=r"holds sha256:.* and sha256:0+ is declared"):
        asked(cloud, apply=True, images={"i": wanted})
    assert cloud.images == {}


def test_an_image_is_fetched_from_a_url(cloud: StandIn, file: Path) -> None:
    # The stand-in's own list of domains is as good as any file.
    url = cloud.url + "/identity/v3/domains"
    content = b'{"domains": [{"id": "d", "name": "Default"}]}'
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    wanted = {"url": url, "disk_format": "raw", "checksum": digest}
    assert converge(cloud, images={"i": wanted}) == [f"upload image i: {url}"]
    assert next(iter(cloud.images.values()))["size"] == len(content)
    wanted["checksum"] = "sha512:" + "0" * 128
    assert "holds something else" in refused(cloud, images={"i": wanted})
    cloud.images.clear()
    wanted["url"] = cloud.url + "/nothing"
    with pytest.raises(SystemExit, match=r"GET .*/nothing answers 404"):
        asked(cloud, apply=True, images={"i": wanted})


def test_an_image_of_somebody_else_is_not_taken_for_ours(cloud: StandIn, file: Path) -> None:
    theirs = {"id": "t", "name": "i", "owner": "other", "status": "active"}
    cloud.images["t"] = dict(theirs)
    wanted = {"file": str(file), "disk_format": "raw"}
    assert converge(cloud, images={"i": wanted}) == [f"upload image i: {file}"]
    assert converge(cloud, images={"i": {"absent": True}}) == ["remove image i"]
    assert cloud.images == {"t": theirs}


def test_images_are_found_on_later_pages(cloud: StandIn, file: Path) -> None:
    wanted = {"file": str(file), "disk_format": "raw"}
    names = ["a", "b", "c", "d", "e"]
    assert len(converge(cloud, images=dict.fromkeys(names, wanted))) == len(names)


def test_what_an_interrupted_upload_left_is_replaced(cloud: StandIn, file: Path) -> None:
    body = {"name": "i", "disk_format": "raw", "pyinfra_nova_upload": "true"}
    cloud.make_image(body, {})
    wanted = {"file": str(file), "disk_format": "raw"}
    assert converge(cloud, images={"i": wanted}) == [f"replace image i: {file}"]
    assert [image["status"] for image in cloud.images.values()] == ["active"]


def test_an_image_that_somebody_is_about_to_upload_is_left(cloud: StandIn, file: Path) -> None:
    cloud.make_image({"name": "i", "disk_format": "raw"}, {})
    wanted = {"file": str(file), "disk_format": "raw"}
    assert "set `replace: true`" in refused(cloud, images={"i": wanted})
    assert [image["status"] for image in cloud.images.values()] == ["queued"]


def test_an_image_that_is_only_described_has_to_be_there(cloud: StandIn, tmp_path: Path) -> None:
    described = {"i": {"properties": {"hw_rng_model": "virtio"}}}
    assert "is not there, and neither file nor url" in refused(cloud, images=described)
    gone = {"i": {"file": str(tmp_path / "gone"), "disk_format": "raw"}}
    assert f"neither is {tmp_path}/gone on this host" in refused(cloud, images=gone)


def test_several_images_of_one_name_are_refused(cloud: StandIn, file: Path) -> None:
    wanted = {"file": str(file), "disk_format": "raw"}
    converge(cloud, images={"i": wanted})
    (image,) = cloud.images.values()
    cloud.images["z"] = {**image, "id": "z", "os_hash_value": "0"}
    assert "there are 2 images i" in refused(cloud, images={"i": wanted})
    planned = converge(cloud, images={"i": {**wanted, "replace": True}})
    assert planned == ["remove image i with other content"]
    assert "z" not in cloud.images


def test_a_checksum_that_glance_cannot_compare_is_said(cloud: StandIn, file: Path) -> None:
    converge(cloud, images={"i": {"file": str(file), "disk_format": "raw"}})
    digest = checksum(file, "sha256")
    file.unlink()
    wanted = {"file": str(file), "disk_format": "raw", "checksum": digest}
    assert "cannot be compared" in refused(cloud, images={"i": wanted})
