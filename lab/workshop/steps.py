"""What a step of the exercise is, and what its things are called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from lab import state

Where = Literal["controller", "here"]
"""As root on the controller, or on this machine in the checkout."""
NAME = "workshop"
FIRST, SECOND = f"{NAME}-1", f"{NAME}-2"
KEY = state.LAB / NAME


@dataclass(frozen=True)
class Command:
    """A command as a person types it, and what comes of it.

    Attributes:
        where: where it is typed.
        text: a line of shell.
        makes: the thing that is there after it. Where that is there already it is left out.
        removes: the thing that is gone after it. Where that is not there it is left out.
        see: a regular expression that its output has to match; it is repeated until it does.
        never: a regular expression; output that matches it makes waiting useless.
        within: seconds for that, and for a command that fails to succeed after all.
        program: left out where this machine does not have this program.
        proof: looks further at the output; its answer is shown, a LabError fails the step.
    """

    where: Where
    text: str
    makes: str = ""
    removes: str = ""
    see: str = ""
    never: str = ""
    within: float = 0
    program: str = ""
    proof: Callable[[str], str] | None = None


@dataclass(frozen=True)
class Step:
    """A step of the exercise.

    Attributes:
        name: for `--step`.
        title: what it is about.
        commands: in their order.
        expect: what is to be seen when it went well.
        look: where to look when it did not.
        why: a command for the controller that names the reason when it did not.
        service: the type of a service that it needs; it is left out where the cloud has none.
        past: where this thing is there, the step lies behind; to do it again would undo later ones.
    """

    name: str
    title: str
    commands: tuple[Command, ...]
    expect: str
    look: tuple[str, ...] = ()
    why: str = ""
    service: str = ""
    past: str = ""


def openstack(
    words: str,
    *,
    makes: str = "",
    removes: str = "",
    see: str = "",
    never: str = "",
    within: float = 0,
    proof: Callable[[str], str] | None = None,
) -> Command:
    return Command(
        "controller",
        f"openstack {words}",
        makes=makes,
        removes=removes,
        see=see,
        never=never,
        within=within,
        proof=proof,
    )
