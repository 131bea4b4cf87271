"""pyinfra typed by a command: its exit code, and that it ends with who has typed it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pyinfra_nova.session import typed_pyinfra

ROOT = Path(__file__).resolve().parents[2]
TYPING = """
import sys
from pathlib import Path
from pyinfra_nova.commands.site_command import ended
from pyinfra_nova.session import typed_pyinfra
typed_pyinfra.PYINFRA = Path(sys.argv[1])
sys.exit(ended(lambda: typed_pyinfra.typed(["inventory.py"])))
"""
GOES_ON = """#!/bin/sh
trap 'echo ended >>{folder}/said; exit 1' TERM
echo "$$" >{folder}/pid
while :; do sleep 0.1; done
"""


def program(folder: Path, text: str) -> Path:
    path = folder / "pyinfra"
    path.write_text(text)
    path.chmod(0o755)
    return path


def until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_its_exit_code_is_that_of_pyinfra_with_a_clean_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f'#!/bin/sh\necho "$* $PYINFRA_YES $PYINFRA_NOVA_SECRETS" >{tmp_path}/said\nexit 3\n'
    monkeypatch.setattr(typed_pyinfra, "PYINFRA", program(tmp_path, text))
    monkeypatch.setenv("PYINFRA_YES", "1")
    monkeypatch.setenv("PYINFRA_NOVA_SECRETS", "s.yml")
    assert typed_pyinfra.typed(["inventory.py", "deploy.py"]) == 3
    assert (tmp_path / "said").read_text() == "inventory.py deploy.py  s.yml\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_it_ends_with_who_has_typed_it(tmp_path: Path, number: signal.Signals) -> None:
    path = program(tmp_path, GOES_ON.format(folder=tmp_path))
    process = subprocess.Popen(
        [sys.executable, "-c", TYPING, str(path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    pid = tmp_path / "pid"
    until(lambda: pid.is_file() and pid.read_text().strip())
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    until((tmp_path / "said").is_file)
    assert "Traceback" not in said
    if number != signal.SIGKILL:
        assert (process.returncode, said) == (130, "interrupted\n")
