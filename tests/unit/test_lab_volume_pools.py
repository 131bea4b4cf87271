"""lab/files/volume_pools.py against a stand-in for Keystone and Cinder's scheduler."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typing_extensions import override

from .cloud_stand_in import StandIn
from .serving import Headers, Json, running

LOGIN = {"username": "admin", "password": "x", "project": "admin"}
LOGIN |= {"user_domain": "Default", "project_domain": "Default"}
NOBODY = "Cinder's scheduler knows of no room: no volume service has told of its"


class Cinder(StandIn):
    """Whose scheduler answers with each of REPORTS in turn, and then always with the last."""

    def __init__(self, *reports: list[Json]) -> None:
        super().__init__()
        self.services = ()
        self.reports = list(reports)

    @override
    def answer(self, method: str, target: str, body: Any, headers: Headers) -> Any:
        if target.endswith("/scheduler-stats/get_pools?detail=true"):
            assert headers["X-Auth-Token"]
            return {"pools": self.reports.pop(0) if len(self.reports) > 1 else self.reports[0]}
        found = super().answer(method, target, body, headers)
        if target.endswith("/tokens"):
            found["token"]["catalog"] = [
                {
                    "type": "block-storage",
                    "endpoints": [{"interface": "internal", "region_id": "R", "url": self.url}],
                }
            ]
        return found


def pool(free: object) -> Json:
    return {"name": "controller@ceph#ceph", "capabilities": {"free_capacity_gb": free}}


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    path = Path(__file__).resolve().parents[2] / "lab" / "files" / "volume_pools.py"
    spec = importlib.util.spec_from_file_location("volume_pools", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "WAIT", 5)
    monkeypatch.setattr(module, "EACH", 0.01)
    yield module


def asked(script: ModuleType, apply: bool, *reports: list[Json], region: str = "R") -> Any:
    with running(Cinder(*reports)) as cinder:
        login = {"auth_url": cinder.url + "/identity/v3", **LOGIN}
        request = {"login": login, "region": region, "type": "block-storage", "apply": apply}
        return script.answer(request)


@pytest.mark.parametrize("free", [1, 19.99, "infinite", "unknown"])
def test_a_pool_with_room_is_enough(script: ModuleType, free: object) -> None:
    assert asked(script, False, [pool(0), pool(free)]) == {"missing": ""}


def test_a_scheduler_that_nobody_has_told_of_a_pool_has_none(script: ModuleType) -> None:
    assert asked(script, False, []) == {"missing": NOBODY}


@pytest.mark.parametrize("free", [0, 0.5, None, "much"])
def test_a_pool_without_room_is_named(script: ModuleType, free: object) -> None:
    said = f"Cinder's scheduler knows of no room: controller@ceph#ceph has {free} GB free"
    assert asked(script, False, [pool(free)]) == {"missing": said}


def test_a_pool_that_says_nothing_of_itself_has_no_room(script: ModuleType) -> None:
    said = "Cinder's scheduler knows of no room: controller@ceph#ceph has None GB free"
    silent = {"name": "controller@ceph#ceph", "capabilities": None}
    assert asked(script, False, [silent]) == {"missing": said}


def test_who_waits_goes_on_once_the_scheduler_has_been_told(script: ModuleType) -> None:
    assert asked(script, True, [], [pool(0)], [pool(20)]) == {"missing": ""}


def test_waiting_ends_with_what_is_missing(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "WAIT", 0.05)
    with pytest.raises(SystemExit, match=NOBODY):
        asked(script, True, [])


def test_no_such_service_is_no_room(script: ModuleType) -> None:
    said = "the catalogue has no internal endpoint of type block-storage in S"
    assert asked(script, False, [pool(20)], region="S") == {"missing": said}
