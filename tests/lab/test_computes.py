"""Computes that take new guests, and computes that take none."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from .conftest import ROOT, on, run
from .test_main_job import PYINFRA

Deployed = subprocess.CompletedProcess[str]
REASON = "new memory"
BY_CONFIG = "New compute service disabled due to config option."
SERVICE = "openstack compute service list --long -f value --service nova-compute --host compute2"


def deploy(inventory: str = "inventory.py") -> subprocess.CompletedProcess[str]:
    return run(PYINFRA, inventory, "deploy.py", "-y")


@pytest.fixture
def closed(tmp_path: Path) -> str:
    """The lab's inventory, in which compute2 is closed."""
    path = tmp_path / "closed.py"
    line = f"computes[1][1].update(state='closed', state_reason={REASON!r})"
    path.write_text(f"{(ROOT / 'inventory.py').read_text()}\n{line}\n")
    return str(path)


def test_a_closed_compute_gets_no_new_guests_until_it_is_opened(
    deployed: Deployed, closed: str
) -> None:
    words = f"close compute2 to new guests, {REASON} (was open)"
    try:
        assert words in run("./run", "-i", closed, "plan").stdout
        result = deploy(closed)
        assert result.returncode == 0
        assert words in result.stdout
        assert run("./run", "-i", closed, "plan").returncode == 0
        listed = on("controller", SERVICE).stdout
        assert "disabled" in listed and REASON in listed
        found = on(
            "controller",
            "openstack flavor create --vcpus 1 --ram 128 --disk 0 refused >/dev/null;"
            " openstack --os-compute-api-version 2.74 server create --flavor refused --image tiny"
            " --nic none --host compute2 --wait refused; openstack server show -f value -c fault"
            " refused; openstack server delete --wait refused; openstack flavor delete refused",
        )
        assert "No valid host was found" in found.stdout
    finally:
        result = deploy()
    assert f"open compute2 to new guests (was closed: {REASON})" in result.stdout
    assert "enabled" in on("controller", SERVICE).stdout
    assert run("./run", "plan").returncode == 0


def test_a_compute_that_joins_is_closed_until_it_is_proven(deployed: Deployed) -> None:
    on("compute2", "systemctl stop nova-compute")
    number = on("controller", f"{SERVICE} -c ID").stdout.split()[-1]
    assert on("controller", f"openstack compute service delete {number}").returncode == 0
    result = deploy()
    assert result.returncode == 0
    assert "map compute2 to cell1" in result.stdout
    assert f"open compute2 to new guests (was closed: {BY_CONFIG})" in result.stdout
    assert "enabled" in on("controller", SERVICE).stdout
    assert run("./run", "plan").returncode == 0
