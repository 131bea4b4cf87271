"""Guests that move between computes: cold, resized, alive, and away from a host that is cut off.

The deploy leaves the way between computes to the operator, so these tests lay it as one would: SSH
for user nova, host keys that all know, and a live_migration_uri by `nova_conf`.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.settings import read_settings
from lab.workshop.steps import FIRST, SECOND, Place

from .conftest import MINUTE, ROOT, on, run
from .test_main_job import PYINFRA

pytestmark = pytest.mark.slow
Deployed = subprocess.CompletedProcess[str]
COMPUTES = {"compute1": "10.0.0.31", "compute2": "10.0.0.32"}
SSH_FOLDER = "/var/lib/nova/.ssh"
KEY = f"{SSH_FOLDER}/id_ed25519"
KNOWN_HOSTS = "/etc/ssh/ssh_known_hosts"
MAKE_KEY = f"""
install -d -m 700 -o nova -g nova {SSH_FOLDER}
[ -e {KEY} ] || runuser -u nova -- ssh-keygen -q -t ed25519 -N '' -f {KEY}
cat {KEY}.pub /etc/ssh/ssh_host_ed25519_key.pub
"""
# libvirt refuses to migrate between hosts of one UUID, and hosts in containers have the machine's.
OWN_UUID = """
sed -i '/^host_uuid_source/d' /etc/libvirt/libvirtd.conf
echo 'host_uuid_source = "machine-id"' >>/etc/libvirt/libvirtd.conf
systemctl restart libvirtd
"""
OLD_UUID = "sed -i '/^host_uuid_source/d' /etc/libvirt/libvirtd.conf; systemctl restart libvirtd"
URI = f"qemu+ssh://nova@%s/system?keyfile={KEY}&no_tty=1"
LARGER = "workshop-larger"
BOOT_ID = "cat /proc/sys/kernel/random/boot_id"


def openstack(words: str) -> str:
    result = on("controller", f"openstack {words}")
    assert result.returncode == 0
    return result.stdout


def host_of_guest() -> str:
    shown = openstack(f"server show -f value -c OS-EXT-SRV-ATTR:host {FIRST}")
    return shown.split()[-1]


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
def way_between(deployed: Deployed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """User nova of each compute may log in on the other, and libvirt goes the same way."""
    assert deployed.returncode == 0
    keys, hosts = [], []
    for name, address in COMPUTES.items():
        shown = on(name, MAKE_KEY).stdout.splitlines()
        user_key, host_key = [line for line in shown if line.startswith("ssh-ed25519 ")]
        keys.append(user_key)
        hosts.append(f"{name},{address} {host_key}")
    for name in COMPUTES:
        given = f"echo '{chr(10).join(keys)}' >{SSH_FOLDER}/authorized_keys"
        assert on(name, f"{given}; chown nova: {SSH_FOLDER}/*").returncode == 0
        assert on(name, f"echo '{chr(10).join(hosts)}' >{KNOWN_HOSTS}").returncode == 0
        assert on(name, OWN_UUID).returncode == 0
    inventory = tmp_path_factory.mktemp("moves") / "inventory.py"
    options = f"{{'live_migration_uri': {URI!r}, 'live_migration_inbound_addr': _data['my_ip']}}"
    loop = f"for _host, _data in computes:\n    _data['nova_conf'] = {{'libvirt': {options}}}\n"
    inventory.write_text(f"{(ROOT / 'inventory.py').read_text()}\n{loop}")
    assert run(PYINFRA, str(inventory), "deploy.py", "-y").returncode == 0
    yield
    for name in COMPUTES:
        on(name, f"rm -rf {SSH_FOLDER} {KNOWN_HOSTS}; {OLD_UUID}")
    assert run(PYINFRA, "inventory.py", "deploy.py", "-y").returncode == 0


@pytest.fixture(scope="module")
def guest(way_between: None) -> Iterator[None]:
    """The exercise's first guest, alone: its companion would keep it from the other compute."""
    assert run("./run", "workshop", "--keep").returncode == 0
    openstack(f"server delete --wait {SECOND}")
    yield
    on("controller", f"openstack flavor delete {LARGER}")
    assert run("./run", "workshop", "--clean").returncode == 0


def test_a_guest_moves_cold(guest: None) -> None:
    before = host_of_guest()
    openstack(f"server migrate --wait {FIRST}")
    openstack(f"server resize confirm {FIRST}")
    assert host_of_guest() != before
    assert in_guest("hostname") == FIRST


def test_a_guest_gets_more_memory_on_another_host(guest: None) -> None:
    openstack(f"flavor create --vcpus 1 --ram 256 --disk 1 {LARGER}")
    memory = "grep MemTotal /proc/meminfo"
    before = int(in_guest(memory).split()[1])
    openstack(f"server resize --flavor {LARGER} --wait {FIRST}")
    openstack(f"server resize confirm {FIRST}")
    assert int(in_guest(memory).split()[1]) > before + 50_000


def test_a_guest_moves_while_it_runs(guest: None) -> None:
    before, boot = host_of_guest(), in_guest(BOOT_ID)
    openstack(
        f"--os-compute-api-version 2.30 server migrate --live-migration --wait {FIRST}",
    )
    assert eventually(lambda: host_of_guest() != before)
    assert openstack(f"server show -f value -c status {FIRST}").split()[-1] == "ACTIVE"
    assert in_guest(BOOT_ID) == boot


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
        openstack(f"server evacuate {FIRST}")
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
