"""`./run lab up` starts from whatever an ended run, a crash or another clone has left."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lab import machines, state
from lab.network import TABLE
from lab.settings import read_settings

from .conftest import ROOT, on, run
from .test_main_job import PYINFRA

Deployed = subprocess.CompletedProcess[str]
HOSTS = ("controller", "compute1", "compute2")


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def deploy_changes_nothing_more() -> None:
    assert run(PYINFRA, "inventory.py", "deploy.py", "-y").returncode == 0
    assert run("./run", "plan").returncode == 0


@pytest.mark.rotated("faults")
def test_a_machine_that_lost_its_power(deployed: Deployed) -> None:
    """What is left of the lab then: files, but no process, no bridge and no firewall rule."""
    for name in HOSTS:
        machines.stop([name], clean=False)
    for network in read_settings(ROOT / "inventory.py").networks:
        ip("link", "delete", network.bridge)
    subprocess.run(["nft", "delete", "table", "ip", TABLE], check=True)
    assert run("./run", "lab", "status").returncode == 1
    assert run("./run", "lab", "up").returncode == 0
    assert run("./run", "lab", "status").returncode == 0
    deploy_changes_nothing_more()


@pytest.mark.rotated("faults")
def test_a_bridge_taken_away_under_running_hosts(deployed: Deployed) -> None:
    before = machines.init_of("compute1")
    ip("link", "delete", "pn-mgmt")
    assert run("./run", "lab", "up").returncode == 0
    assert on("compute1", "true").returncode == 0
    assert machines.init_of("compute1") == before


@pytest.mark.rotated("faults")
def test_a_half_made_host_is_made_anew_and_deployed_again(deployed: Deployed) -> None:
    machines.kill("compute2")
    (state.HOSTS / "compute2.json").unlink()
    assert run("./run", "lab", "up").returncode == 0
    assert on("compute2", "test -e /etc/nova/nova.conf").returncode == 1
    deploy_changes_nothing_more()


def test_another_clone_finds_the_lab_as_it_is(deployed: Deployed, tmp_path: Path) -> None:
    identity = on("controller", "cat /etc/machine-id /proc/sys/kernel/random/boot_id").stdout
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    (clone / ".venv").symlink_to(ROOT / ".venv")
    (clone / "secrets.yml").symlink_to(ROOT / "secrets.yml")
    assert run("sh", "-c", f"cd {clone} && ./run lab status").returncode == 0
    assert run("sh", "-c", f"cd {clone} && ./run lab up").returncode == 0
    assert on("controller", "cat /etc/machine-id /proc/sys/kernel/random/boot_id").stdout == (
        identity
    )


def test_a_range_in_use_elsewhere_on_this_machine_is_refused() -> None:
    ip("link", "add", "elsewhere", "type", "bridge")
    try:
        ip("address", "add", "10.0.2.77/28", "dev", "elsewhere")
        refused = run("./run", "lab", "up")
    finally:
        ip("link", "delete", "elsewhere")
    assert refused.returncode == 1
    assert "10.0.2.0/24" in refused.stdout and "elsewhere" in refused.stdout
    assert "Traceback" not in refused.stdout
