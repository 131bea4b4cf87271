"""Computes that come back on Zed: renamed, reinstalled with and without guests, as they were."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import ROOT, on, run
from .guests import ON, becomes, deploy, status
from .test_moves import openstack

Deployed = subprocess.CompletedProcess[str]
PREFIX = "back-"
GUEST, FLAVOR = f"{PREFIX}guest", f"{PREFIX}flavor"
NODES = (
    "mysql --batch --skip-column-names --execute"
    " \"SELECT uuid FROM nova.compute_nodes WHERE deleted = 0 AND host = 'compute2'\""
)
NAMED = "grep -c '^host = compute2$' /etc/nova/nova.conf"
KEPT = "/root/pyinfra-nova-kept"
INSTANCES = "/var/lib/nova/instances"
AWAY = f"""
set -e
systemctl stop nova-compute
mkdir {KEPT}
virsh dumpxml --inactive --security-info {{name}} >{KEPT}/domain.xml
virsh destroy {{name}}
virsh undefine {{name}}
mv {INSTANCES}/{{uuid}} {KEPT}/
"""
BACK = f"""
test -d {KEPT} || exit 0
set -e
mv {KEPT}/{{uuid}} {INSTANCES}/
virsh define {KEPT}/domain.xml
rm -r {KEPT}
"""
REINSTALLED = (
    "systemctl stop nova-compute && rm -rf /etc/nova/nova.conf /etc/nova/nova-compute.conf"
    f" {INSTANCES}/*"
)


@pytest.fixture
def renamed(deployed: Deployed, tmp_path: Path) -> Iterator[Path]:
    """An inventory, and a host, that call compute2 something else."""
    assert deployed.returncode == 0
    path = tmp_path / "renamed.py"
    text = (ROOT / "inventory.py").read_text()
    path.write_text(text.replace('("compute2",', '("compute9",'))
    assert on("compute2", "hostname compute9").returncode == 0
    yield path
    assert on("compute2", "hostname compute2").returncode == 0


@pytest.mark.rotated("faults")
def test_a_renamed_host_is_refused_before_anything_is_changed(renamed: Path) -> None:
    before = on("controller", NODES).stdout
    result = deploy(renamed)
    assert result.returncode == 1
    assert "compute9: identity: Nova has this host as compute2" in result.stdout
    assert "`hostnamectl set-hostname compute2`, and nova_host = 'compute2'" in result.stdout
    assert on("compute2", NAMED).stdout.split()[-1] == "1"
    assert "compute9" not in openstack("compute service list -f value -c Host")
    assert on("controller", NODES).stdout == before


@pytest.fixture
def guest(deployed: Deployed) -> Iterator[tuple[str, str]]:
    """The only guest on compute2: its UUID, and its name for libvirt."""
    assert deployed.returncode == 0
    openstack(f"flavor create --vcpus 1 --ram 128 --disk 0 {FLAVOR}")
    create = f"server create {ON} --flavor {FLAVOR} --image tiny --nic none --wait"
    openstack(f"{create} --host compute2 {GUEST}")
    uuid, name = (
        openstack(f"server show -f value -c {column} {GUEST}").split()[-1]
        for column in ("id", "OS-EXT-SRV-ATTR:instance_name")
    )
    yield uuid, name
    on("compute2", BACK.format(uuid=uuid))
    on("compute2", "systemctl start nova-compute")
    openstack(f"server delete --wait {GUEST}")
    openstack(f"flavor delete {FLAVOR}")
    assert deploy("inventory.py").returncode == 0


@pytest.mark.rotated("guests")
def test_a_used_name_without_its_guests_is_refused_and_the_disk_put_back_is_right(
    guest: tuple[str, str],
) -> None:
    uuid, name = guest
    assert on("compute2", AWAY.format(uuid=uuid, name=name)).returncode == 0
    result = deploy("inventory.py")
    assert result.returncode == 1
    said = f"compute2: identity: Nova has 1 guest ({uuid}) here, and neither libvirt nor"
    assert f"{said} {INSTANCES} has one of them" in result.stdout
    assert on("compute2", "systemctl is-active nova-compute").returncode != 0
    assert status(GUEST) == "ACTIVE"  # Nova has not been told that it is off
    assert on("compute2", BACK.format(uuid=uuid)).returncode == 0
    assert deploy("inventory.py").returncode == 0
    # Its domain is off now, which nova-compute looks for in its first minute.
    assert becomes(GUEST, "SHUTOFF")
    openstack(f"server start {GUEST}")
    assert becomes(GUEST, "ACTIVE")
    assert run("./run", "plan").returncode == 0


@pytest.mark.rotated("guests")
def test_a_reinstalled_host_without_guests_is_the_node_that_it_was(deployed: Deployed) -> None:
    assert deployed.returncode == 0
    before = on("controller", NODES).stdout
    assert on("compute2", REINSTALLED).returncode == 0
    assert deploy("inventory.py").returncode == 0
    assert on("controller", NODES).stdout == before
    assert run("./run", "plan").returncode == 0
    assert run("./run", "audit").returncode == 0
