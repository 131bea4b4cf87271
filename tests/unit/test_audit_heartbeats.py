"""Services that are down or deaf, and the queues of the broker."""

from __future__ import annotations

import pytest

from .audited_cloud import NOW, Cloud, Row, agent, ago, host_answer, queue


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


@pytest.fixture
def silent(cloud: Cloud) -> Cloud:
    """A cloud in which nova-compute of compute1 has not reported for ten minutes."""
    cloud.row("services", host="compute1")["last_seen_up"] = ago(600)
    return cloud


def hosts(cloud: Cloud) -> dict[str, Row]:
    assert cloud.hosts is not None
    return cloud.hosts


def queues(cloud: Cloud) -> dict[str, Row]:
    assert cloud.broker is not None
    return cloud.broker


def test_a_process_that_runs_and_does_not_report_is_deaf(silent: Cloud) -> None:
    queues(silent)["compute.compute1"] = queue(messages=4, consumers=0)
    found = silent.only("service-deaf")
    assert found["where"] == "compute1"
    assert found["what"] == (
        "nova-compute on compute1: process 42 has run for 30 days, but its last heartbeat is "
        "10 minutes old; on queue compute.compute1 nobody listens, and 4 messages wait"
    )
    assert found["remedy"] == "`systemctl restart nova-compute` on compute1"
    assert found["since"] == NOW - 600
    assert found["key"] == "service-deaf/compute1/nova-compute"


def test_one_that_does_not_run_is_down(silent: Cloud) -> None:
    unit = {"unit": "openstack-nova-compute", "pid": None, "since": None}
    hosts(silent)["compute1"]["processes"]["nova-compute"] = unit
    found = silent.only("service-down")
    assert "and its process does not run" in found["what"]
    assert found["remedy"].startswith("`systemctl start openstack-nova-compute` on compute1")


def test_one_that_has_just_been_started_is_let_be(silent: Cloud) -> None:
    hosts(silent)["compute1"] = host_answer("nova-compute", age=100)
    assert silent.findings() == []


def test_a_host_that_did_not_answer_is_not_without_processes(silent: Cloud) -> None:
    del hosts(silent)["compute1"]
    found = silent.only("service-silent")
    assert "compute1 has not said whether its process runs" in found["what"]


def test_an_audit_that_sees_no_hosts_says_so(silent: Cloud) -> None:
    silent.hosts = silent.broker = None
    found = silent.only("service-silent")
    assert found["what"].endswith("has not said whether its process runs")


def test_computes_report_by_way_of_a_conductor(silent: Cloud) -> None:
    for host in ("compute1", "compute2"):
        silent.row("services", host=host)["last_seen_up"] = ago(600)
    silent.row("services", binary="nova-conductor")["last_seen_up"] = ago(600)
    kinds = {(each["where"], each["kind"]) for each in silent.findings()}
    assert kinds == {
        ("controller", "service-deaf"),
        ("compute1", "service-silent"),
        ("compute2", "service-silent"),
    }


def test_one_that_never_reported_counts_from_its_making(cloud: Cloud) -> None:
    row = cloud.row("services", host="compute1")
    row.update(last_seen_up=None, created_at=ago(30))
    assert cloud.findings() == []
    row["created_at"] = ago(6000)
    assert cloud.only("service-deaf")["since"] == NOW - 6000


def test_one_that_reports_and_does_not_listen_is_deaf_too(cloud: Cloud) -> None:
    del queues(cloud)["compute.compute1"]
    found = cloud.only("service-deaf")
    assert found["what"] == (
        "nova-compute on compute1 has run for 30 days and reports, but nobody listens on queue "
        "compute.compute1"
    )


@pytest.mark.parametrize("daemons", [(), ("nova-compute",)])
def test_one_that_ends_or_begins_does_not_listen(cloud: Cloud, daemons: tuple[str, ...]) -> None:
    del queues(cloud)["compute.compute1"]
    hosts(cloud)["compute1"] = host_answer(*daemons, age=20)
    assert cloud.findings() == []


def test_a_service_that_was_forced_down(silent: Cloud) -> None:
    silent.row("services", host="compute1")["forced_down"] = 1
    found = silent.only("service-forced-down")
    assert "`openstack compute service set --up compute1 nova-compute`" in found["remedy"]


def test_a_compute_that_has_disabled_itself(cloud: Cloud) -> None:
    row = cloud.row("services", host="compute1")
    row.update(disabled=1, disabled_reason="for the weekend")
    assert cloud.findings() == []
    row["disabled_reason"] = "AUTO: Connection to libvirt lost: 1"
    assert cloud.only("service-disabled-itself")["what"].endswith(
        "has disabled itself: AUTO: Connection to libvirt lost: 1"
    )


def test_two_who_say_that_they_are_one_host(cloud: Cloud) -> None:
    queues(cloud)["compute.compute1"] = queue(consumers=2)
    found = cloud.only("compute-doubled")
    assert found["what"] == (
        "2 listen on queue compute.compute1: another nova-compute says that it is compute1"
    )


def test_a_host_that_lost_its_power_listens_twice_for_a_moment(cloud: Cloud) -> None:
    queues(cloud)["compute.compute1"] = queue(consumers=2)
    hosts(cloud)["compute1"] = host_answer("nova-compute", age=20)
    assert cloud.findings() == []


def test_many_workers_listen_on_the_queue_of_a_conductor(cloud: Cloud) -> None:
    queues(cloud)["conductor.controller"] = queue(consumers=8)
    assert cloud.findings() == []


def test_calls_to_a_host_that_is_gone(cloud: Cloud) -> None:
    queues(cloud)["compute.gone"] = queue(messages=3, consumers=0)
    found = cloud.only("queue-unread")
    assert found["where"] == "compute.gone"
    assert found["what"] == "3 messages wait in queue compute.gone, and nobody listens"
    assert found["remedy"].endswith("`rabbitmqctl delete_queue --vhost / --if-unused compute.gone`")


def test_a_queue_with_any_name_is_one_word_of_a_command_and_of_the_sites_own_virtual_host(
    cloud: Cloud,
) -> None:
    queues(cloud)["compute.$(reboot) x"] = queue(messages=3, consumers=0)
    cloud.expected["virtual_host"] = "nova prod"
    found = cloud.only("queue-unread")
    assert found["remedy"].endswith(
        "`rabbitmqctl delete_queue --vhost 'nova prod' --if-unused 'compute.$(reboot) x'`"
    )


def test_calls_to_a_service_that_starts_are_read_in_a_moment(cloud: Cloud) -> None:
    queues(cloud)["compute.compute1"] = queue(messages=3, consumers=0)
    queues(cloud)["scheduler"] = queue(messages=1, consumers=0)
    hosts(cloud)["compute1"] = host_answer("nova-compute", age=20)
    assert cloud.findings() == []


def test_notifications_that_nothing_reads(cloud: Cloud) -> None:
    queues(cloud)["versioned_notifications.info"] = queue(messages=1, consumers=0)
    assert "[oslo_messaging_notifications]" in cloud.only("queue-unread")["remedy"]


@pytest.mark.parametrize(("messages", "found"), [(999, 0), (1000, 1)])
def test_queues_of_other_services_may_hold_some(cloud: Cloud, messages: int, found: int) -> None:
    queues(cloud)["q-plugin"] = queue(messages=messages, consumers=0)
    assert len(cloud.findings("queue-unread")) == found


def test_of_a_host_that_the_inventory_calls_dead_nothing_is_expected(silent: Cloud) -> None:
    del hosts(silent)["compute1"]
    silent.row("services", host="compute1")["forced_down"] = 1
    assert silent.network is not None
    silent.network["agents"] = [agent("compute1", alive=False)]
    assert {found["kind"] for found in silent.findings()} == {"service-forced-down", "agent-dead"}
    silent.expected["dead"] = ["compute1"]
    assert silent.findings() == []
