"""Where the lab keeps what it made, outside any checkout, so that every clone finds it."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab.shell import run, say

LAB = Path("/var/lib/pyinfra-nova/lab")
CACHE = Path("/var/cache/pyinfra-nova")
LOCK = Path("/run/lock/pyinfra-nova-lab")

BASES = LAB / "bases"
HOSTS = LAB / "hosts"
SNAPSHOTS = LAB / "snapshots"
LOGS = LAB / "logs"
KEY = LAB / "id_ed25519"
KNOWN_HOSTS = LAB / "known_hosts"
RESTORE = LAB / "restore.json"
PREPARED = LAB / "prepared.json"
BLOCK_STORAGE = LAB / "block-storage"
"""There once Cinder was asked for."""
ARCHIVES = CACHE / "archives"


@contextmanager
def locked() -> Iterator[None]:
    """Let no second `lab` command change anything meanwhile."""
    while True:
        LOCK.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another lab command to end")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if LOCK.exists() and os.fstat(descriptor).st_ino == LOCK.stat().st_ino:
            break
        # Whoever held the lock removed the file at its end: take the new one.
        os.close(descriptor)
    try:
        yield
    finally:
        LOCK.unlink(missing_ok=True)
        os.close(descriptor)


def make_directories() -> None:
    """The lab's directories; what is in them is root's alone."""
    for folder in (LAB, BASES, HOSTS, LOGS, SNAPSHOTS):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
    ARCHIVES.mkdir(parents=True, exist_ok=True)


def read_json(path: Path) -> dict[str, Any]:
    """The object in PATH, or an empty one where there is none or half of one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    write(path, json.dumps(content, indent=1) + "\n", 0o600)


def write(path: Path, content: str, mode: int = 0o644) -> None:
    """Write a whole file at once; nothing is touched where it is already so."""
    if path.is_file() and not path.is_symlink() and path.read_text(encoding="utf-8") == content:
        path.chmod(mode)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as stream:
        os.fchmod(stream.fileno(), mode)
        stream.write(content)
    beside.rename(path)


def remove_tree(path: Path) -> None:
    """Delete a directory tree that no host runs from; refuse where something is mounted in it."""
    if not path.exists():
        return
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for mount in sorted((m for m in mounts if Path(m).is_relative_to(path)), reverse=True):
        say(f"unmount {mount}")
        run("umount", mount)
    run("rm", "-rf", "--one-file-system", str(path))
