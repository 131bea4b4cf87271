"""What each host has of its own, above the base that all share.

A host is an overlay mount: the base below, never written, and the host's own layer above it. A host
is then made in no time, and little has to be written and removed for it.
"""

from __future__ import annotations

import uuid
from pathlib import Path

from lab import state
from lab.base import is_base
from lab.package_cache import offer_packages
from lab.settings import LabHost, LabSettings
from lab.shell import run
from lab.this_machine import resolv_conf


def host_marker(host: LabHost, settings: LabSettings) -> dict[str, object]:
    """What a host was made for; a host made for something else is made anew."""
    return {
        "name": host.name,
        "release": settings.release,
        "addresses": [
            f"{network.address(host.offset)}/{network.cidr.prefixlen}"
            for network in settings.networks
        ],
    }


def marker_of(name: str) -> Path:
    return state.HOSTS / f"{name}.json"


def layer_of(name: str) -> Path:
    """The host's own layer: all that differs from the base."""
    return state.HOSTS / name / "upper"


def root_of(name: str) -> Path:
    """Where the host's file system is mounted, in a mount namespace of the host's own."""
    return state.HOSTS / name / "root"


def overlay_options(name: str) -> str:
    """The options of mount(8) that put the host's layer over its base."""
    base = state.BASES / str(state.read_json(marker_of(name)).get("base"))
    work = state.HOSTS / name / "work"
    return f"lowerdir={base},upperdir={layer_of(name)},workdir={work}"


def is_made(host: LabHost, settings: LabSettings) -> bool:
    """Whether the host is there, whole, and made for these addresses."""
    known = state.read_json(marker_of(host.name))
    base = str(known.pop("base", ""))
    whole = is_base(base) and layer_of(host.name).is_dir()
    return whole and known == host_marker(host, settings)


def make_host(host: LabHost, settings: LabSettings, base: str) -> None:
    """A fresh host on BASE with a name, keys and addresses of its own."""
    marker_of(host.name).unlink(missing_ok=True)
    state.remove_tree(state.HOSTS / host.name)
    layer = layer_of(host.name)
    for folder in (layer, root_of(host.name), state.HOSTS / host.name / "work"):
        folder.mkdir(parents=True)
    state.write(layer / "etc/hostname", host.name + "\n")
    state.write(layer / "etc/machine-id", uuid.uuid4().hex + "\n", 0o444)
    key = layer / "etc/ssh/ssh_host_ed25519_key"
    key.parent.mkdir()
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", host.name, "-f", str(key))
    ssh = layer / "root/.ssh"
    ssh.parent.mkdir(mode=0o700)
    ssh.mkdir(mode=0o700)
    state.write(ssh / "authorized_keys", state.KEY.with_suffix(".pub").read_text(), 0o600)
    for network in settings.networks:
        path = layer / f"etc/systemd/network/{network.nic}.network"
        state.write(path, _unit(host, network.nic, settings))
    refresh_host(layer, settings)
    offer_packages(layer)
    state.write_json(marker_of(host.name), {**host_marker(host, settings), "base": base})


def _unit(host: LabHost, nic: str, settings: LabSettings) -> str:
    network = next(one for one in settings.networks if one.nic == nic)
    lines = [
        "[Match]",
        f"Name={nic}",
        "[Network]",
        f"Address={network.address(host.offset)}/{network.cidr.prefixlen}",
        "LinkLocalAddressing=no",
        "IPv6AcceptRA=no",
        "ConfigureWithoutCarrier=yes",
    ]
    if network == settings.nat:
        lines.append(f"Gateway={network.gateway}")
    return "\n".join(lines) + "\n"


def refresh_host(root: Path, settings: LabSettings) -> None:
    """What may change while a host lives: the other hosts' names, the name servers."""
    for name, content in (("hosts", settings.hosts_file()), ("resolv.conf", resolv_conf())):
        state.write(root / "etc" / name, content)


def make_key() -> None:
    """The key that opens the lab's hosts, made once."""
    if state.KEY.exists() and state.KEY.with_suffix(".pub").exists():
        return
    state.KEY.unlink(missing_ok=True)
    run(
        "ssh-keygen",
        "-q",
        "-t",
        "ed25519",
        "-N",
        "",
        "-C",
        "pyinfra-nova-lab",
        "-f",
        str(state.KEY),
    )


def write_known_hosts(settings: LabSettings) -> None:
    """The hosts' own public keys, read from their disks: nothing is trusted on first sight."""
    lines = []
    for host in settings.hosts:
        public = (layer_of(host.name) / "etc/ssh/ssh_host_ed25519_key.pub").read_text().split()
        address = settings.management.address(host.offset)
        lines.append(f"{address},{host.name} {public[0]} {public[1]}\n")
    state.write(state.KNOWN_HOSTS, "".join(lines), 0o600)
