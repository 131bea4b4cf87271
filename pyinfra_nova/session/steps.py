"""Say what an operation is about to change, all of it, before it changes anything.

pyinfra advances an operation to its first command only when it plans, so what is said between two
commands would be missing from a plan.

A command goes on when the run that sent it is killed, because nothing tells it. So each holds a
lock of its host, shared; the preflight of the next run waits until nobody holds it.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from pyinfra import host, logger
from pyinfra.api import OperationError, StringCommand
from pyinfra.api.command import QuoteString

Commands = Generator[StringCommand, None, None]
"""What an operation yields."""


LOCK = "/run/pyinfra-nova.lock"


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
    """COMMAND, held against the next run until it has ended."""
    return StringCommand(
        "flock --shared", LOCK, "sh -c", QuoteString(command), **command.connector_arguments
    )


def taken(steps: Sequence[Step]) -> Commands:
    """Say every step, then yield their commands in order."""
    for step in steps:
        say(step.text)
    for step in steps:
        for command in step.commands:
            yield changing(command)
