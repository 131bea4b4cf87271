"""A mistake of Python in inventory or group data: one line, where pyinfra shows its inside."""

from __future__ import annotations

import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

from pyinfra.api.exceptions import PyinfraError
from pyinfra_cli.exceptions import UnexpectedExternalError

from pyinfra_nova.site.faults import Fault, SettingsError

_inventory: Any = import_module("pyinfra_cli.inventory")
_run: Any = import_module("pyinfra_cli.util").exec_file


def _line(file: str, error: BaseException) -> int | None:
    """The line of FILE at which ERROR arose, however deep below."""
    if isinstance(error, SyntaxError) and error.filename == file:
        return error.lineno
    frames = traceback.extract_tb(getattr(error, "_traceback", None) or error.__traceback__)
    return next((frame.lineno for frame in reversed(frames) if frame.filename == file), None)


def fault_of(file: str, error: BaseException) -> Fault:
    """What is wrong with FILE, which ended with ERROR."""
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    said = f"{type(error).__name__}: {text}" if text else type(error).__name__
    line, path = _line(file, error), Path(file)
    name = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    # Of another encoding, and of the mark that some editors put before the first letter.
    is_encoding = isinstance(error, UnicodeError) or "unicode error" in said or "U+FEFF" in said
    remedy = "save it as UTF-8 without a byte order mark" if is_encoding else ""
    return Fault(str(name), f"line {line}" if line else "", said, remedy)


def run_site_file(file: str, *arguments: Any, **more: Any) -> Any:
    """The names of the Python file FILE, by pyinfra's own reading.

    Raises:
        SettingsError: Python ends with an error in it, which is named with its line.
    """
    try:
        return _run(file, *arguments, **more)
    except PyinfraError:
        raise
    except UnexpectedExternalError as wrapped:
        error = wrapped.exception
    except Exception as problem:  # whatever Python says of a file that somebody else wrote
        error = problem
    raise SettingsError([fault_of(file, error)]) from None


def refuse_broken_files() -> None:
    """Have pyinfra read inventory and group data this way; calling it again changes nothing."""
    _inventory.exec_file = run_site_file
