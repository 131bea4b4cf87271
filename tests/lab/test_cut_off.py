"""Deploys that lose a host's network or its trust; scripts that are killed halfway on a host."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from lab import machines
from lab.settings import read_settings

from . import traces
from .conftest import ROOT, on, run
from .test_failure_speaks import EARLY, STAGE
from .test_interrupted import deploy_while
from .test_main_job import PYINFRA
from .test_resources import EXAMPLE, Cloud, cloud, openstack  # noqa: F401

Deployed = subprocess.CompletedProcess[str]
CUT = "pyinfra_nova_test"
AUTHORIZED = "root/.ssh/authorized_keys"


def deploy(*arguments: str) -> Deployed:
    return run(PYINFRA, "inventory.py", "deploy.py", "-y", *arguments)


def settle() -> None:
    assert deploy().returncode == 0
    assert run("./run", "plan").returncode == 0


def lines_about(host: str, said: str) -> list[str]:
    return [line for line in said.splitlines() if host in line]


@contextmanager
def all_packets_lost(host_name: str) -> Iterator[None]:
    """Nothing that a host sends arrives anywhere, on no network; its links are up all the time."""
    settings = read_settings(ROOT / "inventory.py")
    lost = next(host for host in settings.hosts if host.name == host_name)
    chains = "\n".join(
        f'chain lost{number} {{ type filter hook ingress device "{lost.veth(network)}"'
        " priority 0; drop; }"
        for number, network in enumerate(settings.networks)
    )
    rules = f"table netdev {CUT} {{\n{chains}\n}}\n"
    subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)
    try:
        yield
    finally:
        subprocess.run(["nft", "delete", "table", "netdev", CUT], check=True)


@pytest.mark.rotated("faults")
def test_a_network_that_loses_every_packet_of_a_host_midway(deployed: Deployed) -> None:
    for host in traces.HOSTS:
        on(host, "touch /etc/nova/nova.conf")
    lost = all_packets_lost("compute2")
    begun = time.monotonic()
    try:
        result = deploy_while(STAGE, lost.__enter__)
    finally:
        lost.__exit__(None, None, None)
    assert time.monotonic() - begun < 240
    assert result.returncode == 1
    assert "compute2" in result.stdout and "Traceback" not in result.stdout
    settle()


def authorized_keys(host: str) -> Path:
    """The file on the host, from outside: there may be no other way in."""
    return Path(f"/proc/{machines.init_of(host)}/root", AUTHORIZED)


@contextmanager
def key_revoked(host: str) -> Iterator[None]:
    path = authorized_keys(host)
    kept = path.read_text()
    path.write_text("")
    try:
        yield
    finally:
        path.write_text(kept)


@pytest.mark.rotated("faults")
def test_a_key_that_a_host_takes_no_more_is_one_message_with_its_name(deployed: Deployed) -> None:
    on("controller", "touch /etc/nova/nova.conf")
    before = traces.everything()
    with key_revoked("compute2"):
        for result in (run("./run", "plan"), deploy()):
            assert result.returncode == 1
            refused = [
                line
                for line in lines_about("compute2", result.stdout)
                if re.search(r"[Aa]uthenti|key|refuse|let.* in", line)
            ]
            assert len(refused) == 1, refused
            assert "Starting operation" not in result.stdout and "Traceback" not in result.stdout
    touched = traces.differences(before, traces.everything())
    assert touched in ([], [f"compute2:/{AUTHORIZED}"])
    settle()


@pytest.mark.rotated("faults")
def test_a_key_revoked_midway_ends_nothing_but_the_next_run(deployed: Deployed) -> None:
    """A connection that is there stays; whoever comes afterwards is told."""
    for host in traces.HOSTS:
        on(host, "touch /etc/nova/nova.conf")
    revoked = key_revoked("compute2")
    try:
        result = deploy_while(EARLY, revoked.__enter__)
        planned = run("./run", "plan")
    finally:
        revoked.__exit__(None, None, None)
    assert "Traceback" not in result.stdout + planned.stdout
    assert result.returncode == 0 or lines_about("compute2", result.stdout)
    assert planned.returncode == 1
    assert lines_about("compute2", planned.stdout)
    settle()


@pytest.mark.rotated("faults")
@pytest.mark.parametrize("release", ["yoga", "2025.1"])
def test_another_release_is_refused_before_anything_is_changed(
    deployed: Deployed, release: str
) -> None:
    """Nova 26 is installed; one that its hosts cannot have is no reason to touch them either."""
    on("compute1", "touch /etc/nova/nova.conf")
    before = traces.everything()
    for result in (
        run("./run", "plan", "--data", f"release={release}"),
        deploy("--data", f"release={release}"),
    ):
        assert result.returncode == 1
        for host in traces.HOSTS:
            assert any(release in line for line in lines_about(host, result.stdout))
        assert "zed" in result.stdout
        assert "Starting operation" not in result.stdout and "Traceback" not in result.stdout
    assert traces.differences(before, traces.everything()) == []
    settle()


# --- scripts killed on a host -------------------------------------------------------------------

SYSCTL = "/etc/sysctl.d/60-pyinfra-nova-hugepages.conf"
PAGES_NOW = "cat /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages"
GRUB = "/etc/default/grub.d"
UPDATE_GRUB = r"""#!/bin/sh
# Stands in for GRUB's own, which hosts without a kernel do not have.
[ -e /run/cut ] && rm /run/cut && kill -9 $PPID && exit 1
GRUB_CMDLINE_LINUX=
for file in /etc/default/grub.d/*.cfg; do [ -e "$file" ] && . "$file"; done
mkdir -p /boot/grub
printf 'menuentry {\n\tlinux /vmlinuz ro%s\n}\n' "$GRUB_CMDLINE_LINUX" >/boot/grub/grub.cfg
"""
GRUB_CFG = "cat /boot/grub/grub.cfg"
LARGE = "hugepagesz=1G hugepages=1"


class Pages:
    """compute1 with huge pages, by an inventory of its own."""

    def __init__(self, folder: Path) -> None:
        self.inventory = folder / "pages.py"

    def want(self, **counts: int) -> None:
        pages = [{"size": size, "count": count} for size, count in counts.items()]
        text = (ROOT / "inventory.py").read_text()
        said = f"next(d for h, d in lab if h == 'compute1')['hugepages'] = {pages!r}\n"
        self.inventory.write_text(text + said)

    def plan(self) -> Deployed:
        return run("./run", "-i", str(self.inventory), "plan", "--limit", "compute1")

    def deploy(self) -> Deployed:
        words = (PYINFRA, str(self.inventory), "deploy.py", "-y", "--limit", "compute1")
        return run(*words)


@pytest.fixture
def pages(deployed: Deployed, tmp_path: Path) -> Iterator[Pages]:
    """A container's /sys is read-only until somebody mounts it otherwise, which root may."""
    assert on("compute1", "mount -o remount,rw /sys/kernel").returncode == 0
    site = Pages(tmp_path)
    yield site
    site.want(**{"2M": 0, "1G": 0})
    site.deploy()
    on("compute1", f"rm -rf {GRUB} /boot/grub /usr/sbin/update-grub /run/cut")
    on("compute1", "mount -o remount,ro /sys/kernel")
    settle()


def last_line(result: Deployed) -> str:
    return result.stdout.split()[-1]


def test_huge_pages_are_set_aside_and_taken_away_and_nothing_else_is_touched(pages: Pages) -> None:
    pages.want(**{"2M": 0})
    assert pages.deploy().returncode == 0
    before = traces.footprint("compute2") | traces.footprint("compute1")
    pages.want(**{"2M": 64})
    planned = pages.plan()
    assert planned.returncode == 2
    assert "set huge pages of 2M to 64 (was 0)" in planned.stdout
    assert last_line(on("compute1", PAGES_NOW)) == "0"
    assert pages.deploy().returncode == 0
    assert last_line(on("compute1", PAGES_NOW)) == "64"
    assert last_line(on("compute1", f"grep nr_hugepages {SYSCTL}")) == "64"
    free = on("compute1", "virsh freepages --cellno 0 --pagesize 2048").stdout
    assert free.split()[-1] == "64"
    assert pages.plan().returncode == 0
    pages.want(**{"2M": 0})
    assert pages.deploy().returncode == 0
    assert last_line(on("compute1", PAGES_NOW)) == "0"
    assert on("compute1", f"test -e {SYSCTL}").returncode == 1
    assert pages.plan().returncode == 0
    after = traces.footprint("compute2") | traces.footprint("compute1")
    # What has to learn of pages may have been restarted for it; on the other compute nothing.
    left = traces.differences(before, after)
    folder = "compute1:/etc/sysctl.d"  # of the base until something is written there
    assert set(left) <= {"compute1:unit nova-compute", "compute1:unit libvirtd", folder}


@pytest.mark.rotated("faults")
def test_huge_pages_cut_off_between_the_file_and_what_reads_it_are_finished(pages: Pages) -> None:
    """Pages of 1 GiB need arguments of the kernel, which GRUB's program puts where they count."""
    write = f"cat >/usr/sbin/update-grub <<'END'\n{UPDATE_GRUB}END"
    made = f"{write}\nchmod +x /usr/sbin/update-grub; mkdir -p {GRUB}; update-grub"
    assert on("compute1", made).returncode == 0
    pages.want(**{"2M": 16, "1G": 1})
    on("compute1", "touch /run/cut")
    assert pages.deploy().returncode == 1
    assert on("compute1", "test -e /run/cut").returncode == 1
    assert LARGE not in on("compute1", GRUB_CFG).stdout
    assert pages.plan().returncode == 2
    assert pages.deploy().returncode == 0
    assert LARGE in on("compute1", GRUB_CFG).stdout
    assert "/dev/hugepages1G" in on("compute1", "cat /proc/mounts").stdout
    assert last_line(on("compute1", PAGES_NOW)) == "16"
    again = pages.plan()
    assert again.returncode == 0 or "no room in one piece" in again.stdout
    pages.want(**{"2M": 0, "1G": 0})
    on("compute1", "touch /run/cut")
    assert pages.deploy().returncode == 1
    assert pages.deploy().returncode == 0
    assert LARGE not in on("compute1", GRUB_CFG).stdout
    assert "/dev/hugepages1G" not in on("compute1", "cat /proc/mounts").stdout
    assert pages.plan().returncode == 0


# Whoever stores a flavor of this name waits, and is then refused.
TRIGGER = """mysql --delimiter=// nova_api -e "CREATE TRIGGER cut BEFORE INSERT ON flavors
FOR EACH ROW BEGIN IF NEW.name = 'm1.small' THEN DO SLEEP(20);
SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'cut off'; END IF; END//" """
KILL = """systemd-run --quiet --unit cutter sh -c 'until mysql -N -e "SHOW FULL PROCESSLIST" |
grep -qF "DO SLEEP(20)"; do sleep 0.1; done
pkill -9 -f "[c]loud_objects apply"'"""
"""MariaDB lists the statement of the trigger, not the one that has set it off."""
BY_HAND = """flavor set m1.small --property hw:cpu_sockets=1
flavor set m1.small --project service
"""


@pytest.fixture
def cut(cloud: Cloud) -> Iterator[Cloud]:  # noqa: F811
    """A private flavor with what was added by hand; its replacement is killed in the middle."""
    resources = yaml.safe_load(EXAMPLE.read_text())
    resources["flavors"] = {
        "m1.small": {**resources["flavors"]["m1.small"], "is_public": False, "replace": True}
    }
    cloud.declare({"flavors": resources["flavors"]})
    assert cloud.deploy().returncode == 0
    assert on("controller", f"openstack <<'END'\n{BY_HAND}END").returncode == 0
    yield cloud
    on("controller", "systemctl stop cutter; mysql nova_api -e 'DROP TRIGGER IF EXISTS cut'")
    on("controller", "openstack flavor delete m1.small")


@pytest.mark.rotated("guests")
def test_a_flavor_whose_replacement_is_killed_is_finished_with_all_it_had(cut: Cloud) -> None:
    before = openstack("flavor show m1.small")
    assert before["properties"]["hw:cpu_sockets"] == "1" and before["access_project_ids"]
    resources = yaml.safe_load(cut.file.read_text())
    resources["flavors"]["m1.small"]["ram"] = 640
    cut.declare(resources)
    assert on("controller", TRIGGER).returncode == 0
    assert on("controller", KILL).returncode == 0
    killed = cut.deploy()
    assert killed.returncode == 1
    assert on("controller", "systemctl is-active cutter").returncode != 0
    time.sleep(20)
    assert on("controller", "mysql nova_api -e 'DROP TRIGGER cut'").returncode == 0
    cut.settle()
    after = openstack("flavor show m1.small")
    assert after["ram"] == 640
    for held in ("id", "properties", "access_project_ids", "vcpus", "disk"):
        assert after[held] == before[held]
    listed = {row["Name"] for row in openstack("flavor list --all")}
    assert not {name for name in listed if name != "m1.small" and name.startswith("m1.small")}
