"""The text of a backup as it passes by: what it says of itself, and whether it is whole.

``files/backup/layout.py`` has the form.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

HEAD, END = b"-- pyinfra-nova backup ", b"-- pyinfra-nova end "
FORMAT = 1
LONGEST = 8 << 20
"""Bytes that the first and the last line may have; it grows with the number of hosts."""


class BackupError(Exception):
    """What keeps a backup from being made or taken back, in one line with the remedy."""


class Header(BaseModel):
    """What stands before the databases.

    Attributes:
        format: of this text.
        at: the epoch at which the dump began.
        release, names: the site's, of Nova and of its databases.
        site: what tells the site from others.
        settings: a digest of all settings, without secrets.
        compute_ids: by inventory name, what the host knows itself by; None where it has no such.
        databases: those in it, Nova's own first.
        left_out: those that were wanted and were not to be read.
        guests: by host, the number of them.
    """

    format: int
    at: float
    release: str
    names: dict[str, str]
    site: dict[str, str]
    hosts: dict[str, str]
    settings: str
    compute_ids: dict[str, str | None]
    databases: list[str]
    left_out: list[str]
    guests: dict[str, int]


class End(BaseModel):
    """What stands after them: the digest of all before, rows by table, revisions of the schemas."""

    sha256: str
    bytes: int
    rows: dict[str, dict[str, int]]
    revisions: dict[str, list[str]]
    seconds: float


class Contents(BaseModel):
    """A whole backup, described by itself."""

    header: Header
    end: End

    @property
    def rows(self) -> int:
        return sum(sum(tables.values()) for tables in self.end.rows.values())

    @property
    def guests(self) -> int:
        return sum(self.header.guests.values())


class Seal:
    """Looks at a backup while it passes by, and keeps no more of it than its last line."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._head, self._tail = b"", bytearray()
        self._bytes = 0
        self._header: Header | None = None

    def feed(self, piece: bytes) -> None:
        """Take the next PIECE.

        Raises:
            BackupError: this is no backup.
        """
        if self._header is None:
            self._head += piece[: LONGEST - len(self._head)]
            if not self._head.startswith(HEAD[: len(self._head)]):
                raise BackupError("this is no backup of pyinfra-nova")
            line, ended, _ = self._head.partition(b"\n")
            if ended:
                self._header = _header(line)
                self._head = b""
            elif len(self._head) >= LONGEST:
                raise BackupError("this is no backup of pyinfra-nova: its first line does not end")
        self._tail += piece
        over = len(self._tail) - LONGEST
        if over > 0:
            self._pass(over)

    def _pass(self, count: int) -> None:
        self._digest.update(memoryview(self._tail)[:count])
        self._bytes += count
        del self._tail[:count]

    def whole(self) -> Contents:
        """What was in it, now that it has ended.

        Raises:
            BackupError: half of it is missing, or it is not what was written.
        """
        start = self._tail.rfind(b"\n" + END) + 1
        if self._header is None or start == 0 or not self._tail.endswith(b"\n"):
            raise BackupError("it is cut off: its last line is missing")
        end = _end(bytes(self._tail[start + len(END) :]))
        self._pass(start)
        if (end.sha256, end.bytes) != (self._digest.hexdigest(), self._bytes):
            raise BackupError("it is damaged: its digest is another than its last line says")
        return Contents(header=self._header, end=end)


def _object(text: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise BackupError("it is damaged: a line of this project's own cannot be read")
    return found


def _header(line: bytes) -> Header:
    found = _object(line[len(HEAD) :])
    if found.get("format") != FORMAT:
        raise BackupError(
            f"its form is {found.get('format')!r}, and this version knows {FORMAT} alone: take the "
            "version of pyinfra-nova that made it"
        )
    try:
        return Header.model_validate(found)
    except ValidationError as error:
        raise BackupError(f"its first line lacks something: {error.errors()[0]['loc']}") from None


def _end(text: bytes) -> End:
    try:
        return End.model_validate(_object(text))
    except ValidationError as error:
        raise BackupError(f"its last line lacks something: {error.errors()[0]['loc']}") from None
