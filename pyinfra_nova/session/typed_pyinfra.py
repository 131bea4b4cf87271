"""pyinfra's own command, typed by another one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

PYINFRA = Path(sys.executable).with_name("pyinfra")
SOON = 10
"""Seconds that it has to end in once it is told to."""


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """ENVIRONMENT without pyinfra's own variables, each of which stands for an option."""
    return {
        key: value
        for key, value in environment.items()
        if not key.startswith("PYINFRA_") or key.startswith("PYINFRA_NOVA_")
    }


def typed(words: Sequence[str]) -> int:
    """The exit code of pyinfra with WORDS; what it says goes where this process says things.

    It ends with this process, whatever ends that.
    """
    with subprocess.Popen(
        [*_bound(), str(PYINFRA), *words],
        env=clean_environment(os.environ),
        stdin=subprocess.DEVNULL,
    ) as process:
        try:
            return process.wait()
        except BaseException:
            process.terminate()
            try:
                process.wait(SOON)
            except subprocess.TimeoutExpired:
                process.kill()
            raise


def _bound() -> list[str]:
    """What has a program end with this process, where there is such a thing; as in ``./run``."""
    setpriv = shutil.which("setpriv")
    known = (
        setpriv
        and not subprocess.run(
            [setpriv, "--pdeathsig", "keep", "true"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        ).returncode
    )
    return [setpriv, "--pdeathsig", "TERM"] if setpriv and known else []
