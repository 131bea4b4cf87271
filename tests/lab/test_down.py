"""The end: a machine on which nobody can tell that there was a lab."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from .conftest import run


def test_down_leaves_no_trace(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--keep-lab"):
        pytest.skip("--keep-lab was given")
    assert run("./run", "lab", "down").returncode == 0
    links = subprocess.run(["ip", "-br", "link"], capture_output=True, text=True, check=True)
    assert "pn-" not in links.stdout
    assert "pyinfra-nova" not in Path("/proc/mounts").read_text()
    rules = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True)
    assert "pyinfra_nova" not in rules.stdout
    assert not Path("/var/lib/pyinfra-nova").exists()
    processes = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    assert "/var/lib/pyinfra-nova" not in processes.stdout
