"""The deploy's last stages: what is waited for, and what cannot get better by waiting."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import pytest

from pyinfra_nova.proof import host_proof, stage
from pyinfra_nova.resources.units import Process

RUNS = {"pid": 7, "age": 100.0, "replaced": False}
AUDIT = {"what": "nova-compute", "problem": "x", "remedy": "y", "passing": True}
SEEN = {"nova-compute": Process(7, 0.0)}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Any:
    """How often a host is asked that always answers the same; each time takes ten seconds."""

    def count(process: dict[str, Any], *faults: dict[str, Any], interval: int = 60) -> int:
        clock, times = itertools.count(0, 10), itertools.count(1)
        last = 0

        def answer(*_: Any) -> dict[str, Any]:
            nonlocal last
            last = next(times)
            return {"processes": {"nova-compute": process}, "faults": list(faults)}

        monkeypatch.setattr(stage, "host", None)
        monkeypatch.setattr(host_proof, "question", lambda *_: {"audit_interval": interval})
        monkeypatch.setattr(host_proof, "asked", answer)
        monkeypatch.setattr(stage, "gevent", SimpleNamespace(sleep=lambda _: None))
        monkeypatch.setattr(stage, "time", SimpleNamespace(monotonic=lambda: next(clock)))
        stage.lasting_faults(None, (), SEEN)  # type: ignore[arg-type]
        return last

    return count


def test_a_host_without_faults_is_asked_once(asked: Any) -> None:
    assert asked(RUNS) == 1


def test_an_audit_that_failed_is_waited_for_until_the_next_is_over(asked: Any) -> None:
    assert asked(RUNS, AUDIT) == 8
    assert asked(RUNS, AUDIT, interval=300) == 32


def test_a_fault_that_stays_is_not_waited_for(asked: Any) -> None:
    assert asked(RUNS, AUDIT, {**AUDIT, "passing": False}) == 1


def test_a_process_that_has_ended_does_not_come_back_by_waiting(asked: Any) -> None:
    assert asked({**RUNS, "pid": 8}) == 1
    assert asked({**RUNS, "pid": 8}, AUDIT) == 1


def test_the_deadline_grows_with_the_hosts_and_with_the_time_between_heartbeats() -> None:
    few = stage.Proofs({}, {})
    many = stage.Proofs({str(n): None for n in range(1000)}, {})  # type: ignore[misc]
    assert many.deadline(10) > few.deadline(10)
    assert few.deadline(120) > 2 * 120
