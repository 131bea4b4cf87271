"""An audit says first what explains the rest, and does not send anybody to what follows from it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import broker_queues
import causes
import host_evidence
import host_restore
import pytest
import restored_host
from finding import judged

from pyinfra_nova.audit import report

from .audited_cloud import DETECTORS, Cloud, agent, ago

REQUEST = {"broker": {"hosts": ["controller"]}}
DOWN = "RabbitMQ on controller does not run"


@pytest.fixture
def cloud() -> Cloud:
    """All that speaks over the broker has been silent for a quarter of an hour."""
    found = Cloud()
    for row in found.databases["services"]:
        row["last_seen_up"] = ago(900)
    assert found.network is not None
    found.network["agents"] = [agent(host, alive=False) for host in ("compute1", "compute2")]
    return found


def told(cloud: Cloud, broker: str | None = None, request: Any = None) -> list[dict[str, Any]]:
    seen = cloud.evidence()
    if broker:
        seen.broker, seen.silent["broker"] = None, broker
    found = judged(seen, DETECTORS)[0]
    answer: list[dict[str, Any]] = causes.sorted_out(found, request or REQUEST, seen.silent)
    return answer


def test_a_broker_that_does_not_run_is_all_that_is_said(cloud: Cloud) -> None:
    [found] = told(cloud, DOWN)
    assert (found["kind"], found["where"]) == ("broker-down", "controller")
    assert found["what"] == (
        f"{DOWN}; held back, because it follows from that: 2 agent-dead, 2 service-deaf, "
        "2 service-silent"
    )
    assert found["remedy"].startswith("`systemctl start rabbitmq-server` on controller")


def test_a_process_that_has_ended_is_said_beside_it(cloud: Cloud) -> None:
    assert cloud.hosts is not None
    cloud.hosts["controller"]["processes"]["nova-conductor"] = None
    assert [each["kind"] for each in told(cloud, DOWN)] == ["broker-down", "service-down"]


def test_one_node_of_several_explains_nothing_yet(cloud: Cloud) -> None:
    first, *others = told(cloud, DOWN, {"broker": {"hosts": ["controller", "rmq2"]}})
    assert (first["kind"], first["what"], len(others)) == ("broker-down", DOWN, 6)
    start = "first see why the broker does not answer; then `systemctl restart"
    deaf = [each for each in others if each["kind"] != "service-silent"]
    assert all(each["remedy"].startswith(start) for each in deaf)


def test_a_broker_that_does_not_answer_is_to_be_seen_to_first(cloud: Cloud) -> None:
    found = told(cloud, "RabbitMQ at 10.0.0.9:5672: timed out")
    assert len(found) == 6
    assert all(each["remedy"].startswith("first see why the broker") for each in found)


@pytest.mark.parametrize("broker", [None, DOWN])
def test_a_restore_under_way_is_the_first_of_all(cloud: Cloud, broker: str | None) -> None:
    assert cloud.hosts is not None
    cloud.hosts["controller"]["restore"] = "under way"
    for host in ("compute1", "compute2"):
        cloud.hosts[host]["restore"] = "not over"
        cloud.hosts[host]["processes"]["nova-compute"] = None
    cloud.leave("compute2")
    found = told(cloud, broker)
    assert (found[0]["kind"], found[0]["where"]) == ("restore-under-way", "controller")
    assert "`./run restore FILE` with the same file goes on" in found[0]["remedy"]
    assert "held back, because it follows from that: " in found[0]["what"]
    kinds = [each["kind"] for each in found]
    assert not {"service-down", "service-silent", "agent-dead"} & set(kinds)
    assert all(each["repair"] is None for each in found), "records are about to be others"


def test_a_restore_that_is_not_over_is_said_and_hides_nothing() -> None:
    cloud = Cloud()
    assert cloud.hosts is not None
    for host in ("compute1", "compute2"):
        cloud.hosts[host]["restore"] = "not over"
    cloud.row("services", host="compute1")["forced_down"] = 1
    first, second = told(cloud)
    assert first["kind"] == "restore-unfinished"
    assert first["what"] == (
        "a restore is not over: 2 computes remove no guest that Nova calls deleted"
    )
    assert "`./run restore --finish`" in first["remedy"]
    assert second["kind"] == "service-forced-down"


def test_hosts_tell_of_a_restore_by_the_files_of_a_restore(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert host_restore.MARKER == restored_host.MARKER
    assert host_restore.DROP_IN == restored_host.DROP_IN
    assert host_restore.read in host_evidence.PARTS
    for name in ("MARKER", "DROP_IN"):
        monkeypatch.setattr(host_restore, name, str(tmp_path / name))
    assert host_restore.read({}) == {"restore": None}
    (tmp_path / "DROP_IN").touch()
    assert host_restore.read({}) == {"restore": "not over"}
    (tmp_path / "MARKER").touch()
    assert host_restore.read({}) == {"restore": "under way"}


def test_commands_know_what_is_said_first() -> None:
    assert report.FIRST == causes.FIRST


# --- what rabbitmqctl says ------------------------------------------------------------------------

FAILED = """\
Error: unable to perform an operation on node 'rabbit@controller'. Please see diagnostics \
information and suggestions below.

Most common reasons for this are:

 * Target node is unreachable (e.g. due to hostname resolution, TCP connection or firewall issues)
 * Target node is not running

DIAGNOSTICS
===========

attempted to contact: [rabbit@controller]

rabbit@controller:
  * connected to epmd (port 4369) on controller
  * {}
  * suggestion: start the node

Current node details:
 * node name: 'rabbitmqcli-884-rabbit@controller'
 * effective user's home directory: /var/lib/rabbitmq
 * Erlang cookie hash: 7yXkQ1m2sP0r9dZc3vBnAw==
"""
NOT_RUNNING = "epmd reports: node 'rabbit' not running at all\n      no other nodes on controller"


def queues(monkeypatch: pytest.MonkeyPatch, said: str) -> str:
    def run(command: list[str], **_: Any) -> Any:
        return subprocess.CompletedProcess(command, 69, "", said)

    monkeypatch.setattr(broker_queues.subprocess, "run", run)
    found: dict[str, str] = broker_queues.answer({"broker": {"virtual_host": "/"}})
    return found["error"]


@pytest.mark.parametrize(
    "why", [NOT_RUNNING, "unable to connect to epmd (port 4369) on controller: econnrefused"]
)
def test_a_broker_that_does_not_run_is_said_in_plain_words(
    monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    assert queues(monkeypatch, FAILED.format(why)) == DOWN


def test_of_other_failures_what_matters_is_said_and_nothing_of_the_cookie(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = queues(monkeypatch, FAILED.format("TCP connection succeeded but Erlang refused"))
    assert said == (
        "rabbitmqctl ended with 69: Error: unable to perform an operation on node "
        "'rabbit@controller'; connected to epmd (port 4369) on controller; TCP connection "
        "succeeded but Erlang refused"
    )
    assert queues(monkeypatch, "Error: no such vhost\n") == (
        "rabbitmqctl ended with 69: Error: no such vhost"
    )
    assert queues(monkeypatch, "") == "rabbitmqctl ended with 69: it says nothing"
