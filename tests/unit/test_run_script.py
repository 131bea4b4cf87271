"""The shell script that types: what it runs ends with it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GOES_ON = """#!/bin/sh
trap 'echo ended >>{folder}/said; exit 1' TERM
echo "$$" >{folder}/pid
while :; do sleep 0.1; done
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose environment has a pyinfra that goes on and on."""
    shutil.copy(ROOT / "run", tmp_path)
    (tmp_path / "inventory.py").touch()
    (tmp_path / "requirements.lock").touch()
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name, text in (
        # No lab; the secrets are there.
        ("python", '#!/bin/sh\ncase "$*" in *owns*) exit 1 ;; esac\n'),
        ("pyinfra", GOES_ON.format(folder=tmp_path)),
    ):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    cksum = subprocess.run(["cksum"], input=b"", capture_output=True, check=True).stdout
    (programs.parent / "stamp").write_bytes(cksum)
    return tmp_path


def until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGHUP])
def test_a_signal_to_the_script_alone_ends_what_it_runs(
    checkout: Path, number: signal.Signals
) -> None:
    # What a shell is started to ignore, as by nohup, it ignores for good (POSIX, sh, trap).
    command = ["env", "--default-signal", "./run", "deploy"]
    script = subprocess.Popen(command, cwd=checkout, start_new_session=True)
    pid = checkout / "pid"
    until(lambda: pid.is_file() and pid.read_text().strip())
    script.send_signal(number)
    script.wait(timeout=20)
    until((checkout / "said").is_file)
    with pytest.raises(ProcessLookupError):
        while True:
            os.kill(int(pid.read_text()), 0)
            time.sleep(0.05)


@pytest.mark.parametrize("arguments", [["frob"], ["-x", "audit"]])
def test_a_word_that_is_none_is_an_error_and_no_finding(
    checkout: Path, arguments: list[str]
) -> None:
    script = subprocess.run(["./run", *arguments], cwd=checkout, capture_output=True, text=True)
    assert script.returncode == 1
    assert "usage: ./run" in script.stderr


@pytest.mark.parametrize("word", ["--help", "-h", "help"])
def test_help_is_no_error(word: str) -> None:
    shown = subprocess.run(["sh", ROOT / "run", word], capture_output=True, text=True, check=True)
    assert shown.stdout.startswith("usage: ./run [-i INVENTORY] WORD") and shown.stderr == ""


def test_an_inventory_is_a_file_of_the_checkout_or_of_where_the_caller_is(
    checkout: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "mine.py").touch()
    python = checkout / ".venv/bin/python"
    python.write_text('#!/bin/sh\ncase "$*" in *owns*) exit 1 ;; esac\necho "$@"\n')

    def planned(name: str) -> subprocess.CompletedProcess[str]:
        words = [str(checkout / "run"), "-i", name, "plan"]
        return subprocess.run(words, cwd=elsewhere, capture_output=True, text=True, check=False)

    assert planned("inventory.py").stdout == "-m pyinfra_nova.plan inventory.py\n"
    assert planned("mine.py").stdout == f"-m pyinfra_nova.plan {elsewhere}/mine.py\n"
    missing = planned("gone.py")
    assert (missing.returncode, missing.stderr) == (1, "gone.py: no such inventory file\n")
