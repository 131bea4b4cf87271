"""files/audit/figures.py: a cloud in figures, of plain rows."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import figures
from evidence import Evidence

NOW = 1_800_000_000.0


def ago(seconds: float) -> datetime:
    return datetime.fromtimestamp(NOW - seconds, tz=timezone.utc).replace(tzinfo=None)


def service(**changes: Any) -> dict[str, Any]:
    row = {"binary": "nova-compute", "host": "compute1", "last_seen_up": ago(4), "version": 64}
    return {**row, "disabled": 0, "disabled_reason": None, "forced_down": 0, **changes}


def guest(host: str | None = "compute1", state: str = "active", task: str | None = None) -> Any:
    return {"host": host, "vm_state": state, "task_state": task}


NODE = {
    "id": 1,
    "host": "compute1",
    "hypervisor_hostname": "compute1.example.org",
    "host_ip": "10.0.0.31",
    "hypervisor_type": "QEMU",
    "hypervisor_version": 7002015,
}
PLACEMENT = {
    "providers": [
        {"uuid": "r", "name": "compute1.example.org", "parent": None},
        {"uuid": "c", "name": "compute1_pci", "parent": "r"},
    ],
    "inventories": {
        "r": {"VCPU": [4, 0, 16.0], "MEMORY_MB": [2000, 512, 1.5]},
        "c": {"PCI": [2, 0, 1.0]},
    },
    "allocations": [
        {"provider": "r", "consumer": "g1", "resources": {"VCPU": 2, "MEMORY_MB": 64}},
        {"provider": "r", "consumer": "g2", "resources": {"VCPU": 1}},
        {"provider": "c", "consumer": "g1", "resources": {"PCI": 1}},
    ],
}


def of(placement: Any = PLACEMENT, **rows: Any) -> Any:
    found = {"services": [service()], "compute_nodes": [NODE], "instances": [], **rows}
    return figures.of(Evidence({"names": {}}, NOW, databases=found, placement=placement))


def test_a_service_runs_if_its_host_says_so() -> None:
    expected = {"names": {"compute1": "c1"}}
    rows = {"services": [service()], "compute_nodes": [], "instances": []}

    def runs(hosts: Any) -> Any:
        (found,) = figures.of(Evidence(expected, NOW, databases=rows, hosts=hosts))["services"]
        return found["runs"]

    ended = {"unit": "nova-compute", "pid": None, "since": None}
    assert runs({"c1": {"processes": {"nova-compute": {**ended, "pid": 7}}}}) is True
    assert runs({"c1": {"processes": {"nova-compute": ended}}}) is False
    assert runs({"c1": {"processes": {"nova-compute": None}}}) is False
    assert runs({}) is None
    assert runs(None) is None


def test_a_compute_with_what_placement_gives_away_and_has_given() -> None:
    (compute,) = of(instances=[guest(), guest(state="stopped"), guest()])["computes"]
    assert compute["host"] == "compute1"
    assert compute["hypervisor"] == "QEMU 7.2.15"
    assert compute["guests"] == {"active": 2, "stopped": 1}
    assert compute["capacity"] == {
        "VCPU": {"total": 64, "used": 3},
        "MEMORY_MB": {"total": 2232, "used": 64},
        "PCI": {"total": 2, "used": 1},
    }


def test_without_an_answer_of_placement_nothing_is_said_of_capacity() -> None:
    assert of(placement=None)["computes"][0]["capacity"] is None


def test_guests_are_counted_wherever_they_are() -> None:
    rows = [guest(), guest("compute2", "error"), guest(None, "building", "scheduling")]
    found = of(instances=rows)
    assert found["guests"] == {"active": 1, "error": 1, "building": 1}
    assert (found["busy"], found["unplaced"]) == (1, 1)


def test_a_service_tells_its_age_and_why_it_takes_no_guests() -> None:
    rows = [
        service(),
        service(host="compute2", last_seen_up=None, disabled=1, disabled_reason="a new disk"),
        service(binary="nova-osapi_compute", host="controller"),
    ]
    first, second = of(services=rows)["services"]
    assert (first["age"], first["enabled"], first["reason"]) == (4, True, "")
    assert (second["age"], second["enabled"], second["reason"]) == (None, False, "a new disk")


def test_without_the_databases_there_are_no_figures() -> None:
    assert figures.of(Evidence({}, NOW)) is None
