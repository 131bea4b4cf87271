"""Guests moved between the two computes, as users and operators move them."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from lab import machines

from .conftest import MINUTE, on, run

Deployed = subprocess.CompletedProcess[str]
NAME = "moved"
SMALL, LARGE = "moved.small", "moved.large"
pytestmark = pytest.mark.rotated


def openstack(command: str) -> str:
    result = on("controller", f"openstack --os-compute-api-version 2.90 {command}")
    assert result.returncode == 0, result.stdout
    return result.stdout


def server() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(openstack(f"server show {NAME} -f json"))
    return found


def host() -> str:
    return str(server()["OS-EXT-SRV-ATTR:host"])


def wait_for(status: str, minutes: int = 5) -> None:
    deadline = time.monotonic() + minutes * MINUTE
    while (found := server())["status"] != status or found["OS-EXT-STS:task_state"]:
        assert found["status"] != "ERROR" or status == "ERROR", found.get("fault")
        assert time.monotonic() < deadline, f"still {found['status']}"
        time.sleep(3)


def wait_for_console() -> None:
    """The guest's own line: without it a domain that runs may still be one that hangs."""
    deadline = time.monotonic() + 5 * MINUTE
    while NAME not in on("controller", f"openstack console log show {NAME}").stdout:
        assert time.monotonic() < deadline
        time.sleep(3)


def moved(where: str, log_of: str) -> None:
    if host() != where:
        on(log_of, "tail -n 60 /var/log/nova/nova-compute.log")
    assert host() == where


def remove_everything() -> None:
    for command in (
        f"server delete --wait {NAME}",
        f"flavor delete {SMALL}",
        f"flavor delete {LARGE}",
        f"network delete {NAME}",
    ):
        on("controller", f"openstack {command}")


@pytest.fixture
def guest(deployed: Deployed) -> Iterator[None]:
    """A guest on compute1 that has said that it is ready."""
    assert deployed.returncode == 0
    remove_everything()
    try:
        openstack(f"flavor create --ram 192 --vcpus 1 --disk 1 {SMALL}")
        openstack(f"flavor create --ram 256 --vcpus 1 --disk 1 {LARGE}")
        openstack(f"network create {NAME}")
        openstack(
            f"subnet create --network {NAME} --subnet-range 192.0.2.0/24 --gateway none {NAME}"
        )
        openstack(
            f"server create --wait --image tiny --flavor {SMALL} --network {NAME}"
            f" --use-config-drive --host compute1 {NAME}"
        )
        wait_for_console()
        yield
    finally:
        remove_everything()


def test_a_cold_migration_and_a_resize_take_the_disk_along(guest: None) -> None:
    openstack(f"server migrate --host compute2 {NAME}")
    wait_for("VERIFY_RESIZE")
    openstack(f"server migration confirm {NAME}")
    wait_for("ACTIVE")
    moved("compute2", "compute1")
    wait_for_console()
    openstack(f"server resize --flavor {LARGE} {NAME}")
    wait_for("VERIFY_RESIZE")
    openstack(f"server resize confirm {NAME}")
    wait_for("ACTIVE")
    assert LARGE in str(server()["flavor"])
    wait_for_console()


def test_a_live_migration_goes_there_and_back_without_a_boot(guest: None) -> None:
    started = server()["OS-SRV-USG:launched_at"]
    for there, back in (("compute2", "compute1"), ("compute1", "compute2")):
        openstack(f"server migrate --live-migration --block-migration --host {there} {NAME}")
        wait_for("ACTIVE", minutes=10)
        moved(there, back)
        state = on(there, "virsh list --name --state-running").stdout
        assert "instance-" in state
    assert server()["OS-SRV-USG:launched_at"] == started


def test_a_guest_of_a_compute_that_is_gone_is_built_on_the_other(guest: None) -> None:
    machines.kill("compute1")
    try:
        openstack("compute service set --down compute1 nova-compute")
        openstack(f"server evacuate --host compute2 {NAME}")
        wait_for("ACTIVE")
        assert host() == "compute2"
        wait_for_console()
    finally:
        assert run("./run", "lab", "up").returncode == 0
        on("controller", "openstack compute service set --up compute1 nova-compute")
    assert run("./run", "deploy").returncode == 0
    assert run("./run", "plan").returncode == 0
    assert "instance-" not in on("compute1", "virsh list --all --name").stdout


def test_a_key_or_a_known_host_that_was_changed_is_put_back(deployed: Deployed) -> None:
    for host_name, path in (
        ("compute1", "/etc/nova/migration_key"),
        ("compute2", "/var/lib/nova/.ssh/authorized_keys"),
        ("compute1", "/etc/nova/known_hosts.compute2"),
        ("compute2", "/etc/ssh/ssh_config.d/50-pyinfra-nova.conf"),
    ):
        assert on(host_name, f"sed -i 2d {path} && echo '#' >> {path}").returncode == 0
    planned = run("./run", "plan")
    assert planned.returncode == 2
    assert "/etc/nova/migration_key: content" in planned.stdout
    assert "PRIVATE" not in planned.stdout
    assert run("./run", "deploy").returncode == 0
    login = "runuser -u nova -- ssh -o BatchMode=yes 10.0.0.32 true"
    assert on("compute1", login).returncode == 0
