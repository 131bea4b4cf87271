"""A compute that joins is proven with a guest, planned and deployed against hosts that answer."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pyinfra_nova.commands.plan import pending

from .test_plan import operations, pyinfra, secrets_file

__all__ = ["secrets_file"]
PROVE = "Hypervisors | Prove new computes with a guest"
OPEN = "Hypervisors | Open computes"
WANTED = 'smoke_guest={"image": "tiny", "network": "provider", "timeout": 30}'
SAID = (
    "prove @fake/compute2 with a guest of image tiny on network provider, then open to new guests"
)
NEW: dict[str, Any] = {
    **{"open": False, "reason": "New compute service disabled", "isolated": False},
    **{"marked": False, "guest": None, "volume": None},
}
ISOLATED = {**NEW, "isolated": True, "marked": True}
READY = {**ISOLATED, "open": True, "reason": None}
GUEST = {"uuid": "g1", "state": "active", "task": None, "fault": None, "host": "compute2"}
WORKS = {**READY, "guest": {**GUEST, "spoke": True, "last": "up"}}
OVER = {**READY, "isolated": False, "marked": False}
BROKEN = {**READY, "guest": {**GUEST, "state": "error", "fault": "No valid host", "spoke": False}}
BROKEN["guest"]["last"] = ""
CAUSE = "not proven: its guest is in ERROR: No valid host"
CLOSED = {**ISOLATED, "reason": CAUSE}


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Any:
    def say(*states: dict[str, Any]) -> None:
        """What is seen of compute2, look by look; the last one stays."""
        answers = [
            {"computes": {"compute2": state}, "volumes": False, "error": None} for state in states
        ]
        monkeypatch.setenv("FAKE_LOOKS", json.dumps(answers))

    say(NEW)
    return say


def done(said: str) -> list[str]:
    """What the controller's script was run for, in order."""
    commands = said.split("[fake] simulating command on @fake/")[1:]
    words = re.compile(r"^controller: .* smoke_guests (\w+)", re.DOTALL)
    return [found[1] for command in commands if (found := words.match(command))]


def test_it_is_planned_and_nothing_is_asked(secrets_file: Path, looks: Any) -> None:
    arguments = ("--dry", "--json", "--debug", "--data", WANTED)
    process = pyinfra("joining", secrets_file, *arguments)
    found = pending({"plan": operations(process)})
    assert found[PROVE] == ["@fake/controller"]
    assert OPEN not in found
    assert SAID in process.stderr
    assert done(process.stderr) == []


def test_it_is_proven_then_open(secrets_file: Path, looks: Any) -> None:
    looks(NEW, ISOLATED, READY, WORKS, WORKS, READY, OVER)
    process = pyinfra("joining", secrets_file, "-y", "--debug", "--data", WANTED)
    assert process.returncode == 0, process.stderr
    steps = [kind for kind in done(process.stderr) if kind != "read"]
    assert steps == ["isolate", "enable", "boot", "greet", "delete_guest", "release"]
    assert "open @fake/compute2 to new guests: its own works" in process.stderr


def test_one_that_is_not_proven_is_closed_and_ends_the_run(secrets_file: Path, looks: Any) -> None:
    over = {**CLOSED, "isolated": False, "marked": False}
    looks(READY, BROKEN, {**CLOSED, "guest": BROKEN["guest"]}, CLOSED, over)
    process = pyinfra("joining", secrets_file, "-y", "--debug", "--data", WANTED)
    assert process.returncode == 1
    assert f"close @fake/compute2 to new guests: {CAUSE}" in process.stderr
    assert f"@fake/compute2 is closed: {CAUSE}" in process.stderr
    steps = [kind for kind in done(process.stderr) if kind != "read"]
    assert steps == ["boot", "close", "delete_guest", "release"]


def test_a_run_of_the_compute_alone_proves_it(secrets_file: Path, looks: Any) -> None:
    """The one controller, which it leaves out, is asked whether its scheduler is ready for it."""
    looks(OVER, WORKS, WORKS, OVER)
    limit = ("--limit", "@fake/compute2")
    process = pyinfra("joining", secrets_file, "-y", "--debug", "--data", WANTED, *limit)
    assert process.returncode == 0, process.stderr
    assert "isolate" in done(process.stderr)


def test_without_it_a_new_compute_is_opened_by_the_proof_alone(
    secrets_file: Path, looks: Any
) -> None:
    process = pyinfra("joining", secrets_file, "--dry", "--json", "--debug")
    found = pending({"plan": operations(process)})
    assert found[OPEN] == ["@fake/controller"]
    assert PROVE not in found
    assert "open @fake/compute2 to new guests (was closed: New compute service" in process.stderr


def test_where_nobody_joins_nothing_is_pending(secrets_file: Path) -> None:
    process = pyinfra("converged", secrets_file, "--dry", "--json", "--debug", "--data", WANTED)
    assert PROVE not in pending({"plan": operations(process)})
    assert done(process.stderr) == []


def test_on_bare_hosts_all_computes_are_planned_to_be_proven(secrets_file: Path) -> None:
    process = pyinfra("fresh", secrets_file, "--dry", "--json", "--data", WANTED)
    assert pending({"plan": operations(process)})[PROVE] == ["@fake/controller"]
    assert "prove @fake/compute1, @fake/compute2 with a guest of image tiny" in process.stderr
    assert "open @fake/compute1" not in process.stderr
