"""Runs that prove computes are killed, or get no answer, anywhere: the next one ends right."""

from __future__ import annotations

from copy import deepcopy

import pytest

from pyinfra_nova.resources import smoke_guests

from .serving import running
from .smoke_runs import Run, at_work, is_open, kept, killed_at, prepared
from .smoke_stand_in import Cloud


def test_wherever_a_run_is_killed_the_next_one_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for at in range(1, 100):
        with running(Cloud()) as cloud:
            run = prepared(Run(cloud), monkeypatch)
            if not killed_at(run, at):
                break
            if at_work(run):
                assert run.run() == []
            assert is_open(cloud)
            assert cloud.disturbed in ("", "allowed")
    assert at > 15


def test_wherever_a_failing_run_is_killed_the_next_one_ends_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(smoke_guests, "EVERY", 20.0)
    for at in range(1, 100):
        with running(Cloud()) as cloud:
            run = prepared(Run(cloud), monkeypatch)
            cloud.console = "no lease\n"
            if not killed_at(run, at):
                break
            cloud.console = "198.51.100.7\n"
            assert at_work(run)
            assert run.run() == []
            assert is_open(cloud)
            assert cloud.disturbed in ("", "allowed")
    assert at > 15


def test_whatever_goes_unanswered_ends_the_run_without_a_verdict_and_the_next_one_ends_it(
    joining: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each request of a look and of a step, of the first run's, in turn."""
    run = prepared(Run(joining), monkeypatch)
    before = kept(run.cloud)
    run.cloud.asked.clear()
    assert run.run() == []
    requests = len(run.cloud.asked)
    assert is_open(run.cloud)
    for at in range(1, requests, 7):
        for name, value in deepcopy(before).items():
            setattr(run.cloud, name, value)
        run.cloud.disturbed = ""
        run.cloud.fail(at, "503" if at % 2 else "lost")
        errors = run.run()
        reason = run.cloud.services["compute1"]["disabled_reason"] or ""
        assert not reason.startswith("not proven")
        run.cloud.fail(0, "")
        if errors:
            assert "answers 503" in errors[0] or "does not answer" in errors[0]
        if at_work(run):
            assert run.run() == []
        assert is_open(run.cloud)
