"""Run commands on this machine, and say what is being done and how long it takes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class LabError(Exception):
    """Something the lab cannot do; the message says what and how to mend it."""


def run(
    *command: str, check: bool = True, stdin: str | None = None, timeout: float | None = None
) -> subprocess.CompletedProcess[str]:
    """Run COMMAND and keep its output.

    Raises:
        LabError: it failed and CHECK is set, or it took longer than TIMEOUT seconds.
    """
    try:
        done = subprocess.run(
            command,
            input=stdin if stdin is not None else "",
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{command[0]} did not end within {timeout} s") from error
    except FileNotFoundError as error:
        raise LabError(f"{command[0]} is not installed on this machine") from error
    if check and done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-15:]
        raise LabError(
            f"{' '.join(command[:4])} … ended with {done.returncode}:\n" + "\n".join(said)
        )
    return done


STARTED = time.monotonic()


def say(text: str) -> None:
    """One line of progress, with the seconds since the start."""
    print(f"{time.monotonic() - STARTED:7.1f} s  {text}", flush=True)


@contextmanager
def step(text: str) -> Iterator[None]:
    """Say what begins, and how long it took when it is done."""
    say(f"{text} …")
    begun = time.monotonic()
    yield
    say(f"{text}: done in {time.monotonic() - begun:.1f} s")


def warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr, flush=True)


def names(items: Sequence[str]) -> str:
    """ITEMS for a sentence."""
    return ", ".join(items)
