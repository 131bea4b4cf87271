"""Which hosts the lab has and which addresses they get: read from the inventory, checked."""

from __future__ import annotations

import re
import runpy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from lab.shell import LabError

RELEASES = {"zed": "bookworm", "2025.1": "trixie", "2026.2": "sid"}
"""The Nova releases that the lab can carry, and the Debian release that has each."""

CHECKOUT = Path(__file__).resolve().parents[1]

HOST_NAME = re.compile(r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")


@dataclass(frozen=True)
class Network:
    """One of the three networks every host is on.

    Attributes:
        key: the setting that names its range.
        bridge: the bridge on this machine; it has the range's first address.
        nic: the interface's name inside a host.
        cidr: the range.
    """

    key: str
    bridge: str
    nic: str
    cidr: IPv4Network

    @property
    def gateway(self) -> IPv4Address:
        """This machine's own address on the network."""
        return self.cidr[1]

    def address(self, offset: int) -> IPv4Address:
        return self.cidr[offset]


@dataclass(frozen=True)
class LabHost:
    """A host of the lab.

    Attributes:
        name: its host name.
        offset: its number within each of the three ranges.
        groups: the inventory groups it is in.
    """

    name: str
    offset: int
    groups: tuple[str, ...]

    def veth(self, network: Network) -> str:
        """The outer end of its interface on NETWORK."""
        return f"{network.bridge}-{self.offset}"


@dataclass(frozen=True)
class LabSettings:
    """All that `lab up` needs to know.

    Attributes:
        release: the Debian release that the hosts run.
        tls: where certificates come from, "off" for no encryption.
        certificates: the folder with those that the site makes itself.
    """

    release: str
    nat: Network
    management: Network
    provider: Network
    hosts: tuple[LabHost, ...]
    tls: str = "off"
    certificates: Path | None = None

    @property
    def networks(self) -> tuple[Network, Network, Network]:
        return (self.nat, self.management, self.provider)

    @property
    def has_tls(self) -> bool:
        """Whether what is said between hosts is encrypted."""
        return self.tls != "off"

    @property
    def has_wsgi_modules(self) -> bool:
        """Whether the APIs are modules alone and Neutron's server three daemons.

        Neutron 27 came without neutron-server, Neutron and Keystone 28 without the scripts; of the
        Debian releases that the lab knows sid alone has those or later ones.
        """
        return self.release == "sid"

    @property
    def cinder_is_block_storage(self) -> bool:
        """Whether Cinder is registered as block-storage rather than as volumev3.

        Its installation guide says the one since 28 (2026.1), the other up to 27.
        """
        return self.release == "sid"

    def hosts_file(self) -> str:
        """/etc/hosts: every name on its management address.

        No line maps a host's own name to 127.0.1.1: services would then announce that address.
        """
        lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
        lines += [f"{self.management.address(host.offset)} {host.name}" for host in self.hosts]
        return "\n".join(lines) + "\n"


HostData = dict[str, Any]


def inventory_hosts(names: Mapping[str, Any]) -> dict[str, tuple[HostData, tuple[str, ...]]]:
    """The hosts of an inventory module's NAMES: name -> (its data of all groups, its groups).

    A group is a list, or a tuple (list, group data); a host is a name or a tuple (name, data). Only
    members of the group ``lab`` count, where there is one.
    """
    found: dict[str, tuple[HostData, tuple[str, ...]]] = {}
    for group, value in names.items():
        if group.startswith("_"):
            continue
        if isinstance(value, tuple) and value and isinstance(value[0], list):
            value = value[0]
        if not isinstance(value, list):
            continue
        for name, data in _members(value):
            known, groups = found.get(name, ({}, ()))
            groups = groups if group in groups else (*groups, group)
            found[name] = ({**known, **data}, groups)
    if isinstance(names.get("lab"), list | tuple):
        found = {name: entry for name, entry in found.items() if "lab" in entry[1]}
    return found


def _members(items: Iterable[object]) -> Iterable[tuple[str, HostData]]:
    for item in items:
        if isinstance(item, str):
            yield item, {}
        elif isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str):
            yield item[0], dict(item[1])


def parse_range(key: str, value: object, where: str) -> IPv4Network:
    """VALUE as an IPv4 range, or LabError naming KEY and the file it is set in."""
    try:
        cidr = IPv4Network(str(value))
    except ValueError as error:
        raise LabError(
            f"{where}: {key} = {value!r} is not an IPv4 range ({error}); "
            'write it like "10.0.0.0/24"'
        ) from error
    if not 16 <= cidr.prefixlen <= 29:
        raise LabError(f"{where}: {key} = {value!r} is not between a /16 and a /29")
    return cidr


def settings_from(
    inventory: Mapping[str, Any], all_data: Mapping[str, Any], lab_data: Mapping[str, Any]
) -> LabSettings:
    """The lab that an inventory and its group data describe.

    Raises:
        LabError: naming the file, the key and what to write there instead.
    """
    management = Network(
        "management_network",
        "pn-mgmt",
        "mgmt0",
        parse_range(
            "management_network",
            all_data.get("management_network", "10.0.0.0/24"),
            "group_data/all.py",
        ),
    )
    nat, provider = (
        Network(key, bridge, nic, parse_range(key, lab_data.get(key, default), "group_data/lab.py"))
        for key, bridge, nic, default in (
            ("nat_network", "pn-nat", "nat0", "10.0.2.0/24"),
            ("provider_network", "pn-prov", "prov0", "198.51.100.0/24"),
        )
    )
    _refuse_overlap((nat, management, provider))
    release = _debian_release(str(all_data.get("release", "zed")))
    hosts = _hosts(inventory_hosts(inventory), (nat, management, provider))
    # As the site has it (site/sources.py), whose import costs more than all else here.
    tls = {**all_data.get("tls", {}), **lab_data.get("tls", {})}
    mode, folder = tls.get("mode", "off"), tls.get("certificates")
    certificates = Path(folder) if folder else None
    return LabSettings(release, nat, management, provider, hosts, mode, certificates)


def _debian_release(nova_release: str) -> str:
    """The Debian release whose own packages are NOVA_RELEASE."""
    if nova_release not in RELEASES:
        possible = ", ".join(f"{nova!r} (Debian {debian})" for nova, debian in RELEASES.items())
        raise LabError(
            f"group_data/all.py: release = {nova_release!r}: no Debian has it, and the lab's hosts "
            f"run Debian; possible there are {possible}"
        )
    return RELEASES[nova_release]


def _refuse_overlap(networks: tuple[Network, ...]) -> None:
    for number, one in enumerate(networks):
        for other in networks[number + 1 :]:
            if one.cidr.overlaps(other.cidr):
                raise LabError(
                    f"{one.key} {one.cidr} and {other.key} {other.cidr} overlap: "
                    "give each its own range"
                )


def _hosts(
    found: Mapping[str, tuple[HostData, tuple[str, ...]]], networks: tuple[Network, ...]
) -> tuple[LabHost, ...]:
    if not found:
        raise LabError(
            "the inventory names no lab host: the group `lab` lists the hosts that the lab makes"
        )
    management = networks[1]
    hosts: dict[int, LabHost] = {}
    for name, (data, groups) in found.items():
        if not HOST_NAME.match(name):
            raise LabError(f"inventory: {name!r} cannot be the name of a lab host")
        offset = _offset(name, data.get("my_ip"), management)
        for network in networks:
            if not 1 < offset < network.cidr.num_addresses - 1:
                raise LabError(
                    f"inventory: my_ip of {name} is number {offset} of its range, and "
                    f"{network.key} {network.cidr} has no such free address"
                )
        if offset in hosts:
            raise LabError(f"inventory: {hosts[offset].name} and {name} have the same my_ip")
        hosts[offset] = LabHost(name, offset, groups)
    return tuple(hosts.values())


def _offset(name: str, my_ip: object, management: Network) -> int:
    try:
        address = IPv4Address(str(my_ip))
    except ValueError as error:
        raise LabError(
            f"inventory: my_ip of {name} is {my_ip!r}; it has to be an address of "
            f"management_network {management.cidr}"
        ) from error
    if address not in management.cidr:
        raise LabError(
            f"inventory: my_ip {address} of {name} is not in management_network {management.cidr}"
        )
    return int(address) - int(management.cidr.network_address)


def read_settings(inventory: Path) -> LabSettings:
    """The lab described by the file INVENTORY and the group data beside or above it."""
    if not inventory.is_file():
        raise LabError(f"{inventory}: no such inventory file")
    # As pyinfra has it: deploy.py's group_data, and over it the one beside the inventory.
    folders = dict.fromkeys((CHECKOUT, inventory.resolve().parent))
    all_data, lab_data = (
        {
            key: value
            for folder in folders
            for key, value in _names_of(folder / "group_data" / name).items()
        }
        for name in ("all.py", "lab.py")
    )
    return settings_from(_names_of(inventory), all_data, lab_data)


def names_lab(inventory: Path) -> bool:
    """Whether the file INVENTORY has a group `lab` with hosts in it."""
    names = _names_of(inventory)
    return bool(names.get("lab")) and bool(inventory_hosts(names))


def _names_of(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return runpy.run_path(str(path))
    except Exception as error:
        raise LabError(f"{path}: {type(error).__name__}: {error}") from error
