"""systemd units that are to run no more, not even after a reboot."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pyinfra import host
from pyinfra.api import StringCommand, operation
from pyinfra.api.command import QuoteString

from pyinfra_nova.session.host_script import NO_ANSWER, ScriptFact, ask, script_command
from pyinfra_nova.session.steps import Commands, Step, refused, taken

VERBS = ("stop", "disable", "mask")


class StoppedUnits(ScriptFact):
    """The units that run, or could be started, and what keeps them from neither."""

    script = "unit_stops"
    uses = ("unit_logs", "units")


def faults(answer: dict[str, list[dict[str, object]]]) -> list[str]:
    """What of an answer of StoppedUnits is not as it should be."""
    return [f"{unit['name']} is {unit['state']}" for unit in answer["units"]]


@operation()
def stopped(units: Sequence[str], in_use: Callable[[], Sequence[str]]) -> Commands:
    """Have UNITS stopped, disabled and masked, unless they are IN_USE, which is asked right before.

    Masked, because an upgrade of their package may enable them again. In the end systemd has to
    say itself that none of them runs.
    """
    question = {"units": list(units), "prove": False}
    found = ask(host, StoppedUnits, question)
    if not found:
        yield from refused(NO_ANSWER)
        return
    differing = found["units"]
    if not differing:
        return
    if host.state.is_executing and (reasons := in_use()):
        yield from refused("\n".join(reasons))
        return
    steps = []
    for verb in VERBS:
        chosen = [unit for unit in differing if unit[verb]]
        if chosen:
            text = ", ".join(f"{unit['name']} ({unit['state']})" for unit in chosen)
            words = (QuoteString(unit["name"]) for unit in chosen)
            steps.append(Step(f"{verb} {text}", (StringCommand("systemctl", verb, *words),)))
    yield from taken(steps)
    request = {**question, "prove": True}
    yield script_command(StoppedUnits.script, "prove", request, StoppedUnits.uses)
