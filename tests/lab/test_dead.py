"""A compute loses its power: its guests are evacuated, or named with why not; then it is back."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import machines

from .conftest import inventory_with, on, run
from .guests import ON, deploy, killed_when_said, migrations, status
from .test_main_job import PYINFRA
from .test_moves import eventually, openstack, place

pytestmark = pytest.mark.rotated("long", whole=True)
Deployed = subprocess.CompletedProcess[str]
PREFIX = "dead-"
RUNS, OFF, LOCAL = f"{PREFIX}runs", f"{PREFIX}off", f"{PREFIX}local"
FLAVOR = f"{PREFIX}flavor"
CREATE = f"server create {ON} --flavor {FLAVOR} --nic none --host compute2 --wait"
SERVICES = "compute service list -f value -c Binary -c Host -c State --service nova-compute"
FORCED = (
    "mysql -BN -e \"SELECT forced_down FROM nova.services WHERE host = 'compute2' AND deleted = 0\""
)
GONE = (
    f"for id in $(openstack server list --all-projects --name {PREFIX} -f value -c ID); do"
    " openstack server delete --force --wait $id || openstack server delete --wait $id; done;"
    f" openstack flavor delete {FLAVOR}; sleep 5; openstack volume delete {RUNS} {OFF}"
)
# What an evacuation leaves that fails once Nova has started the guest on the other side.
HALF = (
    "INSERT INTO nova.migrations (created_at, updated_at, deleted, uuid, source_compute,"
    " dest_compute, source_node, dest_node, status, instance_uuid, migration_type, hidden)"
    " VALUES (UTC_TIMESTAMP(), UTC_TIMESTAMP(), 0, UUID(), 'compute2', 'compute1', 'compute2',"
    " 'compute1', 'error', '{0}', 'evacuation', 0)"
)
NO_HALF = "DELETE FROM nova.migrations WHERE migration_type = 'evacuation' AND status = 'error'"
DOMAIN = (
    "<domain type='qemu'><name>half</name><uuid>{0}</uuid>"
    "<memory>1024</memory><os><type>hvm</type></os></domain>"
)
DEAD = {"state": "drained", "dead": True}


@pytest.fixture(scope="module")
def dead(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return inventory_with(tmp_path_factory.mktemp("dead"), "compute2", **DEAD)


@pytest.fixture(scope="module")
def lost(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return inventory_with(tmp_path_factory.mktemp("lost"), "compute2", **DEAD, disks_lost=True)


@pytest.fixture(scope="module", autouse=True)
def guests(deployed: Deployed) -> Iterator[None]:
    """On compute2 two guests whose disks are volumes, one of them off; one has its disk there."""
    assert deployed.returncode == 0
    assert run("./run", "lab", "up", "--volumes").returncode == 0
    assert deploy("inventory.py").returncode == 0
    openstack(f"flavor create --vcpus 1 --ram 128 --disk 0 {FLAVOR}")
    for name in (RUNS, OFF):
        openstack(f"volume create --size 1 --bootable {name}")
        shown = f"volume show -f value -c status {name}"
        assert eventually(lambda shown=shown: "available" in openstack(shown))  # type: ignore[misc]
        openstack(f"{CREATE} --volume {name} {name}")
    openstack(f"server stop {OFF}")
    openstack(f"{CREATE} --image tiny {LOCAL}")
    assert eventually(lambda: status(OFF) == "SHUTOFF")
    yield
    assert run("./run", "lab", "up").returncode == 0
    on("controller", GONE)
    assert deploy("inventory.py").returncode == 0


def where() -> list[tuple[str, str]]:
    return [(place(name), status(name)) for name in (RUNS, OFF, LOCAL)]


BEFORE = [("compute2", "ACTIVE"), ("compute2", "SHUTOFF"), ("compute2", "ACTIVE")]
AFTER = [("compute1", "ACTIVE"), ("compute1", "SHUTOFF"), ("compute1", "ACTIVE")]


def is_silent() -> bool:
    """Whether neither Nova nor Neutron has heard of compute2 for as long as they wait."""
    agents = openstack("network agent list --host compute2 -f value -c Alive")
    return (
        "nova-compute compute2 down" in openstack(SERVICES)
        and "True" not in agents
        and ":-)" not in agents
    )


def test_one_that_lives_is_not_taken_for_dead(dead: Path) -> None:
    for result in (run("./run", "-i", str(dead), "plan"), deploy(dead)):
        assert result.returncode == 1
        assert "the preflight failed; nothing was changed" in result.stdout
        assert "takes a connection to port 22, asked by controller" in result.stdout
        assert "take `dead` out of the inventory" in result.stdout
    assert where() == BEFORE
    assert on("controller", FORCED).stdout.split()[-1] == "0"


def test_the_plan_says_guest_by_guest_what_becomes_of_it(dead: Path) -> None:
    machines.stop(["compute2"], clean=False)
    assert eventually(is_silent)
    planned = run("./run", "-i", str(dead), "plan")
    assert planned.returncode == 2
    for text in (
        "close compute2 to new guests, dead in the inventory (was open)",
        "compute2 is dead: have Nova call its nova-compute down",
        f"evacuate guest {RUNS} ",
        f"evacuate guest {OFF} ",
        f"guest {LOCAL} ",
        "stays: its disk was only on compute2: bring compute2 back, or give up",
    ):
        assert text in planned.stdout, text
    assert f"evacuate guest {LOCAL} " not in planned.stdout
    assert [host for host, _ in where()] == ["compute2"] * 3


def test_a_guest_that_libvirt_elsewhere_has_already_is_not_evacuated(dead: Path) -> None:
    uuid = openstack(f"server show -f value -c id {RUNS}").split()[-1]
    defined = f'echo "{DOMAIN.format(uuid)}" >/root/half.xml && virsh define /root/half.xml'
    try:
        assert on("compute1", defined).returncode == 0
        assert on("controller", f'mysql -e "{HALF.format(uuid)}"').returncode == 0
        planned = run("./run", "-i", str(dead), "plan")
        assert "stays: libvirt on compute1 has it, too, since its evacuation, which is error" in (
            planned.stdout
        )
        assert f"evacuate guest {RUNS} " not in planned.stdout
        assert f"evacuate guest {OFF} " in planned.stdout
    finally:
        on("compute1", "virsh undefine half; rm -f /root/half.xml")
        assert on("controller", f'mysql -e "{NO_HALF}"').returncode == 0


def test_a_killed_deploy_is_gone_on_with_and_what_only_the_host_had_stays(dead: Path) -> None:
    command = (PYINFRA, str(dead), "deploy.py", "-y")
    evacuating = "Starting operation: Hypervisors | Evacuate dead computes"
    assert killed_when_said(evacuating, *command, after=15)
    result = deploy(dead)
    assert result.returncode == 1
    assert "not drained of all guests: compute2" in result.stdout
    assert "its disk was only on compute2" in result.stdout
    assert where()[:2] == AFTER[:2]
    assert place(LOCAL) == "compute2"
    assert [len(migrations(name)) for name in (RUNS, OFF)] == [1, 1]


def test_a_disk_that_is_given_up_is_made_anew(lost: Path) -> None:
    planned = run("./run", "-i", str(lost), "plan")
    assert planned.returncode == 2
    assert f"evacuate guest {LOCAL} " in planned.stdout
    assert "its disk made anew from its image" in planned.stdout
    assert deploy(lost).returncode == 0
    assert where() == AFTER
    assert run("./run", "-i", str(lost), "plan").returncode == 0
    assert run("./run", "-i", str(lost), "audit").returncode == 0
    without_guests = ("--deselect", "tests/verify/test_guests.py")
    assert run("./run", "-i", str(lost), "verify", *without_guests).returncode == 0


def test_with_its_power_back_it_takes_guests_again_and_has_none_of_the_old() -> None:
    assert run("./run", "lab", "up").returncode == 0
    planned = run("./run", "plan")
    assert planned.returncode == 2
    assert "compute2 was forced down: let it count again" in planned.stdout
    assert deploy("inventory.py").returncode == 0
    assert "instance-" not in on("compute2", "virsh list --all --name").stdout
    assert "nova-compute compute2 up" in openstack(SERVICES)
    assert where() == AFTER
    assert run("./run", "plan").returncode == 0
    assert run("./run", "audit").returncode == 0
    openstack(f"{CREATE} --image tiny {PREFIX}back")
    assert (place(f"{PREFIX}back"), status(f"{PREFIX}back")) == ("compute2", "ACTIVE")
