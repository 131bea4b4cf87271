"""A compute that is to have no guests, planned and deployed against hosts that only answer."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pyinfra_nova.commands.plan import pending

from .test_plan import operations, pyinfra, secrets_file

__all__ = ["secrets_file"]
DRAIN = "Hypervisors | Drain computes"
EMPTY: dict[str, Any] = {"error": None, "computes": {"compute1": "up"}}
TARGET: dict[str, Any] = {"hosts": ["compute2"], "needs": {}, "free": {}, "why": "", "bound": None}


def guest(uuid: str, state: str) -> dict[str, Any]:
    found = {"uuid": uuid, "name": f"web-{uuid}", "host": "compute1", "state": state}
    return {**found, "task": None, "power": 1, "fault": None}


RUNS, SLEEPS = guest("g1", "active"), guest("g2", "suspended")


@pytest.fixture
def has(monkeypatch: pytest.MonkeyPatch) -> Any:
    def say(*guests: dict[str, Any], looks: int = 0, then: Any = None, **more: Any) -> None:
        """For so many LOOKS, THEN something else, then none; without a number for ever."""
        targets = {each["uuid"]: TARGET for each in guests}
        answer = {**EMPTY, "guests": guests, "targets": targets, **more}
        after = [then] if then else []
        answers = [*[answer] * looks, *after, EMPTY] if looks else [answer]
        monkeypatch.setenv("FAKE_GUESTS", json.dumps(answers))

    return say


def asked(said: str) -> list[str]:
    """The hosts that were asked about guests, in order."""
    commands = said.split("[fake] simulating command on @fake/")[1:]
    words = re.compile(r" (drains|domain_uuids) read\b")
    return [command.partition(":")[0] for command in commands if words.search(command)]


def test_each_guest_is_planned_with_how_and_where_to(secrets_file: Path, has: Any) -> None:
    has(RUNS, SLEEPS)
    process = pyinfra("draining", secrets_file, "--dry", "--json")
    assert pending({"plan": operations(process)}) == {DRAIN: ["@fake/controller"]}
    assert operations(process)[-1]["name"] == DRAIN
    assert "move guest web-g1 (g1) of compute1 alive, to compute2" in process.stderr
    said = "guest web-g2 (g2) on compute1 is SUSPENDED: `openstack server resume g2`"
    assert said in process.stderr


def test_a_guest_that_stays_is_pending_too(secrets_file: Path, has: Any) -> None:
    """A deploy would end with an error: nothing pending would say that all is well."""
    has(SLEEPS)
    process = pyinfra("draining", secrets_file, "--dry", "--json")
    assert list(pending({"plan": operations(process)})) == [DRAIN]


def test_an_empty_compute_costs_one_question_here_and_one_there(
    secrets_file: Path, has: Any
) -> None:
    has()
    process = pyinfra("draining", secrets_file, "-y", "--debug")
    assert process.returncode == 0, process.stderr
    assert asked(process.stderr) == ["compute1", "controller"]


def test_without_a_compute_to_drain_nothing_is_asked(secrets_file: Path) -> None:
    process = pyinfra("converged", secrets_file, "-y", "--debug")
    assert process.returncode == 0
    assert asked(process.stderr) == []
    assert "Drain computes" not in process.stderr


def test_a_deploy_moves_a_guest_and_ends_once_all_say_that_it_is_gone(
    secrets_file: Path, has: Any
) -> None:
    has(RUNS, looks=2)  # the second one is that by which it is moved
    process = pyinfra("draining", secrets_file, "-y", "--debug")
    assert process.returncode == 0, process.stderr
    assert "no guest is left on @fake/compute1" in process.stderr
    assert asked(process.stderr) == [
        *("compute1", "controller", "controller", "controller", "compute1", "controller"),
    ]
    assert re.search(r"^ +Hypervisors \| Drain computes +1 +1 +- +- *$", process.stderr, re.M)


FAULT = "Failed to activate binding for port p1 on host compute2"
ARRIVED = {**guest("g3", "error"), "host": "compute2", "fault": FAULT}
MOVE: dict[str, Any] = {
    **{"id": 7, "guest": "g3", "kind": "live-migration", "status": "error", "source": "compute1"},
    **{"target": "compute2", "age": 60.0, "same_flavor": True, "total": None, "remaining": None},
    "cause": None,
}
HELD = {
    **EMPTY,
    "guests": [{**ARRIVED, "state": "active", "fault": None}],
    "moves": [{**MOVE, "holds": True}],
}
MENDED = "guest web-g3 (g3) is in ERROR, though it runs on compute2: set it active"
GIVEN_BACK = "give back what the live migration to compute2 of guest web-g3 (g3) still holds"


@pytest.mark.parametrize("limit", [(), ("--limit", "@fake/compute1")])
def test_a_guest_that_an_earlier_run_has_left_in_error_on_the_other_side_is_mended(
    secrets_file: Path, has: Any, limit: tuple[str, ...]
) -> None:
    """Also in a run that leaves that side out: it is connected for the question alone."""
    has(ARRIVED, looks=2, then=HELD, moves=[{**MOVE, "twice": True}])
    process = pyinfra("draining", secrets_file, "--dry", "--json", *limit)
    assert pending({"plan": operations(process)}) == {DRAIN: ["@fake/controller"]}
    assert MENDED in process.stderr
    process = pyinfra("draining", secrets_file, "-y", "--debug", *limit)
    assert process.returncode == 0, process.stderr
    assert MENDED in process.stderr and GIVEN_BACK in process.stderr
    assert "no guest is left on @fake/compute1" in process.stderr


def test_a_deploy_ends_with_the_guests_that_stay(secrets_file: Path, has: Any) -> None:
    has(SLEEPS)
    process = pyinfra("draining", secrets_file, "-y", "-vvv")
    assert process.returncode == 1
    assert "not drained of all guests: @fake/compute1" in process.stderr
    assert "web-g2 (g2) on compute1 is SUSPENDED" in process.stderr
    assert "Traceback" not in process.stderr
    # All else of the deploy is done by then.
    assert "Proof | Ask for every service and hypervisor" in process.stderr


def test_a_libvirt_that_does_not_answer_is_not_taken_for_empty(
    secrets_file: Path, has: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    has()
    monkeypatch.setenv("FAKE_DOMAINS", '{"uuids": null, "error": "virsh: no such socket"}')
    process = pyinfra("draining", secrets_file, "--dry", "--json")
    assert list(pending({"plan": operations(process)})) == [DRAIN]
    assert "libvirt on @fake/compute1 does not say its guests: virsh: no such" in process.stderr


def test_what_libvirt_still_has_is_named(
    secrets_file: Path, has: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    has(domains={"g1": "compute2", "g9": None})
    monkeypatch.setenv("FAKE_DOMAINS", '{"uuids": ["g1", "g9"], "error": null}')
    process = pyinfra("draining", secrets_file, "--dry", "--json")
    assert list(pending({"plan": operations(process)})) == [DRAIN]
    assert "libvirt on compute1 still has guest g1, which Nova has on compute2" in process.stderr
    assert "libvirt on compute1 has g9, of which Nova knows nothing" in process.stderr


def test_no_answer_is_an_error(secrets_file: Path, has: Any) -> None:
    has(error="GET http://x does not answer: timed out")
    process = pyinfra("draining", secrets_file, "--dry", "--json")
    assert process.returncode == 1
    assert "GET http://x does not answer: timed out" in process.stderr
    assert "Traceback" not in process.stderr


def test_a_run_on_other_computes_drains_nothing(secrets_file: Path, has: Any) -> None:
    has(RUNS)
    process = pyinfra("draining", secrets_file, "--dry", "--json", "--limit", "@fake/compute2")
    assert DRAIN not in [operation["name"] for operation in operations(process)]
    process = pyinfra("draining", secrets_file, "--dry", "--json", "--limit", "@fake/compute1")
    assert pending({"plan": operations(process)}) == {DRAIN: ["@fake/controller"]}


def test_the_command_line_drains_the_computes_that_it_names(secrets_file: Path, has: Any) -> None:
    has({**RUNS, "host": "compute2"}, computes={"compute2": "up"})
    words = ("--data", "state=drained", "--data", "state_reason=new memory")
    process = pyinfra("draining", secrets_file, "--dry", "--limit", "@fake/compute2", *words)
    assert process.returncode == 0, process.stderr
    assert "close @fake/compute2 to new guests, new memory (was open)" in process.stderr
    assert "move guest web-g1 (g1) of compute2 alive" in process.stderr
    assert "@fake/compute1" not in process.stderr
    process = pyinfra("draining", secrets_file, "--dry", *words)
    assert process.returncode == 1
    assert "--data: state: is said of single computes; name them with --limit" in process.stderr
