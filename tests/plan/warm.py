"""Runs `pyinfra` for plan tests: one process has loaded it once, and becomes each run by a fork.

Loading takes longer than a plan of hosts that are no hosts. What is loaded is pyinfra and what it
needs, nothing of this project, so that a run finds its files and variables as any other does.
"""

from __future__ import annotations

import atexit
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@cache
def _loaded() -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("loaded.py"))],
        cwd=ROOT,
        start_new_session=True,
        env={key: value for key, value in os.environ.items() if not key.startswith("PYINFRA")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    atexit.register(process.kill)
    return process


def pyinfra(
    *words: str, env: Mapping[str, str], seconds: float = 120
) -> subprocess.CompletedProcess[str]:
    """What `pyinfra` with WORDS ends with and says, in the checkout, with ENV for its environment.

    Raises TimeoutExpired after so many SECONDS.
    """
    process = _loaded()
    assert process.stdin and process.stdout
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("stdout", "stderr")]
        asked = {"words": words, "env": dict(env), "paths": [str(path) for path in paths]}
        process.stdin.write(json.dumps(asked).encode() + b"\n")
        process.stdin.flush()
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            if not selector.select(seconds):
                os.killpg(process.pid, signal.SIGKILL)
                _loaded.cache_clear()
                raise subprocess.TimeoutExpired(words, seconds)
        code = int(process.stdout.readline())
        said = [path.read_text(encoding="utf-8") for path in paths]
    return subprocess.CompletedProcess(words, code, *said)
