"""Timers of systemd: enabled, started, and with the files that are there now."""

from __future__ import annotations

from collections.abc import Sequence

from pyinfra import host
from pyinfra.api import StringCommand, operation
from pyinfra.api.command import QuoteString

from pyinfra_nova.session.host_script import NO_ANSWER, ScriptFact, ask
from pyinfra_nova.session.steps import Commands, Step, refused, taken


class TimerState(ScriptFact):
    """The timers that do not run, are not enabled, or have another file than systemd has read."""

    script = "timers"


def _systemctl(*words: str) -> StringCommand:
    return StringCommand("systemctl", *(QuoteString(word) for word in words))


@operation()
def running(timers: Sequence[str]) -> Commands:
    """Have TIMERS enabled and waiting for their time.

    One whose file has changed is restarted, which begins its interval anew and runs nothing.
    """
    state = ask(host, TimerState, {"timers": list(timers)})
    if not state:
        yield from refused(NO_ANSWER)
        return
    steps = []
    if state["reload"]:
        steps.append(Step("have systemd read the timers' files", (_systemctl("daemon-reload"),)))
    for name in timers:
        lacks_start = name in state["start"]
        if name in state["enable"]:
            steps.append(Step(f"enable {name}", (_systemctl("enable", "--quiet", name),)))
        if lacks_start or state["reload"]:
            verb = "start" if lacks_start else "restart"
            steps.append(Step(f"{verb} {name}", (_systemctl("restart", name),)))
    yield from taken(steps)


@operation()
def stopped(timers: Sequence[str]) -> Commands:
    """Stop and disable TIMERS whose files are about to go."""
    yield from taken(
        [
            Step(f"stop {name}", (_systemctl("disable", "--now", "--quiet", name),))
            for name in timers
        ]
    )
