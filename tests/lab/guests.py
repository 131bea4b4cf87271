"""Guests as a cloud's administrator sees them, and runs that are ended while guests move."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .conftest import MINUTE, ROOT, on, run
from .test_main_job import PYINFRA
from .test_moves import LEFT, eventually, openstack

MENDED = re.compile(
    r"\(([0-9a-f-]{36})\) is in ERROR, though it runs on \S+: set it active .* whether (\S+) keeps"
)
"""What a deploy says of a guest that it mends, and of the host on which its folder may be."""
ON = "--os-compute-api-version 2.74"


def status(guest: str) -> str:
    return openstack(f"server show -f value -c status {guest}").split()[-1]


def becomes(guest: str, wanted: str) -> bool:
    return eventually(lambda: status(guest) == wanted)


def task(guest: str) -> str:
    return openstack(f"server show -f value -c OS-EXT-STS:task_state {guest}").split()[-1]


def names() -> list[str]:
    return sorted(openstack("server list --all-projects -f value -c Name").split())


def deploy(inventory: Path | str) -> subprocess.CompletedProcess[str]:
    result = run(PYINFRA, str(inventory), "deploy.py", "-y", timeout=30 * MINUTE)
    # On a machine with much to do one move or other ends so; its folder is left to an operator.
    for uuid, host in MENDED.findall(result.stdout):
        on(host, LEFT.replace("{0}", uuid))
    return result


def migrations(guest: str) -> list[str]:
    """What became of each move of GUEST."""
    uuid = openstack(f"server show -f value -c id {guest}").split()[-1]
    listed = openstack(f"{ON} server migration list --server {uuid} -f value -c Status")
    # A newer client says on the way that it does not know so old a Nova.
    return [line for line in listed.split("\n") if line and " " not in line]


@contextmanager
def started(*command: str) -> Iterator[subprocess.Popen[str]]:
    """COMMAND, in a session of its own."""
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        yield process


def says(process: subprocess.Popen[str], text: str) -> bool:
    """Whether it has said TEXT by now, or does so before it ends; what it says is printed."""
    assert process.stdout
    for line in process.stdout:
        print(line, end="")
        if text in line:
            return True
    return False


def killed_when_said(text: str, *command: str, after: float = 3) -> bool:
    """Run COMMAND, and kill it so long AFTER it has said TEXT; False if it never did."""
    with started(*command) as process:
        if not says(process, text):
            return False
        time.sleep(after)
        os.killpg(process.pid, signal.SIGKILL)
        return True
