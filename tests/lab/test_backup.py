"""A backup that is restored, over a cloud that has gone on since: on the lab as it is deployed."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import MINUTE, ROOT, on, run
from .planted import OLD, sql

Deployed = subprocess.CompletedProcess[str]
FLAVOR = "m1.backup"
KEPT, GONE, YOUNGER = "backup-kept", "backup-gone", "backup-younger"
MAKE_FLAVOR = f"openstack flavor create --vcpus 1 --ram 128 --disk 0 {FLAVOR}"
KEY = ROOT / "backup-key.txt"
INSTANCES = "/var/lib/nova/instances"
DROP_IN = "/etc/systemd/system/nova-compute.service.d/pyinfra-nova-restore.conf"
BESIDE = "mysql -BNe 'SHOW DATABASES' | grep -E '_before_restore|_restoring|pyinfra_nova_restore'"


def boot(name: str) -> str:
    """The identifier of a new guest."""
    command = (
        f"openstack server create --flavor {FLAVOR} --image tiny --nic none --wait"
        f" --os-compute-api-version 2.37 -f value -c id {name}"
    )
    result = on("controller", command)
    assert result.returncode == 0
    return result.stdout.split()[-1]


def delete(name: str) -> None:
    on("controller", f"openstack server delete --wait {name}")


def domain_of(uuid: str) -> tuple[str, str]:
    """On which compute the domain of a guest is, and its process there."""
    for host in ("compute1", "compute2"):
        found = on(host, f"pgrep -f 'uuid {uuid}'")
        if found.returncode == 0:
            return host, found.stdout.split()[-1]
    return "", ""


@pytest.fixture(scope="module")
def flavor(deployed: Deployed) -> Iterator[None]:
    assert deployed.returncode == 0
    made_key = not KEY.exists()
    assert on("controller", MAKE_FLAVOR).returncode == 0
    yield
    for name in (KEPT, GONE, YOUNGER):
        delete(name)
    on("controller", f"openstack flavor delete {FLAVOR}")
    if made_key:
        KEY.unlink(missing_ok=True)


def cut_off(path: Path, at: str) -> None:
    """Begin to restore PATH, and kill it when it says AT."""
    command = ["./run", "restore", "-y", str(path)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            print(line, end="")
            if at in line:
                process.send_signal(signal.SIGKILL)
                return
    pytest.fail(f"the restore has not come to {at!r}")


@pytest.mark.rotated("long")
def test_a_restore_says_how_the_cloud_has_gone_on_since(flavor: None, tmp_path: Path) -> None:
    kept, gone = boot(KEPT), boot(GONE)
    running = domain_of(kept)
    # An audit leaves alone for two minutes what has just changed.
    on("controller", sql(f"UPDATE nova.instances SET created_at = {OLD}, updated_at = {OLD}"))
    path = tmp_path / "cloud.age"
    result = run("./run", "backup", str(path))
    assert result.returncode == 0
    for name in ("nova_api", "nova_cell0", "nova", "placement", "neutron"):
        assert f"  {name}: " in result.stdout
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"CREATE TABLE" not in path.read_bytes()

    delete(GONE)
    younger = boot(YOUNGER)

    for step in ("loading", "replacing"):
        cut_off(path, step)
        planned = run("./run", "plan")
        assert planned.returncode == 1
        assert "./run restore FILE" in planned.stdout
    result = run("./run", "restore", "-y", str(path), timeout=15 * MINUTE)
    assert result.returncode == 2
    said = result.stdout
    assert younger in said[said.index("younger than the backup") :]
    assert gone in said[said.index("deleted since") :]
    assert domain_of(kept) == running, "guests run on"
    assert domain_of(younger)[0], "what Nova does not know runs on"
    for compute in ("compute1", "compute2"):
        assert on(compute, f"grep RUNNING_DELETED_INSTANCE_ACTION=log {DROP_IN}").returncode == 0
    assert "nova_before_restore" in on("controller", BESIDE).stdout
    assert run("./run", "plan").returncode == 0

    host, _ = domain_of(younger)
    on(host, f"virsh destroy {younger}; virsh undefine {younger}; rm -r {INSTANCES}/{younger}")
    delete(GONE)
    assert run("./run", "restore", "--finish", "-y").returncode == 0
    for compute in ("compute1", "compute2"):
        assert on(compute, f"test -e {DROP_IN}").returncode == 1
    assert on("controller", BESIDE).returncode == 1
    assert domain_of(kept) == running
    delete(KEPT)
    assert run("./run", "plan").returncode == 0
    assert run("./run", "verify").returncode == 0


def test_a_damaged_backup_changes_nothing(flavor: None, tmp_path: Path) -> None:
    path = tmp_path / "cloud.age"
    assert run("./run", "backup", str(path)).returncode == 0
    path.write_bytes(path.read_bytes()[:-100])
    result = run("./run", "restore", "-y", str(path))
    assert result.returncode == 1
    assert "cannot be decrypted" in result.stdout
    assert on("controller", BESIDE).returncode == 1
