"""lab/files/service_type.py: Cinder is in the catalogue once, under the type of its release."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "lab" / "files" / "service_type.py"
REQUEST = {"type": "volumev3", "name": "cinderv3", "formerly": ["block-storage"]}
GLANCE = {"id": "1", "type": "image", "name": "glance"}
CINDER = {"id": "2", "type": "block-storage", "name": "cinder"}
CINDER_V3 = {"id": "3", "type": "volumev3", "name": "cinderv3"}


class Keystone:
    """Some services, and what was changed of them."""

    def __init__(self, *services: dict[str, str]) -> None:
        self.services = services
        self.changed: list[tuple[str, str, dict[str, Any]]] = []

    def get(self, path: str) -> dict[str, Any]:
        assert path == "/services"
        return {"services": list(self.services)}

    def change(self, method: str, path: str, body: dict[str, Any]) -> None:
        self.changed.append((method, path, body))


@pytest.fixture(scope="module")
def service_type() -> ModuleType:
    specification = importlib.util.spec_from_file_location("service_type", SCRIPT)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("services", [(), (GLANCE,), (GLANCE, CINDER_V3), (CINDER, CINDER_V3)])
def test_nothing_is_changed_where_the_type_is_there_or_no_former_one(
    service_type: ModuleType, services: tuple[dict[str, str], ...]
) -> None:
    api = Keystone(*services)
    assert service_type.converge(api, {**REQUEST, "apply": True}) == []
    assert api.changed == []


@pytest.mark.parametrize("apply", [False, True])
def test_a_service_of_a_former_type_becomes_the_new_one_and_keeps_its_endpoints(
    service_type: ModuleType, apply: bool
) -> None:
    api = Keystone(GLANCE, CINDER)
    said = service_type.converge(api, {**REQUEST, "apply": apply})
    assert said == ["service block-storage becomes volumev3 (cinderv3)"]
    body = {"service": {"type": "volumev3", "name": "cinderv3"}}
    assert api.changed == ([("PATCH", "/services/2", body)] if apply else [])
