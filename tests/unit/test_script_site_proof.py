"""files/site_proof.py: what the databases and the broker have to show of the present processes."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
import site_proof

NAMES = {"api": "nova_api", "cell0": "nova_cell0", "cell1": "nova"}
ADDRESS = "10.0.0.31"
PROCESS = 100.0
"""Seconds that every process has run."""


NOW = 1_800_000_000.0


def ago(seconds: float) -> datetime:
    """That long ago, as pymysql gives the times of Nova's databases: UTC, without saying so."""
    return datetime.fromtimestamp(NOW - seconds, tz=timezone.utc).replace(tzinfo=None)


def service(binary: str = "nova-compute", host: str = "compute1", **changes: Any) -> dict[str, Any]:
    row = {"binary": binary, "host": host, "last_seen_up": ago(5), "forced_down": 0}
    return {**row, "disabled": 0, "disabled_reason": None, **changes}


def node(host: str = "compute1", **changes: Any) -> dict[str, Any]:
    row = {"host": host, "hypervisor_hostname": host, "host_ip": ADDRESS, "mapped": 1}
    return {**row, "written": ago(PROCESS - 5), **changes}


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What is found in rows of services, nodes and mappings, for processes of a given age."""

    def found(
        services: list[dict[str, Any]],
        nodes: list[dict[str, Any]],
        mapped: tuple[str, ...] = ("compute1",),
        age: float | None = PROCESS,
    ) -> dict[str, Any]:
        tables = {
            "services": services,
            "compute_nodes": nodes,
            "host_mappings": [{"host": host} for host in mapped],
        }

        def rows(_: Any, name: str, table: str, *__: str) -> list[dict[str, Any]]:
            assert name in NAMES.values()
            return tables[table]

        monkeypatch.setattr(site_proof.nova_state, "read_if_there", rows)
        monkeypatch.setattr(site_proof.time, "time", lambda: NOW)
        request = {
            "names": NAMES,
            "known": {"nova-compute": ["compute1"], "nova-conductor": ["controller"]},
            "services": {"nova-compute": {"compute1": age}},
            "computes": {"compute1": ADDRESS},
            "margin": 1.5,
            "delay": 30,
            "down_time": 60,
            "broker": None,
            "queues": {},
        }
        answer: dict[str, Any] = site_proof.look(None, NOW, request)
        return answer

    return found


def test_a_compute_that_has_shown_itself_since_it_started_lacks_nothing(look: Any) -> None:
    found = look([service()], [node()])
    assert (found["missing"], found["unmapped"], found["strangers"]) == ({}, [], [])


@pytest.mark.parametrize(
    ("services", "nodes", "said"),
    [
        ([], [], "has not registered"),
        ([service(last_seen_up=None)], [node()], "no heartbeat since its process started"),
        ([service(last_seen_up=ago(101))], [node()], "no heartbeat since its process started"),
        # Stored in whole seconds, it may be that of the process before.
        ([service(last_seen_up=ago(99))], [node()], "no heartbeat since its process started"),
        ([service(last_seen_up=ago(70))], [node()], "its last heartbeat 70 s ago"),
        ([service(forced_down=1)], [node()], "service set --up compute1 nova-compute`"),
        (
            [service(disabled=1, disabled_reason="AUTO: Connection to libvirt lost: 1")],
            [node()],
            "has disabled itself: AUTO: Connection to libvirt lost: 1",
        ),
        ([service()], [], "has no compute node yet"),
        ([service()], [node(host_ip="127.0.0.1")], "address 127.0.0.1 instead of 10.0.0.31"),
        ([service()], [node(written=ago(140))], "not written its resources since"),
        (
            [service()],
            [node(), node(hypervisor_hostname="elsewhere")],
            "2 compute nodes: compute1, elsewhere",
        ),
    ],
)
def test_what_a_compute_has_not_shown_is_said(
    look: Any, services: list[Any], nodes: list[Any], said: str
) -> None:
    (text,) = look(services, nodes)["missing"]["compute1"]
    assert text.startswith("nova-compute ") and said in text.replace("is up but ", "")


def test_a_node_may_seem_a_little_older_than_its_process(look: Any) -> None:
    """Its age has grown on its way here, and another controller's clock may be behind."""
    assert look([service()], [node(written=ago(PROCESS + 30))])["missing"] == {}


def test_the_node_of_a_process_that_has_long_run_is_not_judged_by_its_time(look: Any) -> None:
    """Nova does not write it while nothing changes; a clock may have been set after the start."""
    assert look([service()], [node(written=ago(8000))], age=7200)["missing"] == {}


def test_an_operator_may_close_a_compute(look: Any) -> None:
    assert look([service(disabled=1, disabled_reason="a disk")], [node()])["missing"] == {}


def test_a_process_that_nobody_has_looked_at_needs_a_heartbeat_of_late(look: Any) -> None:
    assert look([service(last_seen_up=ago(50))], [node(written=ago(9999))], age=None) == look(
        [service()], [node()]
    )


def test_a_service_that_never_sent_a_heartbeat_is_not_said_to_have_sent_one(look: Any) -> None:
    (text,) = look([service(last_seen_up=None)], [node()], age=None)["missing"]["compute1"]
    assert text == "nova-compute has never sent a heartbeat"


def test_a_compute_without_a_mapping_is_unmapped_and_its_flag_is_told(look: Any) -> None:
    found = look([service()], [node()], mapped=())
    assert (found["unmapped"], found["flagged"]) == (["compute1"], True)
    assert look([service()], [node(mapped=0)], mapped=())["flagged"] is False


def test_what_nobody_named_is_a_stranger(look: Any) -> None:
    services = [service(), service(host="compute10"), service("nova-conductor", "old")]
    found = look(services, [node(), node("compute10")], mapped=("compute1", "compute10"))
    assert found["strangers"] == [
        "service nova-compute on compute10",
        "service nova-conductor on old",
        "compute node of compute10",
        "cell mapping of compute10",
    ]


@pytest.mark.parametrize(
    ("counts", "found"),
    [
        ({"compute.compute1": 1, "conductor.controller": 2}, {}),
        (
            {"compute.compute1": None, "conductor.controller": 2},
            {"compute1": "nobody listens on queue compute.compute1"},
        ),
        (
            {"compute.compute1": 1, "conductor.controller": 0},
            {"controller": "nobody listens on queue conductor.controller"},
        ),
        (
            {"compute.compute1": 2, "conductor.controller": 2},
            {"compute1": "another nova-compute says that it is compute1"},
        ),
    ],
)
def test_every_queue_has_somebody_who_listens_and_a_computes_has_one(
    counts: dict[str, int | None], found: dict[str, str]
) -> None:
    request = {"queues": {"compute.compute1": 1, "conductor.controller": None}}
    said = site_proof.crowds(counts, request)
    assert said.keys() == found.keys()
    for host, text in found.items():
        assert text in said[host][0]


def test_a_name_with_dots_is_whole() -> None:
    said = site_proof.crowds({}, {"queues": {"compute.c1.example.org": 1}})
    assert list(said) == ["c1.example.org"]
