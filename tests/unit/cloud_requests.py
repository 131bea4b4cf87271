"""What files/cloud_objects.py is asked to do to a cloud, and what it answers."""

from __future__ import annotations

from typing import Any

import cloud_objects
import pytest

from .cloud_stand_in import StandIn

LOGIN = {
    "username": "admin",
    "password": "x",
    "user_domain": "Default",
    "project": "admin",
    "project_domain": "Default",
}
LARGE = {"vcpus": 2, "ram": 1024, "disk": 10}
KEY = "ssh-ed25519 AAAAkey"


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


def group(cloud: StandIn, name: str, **more: Any) -> dict[str, Any]:
    made = cloud.make_group({"server_group": {"name": name, "policy": "affinity", **more}}, {})
    return dict(made["server_group"])
