"""files/cloud_objects.py with all kinds, against a stand-in for the APIs, over real sockets."""

from __future__ import annotations

from pathlib import Path

import cloud_objects
import pytest
import rest

from .cloud_requests import KEY, LARGE, LOGIN, asked, changes, converge
from .cloud_stand_in import PROJECT, StandIn


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
