"""What already uses the lab's ranges, and the lab's own rules."""

from __future__ import annotations

import pytest

from lab.network import conflicts, ruleset
from lab.settings import LabSettings, settings_from

LAB: LabSettings = settings_from({"lab": [("a", {"my_ip": "10.0.0.11"})]}, {}, {})


def address(device: str, local: str, prefixlen: int) -> dict[str, object]:
    info = {"family": "inet", "local": local, "prefixlen": prefixlen}
    return {"ifname": device, "addr_info": [info]}


def test_a_machine_elsewhere_conflicts_with_nothing() -> None:
    addresses = [address("lo", "127.0.0.1", 8), address("eth0", "192.0.2.2", 24)]
    routes = [{"dst": "default", "dev": "eth0"}, {"dst": "192.0.2.0/24", "dev": "eth0"}]
    assert conflicts(LAB.networks, addresses, routes, {"192.0.2.1": "the name server"}) == []


@pytest.mark.parametrize(
    ("local", "prefixlen", "key"),
    [
        ("10.0.2.15", 24, "nat_network"),
        ("10.0.0.200", 32, "management_network"),
        ("198.51.0.1", 16, "provider_network"),
    ],
)
def test_an_interface_in_a_range_is_a_conflict(local: str, prefixlen: int, key: str) -> None:
    found = conflicts(LAB.networks, [address("eth0", local, prefixlen)], [], {})
    assert len(found) == 1
    assert found[0].startswith(key)
    assert "eth0" in found[0]


def test_a_route_into_a_range_is_a_conflict() -> None:
    found = conflicts(LAB.networks, [], [{"dst": "10.0.0.0/16", "dev": "tun0"}], {})
    assert [line.split()[0] for line in found] == ["nat_network", "management_network"]


def test_a_server_inside_a_range_would_be_cut_off() -> None:
    found = conflicts(LAB.networks, [], [], {"198.51.100.80": "the package mirror x"})
    assert found == [
        "provider_network 198.51.100.0/24 is already in use: the package mirror x is 198.51.100.80"
    ]


def test_the_labs_own_bridges_are_no_conflict() -> None:
    addresses = [address("pn-mgmt", "10.0.0.1", 24)]
    routes = [{"dst": "10.0.0.0/24", "dev": "pn-mgmt"}]
    assert conflicts(LAB.networks, addresses, routes, {}) == []


def test_only_the_nat_network_goes_out() -> None:
    rules = ruleset(LAB)
    assert "ip saddr 10.0.2.0/24 oifname" in rules
    assert "10.0.0.0/24" not in rules
    assert 'iifname { "pn-mgmt", "pn-prov" } oifname' in rules
