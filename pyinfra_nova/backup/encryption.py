"""Encrypt and decrypt with ``age``, a piece at a time; what is plain goes through pipes alone."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import IO

from pyinfra_nova.backup.seal import BackupError
from pyinfra_nova.site.care import NO_RECIPIENT, RECIPIENT
from pyinfra_nova.site.faults import SecretsError
from pyinfra_nova.site.secret_files import age_identity, is_encrypted, private_or_fault

KEY_FILE = "backup-key.txt"
"""Beside a secrets file that is not encrypted."""
INSTALL = "install age, Debian's package `age`"
PIECE = 1 << 16
STDERR = 4000


def key_beside(secrets: Path) -> Path:
    return secrets.absolute().parent / KEY_FILE


def recipients(given: Sequence[str], secrets: Path) -> tuple[list[str], str]:
    """For whom a backup is encrypted, and where the key that opens it is.

    Those that are GIVEN; else that of the key which opens SECRETS; else that of a key beside it,
    made where there is none.

    Raises:
        BackupError: there is none.
    """
    for text in given:
        if not RECIPIENT.fullmatch(text):
            raise BackupError(f"{text[:20]!r} is {NO_RECIPIENT}")
    if given:
        return list(given), "the key of that recipient"
    if is_encrypted(secrets):
        identity = age_identity()
        if not identity.is_file():
            raise BackupError(
                f"{secrets} is encrypted, and no age key is at hand in {identity}: name one in "
                "PYINFRA_NOVA_AGE_IDENTITY, or give --recipient"
            )
        return _recipients_of(identity), str(identity)
    path = key_beside(secrets)
    if not path.exists():
        _made(path)
    return _recipients_of(path), str(path)


def _made(path: Path) -> None:
    """Make a key in PATH, readable by its owner alone."""
    # age-keygen makes it with mode 0600 (cmd/age-keygen/keygen.go) and overwrites nothing.
    _said(["age-keygen", "-o", str(path)])


def _recipients_of(identity: Path) -> list[str]:
    _refuse_readable(identity)
    found = _said(["age-keygen", "-y", str(identity)]).split()
    if not found:
        raise BackupError(f"{identity} holds no age key; give --recipient")
    return found


def _refuse_readable(identity: Path) -> None:
    try:
        private_or_fault(identity)
    except SecretsError as error:
        raise BackupError(str(error)) from None


def _said(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    except OSError:
        raise BackupError(f"the program `{command[0]}` does not run here: {INSTALL}") from None
    if done.returncode:
        raise BackupError(f"{command[0]}: {_last(done.stderr)}; or give --recipient")
    return done.stdout


def _last(text: str) -> str:
    """What age says, without its advice to report bugs."""
    lines = [line.removeprefix("age: ").removeprefix("error: ") for line in text.splitlines()]
    kept = [line for line in lines if line.strip() and not line.startswith("report unexpected")]
    if not kept:
        return "it says nothing"
    return kept[-1] if kept[0].startswith("Traceback") else kept[0]


def identities(given: Path | None, secrets: Path) -> list[Path]:
    """The files with keys that may open a backup.

    Raises:
        BackupError: there is none, or others may read it.
    """
    places = [given] if given else [age_identity(), key_beside(secrets)]
    found = [path for path in places if path.is_file()]
    if not found:
        named = " nor ".join(str(path) for path in places)
        raise BackupError(f"there is no key in {named}: name its file with --identity")
    for path in found:
        _refuse_readable(path)
    return found


# --- pieces ---------------------------------------------------------------------------------------


class Program:
    """A program at one end of a pipe, and what it says when it fails."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
        self.name, self.process, self._errors = name, process, errors

    def last_words(self) -> str:
        self._errors.seek(0)
        return _last(self._errors.read(STDERR).decode(errors="replace"))

    def ended(self) -> None:
        """Wait for its end.

        Raises:
            BackupError: it failed.
        """
        code = self.process.wait()
        if code:
            raise BackupError(f"{self.name}: {self.last_words()} (exit {code})")


@contextmanager
def running(
    name: str,
    command: Sequence[str],
    *,
    takes: int | None = None,
    gives: int | None = None,
    install: str = "",
) -> Iterator[Program]:
    """COMMAND, reading from descriptor TAKES and writing to GIVES; ended with the block."""
    with tempfile.TemporaryFile() as errors:
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL if takes is None else takes,
                stdout=subprocess.DEVNULL if gives is None else gives,
                stderr=errors,
            )
        except OSError as error:
            why = install or str(error.strerror)
            raise BackupError(f"the program `{command[0]}` does not run here: {why}") from None
        try:
            yield Program(name, process, errors)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


@contextmanager
def pipe() -> Iterator[tuple[Side, Side]]:
    """Both sides of a pipe; what is still open of it is closed with the block."""
    out, into = os.pipe()
    sides = [Side(out, "r"), Side(into, "w")]
    try:
        yield sides[0], sides[1]
    finally:
        for side in sides:
            side.close()


class Side:
    """One side of a pipe.

    A FileIO, because it does at once what it is told: gevent, which pyinfra puts in the place of
    Python's own functions, closes a descriptor only when its loop comes round.
    """

    def __init__(self, descriptor: int, mode: str) -> None:
        self._file = FileIO(descriptor, mode)
        self.close = self._file.close

    @property
    def descriptor(self) -> int:
        return self._file.fileno()

    def pieces(self) -> Iterator[bytes]:
        while piece := self._file.read(PIECE):
            yield piece

    def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]


def encrypting(recipients: Sequence[str]) -> list[str]:
    return ["age", "--encrypt", *(word for one in recipients for word in ("--recipient", one))]


def decrypting(path: Path, identities: Sequence[Path]) -> list[str]:
    keys = (word for one in identities for word in ("--identity", str(one.absolute())))
    return ["age", "--decrypt", *keys, "--", str(path.absolute())]


@contextmanager
def plain(path: Path, identities: Sequence[Path]) -> Iterator[Iterator[bytes]]:
    """The decrypted pieces of PATH.

    Raises:
        BackupError: it cannot be opened, or it is damaged.
    """
    if not path.is_file():
        raise BackupError(f"{path}: no such file")
    with (
        pipe() as (out, into),
        running("age", decrypting(path, identities), gives=into.descriptor, install=INSTALL) as age,
    ):
        into.close()

        def pieces() -> Iterator[bytes]:
            yield from out.pieces()
            try:
                age.ended()
            except BackupError as error:
                raise BackupError(f"{path} cannot be decrypted: {error}") from None

        yield pieces()
