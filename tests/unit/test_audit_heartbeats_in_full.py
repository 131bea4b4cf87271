"""Findings about heartbeats, agents and endpoints as an operator gets them, word by word."""

from __future__ import annotations

import pytest

from .audited_cloud import NOW, Cloud, agent, ago, endpoint, host_answer, queue

URL = "http://controller:8774/v2.1"
BEAT = NOW - 61


@pytest.fixture
def cloud() -> Cloud:
    """One whose compute2 has not reported for a second more than Nova waits."""
    cloud = Cloud()
    cloud.row("services", host="compute2")["last_seen_up"] = ago(61)
    return cloud


LAST = "its last heartbeat is 61 s old"
QUEUE = "; on queue compute.compute2 1 listens"


def test_a_service_that_is_deaf(cloud: Cloud) -> None:
    assert cloud.in_words("service-deaf") == (
        "compute2",
        f"nova-compute on compute2: process 42 has run for 30 days, but {LAST}{QUEUE}",
        "`systemctl restart nova-compute` on compute2",
        BEAT,
        "nova-compute",
    )
    cloud.row("services", host="compute2")["last_seen_up"] = ago(60)
    assert cloud.findings() == []


@pytest.mark.parametrize(("age", "found"), [(120, True), (119, False)])
def test_a_process_has_two_minutes_to_report(cloud: Cloud, age: int, found: bool) -> None:
    assert cloud.hosts is not None
    cloud.hosts["compute2"] = host_answer("nova-compute", age=age)
    assert bool(cloud.findings("service-deaf")) == found


def test_a_service_whose_process_does_not_run(cloud: Cloud) -> None:
    assert cloud.hosts is not None and cloud.broker is not None
    cloud.hosts["compute2"] = host_answer()
    cloud.broker["compute.compute2"] = queue(messages=1, consumers=0)
    assert cloud.in_words("service-down") == (
        "compute2",
        f"nova-compute on compute2: {LAST}, and its process does not run; on queue "
        "compute.compute2 nobody listens, and 1 message waits",
        "`systemctl start nova-compute` on compute2; `journalctl -u nova-compute` says why it "
        "ended",
        BEAT,
        "nova-compute",
    )


def test_a_service_of_a_host_that_has_not_said_what_runs(cloud: Cloud) -> None:
    assert cloud.hosts is not None
    del cloud.hosts["compute2"]
    cloud.broker = None
    assert cloud.in_words("service-silent") == (
        "compute2",
        f"nova-compute on compute2: {LAST}; compute2 has not said whether its process runs",
        "`systemctl status nova-compute` on compute2",
        BEAT,
        "nova-compute",
    )


def test_a_compute_while_no_conductor_writes_its_heartbeats_down(cloud: Cloud) -> None:
    cloud.row("services", binary="nova-conductor")["last_seen_up"] = ago(61)
    assert cloud.in_words("service-silent") == (
        "compute2",
        f"nova-compute on compute2: {LAST}; no nova-conductor is up to write one down{QUEUE}",
        "see to nova-conductor first",
        BEAT,
        "nova-compute",
    )
    assert cloud.in_words("service-deaf")[0] == "controller"


def test_a_service_that_reports_and_does_not_listen() -> None:
    cloud = Cloud()
    assert cloud.broker is not None
    cloud.broker["compute.compute2"] = queue(consumers=0)
    assert cloud.in_words("service-deaf") == (
        "compute2",
        "nova-compute on compute2 has run for 30 days and reports, but nobody listens on queue "
        "compute.compute2",
        "`systemctl restart nova-compute` on compute2",
        None,
        "nova-compute",
    )


def test_what_was_taken_out_of_service() -> None:
    cloud = Cloud()
    row = cloud.row("services", host="compute2")
    row.update(forced_down=1, disabled=1, disabled_reason="AUTO: Connection to libvirt lost")
    assert cloud.in_words("service-forced-down") == (
        "compute2",
        "nova-compute on compute2 is forced down",
        "where that is over, `openstack compute service set --up compute2 nova-compute`",
        None,
        "nova-compute",
    )
    assert cloud.in_words("service-disabled-itself") == (
        "compute2",
        "nova-compute on compute2 has disabled itself: AUTO: Connection to libvirt lost",
        "mend what it says; if it stays disabled, `openstack compute service set --enable compute2 "
        "nova-compute`",
        None,
        "nova-compute",
    )
    # By a person it was meant; a forced-down one is not asked for heartbeats.
    row.update(disabled_reason="AUTOmatic test", last_seen_up=ago(9000))
    assert [each["kind"] for each in cloud.findings()] == ["service-forced-down"]


# --- neighbours -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "kind", "who"),
    [
        ("compute2", "agent-dead", ""),
        ("gone", "agent-of-a-stranger", "; the inventory does not name it"),
        ("COMPUTE2", "agent-of-a-stranger", "; the inventory calls it compute2"),
    ],
)
def test_an_agent_that_is_dead(host: str, kind: str, who: str) -> None:
    cloud = Cloud()
    assert cloud.network is not None
    agents = [row for row in cloud.network["agents"] if row["host"] != host]
    cloud.network["agents"] = [*agents, agent(host, alive=False)]
    command = f"`openstack network agent delete agent-{host}`"
    said = ": last heartbeat 60 minutes ago" if not who else f", last heartbeat 60 minutes ago{who}"
    remedy = f"start it, or, if that host is gone for good, {command}"
    if not who:
        remedy = (
            f"`systemctl restart neutron-openvswitch-agent` on {host}, or, if it is not to run "
            f"there, {command}"
        )
    assert cloud.in_words(kind) == (
        host,
        f"Open vSwitch agent on {host} is dead{said}",
        remedy,
        NOW - 3600,
        f"agent-{host}",
    )


def test_an_agent_under_another_name() -> None:
    cloud = Cloud()
    assert cloud.network is not None
    cloud.network["agents"][-1] = agent("compute2.example.org")
    assert cloud.in_words("agent-renamed") == (
        "compute2.example.org",
        "Open vSwitch agent on compute2.example.org is that of compute compute2, under a name that "
        "Nova does not use",
        "[DEFAULT] host = compute2 in Neutron's configuration on compute2, then `openstack network "
        "agent delete agent-compute2.example.org`",
        None,
        "agent-compute2.example.org",
    )


def test_endpoints_of_compute() -> None:
    cloud = Cloud()
    assert cloud.identity is not None
    cloud.identity["endpoints"] = [
        endpoint("public", "http://old:8774/v2.1"),
        endpoint("internal"),
        endpoint("internal", id="e-2"),
        endpoint("admin", region_id="RegionTwo"),
    ]
    assert cloud.in_words("endpoint-elsewhere") == (
        "http://old:8774/v2.1",
        "the public endpoint of compute in RegionOne (e-public) is http://old:8774/v2.1; the "
        f"settings have {URL}",
        f"`openstack endpoint set --url '{URL}' e-public`, or `endpoints` in group_data",
        None,
        "e-public",
    )
    assert cloud.in_words("endpoint-doubled") == (
        "internal",
        f"compute has 2 internal endpoints in RegionOne: {URL} (e-2), {URL} (e-internal)",
        "`openstack endpoint delete ID` for those that are not the settings'",
        None,
        "RegionOne/internal",
    )
    assert cloud.in_words("endpoint-missing") == (
        "admin",
        "compute has no admin endpoint in RegionOne",
        f"`openstack endpoint create --region RegionOne compute admin '{URL}'`",
        None,
        "RegionOne/admin",
    )
