"""Deploys that are killed: the next one finishes, and ends up where an undisturbed one does."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from collections.abc import Callable

import pytest

from .conftest import SEED, on, prepared_secrets, run
from .guests import says, started
from .test_main_job import PYINFRA
from .traces import state

ENOUGH = 60
"""More operations than a deploy has."""
HOSTS = ("controller", "compute1", "compute2")
ALL_IN_ONE = ("inventories/plain/aio.py", "inventories/debian13/aio.py")
LOOK_AHEAD = "inventories/sid/aio.py"
"""Debian sid is another one every day, so no change waits for it."""


def killed_when(count: int, delay: float, *command: str) -> bool:
    """Run a deploy and kill it once COUNT operations have ended and DELAY seconds have passed.

    False if it came to its end before that.
    """
    with started(*command) as process:
        for _ in range(count + 1):
            if not says(process, "Starting operation:"):
                break
        else:
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
            print(f"--- killed {delay:.1f} s after operation {count + 1} began\n")
            return True
    assert process.returncode == 0
    return False


def deploy_while(line: str, act: Callable[[], object]) -> subprocess.CompletedProcess[str]:
    """A deploy in which something happens as soon as LINE is printed."""
    with started(PYINFRA, "inventory.py", "deploy.py", "-y") as process:
        assert process.stdout is not None
        said = ""
        for text in process.stdout:
            said += text
            if line in text:
                process.send_signal(signal.SIGSTOP)
                act()
                process.send_signal(signal.SIGCONT)
                break
        said += process.stdout.read()
    print(said)
    return subprocess.CompletedProcess(process.args, process.returncode, said)


def kill_at_operations(inventory: str, one_in: int = 1) -> int:
    """A deploy that is killed after its first operation, begun again, killed after its second …

    With ONE_IN, only one of so many, beginning with another one each day. The answer is
    after how many operations the deploy came to its end.
    """
    delays = random.Random(SEED)
    deploy = (PYINFRA, inventory, "deploy.py", "-y")
    for count in range(1 + SEED % one_in, ENOUGH, one_in):
        if not killed_when(count, delays.choice((0.0, delays.uniform(0, 4))), *deploy):
            return count
    raise AssertionError("the deploy never came to its end")


@pytest.mark.parametrize(
    "inventory",
    [
        *(pytest.param(path, marks=pytest.mark.rotated("long")) for path in ALL_IN_ONE),
        pytest.param(LOOK_AHEAD, marks=pytest.mark.slow),
    ],
)
def test_one_host_deployed_by_runs_that_are_killed(
    request: pytest.FixtureRequest, inventory: str
) -> None:
    """Then the all-in-one inventory holds what it should: proven, guests with --all."""
    if request.config.getoption("--keep-lab"):
        pytest.skip("--keep-lab was given, and this needs a lab of its own")
    prepared_secrets()
    lab = ("./run", "-i", inventory)
    assert run(*lab, "lab", "down").returncode == 0
    assert run(*lab, "lab", "up").returncode == 0
    everything = request.config.getoption("--all")
    assert kill_at_operations(inventory, one_in=1 if everything else 4) > 12
    assert run(*lab, "plan").returncode == 0
    without_guests = () if everything else ("--deselect", "tests/verify/test_guests.py")
    assert run(*lab, "verify", *without_guests).returncode == 0


@pytest.mark.slow
def test_three_hosts_end_up_as_if_no_run_had_been_killed(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--keep-lab"):
        pytest.skip("--keep-lab was given, and this needs a lab of its own")
    prepared_secrets()
    assert run("./run", "lab", "up").returncode == 0
    assert run("./run", "lab", "snapshot", "prepared").returncode == 0
    assert run(PYINFRA, "inventory.py", "deploy.py", "-y").returncode == 0
    undisturbed = state(*HOSTS)
    assert run("./run", "lab", "restore", "prepared").returncode == 0
    kill_at_operations("inventory.py")
    assert state(*HOSTS) == undisturbed
    assert run("./run", "plan").returncode == 0


@pytest.mark.slow
def test_a_host_rebooted_in_the_middle(request: pytest.FixtureRequest) -> None:
    """From bare hosts again: the controller reboots while schemas are made."""
    if request.config.getoption("--keep-lab"):
        pytest.skip("--keep-lab was given, and this needs a lab of its own")
    assert run("./run", "lab", "restore", "prepared").returncode == 0
    delay = random.Random(SEED).uniform(1, 6)
    reboot = f"sleep {delay}; systemctl --force --force reboot"
    result = deploy_while("Starting operation: Cells", lambda: on("controller", reboot))
    assert result.returncode == 1
    assert "controller" in result.stdout and "Traceback" not in result.stdout
    assert run("./run", "lab", "up").returncode == 0
    assert run(PYINFRA, "inventory.py", "deploy.py", "-y").returncode == 0
    assert run("./run", "plan").returncode == 0
