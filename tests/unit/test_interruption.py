"""A command that somebody ends says so in a word, wherever it was just then."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BEGINS = """
import os, signal, time
from pyinfra_nova.commands.site_command import ended

def ends_itself():
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.001)
"""
FINALIZER = """
class Finalized:
    __del__ = lambda self: ends_itself()

def work():
    Finalized()
"""
AROUND_A_FORK = """
import subprocess
os.register_at_fork(after_in_parent=ends_itself)

def work():
    os.waitpid(os.fork() or os._exit(0), 0)
"""
ORDINARY = """
def work():
    ends_itself()
"""
LATER = """
    time.sleep(5)
    return 0

raise SystemExit(ended(work))
"""


@pytest.mark.parametrize(
    "place", [ORDINARY, FINALIZER, AROUND_A_FORK], ids=["anywhere", "finalizer", "fork"]
)
def test_an_interruption_is_said_without_a_traceback(place: str) -> None:
    result = subprocess.run(
        [sys.executable, "-c", BEGINS + place + LATER],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (130, "interrupted\n")


def test_what_else_a_finalizer_raises_is_shown_as_python_does() -> None:
    failing = "\nclass Failing:\n    __del__ = lambda self: 1 / 0\n\ndef work():\n    Failing()\n"
    result = subprocess.run(
        [sys.executable, "-c", BEGINS + failing + LATER.replace("5", "0")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0
    assert "ZeroDivisionError" in result.stderr
