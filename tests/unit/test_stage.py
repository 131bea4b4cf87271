"""The deploy's last stages: what is waited for, and what cannot get better by waiting."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import pytest
from pyinfra.api.exceptions import PyinfraError

from pyinfra_nova.proof import host_proof, site_proof, stage
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


# --- many computes, some of which will never come -------------------------------------------------

MISSING = [f"compute{number:02}" for number in range(12)]
ENDED = {"pid": 8, "age": 3.0, "replaced": False}


class Run:
    """What of pyinfra's state is asked for; as that is, one of a kind."""

    pool = SimpleNamespace(size=4)
    inventory = SimpleNamespace(get_host=lambda name: name)


class Site:
    """Twelve computes that Nova misses; what runs on each is what they answer."""

    def __init__(self, *, ended: str | None = None, silent: str | None = None) -> None:
        self.ended = ended
        self.silent = silent
        self.asked: list[str] = []
        """`HOST processes`, or `HOST all`."""
        self.slices = 0
        self.state = Run()
        plans = {
            name: SimpleNamespace(host=SimpleNamespace(name=name, nova_host=f"{name}.nova"))
            for name in MISSING
        }
        self.proofs = stage.Proofs(plans, dict.fromkeys(MISSING, SEEN))  # type: ignore[arg-type]

    def nova(self, *_: Any) -> dict[str, Any]:
        """Nova's answer; the computes are there once a minute is over."""
        self.slices += 1
        missing = {f"{name}.nova": ["has not registered"] for name in MISSING}
        return {"error": None, "missing": missing if self.slices < 5 else {}}

    def compute(self, name: str, request: str) -> dict[str, Any]:
        self.asked.append(f"{name} {request}")
        if name == self.silent:
            raise PyinfraError("the connection is gone")
        process = ENDED if name == self.ended else RUNS
        return {"processes": {"nova-compute": process}, "faults": []}

    def waited(self, monkeypatch: pytest.MonkeyPatch) -> str:
        """What is said in the end."""
        monkeypatch.setattr(stage, "host", SimpleNamespace(state=self.state))
        monkeypatch.setattr(stage, "say", lambda _: None)
        monkeypatch.setattr(site_proof, "question", lambda *_, **__: {})
        monkeypatch.setattr(site_proof, "asked", self.nova)
        monkeypatch.setattr(host_proof, "process_question", lambda _: "processes")
        monkeypatch.setattr(host_proof, "question", lambda *_: "all")
        monkeypatch.setattr(host_proof, "asked", self.compute)
        settings = SimpleNamespace(settings=SimpleNamespace(report_interval=10))
        plan: Any = SimpleNamespace(site=settings)
        return stage._waited(plan, self.proofs, whole=False)[1]


@pytest.mark.parametrize("number", [0, 5, 11])
def test_one_compute_of_many_that_does_not_stay_up_ends_the_waiting_and_is_named_first(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site(ended=MISSING[number])
    said = site.waited(monkeypatch).splitlines()
    assert site.slices == 1
    assert said[0].startswith(f"{MISSING[number]}.nova: has not registered: nova-compute: does not")
    assert said[-1] == "and 7 more hosts"


def test_each_missing_compute_is_asked_one_small_question_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site = Site()
    assert site.waited(monkeypatch) == ""
    assert sorted(site.asked) == sorted(f"{name} processes" for name in MISSING * 4)


def test_a_compute_that_gives_no_answer_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(silent=MISSING[3])
    assert site.waited(monkeypatch) == ""
    assert site.slices == 5
