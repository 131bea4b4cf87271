"""Guests that move between computes: cold, resized, alive, and away from a host that is cut off."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.settings import read_settings
from lab.workshop.place import Place
from lab.workshop.steps import FIRST, NAME, SECOND

from .conftest import MINUTE, ROOT, on, run
from .test_main_job import PYINFRA

Deployed = subprocess.CompletedProcess[str]
LARGER = "workshop-larger"
BOOT_ID = "cat /proc/sys/kernel/random/boot_id"
ALIVE = "--os-compute-api-version 2.30 server migrate --live-migration"
TOLD_TWICE = "Failed to activate binding for port"
"""Nova's fault where two of its threads tell Neutron at once that a guest has arrived."""
LEFT = (
    'there=$(virsh list --all --uuid) && { echo "$there" | grep -qx {0} ||'
    " rm -rf /var/lib/nova/instances/{0}; }"
)
"""Takes away the folder of a guest on a compute whose libvirt says that it does not have it."""


def openstack(words: str) -> str:
    result = on("controller", f"openstack {words}")
    assert result.returncode == 0
    return result.stdout


def place(guest: str) -> str:
    return openstack(f"server show -f value -c OS-EXT-SRV-ATTR:host {guest}").split()[-1]


def host_of_guest() -> str:
    return place(FIRST)


def move_alive(guest: str) -> None:
    """Have Nova move GUEST; what it leaves where Neutron was told of it twice at once is mended."""
    before = place(guest)
    if "Error" in openstack(f"{ALIVE} --wait {guest}"):
        assert TOLD_TWICE in openstack(f"server show -f value -c fault {guest}")
        openstack(f"server set --state active {guest}")
        assert run("./run", "audit", "--repair", "-y").returncode != 1
        uuid = openstack(f"server show -f value -c id {guest}").split()[-1]
        assert on(before, LEFT.replace("{0}", uuid)).returncode == 0
    assert place(guest) != before


def in_guest(command: str, within: float = 3 * MINUTE) -> str:
    """What COMMAND prints in the guest, reached from outside; waits until it lets us in."""
    here = Place.of(read_settings(ROOT / "inventory.py"), Path("inventory.py"))
    script = f"{here.definitions[0]}\n$FIRST '{command}'"
    deadline = time.monotonic() + within
    while True:
        result = run("sh", "-c", script)
        if result.returncode == 0:
            return result.stdout.strip()
        assert time.monotonic() < deadline, "the guest lets nobody in"
        time.sleep(3)


def eventually(holds: Callable[[], bool], within: float = 3 * MINUTE) -> bool:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(3)
    return False


@pytest.fixture(scope="module")
def guest(deployed: Deployed) -> Iterator[None]:
    """The exercise's first guest, alone: its companion would keep it from the other compute."""
    assert deployed.returncode == 0
    assert run("./run", "workshop", "--keep").returncode == 0
    openstack(f"server delete --wait {SECOND}")
    yield
    on("controller", f"openstack flavor delete {LARGER}")
    assert run("./run", "workshop", "--clean").returncode == 0


@pytest.mark.rotated("guests")
def test_a_guest_moves_cold(guest: None) -> None:
    before = host_of_guest()
    openstack(f"server migrate --wait {FIRST}")
    openstack(f"server resize confirm {FIRST}")
    assert host_of_guest() != before
    assert in_guest("hostname") == FIRST


@pytest.mark.rotated("guests")
def test_a_guest_gets_more_memory_on_another_host(guest: None) -> None:
    openstack(f"flavor create --vcpus 1 --ram 256 --disk 1 {LARGER}")
    memory = "grep MemTotal /proc/meminfo"
    before = int(in_guest(memory).split()[1])
    openstack(f"server resize --flavor {LARGER} --wait {FIRST}")
    openstack(f"server resize confirm {FIRST}")
    assert int(in_guest(memory).split()[1]) > before + 50_000


DISKS = r"NAME MAJ:MIN RM +SIZE RO TYPE MOUNTPOINTS\n(?:\S+ +\d+:\d+ +[01] +\d+ +[01] +\w+ *\n?)+"


@pytest.mark.rotated("guests")
def test_a_guest_tells_its_disks_as_other_guests_do(guest: None) -> None:
    listed = in_guest("lsblk -lb --nodeps")
    assert re.fullmatch(DISKS, listed)
    sizes = {row.split()[0]: int(row.split()[3]) for row in listed.splitlines()[1:]}
    assert sizes["vda"] == 1 << 30
    assert in_guest("blkid -L no-such-label -o device; echo $?") == "2"


def volume_is(status: str) -> bool:
    return status in openstack(f"volume show -f value -c status {NAME}")


@contextmanager
def mounted_volume() -> Iterator[None]:
    """The exercise's volume is mounted in its first guest meanwhile."""
    assert eventually(lambda: volume_is("available"))
    openstack(f"server add volume {FIRST} {NAME}")
    assert eventually(lambda: "vdb" in in_guest("cat /proc/partitions"))
    in_guest("mount /dev/vdb /mnt")
    yield
    in_guest("umount /mnt")
    openstack(f"server remove volume {FIRST} {NAME}")
    assert eventually(lambda: volume_is("available"))


def writes_on_its_volume(text: str) -> None:
    """The guest has on its volume what the exercise has written, and what it is told to."""
    in_guest(f"echo 3 >/proc/sys/vm/drop_caches; echo {text} >/mnt/there && sync")
    assert in_guest("cat /mnt/note /mnt/there").split("\n") == [f"written on {FIRST}", text]


@pytest.fixture
def volume(guest: None) -> Iterator[None]:
    with mounted_volume():
        yield


@pytest.mark.rotated("guests")
def test_a_guest_moves_while_it_runs_and_keeps_its_volume(volume: None) -> None:
    before, boot = host_of_guest(), in_guest(BOOT_ID)
    move_alive(FIRST)
    assert host_of_guest() != before
    assert openstack(f"server show -f value -c status {FIRST}").split()[-1] == "ACTIVE"
    assert in_guest(BOOT_ID) == boot
    writes_on_its_volume("there")


RANDOM = 40
"""MiB that a guest has in memory and that do not get smaller on the way: at 1 MiB/s, minutes."""


@pytest.mark.rotated("guests")
def test_a_restart_waits_for_a_guest_that_is_on_the_way(guest: None) -> None:
    before, boot = host_of_guest(), in_guest(BOOT_ID)
    in_guest(f"mount -t tmpfs none /mnt; dd if=/dev/urandom of=/mnt/x bs=1M count={RANDOM}")
    name = openstack(f"server show -f value -c OS-EXT-SRV-ATTR:instance_name {FIRST}").split()[-1]
    assert on(before, f"virsh migrate-setspeed {name} 1").returncode == 0
    openstack(f"{ALIVE} {FIRST}")
    for compute in ("compute1", "compute2"):
        on(compute, "touch /etc/nova/nova.conf")
    result = run(PYINFRA, "inventory.py", "deploy.py", "-y")
    assert result.returncode == 0
    assert result.stdout.count("wait with the restart: guest ") >= 2
    assert host_of_guest() != before
    assert in_guest(BOOT_ID) == boot
    in_guest("umount /mnt")
    assert run("./run", "plan").returncode == 0


@pytest.mark.rotated("guests")
def test_a_guest_is_rebuilt_elsewhere_when_its_host_is_cut_off(guest: None) -> None:
    before = host_of_guest()
    settings = read_settings(ROOT / "inventory.py")
    lost = next(host for host in settings.hosts if host.name == before)
    links = [lost.veth(network) for network in settings.networks]
    services = "compute service list -f value -c Binary -c Host -c State"
    for link in links:
        assert run("ip", "link", "set", link, "down").returncode == 0
    try:
        down = f"nova-compute {before} down"
        assert eventually(lambda: down in openstack(services))
        # Debian 12's client asks for it, and then cannot show the answer ("no attribute to_dict").
        on("controller", f"openstack server evacuate {FIRST}")
        assert eventually(lambda: host_of_guest() != before)
        assert in_guest("hostname") == FIRST
    finally:
        for link in links:
            run("ip", "link", "set", link, "up")
    up = f"nova-compute {before} up"
    assert eventually(lambda: up in openstack(services))
    # What is left of it there is removed when nova-compute starts.
    assert on(before, "systemctl restart nova-compute").returncode == 0
    assert eventually(lambda: "instance-" not in on(before, "virsh list --all --name").stdout)
    assert in_guest("hostname") == FIRST


def test_a_key_or_a_known_host_that_was_changed_is_put_back(deployed: Deployed) -> None:
    assert deployed.returncode == 0
    for host_name, path in (
        ("compute1", "/etc/nova/migration_key"),
        ("compute2", "/var/lib/nova/.ssh/authorized_keys"),
        ("compute1", "/etc/nova/known_hosts"),
        ("compute2", "/etc/ssh/ssh_config.d/50-pyinfra-nova.conf"),
    ):
        assert on(host_name, f"sed -i 2d {path} && echo '#' >> {path}").returncode == 0
    planned = run("./run", "plan")
    assert planned.returncode == 2
    assert "/etc/nova/migration_key: content" in planned.stdout
    assert "PRIVATE" not in planned.stdout
    assert run(PYINFRA, "inventory.py", "deploy.py", "-y").returncode == 0
    login = "runuser -u nova -- ssh -o BatchMode=yes 10.0.0.32 true"
    assert on("compute1", login).returncode == 0
