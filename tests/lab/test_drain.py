"""A compute is drained: guests in as many states as a lab can have move, or are named, and no other
way; a killed drain is gone on with; then the compute takes guests again."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab import machines
from lab.settings import read_settings
from lab.workshop.place import Place
from lab.workshop.steps import FIRST

from .conftest import MINUTE, ROOT, inventory_with, on, run
from .guests import (
    becomes,
    deploy,
    killed_when_said,
    migrations,
    names,
    says,
    started,
    status,
    task,
)
from .in_many_states import CREATE, GONE, GROUP, PREFIX, VOLUME, make_guests
from .pings import pinged
from .planted import allocation, sql
from .test_main_job import PYINFRA
from .test_moves import (
    BOOT_ID,
    eventually,
    in_guest,
    mounted_volume,
    move_alive,
    openstack,
    place,
    writes_on_its_volume,
)
from .test_resources import booted

ONE = "drained-one"
Deployed = subprocess.CompletedProcess[str]
STAYS = {
    "suspended": "is SUSPENDED: `openstack server resume",
    "rescued": "is RESCUED: `openstack server unrescue",
    "error": "is in ERROR (",
    "shelved": "is SHELVED, its disk still there: `openstack server unshelve --wait",
    "resized": "waits (VERIFY_RESIZE) for somebody",
    "apart": f"can go nowhere: server group {GROUP} (anti-affinity) keeps it from compute2",
}
OUT = (
    "openstack server resume {0}suspended; openstack server unrescue {0}rescued;"
    " openstack server set --state active {0}error; openstack server resize confirm {0}resized;"
    " openstack server unshelve --wait {0}shelved; openstack server shelve --offload {0}shelved;"
    " openstack server delete --wait {0}companion"
)
HANGS = sql(
    "UPDATE instances SET task_state = 'deleting' WHERE deleted = 0"
    f" AND display_name = '{PREFIX}deleted'"
)
SECONDS = sql(
    "SELECT TIMESTAMPDIFF(SECOND, m.created_at, m.updated_at) FROM migrations m JOIN instances i"
    f" ON i.uuid = m.instance_uuid WHERE i.deleted = 0 AND i.display_name = '{FIRST}'"
    " ORDER BY m.id DESC LIMIT 1"
)
UUID = f"(SELECT uuid FROM nova.instances WHERE deleted = 0 AND display_name = '{FIRST}')"
MOVE = f"(SELECT MAX(id) FROM nova.migrations WHERE instance_uuid = {UUID})"
PORTS = f"(SELECT id FROM neutron.ports WHERE device_id = {UUID})"
LEFT = (
    f"SET @guest = {UUID}; SET @move = {MOVE};"
    " UPDATE nova.migrations SET status = 'error', updated_at = UTC_TIMESTAMP() WHERE id = @move;"
    " UPDATE nova.instances SET vm_state = 'error' WHERE uuid = @guest;"
    " INSERT INTO nova.instance_faults (created_at, deleted, instance_uuid, code, message, host)"
    " VALUES (UTC_TIMESTAMP(), 0, @guest, 500, 'Failed to activate binding for port x on host"
    " compute2; please check neutron logs for more information', 'compute1');"
    " INSERT INTO neutron.ml2_port_bindings"
    " (port_id, host, vnic_type, profile, vif_type, vif_details, status)"
    " SELECT port_id, 'compute1', vnic_type, profile, vif_type, vif_details, 'INACTIVE'"
    f" FROM neutron.ml2_port_bindings WHERE status = 'ACTIVE' AND port_id IN {PORTS}"
)
"""What a live migration of FIRST leaves where Neutron is told twice at once that it has arrived."""
REST = (
    f"SELECT CONCAT('left ', (SELECT COUNT(*) FROM neutron.ml2_port_bindings"
    f" WHERE host = 'compute1' AND port_id IN {PORTS}) + (SELECT COUNT(*) FROM"
    " placement.allocations WHERE consumer_id ="
    f" (SELECT uuid FROM nova.migrations WHERE id = {MOVE})))"
)


@pytest.fixture(scope="module")
def drained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An inventory in which compute1 is to have no guests."""
    folder = tmp_path_factory.mktemp("drain")
    return inventory_with(folder, "compute1", state="drained", state_reason="new memory")


@pytest.fixture(scope="module")
def guests(deployed: Deployed) -> Iterator[None]:
    """Guests on compute1 in many states; one of them is reached from outside."""
    assert deployed.returncode == 0
    assert run("./run", "workshop", "--keep").returncode == 0
    try:
        make_guests()
        yield
    finally:
        on("controller", GONE)
        assert run("./run", "workshop", "--clean").returncode == 0
    assert deploy("inventory.py").returncode == 0


@pytest.fixture
def one(deployed: Deployed) -> Iterator[None]:
    """A guest on compute1, with nothing but its memory."""
    assert deployed.returncode == 0
    openstack(f"flavor create --vcpus 1 --ram 128 --disk 0 {ONE}")
    try:
        assert booted(ONE, ONE)["status"] == "ACTIVE"
        if place(ONE) != "compute1":
            move_alive(ONE)
        yield
    finally:
        on("controller", f"openstack server delete --wait {ONE}; openstack flavor delete {ONE}")


def stop_in_the_middle_of_a_deletion(guest: str) -> None:
    """The nova-compute of compute1, before it has deleted GUEST."""
    assert on("compute1", "systemctl stop nova-compute").returncode == 0
    openstack(f"server delete {guest}")
    assert task(guest) == "deleting"


def address_of_guest() -> str:
    return Place.of(read_settings(ROOT / "inventory.py"), Path("inventory.py")).first


@pytest.mark.rotated("guests")
def test_the_guest_of_a_drained_compute_moves_alive_and_the_compute_takes_guests_again(
    one: None, drained: Path
) -> None:
    before = len(migrations(ONE))
    result = deploy(drained)
    assert result.returncode == 0
    assert f"move guest {ONE} " in result.stdout
    assert (place(ONE), status(ONE)) == ("compute2", "ACTIVE")
    assert len(migrations(ONE)) == before + 1
    assert run("./run", "-i", str(drained), "plan").returncode == 0
    result = deploy("inventory.py")
    assert result.returncode == 0
    assert "open compute1 to new guests (was closed: new memory)" in result.stdout


@pytest.mark.slow
def test_the_plan_says_of_each_guest_what_becomes_of_it(guests: None, drained: Path) -> None:
    assert on("controller", HANGS).returncode == 0
    planned = run("./run", "-i", str(drained), "plan")
    assert planned.returncode == 2
    assert "close compute1 to new guests, new memory (was open)" in planned.stdout
    for guest in (FIRST, f"{PREFIX}runs", f"{PREFIX}paused", VOLUME):
        (line,) = [row for row in planned.stdout.splitlines() if f"move guest {guest} " in row]
        assert line.endswith(" of compute1 alive, to compute2")
    assert f"move guest {PREFIX}stopped " in planned.stdout
    for name, said in STAYS.items():
        (line,) = [row for row in planned.stdout.splitlines() if f"guest {PREFIX}{name} " in row]
        assert said in line
    (line,) = [row for row in planned.stdout.splitlines() if f"guest {PREFIX}deleted " in row]
    assert "is being deleted: where that does not end, `openstack server set --state" in line
    assert f"guest {PREFIX}offloaded " not in planned.stdout
    assert place(FIRST) == "compute1"


@pytest.mark.slow
def test_what_can_move_moves_and_the_rest_is_named(
    guests: None, drained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, boot = names(), in_guest(BOOT_ID)
    openstack(f"server set --state error {PREFIX}deleted")  # which takes the planted task away
    with mounted_volume():
        stop_in_the_middle_of_a_deletion(f"{PREFIX}deleted")
        with pinged(address_of_guest()) as pings:
            result = deploy(drained)
        assert place(FIRST) == "compute2"
        writes_on_its_volume("moved")
    seconds = int(on("controller", SECONDS).stdout.split()[-1])
    with capsys.disabled():
        print(f"\n{FIRST}, with a volume, moved alive in {seconds} s: {pings}")
    assert result.returncode == 1
    assert "Traceback" not in result.stdout
    for name, said in STAYS.items():
        assert said in result.stdout, name
    for guest, wanted in (
        *((FIRST, "ACTIVE"), (f"{PREFIX}runs", "ACTIVE"), (VOLUME, "ACTIVE")),
        *((f"{PREFIX}paused", "PAUSED"), (f"{PREFIX}stopped", "SHUTOFF")),
    ):
        assert (place(guest), status(guest)) == ("compute2", wanted)
    for name in ("suspended", "rescued", "error", "apart", "shelved"):
        assert place(PREFIX + name) == "compute1"
    assert status(f"{PREFIX}resized") == "VERIFY_RESIZE"
    assert in_guest(BOOT_ID) == boot
    # Begun before, its deletion is gone on with by the nova-compute that the deploy has started.
    assert names() == [name for name in before if name != f"{PREFIX}deleted"]
    assert pings.longest < 15 and seconds < 2 * MINUTE


@pytest.mark.slow
def test_the_next_plan_names_them_again(guests: None, drained: Path) -> None:
    planned = run("./run", "-i", str(drained), "plan")
    assert planned.returncode == 2
    assert "move guest" not in planned.stdout
    for said in STAYS.values():
        assert said in planned.stdout


@pytest.mark.slow
def test_once_they_can_they_move_too(guests: None, drained: Path) -> None:
    assert on("controller", OUT.format(PREFIX)).returncode == 0
    for name in ("suspended", "rescued", "error"):
        assert becomes(PREFIX + name, "ACTIVE")
    assert becomes(f"{PREFIX}shelved", "SHELVED_OFFLOADED")
    assert deploy(drained).returncode == 0
    listed = openstack("server list --all-projects --host compute1 -f value -c Name")
    assert listed.split() == []
    assert on("compute1", "virsh list --all --uuid | grep .").returncode == 1
    openstack(f"server unshelve {PREFIX}offloaded")
    assert becomes(f"{PREFIX}offloaded", "ACTIVE")
    assert place(f"{PREFIX}offloaded") == "compute2"
    assert run("./run", "-i", str(drained), "plan").returncode == 0
    assert run("./run", "audit").returncode == 0
    without_guests = ("--deselect", "tests/verify/test_guests.py")
    assert run("./run", "-i", str(drained), "verify", *without_guests).returncode == 0


@pytest.mark.slow
def test_a_guest_that_nova_has_in_error_where_it_runs_is_mended(
    guests: None, drained: Path
) -> None:
    """As an earlier run has left it; its move is the one by which it came here."""
    boot = in_guest(BOOT_ID)
    assert place(FIRST) == "compute2"
    assert on("controller", sql(LEFT)).returncode == 0
    move = f"(SELECT uuid FROM nova.migrations WHERE id = {MOVE})"
    assert on("controller", allocation(move, "compute1")).returncode == 0
    assert "left 2" in on("controller", sql(REST)).stdout
    assert status(FIRST) == "ERROR"
    planned = run("./run", "-i", str(drained), "plan")
    assert planned.returncode == 2
    (line,) = [row for row in planned.stdout.splitlines() if f"guest {FIRST} " in row]
    assert "is in ERROR, though it runs on compute2: set it active" in line
    result = deploy(drained)
    assert result.returncode == 0
    assert "give back what the live migration to compute2 of guest" in result.stdout
    assert (place(FIRST), status(FIRST)) == ("compute2", "ACTIVE")
    assert in_guest(BOOT_ID) == boot
    assert "left 0" in on("controller", sql(REST)).stdout
    assert run("./run", "-i", str(drained), "plan").returncode == 0
    assert run("./run", "audit").returncode == 0


@pytest.mark.slow
def test_a_killed_drain_is_gone_on_with_and_no_guest_moves_twice(
    guests: None, drained: Path
) -> None:
    """Once in a live migration and once in a cold one."""
    assert deploy("inventory.py").returncode == 0
    moved = (f"{PREFIX}runs", f"{PREFIX}stopped")
    move_alive(moved[0])
    openstack(f"server migrate --wait {moved[1]}")
    openstack(f"server resize confirm {moved[1]}")
    assert eventually(lambda: [place(guest) for guest in moved] == ["compute1"] * 2)
    before = {guest: len(migrations(guest)) for guest in moved}
    for guest in moved:
        command = (PYINFRA, str(drained), "deploy.py", "-y")
        assert killed_when_said(f"move guest {guest} ", *command)
    assert deploy(drained).returncode == 0
    assert [place(guest) for guest in moved] == ["compute2"] * 2
    assert [status(guest) for guest in moved] == ["ACTIVE", "SHUTOFF"]
    assert {guest: len(migrations(guest)) for guest in moved} == {
        guest: count + 1 for guest, count in before.items()
    }
    assert run("./run", "audit").returncode == 0


@contextmanager
def slow_to_move(mib_a_second: int) -> Iterator[None]:
    """FIRST on compute1, which is open, with memory that takes long to be copied.

    No guest of the lab has that much memory, so a move is made to last by its bandwidth.
    """
    assert deploy("inventory.py").returncode == 0
    if place(FIRST) != "compute1":
        move_alive(FIRST)
    assert place(FIRST) == "compute1"
    domain = openstack(f"server show -f value -c id {FIRST}").split()[-1]
    in_guest("mount -t tmpfs none /mnt; dd if=/dev/urandom of=/mnt/x bs=1M count=40")
    # Once, and before: whoever sets it while it moves holds the domain against nova-compute.
    speed = f"virsh migrate-setspeed {domain} "
    assert on("compute1", f"{speed}{mib_a_second}").returncode == 0
    yield
    on("compute1", f"{speed}10000")  # it may have moved
    in_guest("umount /mnt")


@pytest.mark.slow
def test_a_broker_that_is_restarted_in_a_drain_loses_no_guest(guests: None, drained: Path) -> None:
    with slow_to_move(4):
        boot, before = in_guest(BOOT_ID), len(migrations(FIRST))
        with started(PYINFRA, str(drained), "deploy.py", "-y") as process:
            assert says(process, f"move guest {FIRST} ")
            time.sleep(3)
            assert on("controller", "systemctl restart rabbitmq-server").returncode == 0
            assert not says(process, "Traceback")
        assert deploy(drained).returncode == 0
    assert (place(FIRST), status(FIRST)) == ("compute2", "ACTIVE")
    assert in_guest(BOOT_ID) == boot
    assert len(migrations(FIRST)) <= before + 2
    assert eventually(lambda: run("./run", "audit").returncode == 0)


@pytest.mark.slow
def test_where_the_other_host_dies_in_a_move_the_guest_goes_on_where_it_was(
    guests: None, drained: Path
) -> None:
    with slow_to_move(2):
        boot = in_guest(BOOT_ID)
        with started(PYINFRA, str(drained), "deploy.py", "-y") as process:
            assert says(process, f"move guest {FIRST} ")
            time.sleep(5)
            machines.stop(["compute2"], clean=False)
            assert says(process, f"guest {FIRST} ")
            assert not says(process, "Traceback")
        assert process.returncode == 1
        assert in_guest(BOOT_ID) == boot
        assert run("./run", "lab", "up").returncode == 0
    assert (place(FIRST), status(FIRST)) == ("compute1", "ACTIVE")
    assert deploy(drained).returncode == 0
    assert (place(FIRST), status(FIRST)) == ("compute2", "ACTIVE")
    assert in_guest(BOOT_ID) == boot
    assert run("./run", "audit").returncode == 0


@pytest.mark.slow
def test_a_live_migration_over_its_time_is_aborted_and_its_guest_stays(
    guests: None, drained: Path
) -> None:
    with slow_to_move(1):
        boot = in_guest(BOOT_ID)
        limits = ("--data", 'drain={"timeout": 10}')
        result = run(PYINFRA, str(drained), "deploy.py", "-y", *limits, timeout=30 * MINUTE)
    assert result.returncode == 1
    assert "abort the live migration" in result.stdout
    assert f"guest {FIRST} " in result.stdout and "was aborted after" in result.stdout
    assert (place(FIRST), status(FIRST)) == ("compute1", "ACTIVE")
    assert in_guest(BOOT_ID) == boot
    assert deploy(drained).returncode == 0
    assert place(FIRST) == "compute2"


@pytest.mark.slow
def test_a_compute_that_is_open_again_takes_guests(guests: None) -> None:
    result = deploy("inventory.py")
    assert result.returncode == 0
    assert "open compute1 to new guests (was closed: new memory)" in result.stdout
    openstack(f"{CREATE} --host compute1 --wait {PREFIX}back")
    assert place(f"{PREFIX}back") == "compute1"
    assert run("./run", "plan").returncode == 0
