"""What resources.yml and the hosts' settings want beyond a compute service."""

from __future__ import annotations

import pytest

from pyinfra_nova.proof.deployed_site import DeployedSite
from pyinfra_nova.resources.cloud_objects import Declaration, Differences
from pyinfra_nova.resources.cloud_objects.declaration import load_declared
from pyinfra_nova.resources.compute_api import places
from pyinfra_nova.resources.hugepages import HugePageDifferences, comparison
from pyinfra_nova.resources.keystone import KeystoneAdmin
from pyinfra_nova.site.settings import HostSettings

from .conftest import require


def test_the_cloud_holds_what_is_declared(cloud: DeployedSite) -> None:
    declared, _ = load_declared(cloud.site)
    if declared is None:
        pytest.skip("there is no resources.yml")
    site = cloud.site
    settings = site.settings
    admin = KeystoneAdmin.of(site)
    declaration = Declaration(admin, settings.region, declared, places(settings))
    with cloud.on(site.primary_controller.name) as host:
        found = Differences.of(host, declaration)
    unknown = [f"host {name} is no compute of this cloud" for name in found.unregistered]
    error = [found.error] if found.error else []
    faults = [*error, *found.refused, *unknown, *found.changes, *found.remarks]
    require(faults, "see resources.yml, or run the deploy again")


def test_huge_pages_are_set_aside(cloud: DeployedSite, compute: HostSettings) -> None:
    if not compute.hugepages:
        pytest.skip("no hugepages are set for this host")
    daemon = cloud.target(compute).platform.libvirt.service
    found = cloud.ask(compute.name, HugePageDifferences, comparison(compute.hugepages, daemon))
    error = [found["error"]] if found["error"] else []
    faults = [f"{compute.name}: {text}" for text in (*error, *found["changes"], *found["remarks"])]
    require(faults, f"see hugepages of {compute.name}; a reboot may be needed")
