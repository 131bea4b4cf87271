"""Say what an operation is about to change, all of it, before it changes anything.

pyinfra advances an operation to its first command only when it plans, so what is said between two
commands would be missing from a plan.

A command goes on when the run that sent it is killed, because nothing tells it. So each holds a
lock of its host, shared; the preflight of the next run waits until nobody holds it. The lock is in
a folder that nobody but root may enter: whoever can open a file can hold it, and a deploy with it.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

from pyinfra import host, logger
from pyinfra.api import OperationError, StringCommand
from pyinfra.api.arguments import ConnectorArguments
from pyinfra.api.command import QuoteString
from pyinfra.api.host import Host
from pyinfra.api.state import State
from pyinfra.connectors.util import CommandOutput
from typing_extensions import override

Commands = Generator[StringCommand, None, None]
"""What an operation yields."""


LOCKS = "/run/pyinfra-nova"
"""The folder of all locks: root's alone, gone with every boot, made by the first who needs it."""
LOCK = f"{LOCKS}/lock"
PATIENCE = 60
"""Seconds to wait for the lock; other runs hold it alone no longer than it takes to look."""

HOLDERS = (
    "find /proc/[0-9]*/fd -lname {lock} 2>/dev/null | cut -d/ -f3 | sort -nu |"
    ' while read -r pid; do echo "$(cat /proc/$pid/comm) (pid $pid)"; done'
)
"""What prints the processes that have a lock open; never their words, which may be secret."""
TAKEN = (
    # In a shell of its own, because what follows keeps its umask. The folder is there before
    # anything is in it, so no other user ever opens the lock.
    "(umask 077; mkdir -p {locks} && chmod 700 {locks} && touch {lock} && chmod 600 {lock})"
    " || exit 1; flock --shared --timeout {patience} {lock} true || {{"
    " echo 'this host is held by another program: end it, or wait for it:' >&2;"
    " {holders} >&2; exit 1; }};"
)


@dataclass(frozen=True)
class Step:
    """One change: what it is, in words, and the commands that make it."""

    text: str
    commands: tuple[StringCommand, ...] = ()


def refused(text: str) -> Commands:
    """End the run with TEXT, which names what is wrong and what to do about it.

    While operations run, pyinfra shows an exception raised in one with a traceback; a command that
    fails is shown as what it says.

    Raises:
        OperationError: in a plan, where no command runs.
    """
    if not host.state.is_executing:
        raise OperationError(f"{host.name}: {text}")
    yield StringCommand("printf '%s\\n'", QuoteString(text), ">&2; exit 1")


def say(text: str) -> None:
    """One line about the host at hand."""
    logger.info(f"{host.print_prefix}{text}")


def changing(command: StringCommand) -> StringCommand:
    """COMMAND, held against the next run until it has ended.

    Where somebody else holds the lock for longer than PATIENCE it is not run, and they are named.
    """
    holders = HOLDERS.format(lock=LOCK)
    return StringCommand(
        TAKEN.format(locks=LOCKS, lock=LOCK, patience=PATIENCE, holders=holders),
        f"flock --shared --timeout {PATIENCE}",
        LOCK,
        "sh -c",
        QuoteString(command),
        **command.connector_arguments,
    )


class Heard(StringCommand):
    """A command whose operation goes on with what it has printed.

    Attributes:
        lines: of its standard output; none before it has run.
    """

    def __init__(self, command: StringCommand) -> None:
        super().__init__(*command.bits, _separator=command.separator)
        self.connector_arguments = command.connector_arguments
        self.lines: list[str] = []

    @override
    def execute(self, state: State, host: Host, connector_arguments: ConnectorArguments) -> Any:
        done: tuple[bool, CommandOutput] = super().execute(state, host, connector_arguments)
        self.lines = list(done[1].stdout_lines)
        return done


def taken(steps: Sequence[Step]) -> Commands:
    """Say every step, then yield their commands in order."""
    for step in steps:
        say(step.text)
    for step in steps:
        for command in step.commands:
            yield changing(command)
