"""A file that is there whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pyinfra_nova.backup.encryption import INSTALL, encrypting, pipe, running
from pyinfra_nova.backup.seal import BackupError, Contents, Seal

Source = Callable[[], Iterable[bytes]]
"""Begins what yields the pieces of a backup, and raises BackupError where they do not end well."""


def refuse_taken(path: Path) -> None:
    """Say at once what `placed` would find once much has been done.

    Raises:
        BackupError: PATH is there already, or nothing can be written there.
    """
    if os.path.lexists(path):
        raise BackupError(f"{path} is there already: name another file, or move it away")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise BackupError(f"{path} cannot be written: there is no folder {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise BackupError(f"{path} cannot be written: {folder} is not yours to write to")


@contextmanager
def placed(path: Path) -> Iterator[int]:
    """A descriptor of a new file that is PATH once the block has succeeded.

    Raises:
        BackupError: it cannot be made, or PATH is there already.
    """
    refuse_taken(path)
    try:
        descriptor, beside = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.absolute().parent)
    except OSError as error:
        raise BackupError(f"{path} cannot be written: {error.strerror}") from None
    try:
        yield descriptor
        os.fsync(descriptor)
        _put(beside, path)
    except OSError as error:
        raise BackupError(f"{path} cannot be written: {error.strerror}") from None
    finally:
        os.close(descriptor)
        if os.path.lexists(beside):
            os.unlink(beside)  # noqa: PTH108 - a str
    _settled(path.absolute().parent)


def _put(beside: str, path: Path) -> None:
    """Give what is BESIDE the name PATH, which nobody else has given to anything meanwhile."""
    taken = BackupError(f"{path} has been made by somebody else meanwhile")
    try:
        os.link(beside, path)
    except FileExistsError:
        raise taken from None
    except OSError:  # a file system without hard links
        if os.path.lexists(path):
            raise taken from None
        os.rename(beside, path)  # noqa: PTH104 - a str


def _settled(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def written(path: Path, recipients: Sequence[str], source: Source) -> Contents:
    """Have what SOURCE yields in PATH, encrypted as it comes, if it is a whole backup.

    Raises:
        BackupError: it is not, or cannot be written; then there is no PATH.
    """
    seal = Seal()
    with (
        placed(path) as target,
        pipe() as (out, into),
        running(
            "age", encrypting(recipients), takes=out.descriptor, gives=target, install=INSTALL
        ) as age,
    ):
        out.close()
        try:
            for piece in source():
                seal.feed(piece)
                into.write(piece)
        except BrokenPipeError:
            age.process.wait()
            raise BackupError(f"{path} cannot be written: {age.last_words()}") from None
        contents = seal.whole()
        into.close()
        age.ended()
    return contents
