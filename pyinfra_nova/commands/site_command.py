"""What commands that work on a whole site begin with, and how they end."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyinfra.api.exceptions import PyinfraError

from pyinfra_nova.backup.seal import BackupError
from pyinfra_nova.session.answering import NoAnswerError

ERROR, INTERRUPTED = 1, 130
AGAIN = 10
"""Seconds that what is half made may take to be taken away."""
SOON = 0.01


def note(text: str) -> None:
    """Say something beside the report."""
    print(text, file=sys.stderr, flush=True)


def named_from(folder: str | None, path: str) -> Path:
    """PATH as who typed it in FOLDER means it; ``./run`` has changed to its own."""
    return Path(folder or ".") / Path(path).expanduser()


def agreed(question: str, *, yes: bool) -> bool:
    """Whether it may be done: said beforehand, or at a terminal."""
    if yes:
        return True
    if not sys.stdin or not sys.stdin.isatty():
        note("nothing was done: there is nobody to ask here; -y does it without")
        return False
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() in ("y", "yes"):
        return True
    note("nothing was done")
    return False


class Interrupted(SystemExit):
    """Somebody has ended this process; gevent prints no traceback of a SystemExit."""


def _interrupted(*_: Any) -> None:
    signal.setitimer(signal.ITIMER_REAL, AGAIN)
    raise Interrupted


def _lost(unraisable: sys.UnraisableHookArgs) -> None:
    """Raise an interruption once more that came where nothing can be raised.

    That is a finalizer, or what Python calls around a fork (sys.unraisablehook).
    """
    if isinstance(unraisable.exc_value, Interrupted):
        signal.setitimer(signal.ITIMER_REAL, SOON)
    else:
        sys.__unraisablehook__(unraisable)


def ended(work: Callable[[], int]) -> int:
    """The exit code of WORK; what went wrong is said in its own words, without a traceback."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
    before = {
        number: signal.signal(number, _interrupted)  # so what is half made is taken away
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)
    }
    hook, sys.unraisablehook = sys.unraisablehook, _lost
    try:
        return work()
    except BrokenPipeError:
        # Nobody reads on; Python would say so once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ERROR
    except (BackupError, NoAnswerError, PyinfraError) as error:
        note(str(error))
        return ERROR
    except Interrupted:
        note("interrupted")
        return INTERRUPTED
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.unraisablehook = hook
