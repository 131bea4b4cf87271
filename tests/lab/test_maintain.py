"""Computes are maintained: guests leave and return without a stop, a killed call is gone on with,
and a host that does not come back stops it before the next."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab import machines
from lab.workshop.steps import FIRST, SECOND

from .conftest import MINUTE, ROOT, on, run
from .guests import ON, deploy, killed_when_said, migrations, status
from .test_moves import BOOT_ID, eventually, in_guest, move_alive, openstack, place

Deployed = subprocess.CompletedProcess[str]
PREFIX = "maintained-"
GUEST, FLAVOR = f"{PREFIX}guest", f"{PREFIX}flavor"
CREATE = f"server create {ON} --flavor {FLAVOR} --image tiny --nic none --wait"
SERVICES = "compute service list --long -f value -c Host -c Status --service nova-compute"
RECORD = "/var/lib/pyinfra-nova/maintenance.json"
NOTE = "/root/maintained"


def maintain(*words: str) -> Deployed:
    return run("./run", "maintain", *words, "-y", timeout=30 * MINUTE)


def boot_of(host: str) -> str:
    return on(host, BOOT_ID).stdout.split()[-1]


def is_whole() -> bool:
    """All computes are open, and nothing of a maintenance is left."""
    assert "disabled" not in openstack(SERVICES)
    for host in ("compute1", "compute2"):
        assert on(host, f"test -e {RECORD}").returncode == 1
    return run("./run", "plan").returncode == 0


@pytest.fixture
def reached(deployed: Deployed) -> Iterator[None]:
    """The exercise's first guest, which is reached from outside, on compute2."""
    assert deployed.returncode == 0
    assert run("./run", "workshop", "--keep").returncode == 0
    openstack(f"server delete --wait {SECOND}")
    if place(FIRST) != "compute2":
        move_alive(FIRST)
    assert eventually(lambda: place(FIRST) == "compute2")
    yield
    on("compute2", f"rm -f {NOTE}")
    assert run("./run", "workshop", "--clean").returncode == 0


@pytest.fixture
def guest(deployed: Deployed) -> Iterator[None]:
    """A guest on compute2."""
    assert deployed.returncode == 0
    openstack(f"flavor create --vcpus 1 --ram 128 --disk 0 {FLAVOR}")
    openstack(f"{CREATE} --host compute2 {GUEST}")
    yield
    on("controller", f"openstack server delete --wait {GUEST}; openstack flavor delete {FLAVOR}")
    assert run("./run", "lab", "up").returncode == 0
    assert deploy("inventory.py").returncode == 0


@pytest.mark.rotated("long")
def test_a_guest_is_away_while_a_command_runs_and_returns_without_a_stop(reached: None) -> None:
    boot, moves = in_guest(BOOT_ID), len(migrations(FIRST))
    words = ("compute2", "--command", f"date +%s.%N > {NOTE}; echo worked", "--return")
    planned = run("./run", "maintain", *words, "--dry")
    assert planned.returncode == 0
    assert f"move guest {FIRST} " in planned.stdout and place(FIRST) == "compute2"
    assert on("compute2", f"test -e {NOTE}").returncode == 1
    noted = ""
    for times in (1, 2):  # the first one is over, so the second one is another
        result = maintain(*words)
        assert result.returncode == 0
        lines = [line.split() for line in result.stdout.splitlines()]
        assert ["[compute2]", "worked"] in lines
        assert place(FIRST) == "compute2"
        assert in_guest(BOOT_ID) == boot
        assert len(migrations(FIRST)) == moves + 2 * times
        before, noted = noted, on("compute2", f"cat {NOTE}").stdout
        assert noted != before
        assert is_whole()
    assert run("./run", "audit").returncode == 0


@pytest.mark.rotated("long")
def test_a_call_killed_while_its_host_reboots_is_gone_on_with(guest: None) -> None:
    boot = boot_of("compute2")
    words = ("./run", "maintain", "compute2", "--reboot", "-y")
    assert killed_when_said("==> compute2: reboot", *words)
    # It was told to go down, or is about to be: the second call finds out which.
    result = maintain("compute2", "--reboot")
    assert result.returncode == 0
    assert "compute2: go on with the maintenance since " in result.stdout
    assert "compute2: drain: skipped, closed since " in result.stdout
    assert boot_of("compute2") != boot
    assert (place(GUEST), status(GUEST)) == ("compute1", "ACTIVE")
    assert len(migrations(GUEST)) == 1
    assert is_whole()


def while_said(text: str, act: Callable[[], object], *words: str) -> Deployed:
    """What ./run maintain has said with WORDS, where ACT is done as soon as it says TEXT."""
    with subprocess.Popen(
        ["./run", "maintain", *words, "-y"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout
        said = ""
        for line in process.stdout:
            said += line
            if text in line:
                act()
                break
        said += process.stdout.read()
    print(said)
    return subprocess.CompletedProcess(words, process.returncode, said)


def power_fails() -> None:
    """As soon as compute1 has noted that it is to be rebooted."""
    deadline = time.monotonic() + MINUTE
    while not Path(f"/proc/{machines.init_of('compute1')}/root{RECORD}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(1)  # it goes down in two
    machines.kill("compute1")


@pytest.mark.rotated("long")
def test_a_host_that_does_not_come_back_stops_it_before_the_next(guest: None) -> None:
    boot, words = boot_of("compute2"), ("--reboot", "--wait", "60")
    result = while_said("==> compute1: reboot", power_fails, "computes", *words)
    assert result.returncode == 1
    assert "compute1 is not back after 60 s: " in result.stdout
    assert "Traceback" not in result.stdout
    assert "compute1  failed at reboot; done drain" in result.stdout
    assert "compute2  not begun with" in result.stdout
    services = openstack(SERVICES)
    assert "compute1 disabled" in services and "compute2 enabled" in services
    # While it is away nothing is begun anew, and no other host is touched.
    away = maintain("computes", *words)
    assert away.returncode == 1
    assert "compute1 is not back after 60 s: " in away.stdout
    assert (boot_of("compute2"), place(GUEST)) == (boot, "compute2")
    assert run("./run", "lab", "up").returncode == 0
    # It was to be rebooted, and has started anew.
    result = maintain("compute1", "--reboot")
    assert result.returncode == 0
    assert "compute1: reboot: skipped, was rebooted in the maintenance since " in result.stdout
    assert is_whole()
