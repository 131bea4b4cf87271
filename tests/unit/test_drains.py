"""Computes are drained: what is asked, done and said, look by look, against a Nova that moves."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from pyinfra.api import OperationError

from pyinfra_nova.resources import drains
from pyinfra_nova.resources.drains.state import Drained
from pyinfra_nova.session import steps
from pyinfra_nova.site.drain import Drain

from .site_data import AWKWARD, site

TARGET: dict[str, Any] = {"hosts": ["compute2"], "needs": {}, "free": {}, "why": "", "bound": None}
NOWHERE = {**TARGET, "hosts": [], "why": "no other compute has 2 vCPU free"}


class State:
    """Of a run of pyinfra."""

    def __init__(self, *, is_executing: bool) -> None:
        self.is_executing = is_executing
        self.inventory = SimpleNamespace(
            get_host=lambda name: SimpleNamespace(name=name, connected=True)
        )


class Nova:
    """What the scripts answer; each look is a stage of what is on the way.

    Attributes:
        fails: guests whose moves end with an error.
        waits: guests that can go nowhere before the others have gone.
        refuses: guests that Nova does not move, with its words.
        domains: what libvirt has on compute1.
        look: how often the guests were read.
        silent_at: the look that is not answered.
    """

    def __init__(self) -> None:
        self.guests: dict[str, dict[str, Any]] = {}
        self.moves: dict[str, dict[str, Any]] = {}
        self.fails: set[str] = set()
        self.waits: set[str] = set()
        self.refuses: dict[str, str] = {}
        self.domains: dict[str, str | None] = {}
        self.silent = ""
        self.look, self.silent_at = 0, 0
        self.asked: list[str] = []
        self.states: tuple[list[str], list[str]] = [], []
        self.did: list[tuple[str, str]] = []
        self.said: list[str] = []
        self.slept = 0
        self.host = SimpleNamespace(name="controller", state=None)
        self.near: list[Drained] = []

    def guest(self, uuid: str, state: str = "active", **more: Any) -> dict[str, Any]:
        made = {"uuid": uuid, "name": f"web-{uuid}", "host": "compute1", "state": state}
        power = {"stopped": 4, "paused": 3}.get(state, 1)
        self.guests[uuid] = {**made, "task": None, "power": power, "fault": None, **more}
        return self.guests[uuid]

    def ask(self, other: Any, fact: type, request: dict[str, Any]) -> dict[str, Any]:
        if fact is drains.DomainUuids:
            self.asked.append(f"{other.name} libvirt")
            if self.silent:
                return {"uuids": None, "error": self.silent}
            return self.libvirt(other.name, request)
        self.asked.append("nova")
        self.states = (request["closing"], request["opening"])
        self.look += 1
        if self.look == self.silent_at:
            return {"error": "GET http://x does not answer: timed out"}
        here = [g for g in self.guests.values() if g["host"] == "compute1" or g["task"]]
        here += [g for g in self.guests.values() if g["state"] == "resized" and g not in here]
        here += [self.guests[uuid] for uuid in self.mended() if self.guests[uuid] not in here]
        answer = {
            "error": None,
            "computes": {"compute1": "up"},
            "guests": [dict(guest) for guest in here],
            "moves": [dict(self.moves[g["uuid"]]) for g in here if g["uuid"] in self.moves],
            "targets": {
                g["uuid"]: NOWHERE if g["uuid"] in self.waits and len(here) > 1 else TARGET
                for g in here
                if g["uuid"] not in request["placed"]
            },
            "domains": {uuid: self.domains[uuid] for uuid in request["domains"]},
        }
        self.pass_time()
        return answer

    def mended(self) -> list[str]:
        """The guests elsewhere of whose move there is more to be done."""
        return [uuid for uuid, m in self.moves.items() if m.get("twice") or m.get("holds")]

    def libvirt(self, _host: str, _request: dict[str, Any]) -> dict[str, Any]:
        return {"uuids": list(self.domains), "error": None}

    def pass_time(self) -> None:
        for uuid, guest in self.guests.items():
            move = self.moves.get(uuid)
            if not move or not guest["task"]:
                continue
            if move["status"] == "accepted":
                move.update(status="running", total=1024, remaining=512)
            elif uuid in self.fails:
                move.update(status="error", cause="NoValidHost: No valid host was found.")
                guest["task"] = None
            else:
                cold = move["kind"] == "migration"
                move["status"] = "finished" if cold else "completed"
                guest.update(task=None, host="compute2", state="resized" if cold else "active")

    def do(self, kind: str, uuid: str) -> dict[str, Any]:
        self.did.append((kind, uuid))
        if words := self.refuses.get(uuid):
            return {"refused": words, "late": None}
        guest = self.guests[uuid]
        if kind == "confirm":
            self.moves[uuid]["status"] = "confirmed"
            guest["state"] = "stopped"
            return {"refused": None, "late": None}
        move = {"id": 7, "guest": uuid, "status": "accepted", "source": "compute1", "age": 5.0}
        move |= {"target": "compute2", "same_flavor": True, "total": None, "remaining": None}
        move |= {"kind": {"live": "live-migration", "cold": "migration"}[kind], "cause": None}
        self.moves[uuid] = move
        guest["task"] = "migrating"
        return {"refused": None, "late": None}

    def run(self, *, executing: bool = True) -> list[str]:
        """Have the operation do all it wants; the commands that end it with an error."""
        self.host.state = State(is_executing=executing)
        databases: Any = SimpleNamespace(as_request=dict)
        compute = Drained("compute1", "compute1", "qemu:///system")
        states: Any = {"closing": ["compute1", "compute4"], "opening": ["compute2"]}
        question = drains.Question(site(), databases, [compute], near=self.near, **states)
        errors = []
        for command in drains.drained._inner(question, set, Drain()):
            if isinstance(command, steps.Heard):
                text = "".join(command.connector_arguments["_stdin"])
                step = json.loads(text)["request"]["step"]
                command.lines = [json.dumps(self.do(step["kind"], step["guest"]))]
            else:
                errors.append(str(command))
        return errors


@pytest.fixture
def nova(monkeypatch: pytest.MonkeyPatch) -> Nova:
    return put_in_place(Nova(), monkeypatch)


def put_in_place(found: Nova, monkeypatch: pytest.MonkeyPatch) -> Nova:
    """Have the operation ask FOUND."""

    def sleep(_: float) -> None:
        found.slept += 1
        assert found.slept < 100

    for module in (drains, steps):
        monkeypatch.setattr(module, "host", found.host)
    monkeypatch.setattr(drains, "gevent", SimpleNamespace(sleep=sleep))
    pool = SimpleNamespace(spawn=lambda f, *a: SimpleNamespace(get=lambda: f(*a)))
    monkeypatch.setattr(drains, "at_once", lambda _: pool)
    monkeypatch.setattr(drains, "time", SimpleNamespace(monotonic=lambda: 5.0 * found.slept))
    monkeypatch.setattr(drains, "ask", found.ask)
    monkeypatch.setattr(drains, "say", found.said.append)
    return found


def test_guests_are_moved_one_after_the_other_until_libvirt_says_so_too(nova: Nova) -> None:
    nova.guest("g1")
    nova.guest("g2", "stopped")
    nova.guest("g3", "paused")
    assert nova.run() == []
    assert nova.did == [("live", "g1"), ("cold", "g2"), ("confirm", "g2"), ("live", "g3")]
    assert {guest["host"] for guest in nova.guests.values()} == {"compute2"}
    assert nova.asked[:2] == nova.asked[-2:] == ["compute1 libvirt", "nova"]
    assert nova.said[-1] == "no guest is left on compute1"
    assert nova.said[0] == "move guest web-g1 (g1) of compute1 alive, to compute2"


def test_what_can_go_nowhere_is_asked_about_again_once_the_others_have_gone(nova: Nova) -> None:
    for uuid in ("g1", "g2", "g3"):
        nova.guest(uuid)
    nova.waits = {"g1"}
    assert nova.run() == []
    assert nova.did == [("live", "g2"), ("live", "g3"), ("live", "g1")]
    # Where nothing has moved it is the same as before.
    nova.guest("g4")
    nova.guest("g5", "suspended")
    nova.waits = {"g4"}
    (error,) = nova.run()
    assert "web-g4 (g4) on compute1 can go nowhere" in error
    assert nova.did[3:] == []


def test_what_is_said_on_the_way_does_not_flood(nova: Nova) -> None:
    nova.guest("g1", task="migrating")
    nova.guest("g2")
    nova.do("live", "g1")
    move, left = nova.moves["g1"], 1000
    nova.did.clear()

    def copying() -> None:
        nonlocal left
        left -= 10
        move.update(status="running", total=1024, remaining=left)
        if left < 500:
            Nova.pass_time(nova)

    nova.pass_time = copying  # type: ignore[method-assign]
    assert nova.run() == []
    lines = [line for line in nova.said if "MiB to go" in line]
    assert nova.slept > 40
    assert lines[0] == (
        "web-g1: compute1 -> compute2, running, 990 of 1,024 MiB to go; 1 more to move"
    )
    assert len(lines) <= nova.slept / 3 + 1


def test_what_fails_is_named_and_the_others_are_moved_all_the_same(nova: Nova) -> None:
    for uuid in ("g1", "g2", "g3"):
        nova.guest(uuid)
    nova.fails = {"g1"}
    nova.refuses = {"g2": "POST http://x answers 409: Instance g2 is locked"}
    (error,) = nova.run()
    assert nova.did == [("live", "g1"), ("live", "g2"), ("live", "g3")]
    assert "web-g1 (g1) on compute1 was not moved: its live migration to compute2 is error" in error
    assert "NoValidHost: No valid host was found." in error
    assert "web-g2 (g2) on compute1 is not moved by Nova: POST http://x answers 409" in error
    assert nova.guests["g3"]["host"] == "compute2"


def test_what_is_at_something_is_waited_for_but_not_for_ever(nova: Nova) -> None:
    guest = nova.guest("g1", task="rebooting")
    (error,) = nova.run()
    assert "is at rebooting" in error
    assert nova.slept * drains.EVERY <= drains.PATIENCE + 2 * drains.EVERY
    guest["task"] = None
    assert nova.run() == []


def test_what_is_given_up_holds_the_others_up_no_longer(nova: Nova) -> None:
    nova.guest("g1", "stopped")
    nova.guest("g2", task="migrating")  # what a dead service has left: there is no record
    nova.guest("g3")
    nova.guest("g4")
    nova.do("cold", "g1")
    nova.did.clear()
    nova.moves["g1"].update(status="migrating", age=601.0)
    moving = nova.pass_time

    def stuck() -> None:
        moves = nova.moves.copy()
        left = moves.pop("g1")
        nova.moves = moves
        moving()
        nova.moves["g1"] = left

    nova.pass_time = stuck  # type: ignore[method-assign]
    (error,) = nova.run()
    assert "is on the way for 601 s by now (cold migration to compute2): let it end" in error
    assert "web-g2 (g2) on compute1 is at migrating" in error
    assert nova.did == [("live", "g3"), ("live", "g4")]
    assert drains.PATIENCE / drains.EVERY <= nova.slept < 40


def test_where_nova_does_not_begin_what_it_is_told_no_more_guests_are_sent(nova: Nova) -> None:
    """Each would be at `migrating` for good, and nobody could do anything with it."""
    for uuid in ("g1", "g2", "g3"):
        nova.guest(uuid)
    doing = nova.do

    def unheard(kind: str, uuid: str) -> dict[str, Any]:
        answer = doing(kind, uuid)
        del nova.moves[uuid]
        return answer

    nova.do = unheard  # type: ignore[method-assign]
    (error,) = nova.run()
    assert nova.did == [("live", "g1")]
    assert "web-g1 (g1) on compute1 is at migrating" in error
    assert "2 more guests were not begun with, because no more may move at once, then" in error


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_no_answer_ends_the_run_and_the_next_one_goes_on(nova: Nova, at: int) -> None:
    nova.guest("g1")
    nova.guest("g2", "stopped")
    nova.silent_at = at
    (error,) = nova.run()
    assert "GET http://x does not answer: timed out" in error
    nova.silent_at = 0
    assert nova.run() == []
    assert sorted(nova.did) == [("cold", "g2"), ("confirm", "g2"), ("live", "g1")]


def test_a_guest_that_libvirt_still_has_keeps_it_from_being_over(nova: Nova) -> None:
    nova.guest("g1")
    nova.domains = {"g1": "compute2"}
    (error,) = nova.run()
    assert "libvirt on compute1 still has guest g1, which Nova has on compute2" in error


def test_what_waits_for_its_owner_is_named_once_though_libvirt_has_it_on_both_sides(
    nova: Nova,
) -> None:
    nova.guest("g1", "resized", host="compute2")
    nova.do("cold", "g1")
    nova.guests["g1"]["task"] = None
    nova.moves["g1"].update(status="finished", same_flavor=False, kind="resize")
    nova.domains = {"g1": "compute2"}
    nova.run(executing=False)
    (line,) = nova.said
    assert "waits (VERIFY_RESIZE) for somebody" in line


def test_a_libvirt_that_does_not_answer_keeps_it_from_being_over(nova: Nova) -> None:
    nova.silent = "virsh: no such socket"
    (error,) = nova.run()
    assert "libvirt on compute1 does not say its guests: virsh: no such socket" in error


def test_of_very_many_that_stay_a_part_is_named_and_their_number(nova: Nova) -> None:
    """An error is one argument of a command, which Linux has no room for beyond 128 KiB."""
    for number in range(2000):
        nova.guest(f"g{number:04}", "error", fault="x" * 255)
    (error,) = nova.run()
    assert len(error) < 1 << 16
    assert "web-g0000 (g0000) on compute1 is in ERROR" in error
    assert f"and {2000 - drains.NAMED:,} more, which a plan names" in error


def test_a_plan_does_nothing_but_is_pending(nova: Nova) -> None:
    nova.guest("g1")
    nova.guest("g2", "suspended")
    assert nova.run(executing=False) == ["true"]
    assert nova.did == []
    assert nova.said[0] == "move guest web-g1 (g1) of compute1 alive, to compute2"
    assert nova.said[1].startswith("guest web-g2 (g2) on compute1 is SUSPENDED")


def test_a_plan_asks_where_guests_can_go_once_computes_are_closed_and_opened(nova: Nova) -> None:
    """As the deploy does before it moves any; what it has then opened Nova says itself."""
    nova.guest("g1")
    nova.run(executing=False)
    assert nova.states == (["compute1", "compute4"], ["compute2"])
    nova.run()
    assert nova.states == (["compute1", "compute4"], [])


def test_a_plan_that_gets_no_answer_ends_with_an_error(nova: Nova) -> None:
    nova.silent_at = 1
    with pytest.raises(OperationError, match="GET http://x does not answer"):
        nova.run(executing=False)


def test_passwords_are_in_no_text_of_the_question() -> None:
    databases: Any = SimpleNamespace(as_request=dict)
    question = drains.Question(site(), databases, [])
    assert AWKWARD["admin_password"] in str(question.as_request())
    assert AWKWARD["admin_password"] not in repr(question)
