"""The lock that each changing command holds: root's alone, with a deadline, its holder named."""

from __future__ import annotations

import fcntl
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import host_report
import pytest
from pyinfra.api import StringCommand

from pyinfra_nova.resources import packages
from pyinfra_nova.session import steps
from pyinfra_nova.session.host_script import SCRIPTS

Done = subprocess.CompletedProcess[str]


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The lock of a host, in a folder that nobody has made yet."""
    monkeypatch.setattr(steps, "LOCKS", str(tmp_path / "run"))
    monkeypatch.setattr(steps, "LOCK", str(tmp_path / "run" / "lock"))
    monkeypatch.setattr(steps, "PATIENCE", 1)
    return tmp_path / "run" / "lock"


def run(command: str, text: str = "") -> Done:
    """As pyinfra runs it, below a umask that lets everybody read."""
    before = os.umask(0o022)
    try:
        return subprocess.run(
            ["sh", "-c", str(steps.changing(StringCommand(command)))],
            input=text,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        os.umask(before)


@contextmanager
def held(path: Path, *, alone: bool = True) -> Iterator[None]:
    """The lock at PATH, held by this process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
    finally:
        os.close(descriptor)


def test_the_first_command_makes_a_lock_that_is_roots_alone(lock: Path) -> None:
    assert run("true").returncode == 0
    assert lock.parent.stat().st_mode & 0o7777 == 0o700
    assert lock.stat().st_mode & 0o7777 == 0o600


def test_what_is_there_already_is_closed_to_others(lock: Path) -> None:
    lock.parent.mkdir(mode=0o755)
    lock.touch(mode=0o644)
    assert run("true").returncode == 0
    assert (lock.parent.stat().st_mode & 0o777, lock.stat().st_mode & 0o777) == (0o700, 0o600)


def test_the_command_is_run_as_it_would_be_without_the_lock(lock: Path, tmp_path: Path) -> None:
    done = run(f"cat >{tmp_path}/file; echo done; echo trouble >&2; exit 42", "from stdin")
    assert (done.returncode, done.stdout, done.stderr) == (42, "done\n", "trouble\n")
    assert (tmp_path / "file").read_text() == "from stdin"
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


def wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert holds()


def test_a_command_holds_the_lock_until_it_ends(lock: Path, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    command = ["sh", "-c", str(steps.changing(StringCommand(f"touch {begun}; read line")))]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        wait_for(begun.exists)
        assert host_report.is_busy(str(lock), 0)
        names = [name for name in host_report.holders(str(lock)) if name.startswith("flock (pid ")]
        assert names
        process.communicate(b"\n")
    assert not host_report.is_busy(str(lock), 0)


def test_who_holds_the_lock_for_good_is_named_and_nothing_is_run(
    lock: Path, tmp_path: Path
) -> None:
    with held(lock):
        begun = time.monotonic()
        done = run(f"touch {tmp_path}/ran")
    assert done.returncode == 1
    assert time.monotonic() - begun < 10
    assert "this host is held by another program" in done.stderr
    comm = Path("/proc/self/comm").read_text().strip()
    assert f"{comm} (pid {os.getpid()})" in done.stderr
    assert not (tmp_path / "ran").exists()


def test_commands_of_one_run_go_on_side_by_side(lock: Path) -> None:
    with held(lock, alone=False):
        assert run("true").returncode == 0


def test_the_words_of_a_holder_are_never_shown(lock: Path) -> None:
    assert run("true").returncode == 0
    command = ["flock", str(lock), "sh", "-c", "read line; : s3cret"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        wait_for(lambda: host_report.is_busy(str(lock), 0))
        said = "".join(host_report.holders(str(lock)))
        said += run("true").stderr
        process.communicate(b"\n")
    assert f"flock (pid {process.pid})" in said
    assert "s3cret" not in said


def test_looking_for_the_lock_makes_none(lock: Path) -> None:
    assert not host_report.is_busy(str(lock), 0)
    assert not lock.parent.exists()


# --- installations --------------------------------------------------------------------------------


def installing(path: Path, then: str) -> Done:
    """The lock's script with another path and a shorter deadline, and THEN after it."""
    text = (SCRIPTS / "lock_packages.sh").read_text()
    assert f"lock={packages.LOCK}\n" in text
    text = text.replace(packages.LOCK, str(path)).replace("-w 900", "-w 1")
    return subprocess.run(
        ["sh", "-s"], input=text + then, capture_output=True, text=True, check=False
    )


def test_the_lock_of_installations_is_roots_alone_too(tmp_path: Path) -> None:
    path = tmp_path / "run" / "packages"
    assert installing(path, "echo installed").stdout == "installed\n"
    assert (path.parent.stat().st_mode & 0o777, path.stat().st_mode & 0o777) == (0o700, 0o600)


def test_who_else_installs_is_named_and_nothing_is_installed(tmp_path: Path) -> None:
    path = tmp_path / "run" / "packages"
    with held(path):
        done = installing(path, "echo installed")
    assert (done.returncode, done.stdout) == (1, "")
    comm = Path("/proc/self/comm").read_text().strip()
    assert done.stderr == (
        "packages are being installed by another program: end it, or wait for it:\n"
        f"{comm} (pid {os.getpid()})\n"
    )


@pytest.mark.parametrize("script", ["install_packages_apt", "install_packages_dnf"])
def test_every_installation_begins_with_the_lock(script: str) -> None:
    assert "flock" not in (SCRIPTS / f"{script}.sh").read_text()
    assert script in {packager.script for packager in packages.PACKAGERS.values()}


def test_nothing_is_left_of_the_lock_that_anybody_could_hold() -> None:
    texts = [path.read_text() for path in SCRIPTS.iterdir() if path.is_file()]
    assert not [text for text in texts if "/run/pyinfra-nova." in text]
    assert steps.LOCK == "/run/pyinfra-nova/lock"


def guard(folder: Path) -> str:
    """What the fact of installed packages says of a guard, with its paths below FOLDER."""
    command = str(packages.InstalledPackages().command(["none"]))
    command = command.replace("/usr/sbin/policy-rc.d", str(folder / "policy-rc.d"))
    command = command.replace(packages.LOCK, str(folder / "run" / "packages"))
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout


def test_a_guard_is_left_when_nobody_installs_also_after_a_reboot(tmp_path: Path) -> None:
    assert guard(tmp_path) == ""
    (tmp_path / "policy-rc.d").write_text("#!/bin/sh\n# pyinfra-nova: nothing is started\n")
    assert guard(tmp_path) == "guard left\n"
    assert not (tmp_path / "run").exists()
    with held(tmp_path / "run" / "packages"):
        assert guard(tmp_path) == ""
    assert guard(tmp_path) == "guard left\n"
