"""Guests of a dead compute are evacuated: what is asked, done and said, look by look."""

from __future__ import annotations

import json
from collections.abc import Collection
from types import SimpleNamespace
from typing import Any

import pytest
from pyinfra.api import OperationError

from pyinfra_nova.resources import drains, evacuations
from pyinfra_nova.resources.drains import Libvirts
from pyinfra_nova.resources.drains.state import Drained, Seen
from pyinfra_nova.resources.evacuations.decision import Dead
from pyinfra_nova.session import steps
from pyinfra_nova.site.drain import Drain

from .site_data import site

TARGET: dict[str, Any] = {"hosts": ["compute2"], "needs": {}, "free": {}, "why": "", "bound": None}
FORCE = ("force_down", "compute1")


class Nova:
    """What the scripts answer; each look is a stage of what is on the way.

    Attributes:
        fails: guests whose evacuations end with an error.
        wakes: guests that are not stopped again at the end of theirs.
        lives: what is said to live on compute1, at each time that it is asked.
        domains: by host what its libvirt has; one that is not here does not answer.
        done: what was done, in order.
    """

    def __init__(self) -> None:
        self.guests: dict[str, dict[str, Any]] = {}
        self.moves: dict[str, dict[str, Any]] = {}
        self.fails: set[str] = set()
        self.wakes: set[str] = set()
        self.lives: list[list[str]] = []
        self.asked_living = 0
        self.shared: dict[str, frozenset[str]] = {}
        self.domains: dict[str, list[str]] = {"compute2": []}
        self.asked_libvirts: list[str] = []
        self.forced, self.is_there, self.error = False, True, ""
        self.did: list[tuple[str, str]] = []
        self.said: list[str] = []
        self.look = self.slept = 0
        self.host = SimpleNamespace(name="controller", state=None)

    def guest(self, uuid: str, state: str = "active", **more: Any) -> dict[str, Any]:
        made: dict[str, Any] = {"uuid": uuid, "name": f"web-{uuid}", "host": "compute1"}
        made["state"] = state
        made |= {"task": None, "power": 1, "fault": None, "image": None, **more}
        self.guests[uuid] = made
        return made

    def ask(self, _: Any, fact: type, request: dict[str, Any]) -> dict[str, Any]:
        assert fact is evacuations.GuestsToEvacuate
        self.look += 1
        if self.error:
            return {"error": self.error}
        shown = [
            g for g in self.guests.values()
            if g["host"] == "compute1" or g["task"] or g["uuid"] in request["moved"]
        ]  # fmt: skip
        service = {"id": "s1", "forced_down": self.forced, "beat": "then", "age": 600.0}
        answer = {
            **{"error": None, "computes": {"compute1": "down"}},
            "services": {"compute1": service} if self.is_there else {},
            "guests": [dict(guest) for guest in shown],
            "moves": [dict(self.moves[g["uuid"]]) for g in shown if g["uuid"] in self.moves],
            "targets": {g["uuid"]: TARGET for g in shown if g["uuid"] not in request["placed"]},
        }
        self.pass_time()
        return answer

    def pass_time(self) -> None:
        for uuid, move in self.moves.items():
            guest = self.guests[uuid]
            if move["status"] == "accepted":
                move["status"] = "pre-migrating"
            elif move["status"] == "pre-migrating" and uuid in self.fails:
                move.update(status="error", cause="NoValidHost: none")
                guest.update(task=None, state="error")
            elif move["status"] == "pre-migrating":
                move["status"] = "done"
                wakes = guest["state"] == "error" or uuid in self.wakes
                state = "active" if wakes else guest["state"]
                guest.update(task=None, host="compute2", state=state)

    def do(self, step: dict[str, Any]) -> dict[str, Any]:
        self.did.append((step["kind"], step.get("guest") or step["host"]))
        if step["kind"] == "force_down":
            self.forced = True
        elif step["kind"] == "stop":
            self.guests[step["guest"]].update(state="stopped", power=4)
        else:
            assert self.forced
            guest = self.guests[step["guest"]]
            assert guest["task"] is None and step["anew"] == bool(guest["image"])
            move = {"id": 7, "guest": step["guest"], "status": "accepted", "source": "compute1"}
            move |= {"target": "compute2", "same_flavor": True, "total": None, "remaining": None}
            self.moves[step["guest"]] = {**move, "kind": "evacuation", "cause": None, "age": 5.0}
            guest["task"] = "rebuilding"
        return {"refused": None, "late": None}

    def living(self, seen: Seen) -> list[str]:
        assert evacuations.state_of(seen).services or not self.is_there
        self.asked_living += 1
        return self.lives.pop(0) if self.lives else []

    def folders(self, guests: Collection[str]) -> dict[str, frozenset[str]]:
        return {uuid: self.shared.get(uuid, frozenset()) for uuid in guests}

    def libvirts(self, computes: Collection[Drained], _: Any) -> Libvirts:
        names = [compute.host for compute in computes]
        self.asked_libvirts += names
        silent = [f"libvirt on {n} does not say its guests: x" for n in names
                  if n not in self.domains]  # fmt: skip
        return Libvirts({n: self.domains[n] for n in names if n in self.domains}, silent)

    def run(self, *, executing: bool = True, unseen: tuple[str, ...] = (), **dead: bool) -> Any:
        """Have the operation do all it wants; the commands that end it with an error."""
        self.host.state = SimpleNamespace(is_executing=executing)
        databases: Any = SimpleNamespace(as_request=dict)
        compute = Dead("compute1", "compute1", "", **dead)
        near = [Drained(name, name, "qemu:///system") for name in ("compute2", "compute3")]
        question = evacuations.Question(
            site(), databases, [compute], ["compute1"], ["compute2"], near=near
        )
        errors = []
        operation: Any = evacuations.evacuated
        for command in operation._inner(
            question, lambda: unseen, self.folders, self.living, Drain(at_once_per_host=2)
        ):
            if isinstance(command, steps.Heard):
                text = "".join(command.connector_arguments["_stdin"])
                command.lines = [json.dumps(self.do(json.loads(text)["request"]["step"]))]
            else:
                errors.append(str(command))
        return errors


@pytest.fixture
def nova(monkeypatch: pytest.MonkeyPatch) -> Nova:
    found = Nova()

    def sleep(_: float) -> None:
        found.slept += 1
        assert found.slept < 100

    for module in (drains, evacuations, steps):
        monkeypatch.setattr(module, "host", found.host)
    for module in (drains, evacuations):
        monkeypatch.setattr(module, "say", found.said.append)
    monkeypatch.setattr(drains, "gevent", SimpleNamespace(sleep=sleep))
    monkeypatch.setattr(drains, "time", SimpleNamespace(monotonic=lambda: 5.0 * found.slept))
    monkeypatch.setattr(drains, "ask", found.ask)
    monkeypatch.setattr(Libvirts, "of", found.libvirts)
    return found


def test_it_is_forced_down_and_its_guests_are_evacuated_in_the_state_that_they_had(
    nova: Nova,
) -> None:
    nova.guest("g1")
    nova.guest("g2", "stopped")
    nova.guest("g3", "error")
    assert nova.run() == []
    assert nova.did == [FORCE, *(("evacuate", uuid) for uuid in ("g1", "g2", "g3"))]
    found = {uuid: (guest["host"], guest["state"]) for uuid, guest in nova.guests.items()}
    assert found == {
        **{"g1": ("compute2", "active"), "g2": ("compute2", "stopped")},
        "g3": ("compute2", "active"),
    }
    assert nova.said[0] == "compute1 is dead: have Nova call its nova-compute down"
    assert nova.said[-1] == "no guest is left on compute1"
    assert nova.asked_living == 1


def test_one_that_was_off_is_off_again_though_an_evacuation_without_a_host_was_in_between(
    nova: Nova,
) -> None:
    """Which leaves it in ERROR, and Nova starts what is in ERROR."""
    nova.guest("g1", "stopped", power=4)
    nova.fails = {"g1"}
    assert len(nova.run()) == 1
    assert nova.guests["g1"]["state"] == "error"
    nova.fails.clear()
    assert nova.run() == []
    assert nova.did == [FORCE, ("evacuate", "g1"), ("evacuate", "g1"), ("stop", "g1")]
    assert (nova.guests["g1"]["host"], nova.guests["g1"]["state"]) == ("compute2", "stopped")


def test_a_plan_says_all_of_it_and_does_nothing(nova: Nova) -> None:
    nova.guest("g1")
    nova.guest("g2", image="i1")
    nova.guest("g3", "suspended")
    assert nova.run(executing=False) == ["true"]
    assert nova.did == [] and nova.look == 1 and nova.asked_living == 0
    assert [line.split(" (")[0] for line in nova.said] == [
        "compute1 is dead: have Nova call its nova-compute down",
        *("evacuate guest web-g1", "guest web-g2", "guest web-g3"),
    ]


def test_whatever_lives_there_by_then_keeps_all_of_it(nova: Nova) -> None:
    nova.guest("g1")
    nova.lives = [["compute1 is not dead: 10.0.0.31 replies to a ping"]]
    (error,) = nova.run()
    assert "10.0.0.31 replies to a ping" in error
    assert nova.did == [] and not nova.forced


def test_a_disk_that_only_it_had_keeps_its_guest_and_the_others_go(nova: Nova) -> None:
    nova.guest("g1")
    nova.guest("g2", image="i1")
    (error,) = nova.run()
    assert "not drained of all guests: compute1" in error
    assert "web-g2 (g2) on compute1 stays: its disk was only on compute1" in error
    assert nova.did == [FORCE, ("evacuate", "g1")]
    # Once the operator has given it up, it goes, too.
    assert nova.run(lost=True) == []
    assert nova.did[2:] == [("evacuate", "g2")]
    assert "web-g2 (g2) of compute1, its disk made anew from its image i1, to comp" in nova.said[-2]


def test_a_disk_on_shared_storage_goes_with_its_guest(nova: Nova) -> None:
    nova.guest("g1", image="i1")
    nova.shared = {"g1": frozenset({"compute2"})}
    assert nova.run() == []
    assert nova.guests["g1"]["host"] == "compute2"


def test_a_failed_one_ends_the_run_with_its_words_and_is_not_tried_again_in_it(nova: Nova) -> None:
    nova.guest("g1")
    nova.guest("g2")
    nova.fails = {"g1"}
    (error,) = nova.run()
    assert "was not evacuated: its evacuation to compute2 is error: NoValidHost: none" in error
    assert nova.did.count(("evacuate", "g1")) == 1 and nova.guests["g2"]["host"] == "compute2"
    nova.fails.clear()
    assert nova.run() == []
    assert nova.guests["g1"]["host"] == "compute2"


@pytest.mark.parametrize("domains", [{"compute2": ["g1"]}, {}])
def test_a_guest_that_a_failed_evacuation_has_left_running_runs_no_second_time(
    nova: Nova, domains: dict[str, list[str]]
) -> None:
    """Nova has it in ERROR on compute1: what fails after its start takes nothing back."""
    nova.guest("g1")
    nova.guest("g2")
    nova.fails = {"g1"}
    nova.run()
    nova.did.clear()
    nova.fails.clear()
    nova.domains = domains
    (error,) = nova.run()
    said = {
        True: "stays: libvirt on compute2 has it, too, since its evacuation, which is error; it ",
        False: "stays: it may run on compute2, since its evacuation, which is error, and libvirt "
        "there was not asked: libvirt on compute2 does not say its guests: x. Have it answer",
    }
    assert f"guest web-g1 (g1) on compute1 {said[bool(domains)]}" in error
    assert nova.did == [] and set(nova.asked_libvirts) == {"compute2"}
    nova.domains = {"compute2": []}
    assert nova.run() == []
    assert nova.did == [("evacuate", "g1")]


def kill(nova: Nova, look: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin a run, and have it killed after that many looks."""

    class Killed(Exception):  # noqa: N818 - what happens
        pass

    def killed(*arguments: Any) -> dict[str, Any]:
        if nova.look == look:
            raise Killed
        return nova.ask(*arguments)

    monkeypatch.setattr(drains, "ask", killed)
    with pytest.raises(Killed):
        nova.run()
    monkeypatch.setattr(drains, "ask", nova.ask)


@pytest.mark.parametrize("look", range(2, 6))
def test_a_killed_run_is_gone_on_with(
    nova: Nova, look: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No guest twice, none lost."""
    for uuid in ("g1", "g2", "g3"):
        nova.guest(uuid)
    kill(nova, look, monkeypatch)
    assert nova.run() == []
    assert sorted(nova.did) == sorted([FORCE, *(("evacuate", f"g{n}") for n in (1, 2, 3))])
    assert {guest["host"] for guest in nova.guests.values()} == {"compute2"}


@pytest.mark.parametrize("wakes", [False, True])
def test_that_a_stopped_guest_is_stopped_again_the_next_run_sees_too(
    nova: Nova, wakes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where Nova has ended it by then, it has stopped it before (rebuild_instance)."""
    nova.guest("g1", "stopped")
    nova.wakes = {"g1"} if wakes else set()
    kill(nova, 3, monkeypatch)
    errors = nova.run()
    assert nova.guests["g1"]["host"] == "compute2" and nova.did == [FORCE, ("evacuate", "g1")]
    said = "guest web-g1 (g1) on compute2 was stopped and evacuated, and is active"
    assert [said in error for error in errors] == ([True] if wakes else [])


def test_once_all_is_done_nothing_is_asked_but_nova(nova: Nova) -> None:
    nova.forced = True
    assert nova.run() == [] and nova.run(executing=False) == []
    assert (nova.look, nova.asked_living, nova.said) == (2, 0, [])


def test_one_that_nova_does_not_have_is_not_asked_about(nova: Nova) -> None:
    assert nova.run(unseen=("compute1",)) == []
    assert nova.look == 0
    nova.is_there = False
    assert nova.run() == [] and nova.did == []


def test_no_answer_ends_it(nova: Nova) -> None:
    nova.error = "GET http://x does not answer: timed out"
    (error,) = nova.run()
    assert "does not answer" in error
    with pytest.raises(OperationError, match="does not answer"):
        nova.run(executing=False)
