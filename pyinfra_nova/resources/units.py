"""systemd units: enabled, running, and running with what their files say now."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyinfra import host
from pyinfra.api import StringCommand, operation
from pyinfra.api.command import QuoteString

from pyinfra_nova.resources import moves
from pyinfra_nova.resources.nova_state import NovaDatabases, unread
from pyinfra_nova.session.host_script import (
    NO_ANSWER,
    Answer,
    ScriptFact,
    ask,
    script_command,
)
from pyinfra_nova.session.steps import Commands, Step, refused, taken

START_DEADLINE = 120
"""Seconds a unit may take from start to active before the run ends with the cause."""


@dataclass(frozen=True)
class Unit:
    """A unit that has to be enabled and active.

    Attributes:
        name: the canonical unit name, without an alias.
        reads: files or glob patterns; one that is newer than the unit's process means a restart.
        reload: reload instead of restart when a file is newer.
        url: where it serves HTTP; a 500 there, twice, means a restart.
        broker: the broker's port, for one that is only there once it is connected to it.
        log: the file in which to look for the cause when it does not run.
        dropin: a file that systemd reads with the unit's own.
    """

    name: str
    reads: tuple[str, ...] = ()
    reload: bool = False
    url: str | None = None
    broker: int | None = None
    log: str | None = None
    dropin: str | None = None

    def as_request(self) -> dict[str, object]:
        return {
            "name": self.name,
            "reads": list(self.reads),
            "reload": self.reload,
            "url": self.url,
            "broker": self.broker,
            "log": self.log,
            "dropin": self.dropin,
        }


@dataclass(frozen=True)
class Process:
    """The process that ran a unit when its host was asked.

    Attributes:
        pid: 0 where none ran.
        born: when it started, in seconds of this machine's monotonic clock; no later than that.
    """

    pid: int
    born: float


Processes = MutableMapping[str, dict[str, Process]]
"""By host and unit, the processes that a run has seen last."""


def noted(answer: Mapping[str, Mapping[str, Any]]) -> dict[str, Process]:
    """The processes of an answer that has just come, by unit."""
    now = time.monotonic()
    return {
        name: Process(process["pid"], now - process["age"])
        for name, process in answer.items()
        if process["pid"]
    }


class UnitDifferences(ScriptFact):
    """The units that are not as they should be: the verbs that mend each, and the reason."""

    script = "units"
    uses = ("trust", "rest", "sql", "nova_state", "unit_logs")


VERBS = ("unmask", "enable", "reload", "restart", "start")


def _systemctl(verb: str, units: Sequence[dict[str, Any]]) -> StringCommand:
    queued = ("--no-block",) if verb in ("reload", "restart", "start") else ()
    names = (QuoteString(unit["name"]) for unit in units)
    return StringCommand("systemctl", verb, *queued, *names)


def _steps(differing: Sequence[dict[str, Any]]) -> list[Step]:
    """What brings DIFFERING in line, each verb once."""
    steps = []
    for verb in VERBS:
        chosen = [unit for unit in differing if verb in unit["actions"]]
        if chosen:
            text = ", ".join(f"{unit['name']} ({unit['reason']})" for unit in chosen)
            steps.append(Step(f"{verb} {text}", (_systemctl(verb, chosen),)))
    return steps


@operation()
def running(
    units: Sequence[Unit],
    databases: NovaDatabases | None = None,
    deadline: int = START_DEADLINE,
    seen: Processes | None = None,
    moving: Callable[[], Answer] | None = None,
) -> Commands:
    """Bring UNITS in line: unmasked, enabled, active, and younger than the files they read.

    With DATABASES they are also to be younger than the newest cell mapping in them.

    Starting does not block on ``Type=notify`` daemons that never get ready: the jobs are queued,
    then waited for, and for connections to the broker, until DEADLINE seconds have passed; what is
    not there by then is named with the cause from its log.
    With MOVING, which says what guests are on the way, what runs is restarted once none is.
    What runs in the end is noted in SEEN: who proves that it works asks whether it still does.
    """
    request: dict[str, Any] = {"units": [unit.as_request() for unit in units]}
    cells = databases.as_request() if databases else None
    state = ask(host, UnitDifferences, {**request, "cells": cells})
    if not state:
        yield from refused(NO_ANSWER)
        return
    if databases and (problem := unread(state.get("cells", {}))):
        yield from refused(problem)
        return
    differing = state.get("units", [])
    if lost := {unit["name"]: unit["lost"] for unit in differing if "lost" in unit}:
        names = ", ".join(f"{path} of {name}" for name, path in lost.items())
        yield from refused(
            f"a program that still runs is no longer on the disk: {names}; a restart would only "
            "stop it: install its package anew (apt-get install --reinstall, dnf reinstall), then "
            "deploy again"
        )
        return
    steps = []
    if state.get("daemon_reload"):
        command = StringCommand("systemctl", "daemon-reload")
        steps.append(Step("have systemd read its unit files again", (command,)))
    cut = [unit for unit in differing if "restart" in unit["actions"] and unit.get("running")]
    if cut and moving and host.state.is_executing:
        # What does not run is at nothing, and a guest that it was at waits for its start.
        yield from taken([*steps, *_steps([unit for unit in differing if unit not in cut])])
        if problem := moves.waited(moving):
            yield from refused(problem)
            return
        yield from taken(_steps(cut))
    else:
        yield from taken([*steps, *_steps(differing)])
    if differing:
        yield script_command("units", "wait", {**request, "wait": deadline}, ("unit_logs",))
        if host.state.is_executing:
            state = ask(host, UnitDifferences, {**request, "cells": None})
            if not state:
                yield from refused(NO_ANSWER)
    if seen is not None:
        seen.setdefault(host.name, {}).update(noted(state.get("processes", {})))
