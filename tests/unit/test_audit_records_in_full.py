"""Findings about services, nodes and cells as an operator gets them, word by word."""

from __future__ import annotations

import pytest

from .audited_cloud import CELL1, NOW, OLD, Cloud, ago, cell, mapping, node, queue, service
from .audited_guests import told

SQL = "SET deleted = id, deleted_at = UTC_TIMESTAMP() WHERE deleted = 0 AND uuid IN"
IN_CELL = "in the cell's database"


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


def lose(cloud: Cloud, host: str, *tables: str) -> None:
    for table in tables:
        cloud.databases[table].remove(cloud.row(table, host=host))


# --- nodes ----------------------------------------------------------------------------------------


def test_a_node_of_a_stranger(cloud: Cloud) -> None:
    cloud.placement = None
    cloud.databases["compute_nodes"] += [
        node("gone", written=ago(500)),
        node("gone", uuid="n-2", hypervisor_hostname="also", written=ago(400)),
    ]
    assert cloud.in_words("node-of-a-stranger") == (
        "gone",
        "compute node also, gone of gone is in Nova; neither the inventory nor a service has that "
        "host",
        "name gone in the inventory, or, if it is gone for good, "
        f"{IN_CELL} `UPDATE compute_nodes {SQL} ('n-gone', 'n-2')`",
        NOW - 400,
        "node",
    )


def test_a_node_without_its_service(cloud: Cloud) -> None:
    lose(cloud, "compute2", "services")
    assert cloud.in_words("node-without-service") == (
        "compute2",
        "compute node compute2 of compute2 is in Nova, its service nova-compute is not",
        "`systemctl restart nova-compute` on compute2, which registers it again",
        None,
        "node",
    )


def test_nodes_that_are_doubled(cloud: Cloud) -> None:
    cloud.placement = None
    second = node("compute1", uuid="n-2", hypervisor_hostname="other", created_at=ago(120))
    cloud.databases["compute_nodes"].append(second)
    assert cloud.in_words("nodes-doubled") == (
        "compute1",
        "compute1 has 2 compute nodes: compute1 (n-compute1), other (n-2)",
        "`systemctl restart nova-compute` on compute1: it removes those that its libvirt does not "
        "have",
        NOW - 120,
        "nodes",
    )
    cloud.databases["compute_nodes"][-1] = {**second, "host": "compute2", "uuid": "n-3"}
    cloud.row("compute_nodes", uuid="n-3")["hypervisor_hostname"] = "compute1"
    assert cloud.in_words("hypervisor-name-doubled") == (
        "compute1",
        "compute nodes of compute1 and compute2 have the same name, compute1: compute1 "
        "(n-compute1), compute2 (n-3)",
        "delete the service of the host that is no more; of two that are, give one another host "
        "name before it has guests",
        NOW - 120,
        "name",
    )


@pytest.mark.parametrize(("beat", "found"), [(60, True), (61, False)])
def test_a_compute_without_a_node_is_one_that_reports(cloud: Cloud, beat: int, found: bool) -> None:
    cloud.placement = None
    lose(cloud, "compute2", "compute_nodes")
    cloud.row("services", host="compute2").update(last_seen_up=ago(beat), created_at=ago(120))
    assert bool(cloud.findings("node-missing")) == found
    if found:
        assert cloud.in_words("node-missing") == (
            "compute2",
            "nova-compute on compute2 reports, but has no compute node",
            "`systemctl restart nova-compute` on compute2; its log says why it has none",
            None,
            "node",
        )


# --- mappings and cells ---------------------------------------------------------------------------


def test_mappings_of_hosts_that_are_not_there(cloud: Cloud) -> None:
    cloud.placement = None
    cloud.databases["host_mappings"].append(mapping("gone"))
    command = f"`nova-manage cell_v2 delete_host --cell_uuid {CELL1} --host"
    assert cloud.in_words("mapping-of-a-stranger") == (
        "gone",
        f"gone is mapped to cell {CELL1}; neither the inventory nor a service has it",
        f"name gone in the inventory, or, if it is gone for good, {command} gone`",
        None,
        "mapping",
    )
    lose(cloud, "compute2", "services", "compute_nodes")
    assert cloud.in_words("mapping-without-compute") == (
        "compute2",
        f"compute2 is mapped to cell {CELL1}, but has neither a service nor a compute node",
        f"deploy compute2, or take it out of the inventory and {command} compute2`",
        None,
        "mapping",
    )


@pytest.mark.parametrize("hosts", [False, True])
def test_a_cell_of_a_stranger(cloud: Cloud, hosts: bool) -> None:
    cloud.databases["cell_mappings"].append(cell(3, "c3", "cell2", disabled=1))
    if hosts:
        cloud.row("host_mappings", host="compute2")["cell_id"] = 3
    remedy = "`nova-manage cell_v2 delete_cell --cell_uuid c3`"
    assert cloud.in_words("cell-of-a-stranger") == (
        "cell2",
        "cell cell2 (c3) is in Nova, not in the settings; "
        + ("hosts are mapped to it" if hosts else "no host is mapped to it"),
        ("if its hosts are gone for good, `nova-manage cell_v2 delete_host`, " if hosts else "")
        + remedy,
        None,
        "c3",
    )
    assert cloud.in_words("cell-disabled") == (
        "cell2",
        "cell cell2 (c3) is disabled",
        "deploy, which enables it",
        None,
        "c3",
    )


def test_a_second_cell_with_hosts_of_its_own(cloud: Cloud) -> None:
    cloud.databases["cell_mappings"].append(cell(3, "c3", "cell1"))
    cloud.row("host_mappings", host="compute2")["cell_id"] = 3
    assert cloud.in_words("cell-doubled") == (
        "cell1",
        "2 cells are called cell1; of c3: hosts are mapped to it",
        "if its hosts are gone for good, `nova-manage cell_v2 delete_host`, `nova-manage cell_v2 "
        "delete_cell --cell_uuid c3`",
        None,
        "c3",
    )


@pytest.mark.parametrize("name", ["cell0", "cell1"])
def test_a_cell_that_is_missing(cloud: Cloud, name: str) -> None:
    cloud.databases["cell_mappings"].remove(cloud.row("cell_mappings", name=name))
    assert cloud.in_words("cell-missing") == (
        name,
        f"there is no {name}",
        "deploy the controllers",
        None,
        name,
    )


# --- services -------------------------------------------------------------------------------------


def test_a_service_of_a_stranger(cloud: Cloud) -> None:
    cloud.leave("compute1")
    assert cloud.in_words("service-of-a-stranger") == (
        "compute1",
        "service nova-compute on compute1 is in Nova, not in the inventory; its last heartbeat is "
        "60 minutes old, on queue compute.compute1 nobody listens; with it 1 cell mapping and 1 "
        "compute node and 1 aggregate membership; 1 guest on it",
        "name compute1 in the inventory, or, if it is gone for good, `openstack compute service "
        "delete s-nova-compute-compute1`",
        NOW - 3600,
        "nova-compute",
    )


@pytest.mark.parametrize(("silence", "listen"), [(60, 0), (61, 1)])
def test_a_service_of_a_stranger_that_runs_is_stopped_first(
    cloud: Cloud, silence: int, listen: int
) -> None:
    cloud.leave("compute2")
    cloud.row("services", host="compute2")["last_seen_up"] = ago(silence)
    assert cloud.broker is not None
    cloud.broker["compute.compute2"] = queue(messages=2, consumers=listen)
    _, what, remedy, _, _ = cloud.in_words("service-of-a-stranger")
    listening = "nobody listens" if not listen else "1 listens"
    assert f"on queue compute.compute2 {listening}, and 2 messages wait; with it " in what
    assert remedy == (
        "name compute2 in the inventory, or, if it is gone for good, stop nova-compute there, then "
        "`openstack compute service delete s-nova-compute-compute2`"
    )


def test_a_service_that_is_doubled(cloud: Cloud) -> None:
    """Its process is well: that the older records get no heartbeat is no other finding."""
    cloud.databases["services"] += [
        service("nova-compute", "compute1", silence=900, uuid="s-2"),
        service("nova-compute", "compute1", silence=800, uuid="s-3"),
    ]
    assert told(cloud.only("service-doubled")) == (
        "compute1",
        "service nova-compute on compute1 is 3 times in Nova; the last heartbeat went to "
        "s-nova-compute-compute1, the others are s-2, s-3",
        "no deletion by the API, which would take the cell mapping and the compute nodes of "
        f"compute1 along; {IN_CELL} `UPDATE services {SQL} ('s-2', 's-3')`",
        None,
        "nova-compute",
    )


def test_a_service_that_is_missing(cloud: Cloud) -> None:
    cloud.databases["services"].remove(cloud.row("services", binary="nova-scheduler"))
    assert cloud.in_words("service-missing") == (
        "controller",
        "service nova-scheduler on controller is in the inventory, not in Nova",
        "deploy controller, or `systemctl restart nova-scheduler` on it, which registers; or take "
        "controller out of the inventory",
        None,
        "nova-scheduler",
    )


def test_a_service_that_is_in_cell0(cloud: Cloud) -> None:
    cloud.databases["cell0_services"] = [
        service("nova-conductor", "controller", uuid="s-0"),
        service("nova-novncproxy", "controller"),
    ]
    assert cloud.in_words("service-in-cell0") == (
        "controller",
        "service nova-conductor on controller is registered in cell0",
        "deploy controller, whose nova.conf has had cell0's database at [database] connection; "
        f"then, in the database of cell0, `UPDATE services {SQL} ('s-0')`",
        None,
        "nova-conductor/s-0",
    )


RENAMED = "service nova-compute is in Nova on {}; the inventory calls that host compute1{}; its last heartbeat is {} old, on queue compute.{} nobody listens"  # noqa: E501


@pytest.mark.parametrize(
    ("name", "is_there", "remedy", "safe"),
    [
        ("COMPUTE1", True, f"{IN_CELL} `UPDATE services {SQL} ('s-9')`", False),
        ("compute1.example.org", True, "`openstack compute service delete s-9`", True),
        (
            "compute1.example.org",
            False,
            "`nova_host` = compute1.example.org for that host in the inventory, if it is to keep "
            "this name",
            False,
        ),
    ],
)
def test_a_service_that_is_renamed(
    cloud: Cloud, name: str, is_there: bool, remedy: str, safe: bool
) -> None:
    cloud.placement = None
    if not is_there:
        lose(cloud, "compute1", "services")
    cloud.databases["services"].append(service("nova-compute", name, silence=OLD, uuid="s-9"))
    also = ", which has one, too" if is_there else ""
    assert cloud.in_words("service-renamed") == (
        name,
        RENAMED.format(name, also, "30 days", name),
        remedy,
        NOW - OLD,
        "nova-compute",
    )
    (found,) = cloud.findings("service-renamed")
    wanted = {"action": "delete-service", "service": "s-9", "binary": "nova-compute"}
    wanted |= {"host": name, "queue": f"compute.{name}"}
    assert found["repair"] == (wanted if safe else None)
