"""pyinfra_nova/audit: what goes to a host is all that is run there, and asks for what is there."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from pyinfra_nova.audit import elsewhere, question
from pyinfra_nova.session.host_script import RUNNER, ScriptFact, script_input
from pyinfra_nova.site.settings import Site

from .site_data import site

GROUPS = {"controllers": ["ctl"], "computes": ["c1"], "database": ["db"], "messaging": ["rmq"]}
HOSTS = {
    "ctl": {"my_ip": "10.0.0.11"},
    "c1": {"my_ip": "10.0.0.31"},
    "db": {"my_ip": "10.0.0.12"},
    "rmq": {"my_ip": "10.0.0.13"},
}


@pytest.fixture(scope="module")
def away() -> Site:
    """A site whose databases, broker and Keystone are at ports where nobody listens."""
    return site(
        {
            "database": {"host": "127.0.0.1", "port": 9},
            "keystone": {"auth_url": "http://127.0.0.1:9/v3"},
        },
        groups=GROUPS,
        hosts=HOSTS,
    )


def answered(fact: type[ScriptFact], request: dict[str, Any]) -> dict[str, Any]:
    """What the script answers when it is run as on a host, with no more than what is sent."""
    (text,) = script_input(fact.script, request, fact.uses, fact.folder)
    done = subprocess.run(
        [sys.executable, "-I", "-c", RUNNER],
        input=text,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_host_that_has_nothing_of_nova_says_what_it_is(away: Site) -> None:
    for host in (away.primary_controller, *away.computes):
        assert answered(question.HostEvidence, question.of_host(away, host))["time"] > 1e9


def test_an_audit_of_which_nothing_answers_finds_nothing_and_says_so(away: Site) -> None:
    found = answered(question.CloudAudit, question.of_cloud(away, {}))
    assert found["findings"] == []
    assert {"databases", "placement", "broker", "identity", "network"} <= set(found["silent"])
    assert "databases" in [source for each in found["skipped"].values() for source in each]


def test_a_repair_of_which_nothing_answers_is_not_tried(away: Site) -> None:
    request = {**question.of_cloud(away, {}), "repairs": ["service-of-a-stranger/c9/nova-compute"]}
    (repair,) = answered(question.Repairs, request)["repairs"]
    assert repair["outcome"] == "untried" and "databases: " in repair["said"]


def test_the_host_of_the_databases_says_that_placement_is_not_there(away: Site) -> None:
    assert set(answered(elsewhere.Placement, elsewhere.of_placement(away))) <= {
        "placement",
        "error",
    }


def test_a_host_without_a_broker_says_so(away: Site) -> None:
    assert "rabbitmqctl" in answered(elsewhere.Queues, elsewhere.of_broker(away))["error"]


def test_no_secret_goes_to_who_needs_none(away: Site) -> None:
    for request in (elsewhere.of_broker(away), elsewhere.of_placement(away)):
        assert "password" not in json.dumps(request)


def test_libvirt_is_asked_where_nova_on_that_host_is_told_to() -> None:
    elsewhere = {"libvirt": {"connection_uri": "qemu+unix:///system"}}
    hosts: dict[str, dict[str, Any]] = {**HOSTS, "c1": {**HOSTS["c1"], "nova_conf": elsewhere}}
    (compute,) = site(groups=GROUPS, hosts=hosts).computes
    found = site(groups=GROUPS, hosts=hosts)
    assert question.of_host(found, compute)["libvirt"] == "qemu+unix:///system"
    (usual,) = site(groups=GROUPS, hosts=HOSTS).computes
    assert question.of_host(found, usual)["libvirt"] == "qemu:///system"


@pytest.mark.parametrize(
    ("own", "folder"),
    [
        ({}, "/var/lib/nova/instances"),
        ({"instances_path": "$state_path/guests"}, "/var/lib/nova/guests"),
        ({"instances_path": "/mnt/guests"}, "/mnt/guests"),
        ({"instances_path": None}, "/var/lib/nova/instances"),
    ],
)
def test_guests_are_looked_for_where_nova_on_that_host_has_them(own: Any, folder: str) -> None:
    hosts: dict[str, dict[str, Any]] = {
        **HOSTS,
        "c1": {**HOSTS["c1"], "nova_conf": {"DEFAULT": own}},
    }
    (compute,) = (found := site(groups=GROUPS, hosts=hosts)).computes
    assert question.of_host(found, compute)["instances"] == folder
