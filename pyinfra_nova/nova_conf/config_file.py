"""A file as it should be on a host."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Literal, NoReturn


@dataclass(frozen=True)
class ConfigFile:
    """A file as it should be on a host; shown, printed or compared in a log it hides its content.

    Attributes:
        path: absolute.
        content: may hold secrets.
        owner, group: names.
        mode: octal digits, such as "0640".
        before_install: it has to be there before the package that reads it is installed.
        oslo: oslo.config reads it; of several such files the later ones win.
        hidden: all of it is a secret, so no diff of it is shown.
        by_digest: it is long and the same on all hosts; unless it differs, only its digest goes
            there, and no diff of it comes back.
        keeps_about: names; lines of the host's file that begin with one of them stay, unless the
            content has some about it.
        keeps_from: of these names, what the host's file does not have is taken from here: the
            ``path`` of an ``AbsentFile`` that takes its place.
        own_lines: a regular expression; the file is somebody else's, and of it only the lines that
            match as a whole are ours. They are the content and stand first, the others stay below
            them, and so do the owner and the mode of a file that is there.
    """

    path: str
    content: str = field(repr=False)
    owner: str
    group: str
    mode: str
    before_install: bool = False
    oslo: bool = False
    hidden: bool = False
    by_digest: bool = False
    keeps_about: tuple[str, ...] = ()
    keeps_from: str | None = None
    own_lines: str | None = None

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the content."""
        return sha256(self.content.encode()).hexdigest()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("configuration files hold secrets and are not pickled")


@dataclass(frozen=True)
class AbsentFile:
    """What an earlier run may have left, and how it is told from what somebody else wrote.

    Attributes:
        path: absolute; may be a pattern, as for a shell.
        form: a regular expression. A file is ours if each of its lines matches it as a whole; with
            ``marker``, if its first line does; with ``line``, each line that does is ours.
        how: what of the file has to have that form.
        hidden: all of it is a secret, so no diff of it is shown.
    """

    path: str
    form: str
    how: Literal["all", "marker", "line", "ssh_key"] = "all"
    hidden: bool = False
