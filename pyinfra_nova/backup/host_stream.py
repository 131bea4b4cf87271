"""What a host prints or takes a piece at a time, by ``ssh`` itself: in constant memory."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from pyinfra_nova.backup.encryption import Program, Side, pipe, running
from pyinfra_nova.backup.seal import BackupError
from pyinfra_nova.session.host_script import Answer, ScriptFact, answered, streamed
from pyinfra_nova.session.ssh_command import ssh_arguments

ALIVE = ("-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=3", "-T")
"""A host that is lost ends the stream after a minute; else nothing would."""


def command_on(name: str, data: Mapping[str, Any], words: str) -> list[str]:
    """The command line that runs the shell command WORDS on a host.

    Raises:
        BackupError: the inventory reaches it in a way that is not known here.
    """
    if name == "@local":
        become = ["sudo", "--"] if data.get("_sudo") else []
        return [*become, "sh", "-c", words]
    if name.startswith("@"):
        raise BackupError(f"{name}: only hosts that are reached by SSH can be backed up")
    found = ssh_arguments(name, data, ["sh", "-c", shlex.quote(words)])
    return [found[0], *ALIVE, *found[1:]]


def printed(
    name: str,
    data: Mapping[str, Any],
    fact: type[ScriptFact],
    request: Mapping[str, Any],
    pieces: Iterable[bytes] = (),
    verb: str = "read",
) -> Iterator[bytes]:
    """The pieces that FACT's script prints on the host NAME, once it was given PIECES.

    Raises:
        BackupError: it ends with an error, in its own words.
    """
    words, first = streamed(fact, verb, request)
    with (
        pipe() as (asked, asking),
        pipe() as (out, into),
        running(
            name, command_on(name, data, words), takes=asked.descriptor, gives=into.descriptor
        ) as program,
    ):
        asked.close()
        into.close()
        _send(program, asking, chain([first], pieces))
        yield from out.pieces()
        program.ended()


def given(
    name: str,
    data: Mapping[str, Any],
    fact: type[ScriptFact],
    request: Mapping[str, Any],
    pieces: Iterable[bytes],
) -> Answer:
    """What FACT's script answers on the host NAME after it was given PIECES.

    Raises:
        BackupError: it ends with an error, in its own words.
    """
    said = b"".join(printed(name, data, fact, request, pieces, "write")).decode(errors="replace")
    return answered(fact.script, said.splitlines())


def _send(program: Program, side: Side, pieces: Iterable[bytes]) -> None:
    try:
        for piece in pieces:
            side.write(piece)
    except BrokenPipeError:
        program.process.wait()
        raise BackupError(f"{program.name}: {program.last_words()}") from None
    side.close()
