"""The proof that counts: a guest on every compute, with network, name and console; twice.

The second round is there because what a deleted guest leaves behind may keep the next one from
starting.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from openstack.connection import Connection
from openstack.exceptions import SDKException

from pyinfra_nova.console import greet
from pyinfra_nova.settings import HostSettings, Site

PREFIX = "pyinfra-nova-verify"
IMAGE = os.environ.get("PYINFRA_NOVA_IMAGE", "tiny")
CIDR = "10.99.0.0/24"
DEADLINE = 240
"""Seconds until every guest has said that it is ready; software emulation takes its time."""
READY = re.compile(r"guest ready: name=(\S+) address=(\S+)")
HOW_TO_GET_AN_IMAGE = (
    f"Glance has no image {IMAGE!r}, which says `guest ready: name=... address=...` when it is up; "
    "build it with lab/guest/build_image.py, or name one in PYINFRA_NOVA_IMAGE"
)


@dataclass
class Guest:
    """A booted guest: its name and host, what Neutron gave it, and where its console is."""

    name: str
    compute: HostSettings
    server: Any
    port: Any


def remove_everything(admin: Connection) -> None:
    """Guests, ports, network and flavor of this or an earlier, interrupted run."""
    servers = [s for s in admin.compute.servers(all_projects=True) if s.name.startswith(PREFIX)]
    for server in servers:
        admin.compute.delete_server(server, force=True)
    wait(lambda: all(admin.compute.find_server(s.id) is None for s in servers), 60, "deletion")
    for network in admin.network.networks(name=PREFIX):
        for port in admin.network.ports(network_id=network.id, device_owner=""):
            admin.network.delete_port(port)
        for port in admin.network.ports(network_id=network.id):
            if port.name.startswith(PREFIX):
                admin.network.delete_port(port)
        admin.network.delete_network(network)
    for flavor in admin.compute.flavors(is_public=None):
        if flavor.name == PREFIX:
            admin.compute.delete_flavor(flavor)


def wait(done: Callable[[], bool], seconds: float, what: str) -> None:
    """Until DONE says so; after SECONDS the test fails and says what it waited for."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(1)


@pytest.fixture(scope="module")
def image(admin: Connection) -> Any:
    found = admin.image.find_image(IMAGE)
    if found is None:
        pytest.skip(HOW_TO_GET_AN_IMAGE)
    return found


@pytest.fixture(scope="module")
def network(admin: Connection, image: Any) -> Iterator[Any]:
    remove_everything(admin)
    network = admin.network.create_network(name=PREFIX)
    try:
        admin.network.create_subnet(
            network_id=network.id, name=PREFIX, ip_version=4, cidr=CIDR, gateway_ip=None
        )
        yield network
    finally:
        remove_everything(admin)


@pytest.fixture(scope="module")
def flavor(admin: Connection, network: Any) -> Any:
    return admin.compute.create_flavor(name=PREFIX, ram=192, vcpus=1, disk=1)


@pytest.fixture(scope="module", params=[1, 2], ids=["first-round", "second-round"])
def guests(
    request: pytest.FixtureRequest,
    admin: Connection,
    site: Site,
    image: Any,
    network: Any,
    flavor: Any,
) -> Iterator[list[Guest]]:
    """One guest on each compute, all booted side by side."""
    made = []
    for compute in site.computes:
        name = f"{PREFIX}-{request.param}-{compute.nova_host}".replace(".", "-").lower()
        port = admin.network.create_port(network_id=network.id, name=name)
        server = admin.compute.create_server(
            name=name,
            image_id=image.id,
            flavor_id=flavor.id,
            networks=[{"port": port.id}],
            config_drive=True,
            host=compute.nova_host,
        )
        made.append(Guest(name, compute, server, port))
    yield made
    for guest in made:
        admin.compute.delete_server(guest.server, force=True)
    wait(
        lambda: all(admin.compute.find_server(guest.server.id) is None for guest in made),
        90,
        "the guests to be deleted",
    )
    for guest in made:
        admin.network.delete_port(guest.port, ignore_missing=True)


def console_log(admin: Connection, guest: Guest) -> str:
    try:
        return str(admin.compute.get_server_console_output(guest.server)["output"])
    except SDKException:
        return ""  # there is none before the guest runs


def wait_until_active(admin: Connection, guest: Guest) -> None:
    def active() -> bool:
        guest.server = admin.compute.get_server(guest.server.id)
        fault = guest.server.fault or {}
        assert guest.server.status != "ERROR", (
            f"{guest.name} on {guest.compute.name}: {fault.get('message')}; "
            f"look at /var/log/nova/nova-compute.log there"
        )
        return bool(guest.server.status == "ACTIVE")

    wait(active, DEADLINE, f"{guest.name} to become ACTIVE on {guest.compute.name}")


def test_every_guest_gets_its_name_and_its_address(admin: Connection, guests: list[Guest]) -> None:
    for guest in guests:
        wait_until_active(admin, guest)
    deadline = time.monotonic() + DEADLINE
    for guest in guests:
        while not (said := READY.search(console_log(admin, guest))):
            tail = console_log(admin, guest)[-800:]
            assert time.monotonic() < deadline, (
                f"{guest.name} on {guest.compute.name} did not say `guest ready` in {DEADLINE} s; "
                f"its console ends with:\n{tail}"
            )
            time.sleep(1)
        address = (guest.server.addresses or {})[PREFIX][0]["addr"]
        assert said.groups() == (guest.name, address), guest.compute.name


def test_every_guest_runs_where_it_was_sent(admin: Connection, guests: list[Guest]) -> None:
    for guest in guests:
        found = admin.compute.get_server(guest.server.id)
        assert found.compute_host == guest.compute.nova_host


def test_every_console_greets_through_the_proxy(
    admin: Connection, site: Site, guests: list[Guest]
) -> None:
    if not site.settings.vnc.enabled:
        pytest.skip("vnc.enabled is False")
    for guest in guests:
        console = admin.compute.create_console(guest.server, console_type="novnc")
        url = str(dict(console or {})["url"])
        assert url.startswith(site.settings.vnc.novncproxy_base_url), (
            f"{guest.compute.name}: console URL {url.split('?')[0]}; see [vnc] novncproxy_base_url"
        )
        greeting = greet(url)
        assert greeting.first_words.startswith("RFB 003."), (
            f"{guest.name} on {guest.compute.name}: the proxy said {greeting.status!r} and "
            f"{greeting.first_words!r}; see /var/log/nova/nova-novncproxy.log"
        )
