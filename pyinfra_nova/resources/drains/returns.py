"""Guests that have left a compute are moved back, each by its state and within the same limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pydantic import BaseModel
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.host import Host

from pyinfra_nova.resources.drains import USES, Question, moving
from pyinfra_nova.resources.drains.decision import Run
from pyinfra_nova.resources.drains.remedies import AGAIN
from pyinfra_nova.resources.drains.state import Drained, Guest
from pyinfra_nova.session.host_script import NO_ANSWER, ScriptFact, ask, carried_out
from pyinfra_nova.session.steps import Heard
from pyinfra_nova.site.drain import Drain


class GuestsAway(ScriptFact):
    """The guests that have left a compute, and are still where they went."""

    script = "guest_returns"
    uses = (*USES, "drains")


class _Away(BaseModel):
    guests: list[Guest]
    error: str | None


def away(controller: Host, question: Question, host: str, since: float) -> list[Guest]:
    """The guests that have left HOST, in Nova, SINCE a moment by the clock of CONTROLLER.

    Raises:
        PyinfraError: Nova does not say.
    """
    request = {**question.as_request(), "host": host, "since": since}
    answer = ask(controller, GuestsAway, request) or {"guests": [], "error": NO_ANSWER}
    found = _Away.model_validate(answer)
    if found.error:
        raise PyinfraError(found.error)
    return found.guests


def back(question: Question, guests: Sequence[Guest], host: str) -> Question:
    """QUESTION about GUESTS alone, each of which is to go to HOST.

    Nobody asks libvirt on the computes that they leave, unless one arrives in ERROR.
    """
    leaving = sorted({str(guest.host) for guest in guests})
    return replace(
        question,
        computes=[Drained(name, name, "") for name in leaving],
        closing=(),
        opening=(host,),
        only=[guest.uuid for guest in guests],
        to=host,
    )


def moved_back(controller: Host, question: Question, limits: Drain) -> list[str]:
    """Move the guests of QUESTION; a line for each that does not get there.

    Raises:
        PyinfraError: a command has failed.
    """
    steps = moving(question, limits, Run())
    try:
        while True:
            command = next(steps)
            lines = carried_out(controller, command)
            if isinstance(command, Heard):
                command.lines = lines
    except StopIteration as ended:
        wrong: str = ended.value
        return [line.removesuffix(AGAIN) for line in wrong.splitlines()]
