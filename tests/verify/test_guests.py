"""The proof that counts: a guest on every compute, with network, name and console; twice.

The second round is there because what a deleted guest leaves behind may keep the next one from
starting. One verification at a time: each begins by removing what an interrupted one left.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from openstack.connection import Connection
from openstack.exceptions import NotFoundException, SDKException

from pyinfra_nova.proof.console import greet
from pyinfra_nova.site.settings import HostSettings, Site

from .conftest import require

PREFIX = "pyinfra-nova-verify-"
IMAGE = os.environ.get("PYINFRA_NOVA_IMAGE", "tiny")
CIDR = "10.99.0.0/24"
READY_SECONDS = 180
"""Until every guest has said that it is ready; software emulation takes its time."""
GONE_SECONDS = 60
READY = re.compile(r"guest ready: name=(\S+) address=(\S+)")
HOW_TO_GET_AN_IMAGE = (
    f"Glance has no image {IMAGE!r} that says `guest ready: name=... address=...` on its console; "
    "build it with lab/guest/build_image.py, or name one in PYINFRA_NOVA_IMAGE"
)


@dataclass
class Guest:
    """A guest, and what became of it.

    Attributes:
        name: its own, unique.
        compute: where it was sent.
        server: as the API last described it; None if it could not even be asked for.
        problem: why it did not become ACTIVE.
        console: its console log.
        left: what was still there after it was deleted.
    """

    name: str
    compute: HostSettings
    server: Any = None
    problem: str = ""
    console: str = ""
    left: list[str] = field(default_factory=list)

    @property
    def said(self) -> tuple[str, str] | None:
        """The name and the address that the guest itself has named."""
        match = READY.search(self.console)
        return (match[1], match[2]) if match else None

    @property
    def where(self) -> str:
        return f"{self.compute.name}: guest {self.name}"

    def watch(self, admin: Connection) -> bool:
        """Look at it once; true when there is nothing left to wait for."""
        if self.problem or self.said:
            return True
        self.server = admin.compute.get_server(self.server.id)
        if self.server.status == "ERROR":
            self.problem = (self.server.fault or {}).get("message") or "no reason given"
        elif self.server.status == "ACTIVE":
            self.console = console_log(admin, self.server)
        return False


def console_log(admin: Connection, server: Any) -> str:
    try:
        return str(admin.compute.get_server_console_output(server)["output"])
    except SDKException:
        return ""  # there is none in the first moment


def is_gone(admin: Connection, server: Any) -> bool:
    try:
        admin.compute.get_server(server.id)
    except NotFoundException:
        return True
    return False


def delete(admin: Connection, servers: list[Any]) -> None:
    """Delete those of SERVERS that exist, and wait for it, but no longer than GONE_SECONDS."""
    for server in servers:
        with suppress(NotFoundException):
            admin.compute.delete_server(server, force=True)
    deadline = time.monotonic() + GONE_SECONDS
    while not all(is_gone(admin, server) for server in servers) and time.monotonic() < deadline:
        time.sleep(1)


def remove_everything(admin: Connection) -> None:
    """Guests, network and flavor of this or an earlier, interrupted run."""
    servers = admin.compute.servers(all_projects=True, name=f"^{PREFIX}")
    delete(admin, [server for server in servers if server.name.startswith(PREFIX)])
    for network in admin.network.networks():
        if network.name.startswith(PREFIX):
            admin.network.delete_network(network)
    for flavor in admin.compute.flavors(is_public=None):
        if flavor.name.startswith(PREFIX):
            admin.compute.delete_flavor(flavor)


@pytest.fixture(scope="module")
def resources(request: pytest.FixtureRequest, admin: Connection) -> Iterator[dict[str, Any]]:
    """What the guests are made of, for as long as they are needed."""
    if request.session.testsfailed:
        pytest.skip("see first to what failed above; to try all the same: pytest " + __file__)
    image = admin.image.find_image(IMAGE)
    if image is None:
        pytest.skip(HOW_TO_GET_AN_IMAGE)
    remove_everything(admin)
    name = PREFIX + secrets.token_hex(2)
    try:
        network = admin.network.create_network(name=name)
        admin.network.create_subnet(
            network_id=network.id, name=name, ip_version=4, cidr=CIDR, gateway_ip=None
        )
        flavor = admin.compute.create_flavor(name=name, ram=192, vcpus=1, disk=1)
        yield {
            "image_id": image.id,
            "flavor_id": flavor.id,
            "networks": [{"uuid": network.id}],
            "name": name,
        }
    finally:
        remove_everything(admin)


def boot(admin: Connection, compute: HostSettings, resources: dict[str, Any], name: str) -> Guest:
    guest = Guest(name, compute)
    wanted = {**resources, "name": name, "host": compute.nova_host, "config_drive": True}
    try:
        guest.server = admin.compute.create_server(**wanted)
    except SDKException as error:
        guest.problem = str(error)
    return guest


@pytest.fixture(scope="module", params=[1, 2], ids=["first-round", "second-round"])
def guests(
    request: pytest.FixtureRequest, admin: Connection, site: Site, resources: dict[str, Any]
) -> Iterator[dict[str, Guest]]:
    """One guest on each compute, by the host's name in the inventory; all booted side by side."""
    if request.session.testsfailed:
        pytest.skip("the first round failed")
    made = {}
    for compute in site.computes:
        if compute.state != "open":
            continue
        label = re.sub(r"[^a-z0-9]+", "-", compute.nova_host.lower())
        name = f"{resources['name']}-{request.param}-{label}"[:63].rstrip("-")
        made[compute.name] = boot(admin, compute, resources, name)
    deadline = time.monotonic() + READY_SECONDS
    while [g for g in made.values() if not g.watch(admin)] and time.monotonic() < deadline:
        time.sleep(1)
    yield made
    delete(admin, [guest.server for guest in made.values() if guest.server])


@pytest.fixture
def guest(guests: dict[str, Guest], compute: HostSettings) -> Guest:
    if compute.name not in guests:
        pytest.skip(f"{compute.name} is {compute.state}: {compute.state_reason}")
    return guests[compute.name]


@pytest.fixture
def running(guest: Guest) -> Guest:
    if guest.problem or guest.server.status != "ACTIVE":
        pytest.skip("the guest does not run")
    return guest


@pytest.fixture(scope="module")
def after_deletion(admin: Connection, guests: dict[str, Guest]) -> dict[str, Guest]:
    """The guests, deleted, with what each of them has left behind."""
    asked_for = [guest for guest in guests.values() if guest.server]
    delete(admin, [guest.server for guest in asked_for])
    for guest in asked_for:
        number = guest.server.id
        if not is_gone(admin, guest.server):
            guest.left.append(f"itself, {GONE_SECONDS} s later")
        guest.left += [f"port {port.id}" for port in admin.network.ports(device_id=number)]
        allocations = admin.placement.get(f"/allocations/{number}").json()["allocations"]
        guest.left += [f"an allocation of provider {provider}" for provider in allocations]
    return guests


def test_a_guest_becomes_active_where_it_was_sent(guest: Guest) -> None:
    remedy = (
        f"see nova-compute.log on {guest.compute.name}, and Neutron's agent there if it is about a "
        "port: openstack network agent list"
    )
    if guest.problem:
        require([f"{guest.where}: {guest.problem}"], remedy)
    status, host = guest.server.status, guest.server.compute_host
    if status != "ACTIVE":
        require([f"{guest.where}: still {status} after {READY_SECONDS} s"], remedy)
    if host != guest.compute.nova_host:
        require([f"{guest.where}: runs on {host}"], remedy)


def test_a_guest_knows_its_name_and_got_its_address(admin: Connection, running: Guest) -> None:
    if running.said is None:
        tail = running.console[-1500:] or "(nothing)"
        fault = f"{running.where}: not ready after {READY_SECONDS} s; its console log ends:\n{tail}"
        require([fault], "the name is on its config drive, the address comes from Neutron's DHCP")
    ports = list(admin.network.ports(device_id=running.server.id))
    addresses = [ip["ip_address"] for port in ports for ip in port.fixed_ips]
    fault = f"{running.where}: Neutron gave it {addresses}, it says {running.said}"
    good = len(addresses) == 1 and running.said == (running.name, addresses[0])
    require([] if good else [fault], "see the config drive, and Neutron's DHCP agent")


def test_a_guest_greets_on_its_novnc_console(admin: Connection, site: Site, running: Guest) -> None:
    vnc = site.settings.vnc
    if not vnc.enabled:
        pytest.skip("vnc.enabled is False")
    console = admin.compute.create_console(running.server, console_type="novnc") or {}
    url = str(console.get("url"))
    shown = url.partition("?")[0]
    if not url.startswith(vnc.novncproxy_base_url):
        fault = f"{running.where}: its console is at {shown}"
        require([fault], f"see [vnc] novncproxy_base_url in nova.conf on {running.compute.name}")
    page = admin.session.get(url, authenticated=False, raise_exc=False)
    if page.status_code != 200 or "noVNC" not in page.text:
        require([f"{shown}: answers {page.status_code} without noVNC"], "see nova-novncproxy.log")
    try:
        greeting = greet(url)
    except OSError as error:
        pytest.fail(f"{running.where}: {shown}: {error}", pytrace=False)
    fault = f"{running.where}: {shown} says {greeting.status!r}, then {greeting.first_words!r}"
    remedy = f"see nova-novncproxy.log; it needs to reach the VNC ports of {running.compute.name}"
    require([] if greeting.first_words.startswith("RFB 003.") else [fault], remedy)
    where = f"{running.where}: its screen is not shown"
    log = f"see nova-novncproxy.log, and the log of the guest's QEMU on {running.compute.name}"
    require([f"{where}: {greeting.refusal}"] if greeting.refusal else [], log)


def test_nothing_is_left_of_a_deleted_guest(
    after_deletion: dict[str, Guest], guest: Guest, compute: HostSettings
) -> None:
    faults = [f"{guest.where} is deleted, but has left {thing}" for thing in guest.left]
    require(faults, f"see nova-compute.log on {compute.name}")
