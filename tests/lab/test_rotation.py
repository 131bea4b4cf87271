"""Every password at once, then broker and controller by another name; and no secret in sight."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml

from lab import state
from pyinfra_nova.site.secrets import ceph_key

from .conftest import ROOT, SECRETS, on, run
from .test_main_job import PYINFRA

Deployed = subprocess.CompletedProcess[str]
HOSTS = ("controller", "compute1", "compute2")
SMALL = 8_000_000
"""Bytes; what is larger is no place that a deploy writes to."""


def forms(value: str) -> set[str]:
    """The ways in which a secret might be seen."""
    return {value, quote(value, safe=""), quote(value), json.dumps(value)[1:-1]}


def secrets_now() -> set[str]:
    values = yaml.safe_load(SECRETS.read_text()).values()
    return {form for value in values for form in forms(value)}


@contextmanager
def every_argument_list() -> Iterator[set[str]]:
    """The command lines of all processes of all hosts: they are processes of this machine too."""
    seen: set[str] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            for entry in os.scandir("/proc"):
                if entry.name.isdigit():
                    try:
                        line = Path(entry.path, "cmdline").read_bytes()
                    except OSError:
                        continue
                    seen.add(line.replace(b"\0", b" ").decode(errors="replace"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


def readable_by_all(host: str) -> Iterator[Path]:
    """What is written on a host since it was made, and others may read."""
    for folder, _, names in os.walk(state.HOSTS / host / "upper"):
        for name in names:
            path = Path(folder, name)
            try:
                status = path.lstat()
            except FileNotFoundError:  # a database deletes files of its own meanwhile
                continue
            is_open = stat.S_ISREG(status.st_mode) and status.st_mode & 0o004
            if is_open and status.st_size < SMALL:
                yield path


@pytest.fixture(scope="module")
def rotated(deployed: Deployed) -> dict[str, object]:
    """All passwords changed and deployed, with pyinfra as talkative as it gets."""
    old = secrets_now()
    values = yaml.safe_load(SECRETS.read_text())
    fresh = {key: "new " + value[::-1] for key, value in values.items()}
    fresh["rbd_secret_key"] = ceph_key()
    SECRETS.write_text(yaml.safe_dump(fresh))
    with every_argument_list() as seen:
        # What Nova builds on has passwords of this file as well.
        assert run("./run", "lab", "up").returncode == 0
        planned = run("./run", "plan", "-vvv", "--debug")
        done = run(PYINFRA, "inventory.py", "deploy.py", "-y", "-vvv", "--debug")
    assert (planned.returncode, done.returncode) == (2, 0)
    return {"secrets": old | secrets_now(), "said": planned.stdout + done.stdout, "seen": seen}


def test_everything_moves_over_and_the_plan_is_empty(rotated: dict[str, object]) -> None:
    said = str(rotated["said"])
    for text in (
        "change the password of database user nova",
        "set broker user openstack and its password",
        "change the password of user nova",
        "restart nova-conductor",
        "restart nova-compute",
    ):
        assert text in said
    assert run("./run", "plan").returncode == 0
    listed = on("controller", "nova-manage cell_v2 list_cells | grep -c ' cell[01] '")
    assert listed.stdout.split()[-1] == "2"
    without_guests = ("--deselect", "tests/verify/test_guests.py")
    assert run("./run", "verify", *without_guests).returncode == 0


def leaked(text: str, secrets: object) -> int:
    """How many secrets are in TEXT; the texts themselves would end up in the test's own output."""
    assert isinstance(secrets, set)
    return sum(secret in text for secret in secrets)


def test_no_secret_is_printed_or_logged(rotated: dict[str, object]) -> None:
    assert leaked(str(rotated["said"]), rotated["secrets"]) == 0
    log = ROOT / "pyinfra-debug.log"
    assert leaked(log.read_text() if log.exists() else "", rotated["secrets"]) == 0
    for host in HOSTS:
        assert leaked(on(host, "journalctl -q --no-pager").stdout, rotated["secrets"]) == 0


def test_no_secret_is_in_a_command_line(rotated: dict[str, object]) -> None:
    seen = rotated["seen"]
    assert isinstance(seen, set) and len(seen) > 100
    assert leaked("\n".join(seen), rotated["secrets"]) == 0


def holding(secrets: object, paths: Iterable[Path], patterns: Path) -> list[str]:
    """Which of the files at PATHS have a secret in them; one that is gone by now has none."""
    assert isinstance(secrets, set)
    patterns.touch(mode=0o600)
    patterns.write_text("\n".join(secrets))
    grep = ("grep", "--text", "--no-messages", "--files-with-matches", "--fixed-strings")
    found = subprocess.run(
        ("xargs", "--null", *grep, "--file", str(patterns), "--", "/dev/null"),
        input="\0".join(map(str, paths)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stderr == ""
    return found.stdout.splitlines()


@pytest.mark.parametrize("host", HOSTS)
def test_no_secret_is_in_a_file_that_others_may_read(
    rotated: dict[str, object], tmp_path: Path, host: str
) -> None:
    paths = list(readable_by_all(host))
    assert len(paths) > 100
    patterns = tmp_path / "secrets"
    for_nova_only = state.HOSTS / host / "upper/etc/nova/nova.conf"
    assert holding(rotated["secrets"], [for_nova_only], patterns) == [str(for_nova_only)]
    assert holding(rotated["secrets"], paths, patterns) == []


ELSEWHERE = ("--data", "controller_host=10.0.0.11")


@pytest.mark.rotated("faults")
def test_the_controller_and_its_broker_by_another_name(rotated: dict[str, object]) -> None:
    assert run("./run", "plan", *ELSEWHERE).returncode == 2
    moved = run(PYINFRA, "inventory.py", "deploy.py", "-y", *ELSEWHERE)
    assert moved.returncode == 0
    assert "move the public endpoint of compute" in moved.stdout
    assert run("./run", "plan", *ELSEWHERE).returncode == 0
    used = on("compute1", "grep -c '@controller' /etc/nova/nova.conf")
    assert used.stdout.split()[-1] == "0"
    assert run(PYINFRA, "inventory.py", "deploy.py", "-y").returncode == 0
    assert run("./run", "plan").returncode == 0
