"""Post-deploy verification of the cloud that an inventory describes: ``pytest tests/verify``.

The inventory is the one that PYINFRA_NOVA_INVENTORY names, else inventory.py; hosts, keys and sudo
are those of the deploy, over pyinfra's own connections, one for each host.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Any

import openstack
import pytest
from openstack.connection import Connection
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.state import State
from testinfra.host import Host

from pyinfra_nova.connection import connected, load
from pyinfra_nova.inventory import site_of
from pyinfra_nova.platforms import platform_for
from pyinfra_nova.resources.compute_api import ComputeApi, ComputeApiState
from pyinfra_nova.resources.host_script import Answer, ScriptFact, ask
from pyinfra_nova.resources.preflight import HostReport, Report
from pyinfra_nova.secrets import secrets_file
from pyinfra_nova.settings import HostSettings, Role, Site
from pyinfra_nova.target import Target
from pyinfra_nova.testinfra_backend import testinfra_host

INVENTORY = os.environ.get("PYINFRA_NOVA_INVENTORY", "inventory.py")


def pytest_configure(config: pytest.Config) -> None:
    # The SDK warns of its own next major version, which the lock file keeps away.
    for name in ("RemovedInSDK50Warning", "RemovedInSDK60Warning"):
        config.addinivalue_line("filterwarnings", f"ignore::openstack.warnings.{name}")


class Cloud:
    """The deployed site: its settings, and its hosts as they are."""

    def __init__(self) -> None:
        self.state: State = load(INVENTORY)
        self.site: Site = site_of(self.state.inventory, secrets_file(), INVENTORY)
        self._targets: dict[str, Target] = {}

    def shell(self, name: str) -> Host:
        """Testinfra's host."""
        return testinfra_host(self.state, name)

    def ask(self, name: str, fact: type[ScriptFact], request: dict[str, Any]) -> Answer:
        """What a script of files/ answers on a host."""
        with connected(self.state, name) as host:
            return ask(host, fact, request)

    def target(self, name: str) -> Target:
        """The host as the deploy sees it; asked once."""
        if name not in self._targets:
            report = Report.of(self.ask(name, HostReport, {"checks": []}))
            assert report is not None, f"{name} gave no report; is python3 installed there?"
            platform = platform_for(report.os.id, report.os.version, self.site.settings.release)
            usable = report.kvm.flag and report.kvm.usable
            host = self.site.hosts[name]
            self._targets[name] = Target(host, self.site, platform, "kvm" if usable else "qemu")
        return self._targets[name]

    def api_state(self) -> ComputeApiState:
        """Services, hypervisors and inventories, as the APIs list them."""
        with connected(self.state, self.site.primary_controller.name) as host:
            return ComputeApiState.of(host, ComputeApi.of(self.site))


_CLOUDS: list[Cloud] = []


def the_cloud() -> Cloud:
    """Loaded once, when tests are collected; a fault in the settings ends the run with its text."""
    if not _CLOUDS:
        try:
            _CLOUDS.append(Cloud())
        except PyinfraError as error:
            pytest.exit(f"{INVENTORY}: {error}", returncode=1)
    return _CLOUDS[0]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with an argument `nova_host`, `controller` or `compute` runs for each such host."""
    roles: dict[str, tuple[Role, ...]] = {
        "nova_host": ("controller", "compute"),
        "controller": ("controller",),
        "compute": ("compute",),
    }
    for argument, wanted in roles.items():
        if argument in metafunc.fixturenames:
            hosts = [h for h in the_cloud().site.hosts.values() if h.roles & set(wanted)]
            metafunc.parametrize(argument, hosts, ids=[h.name for h in hosts], scope="session")


@pytest.fixture(scope="session")
def cloud() -> Iterator[Cloud]:
    cloud = the_cloud()
    yield cloud
    for host in cloud.state.inventory.hosts.values():
        if host.connected:
            host.disconnect()


@pytest.fixture(scope="session")
def site(cloud: Cloud) -> Site:
    return cloud.site


@pytest.fixture(scope="session")
def primary(cloud: Cloud) -> Host:
    """A shell on the primary controller."""
    return cloud.shell(cloud.site.primary_controller.name)


@pytest.fixture(scope="session")
def known_names(cloud: Cloud) -> Iterator[None]:
    """In URLs, names such as `controller` mean the inventory's hosts where DNS is silent."""
    addresses: dict[str, str] = {}
    for name, host in cloud.state.inventory.hosts.items():
        settings: HostSettings | None = cloud.site.host(name)
        own = settings.my_ip if settings else None
        addresses[name] = str(host.data.get("ssh_hostname") or own or name)
    controller = addresses[cloud.site.primary_controller.name]
    addresses.setdefault(cloud.site.settings.controller_host, controller)
    resolve = socket.getaddrinfo

    def with_inventory(host: Any, *arguments: Any, **options: Any) -> Any:
        try:
            return resolve(host, *arguments, **options)
        except socket.gaierror:
            if host not in addresses:
                raise
            return resolve(addresses[host], *arguments, **options)

    socket.getaddrinfo = with_inventory
    yield
    socket.getaddrinfo = resolve


@pytest.fixture(scope="session")
def admin(cloud: Cloud, known_names: None) -> Connection:
    """The cloud as its administrator sees it, from this machine, over the public endpoints."""
    keystone = cloud.site.settings.keystone
    return openstack.connect(
        auth_url=keystone.auth_url,
        username=keystone.admin.username,
        password=cloud.site.secrets.admin_password.get_secret_value(),
        project_name=keystone.admin.project_name,
        user_domain_name=keystone.admin.user_domain_name,
        project_domain_name=keystone.admin.project_domain_name,
        region_name=cloud.site.settings.region,
        interface="public",
        compute_default_microversion="2.79",
    )
