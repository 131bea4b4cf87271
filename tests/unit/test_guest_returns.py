"""Guests go back to the compute that they have left, and nowhere else, by the drain's own steps."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from pyinfra.api.exceptions import PyinfraError

from pyinfra_nova.resources import drains
from pyinfra_nova.resources.drains import Question, returns
from pyinfra_nova.resources.drains.state import Guest
from pyinfra_nova.session import steps
from pyinfra_nova.site.drain import Drain

from .site_data import site


class Nova:
    """Guests on compute1 and compute3, which compute2 has lost; a look is a stage of each move."""

    def __init__(self) -> None:
        self.guests: dict[str, dict[str, Any]] = {}
        self.moves: dict[str, dict[str, Any]] = {}
        self.room = {"compute2", "compute9"}
        self.did: list[dict[str, Any]] = []
        self.asked: list[dict[str, Any]] = []
        self.said: list[str] = []

    def guest(self, uuid: str, state: str = "active", host: str = "compute1") -> None:
        made = {"uuid": uuid, "name": f"web-{uuid}", "host": host, "state": state}
        power = 4 if state == "stopped" else 1
        self.guests[uuid] = {**made, "task": None, "power": power, "fault": None}

    def ask(self, _: Any, fact: type, request: dict[str, Any]) -> dict[str, Any]:
        assert fact is drains.GuestsToMove, "nobody asks libvirt where other guests are"
        self.asked.append(request)
        self.pass_time()
        target: dict[str, Any] = {
            "hosts": sorted(self.room),
            "needs": {},
            "free": {},
            "why": "",
            "bound": None,
        }
        here = [
            g
            for g in self.guests.values()
            if g["uuid"] in request["only"]
            and (g["host"] in request["hosts"] or g["state"] == "resized")
        ]
        return {
            "error": None,
            "computes": dict.fromkeys(request["hosts"], "up"),
            "guests": here,
            "moves": [self.moves[g["uuid"]] for g in here if g["uuid"] in self.moves],
            "targets": {g["uuid"]: target for g in here if g["uuid"] not in request["placed"]},
        }

    def pass_time(self) -> None:
        for uuid, move in self.moves.items():
            guest = self.guests[uuid]
            if guest["task"]:
                cold = move["kind"] == "migration"
                move["status"] = "finished" if cold else "completed"
                state = "resized" if cold else guest["state"]
                guest.update(task=None, host=move["target"], state=state)

    def carried_out(self, _: Any, command: Any) -> list[str]:
        text = "".join(command.connector_arguments["_stdin"])
        step = json.loads(text)["request"]["step"]
        self.did.append(step)
        guest = self.guests[step["guest"]]
        if step["kind"] == "confirm":
            self.moves[step["guest"]]["status"] = "confirmed"
            guest["state"] = "stopped"
        else:
            kind = {"live": "live-migration", "cold": "migration"}[step["kind"]]
            self.moves[step["guest"]] = {
                **{"id": 9, "guest": step["guest"], "kind": kind, "status": "running"},
                **{"source": guest["host"], "target": step["to"], "age": 1.0, "cause": None},
                **{"same_flavor": True, "total": None, "remaining": None},
            }
            guest["task"] = "migrating"
        return [json.dumps({"refused": None, "late": None})]

    def back(self) -> list[str]:
        guests = [Guest.model_validate(guest) for guest in self.guests.values()]
        databases: Any = SimpleNamespace(as_request=dict)
        question = returns.back(Question(site(), databases, []), guests, "compute2")
        controller: Any = SimpleNamespace(name="controller")
        return returns.moved_back(controller, question, Drain())


@pytest.fixture
def nova(monkeypatch: pytest.MonkeyPatch) -> Nova:
    found = Nova()
    here = SimpleNamespace(name="controller", print_prefix="")
    for module in (drains, steps):
        monkeypatch.setattr(module, "host", here)
    monkeypatch.setattr(drains, "gevent", SimpleNamespace(sleep=lambda _: None))
    monkeypatch.setattr(drains, "ask", found.ask)
    monkeypatch.setattr(drains, "say", found.said.append)
    monkeypatch.setattr(returns, "carried_out", found.carried_out)
    return found


def test_each_goes_back_by_its_state_from_wherever_it_is(nova: Nova) -> None:
    nova.guest("g1")
    nova.guest("g2", "stopped", "compute3")
    assert nova.back() == []
    assert {guest["host"] for guest in nova.guests.values()} == {"compute2"}
    assert [(step["kind"], step["guest"], step["to"]) for step in nova.did] == [
        *(("live", "g1", "compute2"), ("cold", "g2", "compute2"), ("confirm", "g2", "compute2")),
    ]
    assert nova.said[-1] == "the guests are back on compute2"
    assert "move guest web-g1 (g1) of compute1 alive, to compute2" in nova.said


def test_only_these_guests_are_asked_about_and_the_host_takes_some_by_then(nova: Nova) -> None:
    nova.guest("g1")
    nova.back()
    assert nova.asked[0]["only"] == ["g1"]
    assert nova.asked[0]["hosts"] == ["compute1"]
    assert (nova.asked[0]["closing"], nova.asked[0]["opening"]) == ([], ["compute2"])


def test_what_does_not_go_there_goes_nowhere_else(nova: Nova) -> None:
    nova.guest("g1")
    nova.room = {"compute9"}
    assert nova.back() == [
        "not all guests are back on compute2",
        "guest web-g1 (g1) on compute1 can go nowhere: Placement, its server group or its zone "
        "keeps it from compute2",
    ]
    assert nova.did == []


def test_what_cannot_move_is_named_and_nobody_is_told_to_deploy(nova: Nova) -> None:
    nova.guest("g1", "suspended")
    nova.guest("g2")
    _, line = nova.back()
    assert line.endswith("is SUSPENDED: `openstack server resume g1`")
    assert [step["guest"] for step in nova.did] == ["g2"]


def test_an_answer_without_one_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    databases: Any = SimpleNamespace(as_request=dict)
    question = Question(site(), databases, [])
    controller: Any = None
    for answer, said in (({}, "nothing was answered"), ({"guests": [], "error": "no"}, "no")):
        monkeypatch.setattr(returns, "ask", lambda *_, a=answer: a)
        with pytest.raises(PyinfraError, match=said):
            returns.away(controller, question, "compute1", 0.0)
