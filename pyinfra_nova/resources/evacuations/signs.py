"""Signs of life of hosts that are to be dead: what Nova and Neutron hear, and what answers.

Only a positive sign counts. Who is asked is a constant number of hosts, whatever their number.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.state import State
from pyinfra.context import ctx_host, ctx_state

from pyinfra_nova.resources.drains.state import Drained, Guest
from pyinfra_nova.resources.evacuations import EvacuationState
from pyinfra_nova.session.connections import at_once
from pyinfra_nova.session.host_script import (
    RUNNER,
    Answer,
    ScriptFact,
    answered,
    ask,
    script_input,
)
from pyinfra_nova.site.names import FEW, named

HERE = "this machine"
OF_HOST = frozenset({"ping", "connection"})
"""The ways in which a host itself is asked; its guests may be silent for reasons of their own."""
LATE = 120
"""Seconds that this machine may take to look."""
REMEDY = "take `dead` out of the inventory, or cut its power"
PATIENCE = "wait, if it has only just died; else "


class SignsOfLife(ScriptFact):
    """What answers to a host, of hosts and guests that should not."""

    script = "signs_of_life"


@dataclass(frozen=True)
class Sought:
    """A host of which it is asked whether it lives.

    Attributes:
        name: in the inventory.
        host: in Nova.
        addresses: where it would answer.
        port: of its SSH server.
        reached: where this machine would connect to it. Elsewhere it may be in another network,
            in which somebody else has those addresses.
    """

    name: str
    host: str
    addresses: Sequence[str]
    port: int
    reached: str

    def as_request(self, *, here: bool = False) -> dict[str, Any]:
        addresses = [self.reached] if here else list(dict.fromkeys(self.addresses))
        return {"name": self.name, "addresses": addresses, "port": self.port}


@dataclass
class Looks:
    """What several hosts have said.

    Attributes:
        signs: by name in the inventory what lives there.
        asked: by name the ways in which anybody could ask.
        unasked: what could not be asked, and by whom.
    """

    signs: dict[str, list[str]] = field(default_factory=dict)
    asked: dict[str, set[str]] = field(default_factory=dict)
    unasked: list[str] = field(default_factory=list)

    def add(self, who: str, answer: Answer) -> None:
        if error := answer.get("error"):
            self.unasked.append(f"{who}: {error}")
            return
        for name, ways in answer["asked"].items():
            self.asked.setdefault(name, set()).update(ways)
        for name, found in answer["signs"].items():
            self.signs.setdefault(name, []).extend(f"{sign}, asked by {who}" for sign in found)
        self.unasked += [f"{who}: {reason}" for reason in answer["unasked"]]

    def lives(self, sought: Sought) -> list[str]:
        """Why it may not be taken for dead: what answers, or that nobody could ask."""
        found = [f"{sign}: {REMEDY}" for sign in self.signs.get(sought.name, [])[:FEW]]
        if not found and not OF_HOST & self.asked.get(sought.name, set()):
            why = "; ".join(self.unasked[:FEW]) or "nobody was there to ask"
            return [f"nobody could look whether it lives: {why}"]
        return found


def looked(
    state: State,
    sought: Sequence[Sought],
    guests: Iterable[Guest],
    controllers: Sequence[str],
    others: Sequence[str],
    *,
    here: bool,
) -> Looks:
    """What answers of the hosts SOUGHT and of the GUESTS that were there; asked side by side.

    CONTROLLERS ask the guests, too; OTHERS, and with HERE this machine, ask the hosts alone.
    """
    hosts = [each.as_request() for each in sought]
    names = {each.host: each.name for each in sought}
    of_guests = [
        {
            **{"name": guest.called, "host": names[str(guest.host)]},
            "addresses": [each.model_dump() for each in guest.addresses],
        }
        for guest in guests
        if guest.host in names and guest.addresses
    ]
    short: dict[str, Any] = {"hosts": hosts, "guests": []}
    near = {**short, "hosts": [each.as_request(here=True) for each in sought]}
    whole = {**short, "guests": of_guests}
    pool = at_once(state)
    jobs = {
        **{name: pool.spawn(_asked, state, name, whole) for name in controllers},
        **{name: pool.spawn(_asked, state, name, short) for name in others},
        **({HERE: pool.spawn(_asked_here, near)} if here else {}),
    }
    looks = Looks()
    for who, job in jobs.items():
        looks.add(who, job.get())
    return looks


def _asked(state: State, name: str, request: Mapping[str, Any]) -> Answer:
    other = state.inventory.get_host(name)
    try:
        with ctx_state.use(state), ctx_host.use(other):
            return ask(other, SignsOfLife, request) or {"error": "nothing was answered"}
    except PyinfraError as error:
        return {"error": str(error)}


def _asked_here(request: Mapping[str, Any]) -> Answer:
    try:
        done = subprocess.run(
            [sys.executable, "-c", RUNNER],
            input="".join(script_input(SignsOfLife.script, request)),
            capture_output=True,
            text=True,
            timeout=LATE,
            check=True,
        )
        return answered(SignsOfLife.script, done.stdout.splitlines())
    except (OSError, subprocess.SubprocessError, PyinfraError) as error:
        return {"error": str(error)}


def of_nova(
    state: EvacuationState,
    compute: Drained,
    down_time: float,
    before: EvacuationState | None = None,
) -> list[str]:
    """What Nova and Neutron hear of COMPUTE; BEFORE is what was known a moment earlier."""
    host, found = compute.host, []
    service, earlier = state.services.get(host), before.services.get(host) if before else None
    if service and service.age is not None and service.age <= down_time:
        found.append(f"its nova-compute has sent a heartbeat {service.age:.0f} s ago")
    elif service and earlier and service.beat != earlier.beat:
        found.append("its nova-compute sends heartbeats")
    elif state.computes.get(host) == "up":
        found.append("Nova calls its nova-compute up")
    if agents := state.agents.get(host):
        found.append(f"Neutron hears its {named(agents)}")
    return [f"{text}: {PATIENCE}{REMEDY}" for text in found]
