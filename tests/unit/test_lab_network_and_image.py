"""lab/files/network_and_image.py against a stand-in for Keystone, Neutron and Glance."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import rest
from typing_extensions import override

from .cloud_stand_in import StandIn
from .serving import FAULTS, Headers, Json, running

LOGIN = {"username": "admin", "password": "x", "project": "admin"}
LOGIN |= {"user_domain": "Default", "project_domain": "Default"}
NETWORK = {"name": "provider", "physical_network": "physnet1", "cidr": "10.98.0.0/24"}
NETWORK |= {"gateway": "10.98.0.1", "first": "10.98.0.100", "last": "10.98.0.200"}


class Lab(StandIn):
    """With a network that has no subnet yet, and an image of another file."""

    def __init__(self) -> None:
        super().__init__()
        self.services = ("compute", "image")
        self.networks: list[Json] = []
        old = self.make_image({"name": "guest"}, {})
        self.put_image(b"old", {}, old["id"])

    @override
    def answer(self, method: str, target: str, body: Any, headers: Headers) -> Any:
        if target.startswith("/network/v2.0/networks"):
            if method == "POST":
                self.networks.append({"id": "n", "subnets": [], **body["network"]})
                return {"network": self.networks[-1]}
            return {"networks": self.networks}
        if target.startswith("/network/v2.0/subnets"):
            self.networks[0]["subnets"].append("s")
            return {"subnet": {"id": "s"}}
        target = target.replace("?name=guest", "?owner=project-of-admin")
        found = super().answer(method, target, body, headers)
        if target.endswith("/tokens"):
            place = {"interface": "internal", "region_id": "R", "url": self.url + "/network"}
            found["token"]["catalog"].append({"type": "network", "endpoints": [place]})
            for entry in found["token"]["catalog"]:
                entry["endpoints"][0]["region_id"] = "R"
        return found


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = Path(__file__).resolve().parents[2] / "lab" / "files" / "network_and_image.py"
    spec = importlib.util.spec_from_file_location("network_and_image", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def lab() -> Iterator[Lab]:
    with running(Lab()) as lab:
        yield lab


def asked(script: ModuleType, lab: Lab, folder: Path, apply: bool = True) -> dict[str, Any]:
    file = folder / "guest.img"
    file.write_bytes(b"new")
    image = {"name": "guest", "path": str(file), "properties": {"hw_rng_model": "virtio"}}
    login = {**LOGIN, "auth_url": lab.url + "/identity/v3"}
    request = {"login": login, "region": "R", "network": NETWORK, "image": image, "apply": apply}
    lab.asked.clear()
    return dict(script.answer(request))


PLANNED = [
    "create network provider",
    "create subnet 10.98.0.0/24 of provider",
    "upload image guest",
]


def test_what_is_missing_is_made_and_then_there_is_nothing_left(
    script: ModuleType, lab: Lab, tmp_path: Path
) -> None:
    assert asked(script, lab, tmp_path, apply=False) == {"error": None, "changes": PLANNED}
    assert asked(script, lab, tmp_path)["changes"] == PLANNED
    assert [image["size"] for image in lab.images.values()] == [len(b"new")]
    assert asked(script, lab, tmp_path, apply=False)["changes"] == []


@pytest.mark.parametrize("fault", FAULTS)
def test_after_a_request_without_an_answer_nothing_is_asked_or_changed(
    script: ModuleType, tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "TIMEOUT", 0.2)
    monkeypatch.setattr("keystone.TIMEOUT", 0.2)
    monkeypatch.setattr(script, "UPLOAD_TIMEOUT", 0.2)
    for number in range(1, 11):
        with running(Lab()) as lab:
            lab.fail(number, fault)
            with pytest.raises(SystemExit) as error:
                asked(script, lab, tmp_path)
        method, path = lab.asked[-1].split(" ")
        assert len(lab.asked) == number
        assert f"{method} {lab.url}{path}" in str(error.value)
    assert lab.asked[-1].startswith("DELETE /image")
