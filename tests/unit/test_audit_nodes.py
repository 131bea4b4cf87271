"""Cells, cell mappings and compute nodes."""

from __future__ import annotations

import pytest
from nova_state import CELL0

from .audited_cloud import CELL1, NOW, Cloud, ago, cell, mapping, member, node, provider


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


def without_placement(cloud: Cloud) -> Cloud:
    cloud.placement = None
    return cloud


def test_a_node_of_a_host_that_nobody_has(cloud: Cloud) -> None:
    cloud.databases["compute_nodes"].append(node("gone"))
    found = without_placement(cloud).only("node-of-a-stranger")
    assert found["what"] == (
        "compute node gone of gone is in Nova; neither the inventory nor a service has that host"
    )
    assert "UPDATE compute_nodes SET deleted = id" in found["remedy"]
    assert "uuid IN ('n-gone')" in found["remedy"]
    assert found["repair"] is None


def test_a_node_whose_service_is_gone(cloud: Cloud) -> None:
    cloud.databases["services"].remove(cloud.row("services", host="compute2"))
    (found,) = cloud.findings("node-without-service")
    assert found["where"] == "compute2"
    assert "systemctl restart nova-compute" in found["remedy"]


def test_two_nodes_of_a_host(cloud: Cloud) -> None:
    cloud.databases["compute_nodes"].append(
        node("compute1", uuid="n-2", hypervisor_hostname="other", created_at=ago(500))
    )
    found = without_placement(cloud).only("nodes-doubled")
    assert found["what"] == "compute1 has 2 compute nodes: compute1 (n-compute1), other (n-2)"
    assert found["since"] == NOW - 500


def test_a_second_node_of_a_moment_ago_is_let_be(cloud: Cloud) -> None:
    second = node("compute1", uuid="n-2", hypervisor_hostname="other", created_at=ago(119))
    cloud.databases["compute_nodes"].append(second)
    assert without_placement(cloud).findings() == []


def test_ironic_has_many_nodes_of_a_host(cloud: Cloud) -> None:
    for row in cloud.databases["compute_nodes"]:
        row["hypervisor_type"] = "ironic"
    second = node("compute1", uuid="n-2", hypervisor_hostname="other", hypervisor_type="ironic")
    cloud.databases["compute_nodes"].append(second)
    assert without_placement(cloud).findings() == []


def test_one_name_for_the_nodes_of_two_hosts(cloud: Cloud) -> None:
    cloud.row("compute_nodes", host="compute2")["hypervisor_hostname"] = "compute1"
    found = cloud.only("hypervisor-name-doubled")
    assert found["where"] == "compute1"
    assert "compute nodes of compute1 and compute2 have the same name, compute1" in found["what"]


def test_a_compute_that_reports_and_has_no_node(cloud: Cloud) -> None:
    cloud.databases["compute_nodes"].remove(cloud.row("compute_nodes", host="compute2"))
    found = without_placement(cloud).only("node-missing")
    assert found["where"] == "compute2"


def test_the_node_of_a_new_compute_comes_a_little_later(cloud: Cloud) -> None:
    cloud.databases["compute_nodes"].remove(cloud.row("compute_nodes", host="compute2"))
    cloud.databases["host_mappings"].remove(cloud.row("host_mappings", host="compute2"))
    cloud.row("services", host="compute2")["created_at"] = ago(30)
    assert cloud.findings() == []


@pytest.mark.parametrize(("mapped", "more"), [(0, ""), (1, " --by-service")])
def test_a_compute_that_is_mapped_to_no_cell(cloud: Cloud, mapped: int, more: str) -> None:
    cloud.databases["host_mappings"].remove(cloud.row("host_mappings", host="compute2"))
    cloud.row("compute_nodes", host="compute2")["mapped"] = mapped
    found = cloud.only("compute-unmapped")
    assert found["what"] == "compute2 has a compute node, but is mapped to no cell"
    assert found["remedy"] == (
        f"`nova-manage cell_v2 discover_hosts{more}` on the primary controller"
    )
    wanted = {"action": "map-hosts", "host": "compute2", "by_service": bool(mapped)}
    assert found["repair"] == wanted


def test_a_deploy_maps_a_new_compute_in_a_moment(cloud: Cloud) -> None:
    cloud.databases["host_mappings"].remove(cloud.row("host_mappings", host="compute2"))
    cloud.row("compute_nodes", host="compute2")["created_at"] = ago(30)
    assert cloud.findings() == []


def test_a_mapping_of_a_host_that_nobody_has(cloud: Cloud) -> None:
    cloud.databases["host_mappings"].append(mapping("gone"))
    found = cloud.only("mapping-of-a-stranger")
    assert f"`nova-manage cell_v2 delete_host --cell_uuid {CELL1} --host gone`" in found["remedy"]
    assert found["repair"] is None


def test_a_mapping_of_a_compute_that_has_nothing_else(cloud: Cloud) -> None:
    for table in ("services", "compute_nodes"):
        cloud.databases[table].remove(cloud.row(table, host="compute2"))
    (found,) = without_placement(cloud).findings("mapping-without-compute")
    assert found["where"] == "compute2"


def test_a_compute_that_is_mapped_to_another_cell_than_its_own(cloud: Cloud) -> None:
    cloud.row("host_mappings", host="compute2")["cell_id"] = 1
    found = cloud.only("compute-unmapped")
    assert found["where"] == "compute2" and found["repair"] is None
    assert "and is mapped to cell 00000000-" in found["what"]
    assert f"delete_host --cell_uuid {CELL0} --host compute2`, then" in found["remedy"]


def test_hosts_of_another_cell_are_nobodys_strangers(cloud: Cloud) -> None:
    """Its database is not read, so nothing is known of them; the cell itself is the finding."""
    cloud.databases["cell_mappings"].append(cell(3, "c3", "cell2"))
    cloud.databases["host_mappings"].append(mapping("far1", 3))
    cloud.databases["aggregate_hosts"].append(member("far1"))
    assert cloud.placement is not None
    cloud.placement["providers"].append(provider("far1", name="far1.example.org"))
    cloud.placement["inventories"]["n-far1"] = {"VCPU": [4, 0, 1.0]}
    found = cloud.only("cell-of-a-stranger")
    assert found["what"].endswith("hosts are mapped to it")


def test_a_cell_that_is_not_of_the_settings(cloud: Cloud) -> None:
    cloud.databases["cell_mappings"].append(cell(3, "c3", "cell2"))
    found = cloud.only("cell-of-a-stranger")
    assert found["what"] == (
        "cell cell2 (c3) is in Nova, not in the settings; no host is mapped to it"
    )
    assert found["remedy"] == "`nova-manage cell_v2 delete_cell --cell_uuid c3`"


@pytest.mark.parametrize("number", [1, 3])
def test_of_two_cells_of_one_name_the_one_with_hosts_stays(cloud: Cloud, number: int) -> None:
    cloud.databases["cell_mappings"].insert(0, cell(number, "c3", "cell1"))
    cloud.row("cell_mappings", name="cell0")["id"] = 9
    found = cloud.only("cell-doubled")
    assert found["what"] == "2 cells are called cell1; of c3: no host is mapped to it"


def test_a_disabled_cell(cloud: Cloud) -> None:
    cloud.row("cell_mappings", name="cell1")["disabled"] = 1
    found = cloud.only("cell-disabled")
    assert found["what"] == f"cell cell1 ({CELL1}) is disabled"


def test_a_cell_that_is_not_there(cloud: Cloud) -> None:
    cloud.databases["cell_mappings"].remove(cloud.row("cell_mappings", name="cell0"))
    assert cloud.only("cell-missing")["what"] == "there is no cell0"
