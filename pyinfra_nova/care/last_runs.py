"""How the timers' jobs have fared, as verify and the page of the cloud's state say it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pyinfra_nova.care.files import PREFIX, STATE, UNITS, Job
from pyinfra_nova.session.host_script import ScriptFact

LATE = 3
"""How many times in a row a job may be put off: by deploys, by a controller that was off."""
SLACK = 3600.0
"""Seconds by which a timer may be late: systemd spreads them, and jobs wait for each other."""


class CareStates(ScriptFact):
    """What each job has left of its last run."""

    script = "care_states"
    uses = ("jobs",)
    folder = ScriptFact.folder / "care"


def question(jobs: Sequence[Job]) -> dict[str, Any]:
    """What CareStates is asked about JOBS."""
    return {
        "folder": STATE,
        "jobs": {job.name: f"{UNITS}/{PREFIX}{job.name}.timer" for job in jobs},
    }


def faults(jobs: Sequence[Job], answer: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the last runs of JOBS, each with what it said."""
    for job in jobs:
        found = answer["jobs"].get(job.name, {"since": None, "last": None})
        last, since = found["last"], found["since"]
        if since is None:
            yield f"{job.timer} is not there"
            continue
        if last is not None and last["outcome"] == "failed":
            again = f"once that is mended, `systemctl start nova-care-{job.name}` there"
            yield f"{job.name} has failed: {last['said']}; {again}"
            continue
        done = max(since, (last or {}).get("done") or 0.0)
        overdue = answer["now"] - done - LATE * job.interval - SLACK
        if overdue > 0:
            why = f"; it was {last['outcome']}: {last['said']}" if last else ""
            yield f"{job.name} has not been done for {(answer['now'] - done) / 3600:.0f} h{why}"


def told(jobs: Sequence[Job], answer: Mapping[str, Any]) -> Iterator[str]:
    """A line for each job: when it last ran, for how long, and what it did."""
    for job in jobs:
        last = answer["jobs"].get(job.name, {}).get("last")
        if last is None:
            yield f"{job.name}: not yet"
            continue
        ago, seconds = answer["now"] - last["ended"], last["ended"] - last["began"]
        said = f" ({last['said']})" if last["said"] else ""
        yield (
            f"{job.name}: {last['outcome']} {_age(ago)} ago in {seconds:.1f} s, "
            f"{last['rows']} {_of(job)}{said}"
        )


def _of(job: Job) -> str:
    return {"audit": "findings", "metrics": "lines"}.get(job.name, "rows")


def _age(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
