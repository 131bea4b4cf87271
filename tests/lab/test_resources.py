"""Declared resources on a real cloud: made, left alone, put right, removed when asked."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import MINUTE, ROOT, on, run
from .test_main_job import PYINFRA

Deployed = subprocess.CompletedProcess[str]
EXAMPLE = ROOT / "resources.example.yml"
BY_HAND = """
flavor unset m1.small --property hw_rng:allowed
flavor set m1.small --property hw:cpu_sockets=1
flavor create theirs --vcpus 1 --ram 64 --disk 0
aggregate remove host rack1 compute1
aggregate set rack1 --property rack=r9 --property theirs=1
server group delete spread
keypair delete example
image unset tiny --property os_distro
quota set admin --instances 11
"""
PINNED = {
    "flavors": {
        "m1.pinned": {
            **{"vcpus": 1, "ram": 128, "disk": 0},
            "extra_specs": {"hw:cpu_policy": "dedicated", "trait:CUSTOM_GPU": "required"},
        }
    },
    "aggregates": {"gpu": {"hosts": ["compute2"], "metadata": {"trait:CUSTOM_GPU": "required"}}},
}
WITH_DEDICATED_CPU = """
_extra = {
    "compute2": {"compute": {"cpu_shared_set": "0", "cpu_dedicated_set": "1"}},
    "controller": {"nova_conf": {"scheduler": {"enable_isolated_aggregate_filtering": True}}},
}
for _host, _data in lab:
    _data.update(_extra.get(_host, {}))
"""


class Cloud:
    """The lab's cloud, and the file that says what should be in it."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.inventory = "inventory.py"

    def declare(self, resources: dict[str, Any]) -> None:
        self.file.write_text(yaml.safe_dump(resources))

    def plan(self) -> Deployed:
        words = ("./run", "-i", self.inventory, "plan")
        return run(*words, PYINFRA_NOVA_RESOURCES=str(self.file))

    def deploy(self) -> Deployed:
        words = (PYINFRA, self.inventory, "deploy.py", "-y")
        return run(*words, PYINFRA_NOVA_RESOURCES=str(self.file))

    def settle(self) -> None:
        """Deploy, and have nothing left to do."""
        assert self.deploy().returncode == 0
        assert self.plan().returncode == 0


def openstack(command: str) -> Any:
    result = on("controller", f"openstack {command} -f json")
    assert result.returncode == 0
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def cloud(deployed: Deployed, tmp_path_factory: pytest.TempPathFactory) -> Cloud:
    return Cloud(tmp_path_factory.mktemp("declared") / "resources.yml")


@pytest.fixture
def declared(cloud: Cloud) -> Cloud:
    """With the whole example in place."""
    cloud.file.write_text(EXAMPLE.read_text())
    assert cloud.deploy().returncode == 0
    return cloud


def test_every_kind_is_planned_made_and_verified(cloud: Cloud) -> None:
    cloud.file.write_text(EXAMPLE.read_text())
    planned = cloud.plan()
    assert planned.returncode == 2
    for text in (
        "create flavor m1.small: vcpus 1, ram 512, disk 2",
        "create aggregate rack1 in availability zone az1",
        "aggregate rack1: add host compute1",
        "create server group spread: anti-affinity, at most 2 on a host",
        "quota of project admin: instances 20",
        "create keypair example",
        "image tiny: property os_distro debian",
    ):
        assert text in planned.stdout
    cloud.settle()
    verified = ("./run", "verify", "-k", "what_is_declared")
    assert run(*verified, PYINFRA_NOVA_RESOURCES=str(cloud.file)).returncode == 0


@pytest.mark.rotated("sites")
def test_what_was_changed_by_hand_is_put_right_and_what_is_others_is_kept(
    declared: Cloud,
) -> None:
    assert on("controller", f"openstack <<'END'\n{BY_HAND}END").returncode == 0
    planned = declared.plan()
    assert planned.returncode == 2
    for text in (
        "flavor m1.small: extra spec hw_rng:allowed true (was not set)",
        "aggregate rack1: add host compute1",
        "aggregate rack1: metadata rack r1 (was r9)",
        "create server group spread",
        "create keypair example",
        "image tiny: property os_distro debian (was not set)",
        "quota of project admin: instances 20 (was 11)",
    ):
        assert text in planned.stdout
    assert "theirs" not in planned.stdout and "m1.tiny" not in planned.stdout
    declared.settle()
    assert openstack("flavor show m1.small")["properties"]["hw:cpu_sockets"] == "1"
    assert openstack("aggregate show rack1")["properties"]["theirs"] == "1"
    assert openstack("flavor show theirs")["ram"] == 64
    on("controller", "openstack flavor delete theirs")


@pytest.mark.rotated("guests")
def test_other_numbers_of_a_flavor_are_refused_unless_it_may_be_replaced(declared: Cloud) -> None:
    resources = yaml.safe_load(EXAMPLE.read_text())
    flavor = resources["flavors"]["m1.small"]
    flavor["ram"] = 640
    resources["flavors"]["new"] = {"vcpus": 1, "ram": 64, "disk": 0}
    declared.declare(resources)
    refused = declared.deploy()
    assert refused.returncode == 1
    assert "flavor m1.small differs: ram 640 (was 512)" in refused.stdout
    assert "Traceback" not in refused.stdout
    assert "new" not in {row["Name"] for row in openstack("flavor list --all")}
    for ram in (640, 512):
        flavor.update(ram=ram, replace=True)
        declared.declare(resources)
        declared.settle()
        shown = openstack("flavor show m1.small")
        assert (shown["ram"], shown["properties"]["hw_rng:allowed"]) == (ram, "true")
    on("controller", "openstack flavor delete new")


@pytest.fixture
def dedicated(declared: Cloud, tmp_path: Path) -> Iterator[Cloud]:
    """With a CPU of compute2 for pinned guests, on hosts for such flavors alone."""
    inventory = tmp_path / "dedicated.py"
    inventory.write_text((ROOT / "inventory.py").read_text() + WITH_DEDICATED_CPU)
    declared.inventory = str(inventory)
    declared.declare(PINNED)
    declared.settle()
    yield declared
    assert on("controller", "openstack server delete --wait pinned floating").returncode == 0
    declared.declare(
        {
            "flavors": {"m1.pinned": {"absent": True}},
            "aggregates": {"gpu": {"hosts": ["compute2"], "absent": True}},
        }
    )
    assert declared.deploy().returncode == 0
    declared.inventory = "inventory.py"
    assert declared.deploy().returncode == 0


def booted(name: str, flavor: str) -> dict[str, Any]:
    """A guest without a network, once it runs."""
    create = f"openstack server create --flavor {flavor} --image tiny --nic none {name}"
    assert on("controller", f"{create} --os-compute-api-version 2.37").returncode == 0
    deadline = time.monotonic() + 2 * MINUTE
    while time.monotonic() < deadline:
        server: dict[str, Any] = openstack(f"server show {name}")
        if server["status"] != "BUILD":
            return server
        time.sleep(2)
    raise AssertionError(f"{name} is still being built")


@pytest.mark.rotated("guests")
def test_a_pinned_guest_has_its_cpu_on_the_hosts_that_are_kept_for_it(dedicated: Cloud) -> None:
    pinned, floating = booted("pinned", "m1.pinned"), booted("floating", "m1.tiny")
    assert (pinned["status"], floating["status"]) == ("ACTIVE", "ACTIVE")
    assert pinned["OS-EXT-SRV-ATTR:host"] == "compute2"
    assert floating["OS-EXT-SRV-ATTR:host"] == "compute1"
    domain = pinned["OS-EXT-SRV-ATTR:instance_name"]
    assert "<vcpupin vcpu='0' cpuset='1'/>" in on("compute2", f"virsh dumpxml {domain}").stdout


def test_what_is_said_to_be_absent_is_removed_and_nothing_else(declared: Cloud) -> None:
    resources = yaml.safe_load(EXAMPLE.read_text())
    images = resources.pop("images")  # the lab's own, which stays
    images["tiny"]["properties"]["os_distro"] = None
    for kind in resources.values():
        for one in kind.values():
            one["absent"] = True
    resources["images"] = images
    declared.declare(resources)
    result = declared.deploy()
    assert result.returncode == 0
    assert "remove flavor m1.small" in result.stdout
    assert "image tiny: no property os_distro" in result.stdout
    assert declared.plan().returncode == 0
    assert openstack("aggregate list") == openstack("server group list") == []
    assert openstack("flavor list --all") == openstack("keypair list") == []
    assert openstack("quota show admin")["instances"] == 10
    assert [row["Name"] for row in openstack("image list")] == ["tiny"]
