"""The lab's hosts and ranges, as an inventory and group data give them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest

from lab.settings import (
    LabSettings,
    inventory_hosts,
    names_lab,
    parse_range,
    read_settings,
    settings_from,
)
from lab.shell import LabError

ROOT = Path(__file__).resolve().parents[2]
CONTROLLER = ("controller", {"my_ip": "10.0.0.11"})
COMPUTE = ("compute1", {"my_ip": "10.0.0.31"})


def settings(
    inventory: dict[str, Any] | None = None,
    all_data: dict[str, Any] | None = None,
    lab_data: dict[str, Any] | None = None,
) -> LabSettings:
    return settings_from(
        inventory if inventory is not None else {"lab": [CONTROLLER, COMPUTE]},
        all_data or {},
        lab_data or {},
    )


def test_a_host_has_the_same_number_in_every_range() -> None:
    host = settings().hosts[0]
    lab = settings()
    assert lab.management.address(host.offset) == IPv4Address("10.0.0.11")
    assert lab.nat.address(host.offset) == IPv4Address("10.0.2.11")
    assert lab.provider.address(host.offset) == IPv4Address("198.51.100.11")


def test_ranges_come_from_the_group_data() -> None:
    lab = settings(
        {"lab": [("a", {"my_ip": "172.16.4.7"})]},
        {"management_network": "172.16.4.0/22"},
        {"nat_network": "172.17.0.0/24", "provider_network": "172.18.0.0/24"},
    )
    assert lab.management.cidr == IPv4Network("172.16.4.0/22")
    assert lab.nat.address(lab.hosts[0].offset) == IPv4Address("172.17.0.7")
    assert lab.provider.gateway == IPv4Address("172.18.0.1")


def test_a_host_in_several_groups_is_one_host() -> None:
    hosts = inventory_hosts(
        {"controllers": [CONTROLLER], "computes": ["controller"], "lab": ["controller"]}
    )
    data, groups = hosts["controller"]
    assert data == {"my_ip": "10.0.0.11"}
    assert groups == ("controllers", "computes", "lab")


def test_only_the_lab_group_counts() -> None:
    hosts = inventory_hosts({"computes": [COMPUTE, ("real", {})], "lab": [COMPUTE]})
    assert list(hosts) == ["compute1"]


def test_group_with_data_and_private_names() -> None:
    hosts = inventory_hosts({"lab": ([CONTROLLER], {"x": 1}), "_lab": [COMPUTE], "n": 3})
    assert list(hosts) == ["controller"]


def test_names_file_has_no_loopback_line_for_a_host() -> None:
    lines = settings().hosts_file().splitlines()
    assert "10.0.0.11 controller" in lines
    assert "10.0.0.31 compute1" in lines
    assert not any(line.startswith("127.0.1.1") for line in lines)


def test_interface_names_fit_the_kernel() -> None:
    lab = settings(
        {"lab": [("a", {"my_ip": "10.1.255.254"})]},
        {"management_network": "10.1.0.0/16"},
        {"nat_network": "10.2.0.0/16", "provider_network": "10.3.0.0/16"},
    )
    assert max(len(lab.hosts[0].veth(network)) for network in lab.networks) <= 15


@pytest.mark.parametrize(
    "value", ["10.0.0.1/24", "ten", None, "10.0.0.0/30", "10.0.0.0/8", "fd00::/64"]
)
def test_what_is_no_range_is_refused_by_name(value: object) -> None:
    with pytest.raises(LabError, match=r"group_data/lab.py: nat_network"):
        parse_range("nat_network", value, "group_data/lab.py")


@pytest.mark.parametrize(
    ("inventory", "said"),
    [
        ({}, "no lab host"),
        ({"lab": []}, "no lab host"),
        ({"lab": ["a"]}, "my_ip of a is None"),
        ({"lab": [("a", {"my_ip": "10.0.1.5"})]}, "not in management_network"),
        ({"lab": [("a", {"my_ip": "10.0.0.1"})]}, "no such free address"),
        ({"lab": [("a", {"my_ip": "10.0.0.255"})]}, "no such free address"),
        ({"lab": [CONTROLLER, ("b", {"my_ip": "10.0.0.11"})]}, "the same my_ip"),
        ({"lab": [("a_b", {"my_ip": "10.0.0.5"})]}, "cannot be the name"),
    ],
)
def test_unusable_hosts_are_refused(inventory: dict[str, Any], said: str) -> None:
    with pytest.raises(LabError, match=said):
        settings(inventory)


def test_overlapping_ranges_are_refused() -> None:
    with pytest.raises(LabError, match=r"nat_network 10\.0\.0\.0/16 and management_network"):
        settings(lab_data={"nat_network": "10.0.0.0/16"})


@pytest.mark.parametrize(
    ("nova", "debian"), [("zed", "bookworm"), ("2025.1", "trixie"), ("2026.2", "sid")]
)
def test_the_hosts_run_the_debian_that_has_the_release(nova: str, debian: str) -> None:
    assert settings(all_data={"release": nova}).release == debian


def test_a_release_that_no_debian_has_is_refused_with_those_there_are() -> None:
    with pytest.raises(LabError, match=r"release = 'yoga'.*'zed' \(Debian bookworm\)"):
        settings(all_data={"release": "yoga"})


def test_group_data_beside_the_inventory_wins_over_that_of_the_checkout(tmp_path: Path) -> None:
    (tmp_path / "group_data").mkdir()
    (tmp_path / "group_data" / "all.py").write_text('management_network = "10.9.0.0/24"\n')
    inventory = tmp_path / "aio.py"
    inventory.write_text('lab = [("aio", {"my_ip": "10.9.0.5"})]\n')
    assert read_settings(inventory).management.cidr == IPv4Network("10.9.0.0/24")
    assert read_settings(inventory).nat.cidr == IPv4Network("10.0.2.0/24")
    assert names_lab(inventory)


@pytest.mark.parametrize(("folder", "debian"), [("debian13", "trixie"), ("sid", "sid")])
def test_an_inventory_of_another_debian_is_the_lab_s_with_another_release(
    folder: str, debian: str
) -> None:
    names = ("inventory.py", f"inventories/{folder}/inventory.py")
    ours, theirs = (read_settings(ROOT / name) for name in names)
    assert (ours.release, theirs.release) == ("bookworm", debian)
    assert ours.hosts == theirs.hosts


def test_a_broken_or_missing_inventory_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no such inventory"):
        read_settings(tmp_path / "inventory.py")
    (tmp_path / "inventory.py").write_text("lab = [\n")
    with pytest.raises(LabError, match=r"inventory.py: SyntaxError"):
        read_settings(tmp_path / "inventory.py")


def test_an_inventory_of_other_hosts_is_not_the_labs(tmp_path: Path) -> None:
    inventory = tmp_path / "inventory.py"
    inventory.write_text('controllers = [("real", {"my_ip": "10.0.0.5"})]\nlab = []\n')
    assert not names_lab(inventory)
