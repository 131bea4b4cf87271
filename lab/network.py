"""The lab's three bridges, the way out, and what of this machine is changed for that."""

from __future__ import annotations

import ctypes
import fcntl
import json
import re
import socket
import struct
from collections.abc import Iterable, Mapping
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lab import state, this_machine
from lab.settings import LabSettings, Network
from lab.shell import LabError, run, say, warn

TABLE = "pyinfra_nova_lab"
FORWARD = Path("/proc/sys/net/ipv4/ip_forward")
OWN_PREFIX = "pn-"
COMMENT = "pyinfra-nova-lab"

# linux/sockios.h and linux/ethtool.h
SIOCETHTOOL = 0x8946
ETHTOOL_STXCSUM = 0x17


def conflicts(
    networks: Iterable[Network],
    addresses: Iterable[Mapping[str, Any]],
    routes: Iterable[Mapping[str, Any]],
    servers: Mapping[str, str],
) -> list[str]:
    """What on this machine already uses a range of NETWORKS.

    ADDRESSES and ROUTES are what ``ip -j -4 addr`` and ``ip -j -4 route`` print; SERVERS are
    addresses that have to stay reachable, with what they are: address -> name.
    """
    used = [(IPv4Network(address), f"{name} is {address}") for address, name in servers.items()]
    for link in addresses:
        for info in link.get("addr_info", []):
            if info.get("family", "inet") == "inet" and not _own(link["ifname"]):
                found = IPv4Interface(f"{info['local']}/{info['prefixlen']}")
                used.append((found.network, f"interface {link['ifname']} has {found}"))
    for route in routes:
        destination, device = str(route["dst"]), str(route.get("dev", ""))
        if destination == "default" or _own(device):
            continue
        used.append((IPv4Network(destination, strict=False), f"a route leads to it by {device}"))
    said = []
    for network in networks:
        reasons = [why for cidr, why in used if cidr.prefixlen and cidr.overlaps(network.cidr)]
        if reasons:
            said.append(f"{network.key} {network.cidr} is already in use: {reasons[0]}")
    return said


def _own(device: str) -> bool:
    return device.startswith(OWN_PREFIX)


def refuse_conflicts(settings: LabSettings) -> None:
    addresses = json.loads(run("ip", "-j", "-4", "addr").stdout or "[]")
    routes = json.loads(run("ip", "-j", "-4", "route").stdout or "[]")
    found = conflicts(settings.networks, addresses, routes, needed_servers(settings.release))
    if found:
        raise LabError(
            "\n".join(found)
            + "\nset another range: management_network (and every my_ip) in group_data/all.py and "
            "the inventory, nat_network and provider_network in group_data/lab.py"
        )


def needed_servers(release: str) -> dict[str, str]:
    """Name servers and package mirrors of this machine: address -> name."""
    found = {}
    for line in this_machine.resolv_conf().splitlines():
        match = re.match(r"nameserver\s+(\d+\.\d+\.\d+\.\d+)\s*$", line)
        if match:
            found[match[1]] = "this machine's name server"
    for host in {urlsplit(address).hostname for address in this_machine.mirrors(release).values()}:
        try:
            infos = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_STREAM)
        except OSError:
            continue
        found.update({str(info[4][0]): f"the package mirror {host}" for info in infos})
    return found


def ruleset(settings: LabSettings) -> str:
    """The lab's own nftables table.

    Bridged frames pass these chains too where br_netfilter is on, so what stays on a bridge of
    the lab has to be left alone.
    """
    bridges = ", ".join(f'"{network.bridge}"' for network in settings.networks)
    closed = f'"{settings.management.bridge}", "{settings.provider.bridge}"'
    return f"""
table ip {TABLE}
delete table ip {TABLE}
table ip {TABLE} {{
    chain postrouting {{
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr {settings.nat.cidr} oifname != {{ {bridges} }} masquerade
    }}
    chain forward {{
        type filter hook forward priority filter; policy accept;
        iifname {{ {closed} }} oifname != {{ {bridges} }} drop
    }}
}}
"""


def bring_up(settings: LabSettings) -> None:
    """Bridges, addresses, the way out: made or put right."""
    for network in settings.networks:
        wanted = f"{network.gateway}/{network.cidr.prefixlen}"
        if not Path(f"/sys/class/net/{network.bridge}").exists():
            # Without an address of its own it takes one of its hosts', and changes it with them.
            mac = "02:70:" + ":".join(f"{part:02x}" for part in network.gateway.packed)
            link = ("ip", "link", "add", network.bridge, "address", mac)
            run(*link, "type", "bridge", "forward_delay", "0")
        shown = json.loads(run("ip", "-j", "-4", "addr", "show", "dev", network.bridge).stdout)
        infos = [info for link in shown for info in link.get("addr_info", [])]
        if [f"{info['local']}/{info['prefixlen']}" for info in infos] != [wanted]:
            run("ip", "-4", "addr", "flush", "dev", network.bridge)
            run("ip", "addr", "add", wanted, "dev", network.bridge)
        run("ip", "link", "set", network.bridge, "up")
    _complete_checksums(settings.provider.bridge)
    _forward()
    run("nft", "-f", "-", stdin=ruleset(settings))
    _pass_foreign_filter(settings)


def _complete_checksums(device: str) -> None:
    """Have the kernel itself finish the checksums of what it sends by DEVICE.

    Open vSwitch in userspace takes packets off the provider network as they are; one whose
    checksum was left to hardware that is not there reaches guests broken.
    """
    value = ctypes.create_string_buffer(struct.pack("II", ETHTOOL_STXCSUM, 0))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sP", device.encode(), ctypes.addressof(value))
        fcntl.ioctl(any_socket, SIOCETHTOOL, request)


def _forward() -> None:
    before = FORWARD.read_text().strip()
    if before == "1":
        return
    saved = state.read_json(state.RESTORE)
    saved.setdefault("ip_forward", before)
    state.write_json(state.RESTORE, saved)
    FORWARD.write_text("1\n")
    say("net.ipv4.ip_forward set to 1 (down puts it back)")


def _foreign_forward_drops() -> bool:
    """Whether another program's forward chain (Docker's, a firewall's) drops by default."""
    shown = run("nft", "-j", "list", "chain", "ip", "filter", "FORWARD", check=False)
    return shown.returncode == 0 and '"policy": "drop"' in shown.stdout


def _pass_foreign_filter(settings: LabSettings) -> None:
    if not _foreign_forward_drops():
        return
    shown = run("nft", "list", "chain", "ip", "filter", "FORWARD").stdout
    if COMMENT in shown:
        return
    for network in settings.networks:
        for direction in ("iifname", "oifname"):
            run(
                "nft", "insert", "rule", "ip", "filter", "FORWARD", direction, network.bridge,
                "counter", "accept", "comment", f'"{COMMENT}"',
            )  # fmt: skip
    say("let the lab's traffic pass this machine's own forward chain (down takes that back)")


def _unpass_foreign_filter() -> None:
    shown = run("nft", "-j", "-a", "list", "chain", "ip", "filter", "FORWARD", check=False)
    if shown.returncode != 0:
        return
    for item in json.loads(shown.stdout).get("nftables", []):
        rule = item.get("rule", {})
        if rule.get("comment") == COMMENT:
            handle = str(rule["handle"])
            run("nft", "delete", "rule", "ip", "filter", "FORWARD", "handle", handle)


def attach(veth: str, bridge: str) -> None:
    """Put the outer end VETH of a host's interface on BRIDGE."""
    run("ip", "link", "set", veth, "master", bridge, "up")


def is_attached(veth: str, bridge: str) -> bool:
    return Path(f"/sys/class/net/{bridge}/brif/{veth}").exists()


def remove_link(name: str) -> None:
    if Path(f"/sys/class/net/{name}").exists():
        run("ip", "link", "delete", name, check=False)


def tear_down() -> None:
    """Remove the lab's links and table, put back what was changed."""
    for path in sorted(Path("/sys/class/net").glob(f"{OWN_PREFIX}*")):
        remove_link(path.name)
    if run("nft", "list", "tables", check=False).returncode == 0:
        run("nft", "-f", "-", stdin=f"table ip {TABLE}\ndelete table ip {TABLE}\n")
        _unpass_foreign_filter()
    saved = state.read_json(state.RESTORE)
    if "ip_forward" in saved:
        FORWARD.write_text(saved["ip_forward"] + "\n")
    elif not state.LAB.exists():
        return
    for path in Path("/sys/class/net").glob(f"{OWN_PREFIX}*"):
        warn(f"{path.name} is still there")
