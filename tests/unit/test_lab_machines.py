"""Finding the processes of a lab host by its control groups."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lab import machines

COME_AND_GO = """
import os, sys
sessions = [os.path.join(sys.argv[1], f"session-{number}.scope") for number in range(40)]
while True:
    for session in sessions:
        os.mkdir(session)
    for session in sessions:
        os.rmdir(session)
"""


def test_processes_of_all_groups_of_a_host_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machines, "cgroup_of", lambda name: tmp_path / name)
    for group, pids in (("one", "0\n11\n"), ("one/user.slice", "12\n13\n"), ("two", "21\n")):
        (tmp_path / group).mkdir()
        (tmp_path / group / "cgroup.procs").write_text(pids)

    assert sorted(machines.processes("one")) == [11, 12, 13]
    assert machines.processes("three") == []


def test_groups_that_go_away_meanwhile_are_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of SSH sessions do, while hosts are looked at."""
    monkeypatch.setattr(machines, "cgroup_of", lambda name: tmp_path / name)
    stays = tmp_path / "host" / "init.scope"
    stays.mkdir(parents=True)
    (stays / "cgroup.procs").write_text("7\n")
    others = subprocess.Popen([sys.executable, "-c", COME_AND_GO, str(tmp_path / "host")])
    try:
        for _ in range(300):
            assert machines.processes("host") == [7]
    finally:
        others.kill()
        others.wait()
