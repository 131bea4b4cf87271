"""What compares a lab's hosts before and after says so when a database gives no answer."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from pathlib import Path
from types import ModuleType

import pytest
import sql

from tests.lab.traces import SCRIPT, STATE

REQUEST = {"databases": True, "moving": {}, "left_out": []}
ALIKE = ("openstack", "rabbitmqctl", "systemctl", "dpkg-query", "find")


class Host:
    """Programs in PATH that print what they are told to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program("systemctl", "printf 'Id=nova-api.service\\nMainPID=0\\n'")
        self.program("rabbitmqctl", 'echo \'{"users": [], "permissions": [], "vhosts": []}\'')
        self.answers(columns="nova.services\\tid", rows="nova.services\\t3\\t77")

    def program(self, name: str, script: str) -> None:
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def answers(self, *, columns: str, rows: str, ending: str = sql.END, code: int = 0) -> None:
        """A mysql that answers both questions so, ends with CODE and with this row."""
        self.program(
            "mysql",
            f"case $(cat) in *information_schema*) printf '{columns}\\n';;"
            f" *) printf '{rows}\\n'; [ {code} = 0 ] || {{ echo 'ERROR 1205 (HY000) at line 1:"
            f" Lock wait' >&2; exit {code}; }};; esac; [ -z '{ending}' ] || echo '{ending}'",
        )


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return Host(tmp_path)


@pytest.fixture(scope="module")
def footprint() -> ModuleType:
    specification = importlib.util.spec_from_file_location("footprint", SCRIPT)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_a_footprint_has_the_rows_of_every_table(host: Host, footprint: ModuleType) -> None:
    assert footprint.answer(REQUEST)["rows of nova.services"] == ["3", "77"]


@pytest.mark.parametrize(
    ("rows", "ending", "code"),
    [("nova.services\\t3\\t77", sql.END, 1), ("nova.services\\t3\\t77", "", 0)],
    ids=["an error", "cut off"],
)
def test_a_footprint_without_an_answer_is_none(
    host: Host, footprint: ModuleType, rows: str, ending: str, code: int
) -> None:
    host.answers(columns="nova.services\\tid", rows=rows, ending=ending, code=code)
    with pytest.raises(sql.NoAnswerError):
        footprint.answer(REQUEST)


def test_a_footprint_that_lacks_a_table_that_was_asked_for_is_none(
    host: Host, footprint: ModuleType
) -> None:
    host.answers(columns="nova.services\\tid\\nnova.cells\\tid", rows="nova.services\\t3\\t7")
    with pytest.raises(SystemExit, match="2 tables were asked for, 1 have answered"):
        footprint.answer(REQUEST)


def state(host: Host) -> int:
    return subprocess.run(["sh", "-c", STATE], capture_output=True, check=False).returncode


@pytest.mark.parametrize("failing", ["mysql", "rabbitmqctl", "openstack"])
def test_a_state_without_an_answer_is_none(host: Host, failing: str) -> None:
    for name in ("mysql", *ALIKE):
        host.program(name, "echo the same")
    assert state(host) == 0
    host.program(failing, "echo the same; exit 1")
    assert state(host) != 0
