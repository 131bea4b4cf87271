"""Records of services: whose host is in the inventory, and who stands behind the others."""

from __future__ import annotations

import pytest

from .audited_cloud import NOW, Cloud, ago, guest, queue, service

DELETES = {
    "action": "delete-service",
    "service": "s-nova-compute-compute2",
    "binary": "nova-compute",
    "host": "compute2",
    "queue": "compute.compute2",
}


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


@pytest.fixture
def left(cloud: Cloud) -> Cloud:
    """A cloud whose compute2 was switched off and taken out of the inventory."""
    cloud.leave("compute2")
    return cloud


def test_a_healthy_cloud_has_no_findings(cloud: Cloud) -> None:
    assert cloud.findings() == []


def test_a_host_that_left_is_one_finding_with_all_that_goes_with_it(left: Cloud) -> None:
    left.databases["aggregate_hosts"].append(
        {"aggregate_id": 7, "host": "compute2", "created_at": ago(9000)}
    )
    assert left.placement is not None
    left.placement["aggregates"]["n-compute2"] = [left.databases["aggregates"][0]["uuid"]]
    found = left.only("service-of-a-stranger")
    assert found["where"] == "compute2"
    assert found["what"] == (
        "service nova-compute on compute2 is in Nova, not in the inventory; its last heartbeat is "
        "60 minutes old, on queue compute.compute2 nobody listens; with it 1 cell mapping and 1 "
        "compute node and 1 aggregate membership"
    )
    assert found["remedy"] == (
        "name compute2 in the inventory, or, if it is gone for good, "
        "`openstack compute service delete s-nova-compute-compute2`"
    )
    assert found["since"] == NOW - 3600
    assert found["key"] == "service-of-a-stranger/compute2/nova-compute"
    assert found["repair"] == DELETES


def test_one_that_is_to_be_retired_is_left_to_the_deploy(left: Cloud) -> None:
    left.expected["retired"] = ["compute2"]
    left.databases["instances"].append(guest("compute2"))
    (found,) = left.findings("service-of-a-stranger")
    assert found["what"].startswith("service nova-compute on compute2 is in Nova, and retired in ")
    assert found["remedy"] == "deploy compute2, which retires it, or says what keeps it"
    left.databases["instances"].clear()
    assert left.findings("service-of-a-stranger")[0]["repair"] is None


def test_one_that_listens_is_stopped_first(left: Cloud) -> None:
    assert left.broker is not None
    left.broker["compute.compute2"] = queue()
    found = left.only("service-of-a-stranger")
    assert "on queue compute.compute2 1 listens" in found["what"]
    assert "stop nova-compute there, then `openstack" in found["remedy"]
    assert found["repair"] is None


@pytest.mark.parametrize("silence", [5, 119])
def test_one_that_reported_a_moment_ago_is_not_deleted(left: Cloud, silence: float) -> None:
    left.row("services", host="compute2")["last_seen_up"] = ago(silence)
    assert left.only("service-of-a-stranger")["repair"] is None


def test_a_silent_broker_is_no_proof_that_nobody_listens(left: Cloud) -> None:
    left.broker = None
    found = left.only("service-of-a-stranger")
    assert found["repair"] is None
    assert "queue" not in found["what"]


def test_nor_is_a_list_without_a_queue_of_novas(left: Cloud) -> None:
    left.broker = {"somebody-elses": queue()}
    (found,) = left.findings("service-of-a-stranger")
    assert found["repair"] is None


def test_a_service_with_guests_is_not_deleted(left: Cloud) -> None:
    left.databases["instances"].append(guest("compute2"))
    (found,) = left.findings("service-of-a-stranger")
    assert found["what"].endswith("; 1 guest on it")
    assert found["repair"] is None


@pytest.mark.parametrize(
    ("status", "is_deleted"),
    [("running", False), ("finished", False), ("confirmed", True), ("error", True)],
)
def test_nor_is_one_of_a_migration_under_way(left: Cloud, status: str, is_deleted: bool) -> None:
    left.databases["migrations"].append(
        {
            "id": 1,
            "uuid": "m",
            "instance_uuid": "g-compute1",
            "source_compute": "compute1",
            "dest_compute": "compute2",
            "source_node": "compute1",
            "dest_node": "compute2",
            "migration_type": "migration",
            "status": status,
            "created_at": ago(9000),
            "written": ago(9000),
        }
    )
    (found,) = left.findings("service-of-a-stranger")
    assert found["repair"] == (DELETES if is_deleted else None)


def test_a_conductor_of_a_host_that_is_no_controller(cloud: Cloud) -> None:
    cloud.databases["services"].append(service("nova-conductor", "compute1", silence=9000))
    found = cloud.only("service-of-a-stranger")
    assert found["where"] == "compute1"
    assert found["repair"]["queue"] == "conductor.compute1"


def test_services_that_are_no_daemons_of_nova_are_left_alone(cloud: Cloud) -> None:
    cloud.databases["services"].append(service("nova-osapi_compute", "elsewhere", silence=9000))
    assert cloud.findings() == []


@pytest.mark.parametrize("name", ["compute1.example.org", "Compute1.Example.Org"])
def test_a_host_under_a_name_with_its_domain_is_no_stranger(cloud: Cloud, name: str) -> None:
    cloud.databases["services"].append(service("nova-compute", name, silence=9000))
    found = cloud.only("service-renamed")
    assert found["what"].startswith(
        f"service nova-compute is in Nova on {name}; the inventory calls that host compute1, "
        "which has one, too; its last heartbeat is 2 hours old"
    )
    assert found["repair"]["service"] == f"s-nova-compute-{name}"


def test_names_that_differ_in_case_are_one_for_the_database(cloud: Cloud) -> None:
    cloud.databases["services"].append(service("nova-compute", "COMPUTE1", silence=9000))
    found = cloud.only("service-renamed")
    assert found["repair"] is None
    assert "openstack compute service delete" not in found["remedy"]


def test_a_host_that_runs_under_another_name_is_one_finding(cloud: Cloud) -> None:
    cloud.row("services", host="compute1")["host"] = "compute1.example.org"
    (found,) = cloud.findings("service-renamed")
    assert found["remedy"] == (
        "`nova_host` = compute1.example.org for that host in the inventory, if it is to keep this "
        "name"
    )
    assert found["repair"] is None
    assert cloud.findings("service-missing") == []


def test_a_short_name_that_two_hosts_share_tells_them_not_apart(cloud: Cloud) -> None:
    cloud.expected["services"]["nova-scheduler"] = ["a.west", "a.east"]
    cloud.expected["services"]["nova-conductor"] = ["controller"]
    cloud.databases["services"] += [
        service("nova-scheduler", name, silence) for name, silence in [("a.west", 5), ("a.x", 9000)]
    ]
    kinds = {(each["kind"], each["where"]) for each in cloud.findings()}
    assert ("service-of-a-stranger", "a.x") in kinds
    assert ("service-missing", "a.east") in kinds


def test_two_records_of_one_binary_on_one_host(cloud: Cloud) -> None:
    cloud.databases["services"].append(
        service("nova-scheduler", "controller", silence=9000, uuid="second")
    )
    (found,) = cloud.findings("service-doubled")
    assert found["what"] == (
        "service nova-scheduler on controller is 2 times in Nova; the last heartbeat went to "
        "s-nova-scheduler-controller, the others are second"
    )
    assert "WHERE deleted = 0 AND uuid IN ('second')" in found["remedy"]
    assert found["repair"] is None


def test_a_service_that_never_registered(cloud: Cloud) -> None:
    cloud.databases["services"].remove(cloud.row("services", binary="nova-scheduler"))
    found = cloud.only("service-missing")
    assert found["where"] == "controller"
    assert found["what"] == "service nova-scheduler on controller is in the inventory, not in Nova"


def test_a_compute_that_has_registered_in_cell0(cloud: Cloud) -> None:
    row = {"id": 1, "uuid": "s0", "host": "compute2", "binary": "nova-compute"}
    api = {"id": 2, "uuid": "s1", "host": "controller", "binary": "nova-osapi_compute"}
    cloud.databases["cell0_services"] += [row, api]
    found = cloud.only("service-in-cell0")
    assert found["what"] == "service nova-compute on compute2 is registered in cell0"
    assert "deploy compute2" in found["remedy"]
