"""A compute is retired: its guest moves, nothing of it is left anywhere, and it can come back; also
while, in the same edit, the other one is retired in its turn."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import ENCRYPTED, HAS_TLS, inventory_with, on, run
from .guests import ON, deploy, killed_when_said, migrations, status
from .peers import Peer
from .test_main_job import PYINFRA
from .test_moves import move_alive, openstack, place

pytestmark = pytest.mark.rotated("long", whole=True)
Deployed = subprocess.CompletedProcess[str]
PREFIX = "retired-"
GUEST, FLAVOR, AGGREGATE = f"{PREFIX}guest", f"{PREFIX}flavor", f"{PREFIX}aggregate"
CREATE = f"server create {ON} --flavor {FLAVOR} --image tiny --nic none --wait"
UNIT = "systemctl show -P LoadState -P ActiveState nova-compute"
QUEUE = "rabbitmqctl --quiet list_queues name | grep -Fx compute."
KNOWN = "grep -c compute2 /etc/nova/known_hosts"
COMPUTE1 = "10.0.0.31"
FROM = "grep -c 10.0.0.32 /var/lib/nova/.ssh/authorized_keys"


@pytest.fixture(scope="module")
def retired(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return inventory_with(tmp_path_factory.mktemp("retired"), "compute2", state="retired")


@pytest.fixture(scope="module")
def purged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("purged")
    return inventory_with(folder, "compute2", state="retired", purge=True)


@pytest.fixture(scope="module")
def exchanged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return inventory_with(tmp_path_factory.mktemp("exchanged"), "compute1", state="retired")


@pytest.fixture(scope="module", autouse=True)
def guest(deployed: Deployed) -> Iterator[None]:
    """A guest on compute2, which is in an aggregate."""
    assert deployed.returncode == 0
    openstack(f"flavor create --vcpus 1 --ram 128 --disk 0 {FLAVOR}")
    openstack(f"aggregate create {AGGREGATE}")
    openstack(f"aggregate add host {AGGREGATE} compute2")
    openstack(f"{CREATE} --host compute2 {GUEST}")
    yield
    on(
        "controller",
        f"for id in $(openstack server list --name {PREFIX} -f value -c ID); do"
        " openstack server delete --force --wait $id; done;"
        f" openstack aggregate remove host {AGGREGATE} compute2;"
        f" openstack aggregate delete {AGGREGATE}; openstack flavor delete {FLAVOR}",
    )
    assert deploy("inventory.py").returncode == 0


@pytest.fixture(scope="module", autouse=True)
def certificate(guest: None) -> Peer | None:
    """Whom compute2 shows itself as, kept by somebody who has its disk."""
    return Peer.of("compute2") if HAS_TLS else None


def services() -> str:
    return openstack("compute service list -f value -c Host --service nova-compute")


def nothing_is_left(compute: str = "compute2") -> None:
    assert compute not in services()
    assert compute not in openstack("hypervisor list -f value -c 'Hypervisor Hostname'")
    assert compute not in openstack("resource provider list -f value -c name")
    assert compute not in openstack(f"aggregate show -f value -c hosts {AGGREGATE}")
    assert on("controller", QUEUE + compute).returncode == 1
    mapped = on("controller", "runuser -u nova -- nova-manage cell_v2 list_hosts")
    assert mapped.returncode == 0 and compute not in mapped.stdout


def test_the_plan_says_guest_by_guest_and_record_by_record_what_goes(retired: Path) -> None:
    planned = run("./run", "-i", str(retired), "plan")
    assert planned.returncode == 2
    for text in (
        "close compute2 to new guests, retired in the inventory (was open)",
        f"move guest {GUEST} ",
        "stop nova-compute (active (running), enabled)",
        f"compute2 goes: its place in aggregate {AGGREGATE}",
        "compute2 goes: service nova-compute (",
        "compute2 goes: resource provider ",
        "compute2 goes: queue compute.compute2",
        "/etc/nova/known_hosts: ",
    ):
        assert text in planned.stdout, text
    assert place(GUEST) == "compute2"


@ENCRYPTED
def test_its_certificate_is_taken_as_long_as_it_is_a_compute(certificate: Peer) -> None:
    assert certificate.is_let_in(COMPUTE1)


def test_a_guest_that_cannot_move_keeps_all_of_it(retired: Path) -> None:
    openstack(f"server suspend {GUEST}")
    result = deploy(retired)
    assert result.returncode == 1
    assert "is SUSPENDED: `openstack server resume" in result.stdout
    assert on("compute2", "systemctl is-active nova-compute").returncode == 0
    assert "compute2" in services()
    openstack(f"server resume {GUEST}")


def test_a_killed_retirement_is_gone_on_with_and_nothing_is_left(retired: Path) -> None:
    command = (PYINFRA, str(retired), "deploy.py", "-y")
    assert killed_when_said("stop nova-compute (", *command)
    assert deploy(retired).returncode == 0
    assert (place(GUEST), status(GUEST)) == ("compute1", "ACTIVE")
    nothing_is_left()
    assert on("compute2", UNIT).stdout.split() == ["masked", "inactive"]
    assert on("compute1", KNOWN).stdout.strip() == "0"
    assert on("compute1", FROM).stdout.strip() == "0"
    assert run("./run", "-i", str(retired), "plan").returncode == 0
    assert run("./run", "-i", str(retired), "audit").returncode == 0
    assert run("./run", "-i", str(retired), "verify").returncode == 0


@ENCRYPTED
def test_its_certificate_is_refused_from_then_on(certificate: Peer) -> None:
    assert not certificate.is_let_in(COMPUTE1)
    assert Peer.of("compute1").is_let_in(COMPUTE1)


def test_a_reboot_does_not_bring_it_back(retired: Path) -> None:
    on("compute2", "systemctl start nova-compute")
    assert on("compute2", "systemctl is-active nova-compute").returncode != 0
    nothing_is_left()


def test_a_purge_takes_what_is_novas_and_leaves_what_is_not(purged: Path) -> None:
    identity = on("compute2", "cat /var/lib/nova/compute_id 2>/dev/null").stdout
    planned = run("./run", "-i", str(purged), "plan")
    assert planned.returncode == 2
    assert "remove: " in planned.stdout
    assert deploy(purged).returncode == 0
    assert on("compute2", "dpkg -l nova-common | grep ^ii").returncode == 1
    assert on("compute2", "test -e /etc/nova/nova.conf -o -e /etc/nova/migration_key").returncode
    assert on("compute2", "test -d /var/lib/nova/instances").returncode == 0
    assert on("compute2", "cat /var/lib/nova/compute_id 2>/dev/null").stdout == identity
    assert on("compute2", "systemctl is-active libvirtd.socket libvirtd").stdout.split()
    assert run("./run", "-i", str(purged), "plan").returncode == 0
    assert run("./run", "-i", str(purged), "verify").returncode == 0


def test_one_edit_adds_a_compute_and_retires_the_one_that_has_all_guests(exchanged: Path) -> None:
    """Of compute2 there is nothing by now, so it is as new as any; the guest has no other place."""
    assert "compute2" not in services() and place(GUEST) == "compute1"
    planned = run("./run", "-i", str(exchanged), "plan")
    assert planned.returncode == 2
    for text in (
        "close compute1 to new guests, retired in the inventory (was open)",
        "open compute2 to new guests (is new)",
        "compute1 goes: service nova-compute (",
    ):
        assert text in planned.stdout, text
    (line,) = [row for row in planned.stdout.splitlines() if f"move guest {GUEST} " in row]
    assert line.endswith(" of compute1 alive, to compute2 (new), if there is room")
    result = deploy(exchanged)
    assert result.returncode == 0
    for text in ("unmask ", "map compute2 to cell1", "open compute2 to new guests"):
        assert text in result.stdout, text
    assert (place(GUEST), status(GUEST)) == ("compute2", "ACTIVE")
    assert len(migrations(GUEST)) == 2
    nothing_is_left("compute1")
    assert on("compute1", UNIT).stdout.split() == ["masked", "inactive"]
    assert run("./run", "-i", str(exchanged), "plan").returncode == 0
    assert run("./run", "-i", str(exchanged), "audit").returncode == 0
    assert run("./run", "-i", str(exchanged), "verify").returncode == 0


def test_it_comes_back_as_any_other(exchanged: Path) -> None:
    result = deploy("inventory.py")
    assert result.returncode == 0
    for text in ("unmask ", "map compute1 to cell1", "open compute1 to new guests"):
        assert text in result.stdout, text
    openstack(f"{CREATE} --host compute1 {PREFIX}back")
    assert (place(f"{PREFIX}back"), status(f"{PREFIX}back")) == ("compute1", "ACTIVE")
    assert run("./run", "plan").returncode == 0
    assert run("./run", "audit").returncode == 0
    move_alive(f"{PREFIX}back")
    assert place(f"{PREFIX}back") == "compute2"
