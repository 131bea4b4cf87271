"""Computes that join are proven with a guest of their own before they take anybody else's."""

from __future__ import annotations

import time
from collections.abc import Collection, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import gevent
from pyinfra import host
from pyinfra.api import StringCommand
from pyinfra.api.host import Host

from pyinfra_nova.resources.compute_api import places
from pyinfra_nova.resources.compute_states import Closed
from pyinfra_nova.resources.keystone import KeystoneAdmin
from pyinfra_nova.resources.smoke_guests.decision import NOT_PROVEN, Kind, Proof, State, decide
from pyinfra_nova.session.host_script import (
    NO_ANSWER,
    ScriptFact,
    answered,
    ask,
    script_command,
)
from pyinfra_nova.session.steps import Commands, Heard, changing, refused, say
from pyinfra_nova.site.names import named
from pyinfra_nova.site.settings import HostSettings, Site
from pyinfra_nova.site.smoke_guest import SmokeGuest

USES = ("rest", "websocket", "keystone", "compute_api", "cloud_session", "cloud_aggregates")
BY_CONFIG = "New compute service disabled"
"""How the reason begins with which Nova registers a compute (nova/db/main/api.py)."""
EVERY = 3.0
"""Seconds from one look to the next."""
SOON = 0.5
"""The same after something was done."""
CLEARING = 300.0
"""Seconds in which what was made has to be gone."""


class SmokeGuests(ScriptFact):
    """How far the computes are that are being proven."""

    script = "smoke_guests"
    uses = USES


@dataclass(frozen=True)
class Question:
    """How the primary controller is asked about COMPUTES, with WANTED as their guests."""

    site: Site = field(repr=False)
    wanted: SmokeGuest
    computes: Sequence[HostSettings]

    def as_request(self, hosts: Sequence[str]) -> dict[str, Any]:
        settings, wanted = self.site.settings, self.wanted
        return {
            **KeystoneAdmin.of(self.site).as_request(settings.region, places(settings)),
            "hosts": list(hosts),
            **{"image": wanted.image, "network": wanted.network, "ram": wanted.ram},
            **{"expects": wanted.expects, "volume": wanted.volume},
        }

    def asked(self, controller: Host, hosts: Sequence[str]) -> State:
        answer = ask(controller, SmokeGuests, self.as_request(hosts)) or {"error": NO_ANSWER}
        return State.model_validate(answer)

    def command(self, proof: Proof, kind: Kind) -> StringCommand:
        wanted = {"kind": kind, "host": proof.host, "reason": proof.reason}
        request = {**self.as_request([proof.host]), "step": wanted}
        return script_command("smoke_guests", kind, request, USES)


def joins(compute: HostSettings, closed: Closed, joining: Collection[str]) -> bool:
    """Whether a compute is to be proven with a guest: it is new, or an earlier run is not through.

    Args:
        joining: the hosts that an earlier run has let in for their own guest alone.
    """
    name = compute.nova_host
    if compute.state != "open":
        return False
    if name in closed.unseen or name in joining:
        return True
    return closed.reasons.get(name, "").startswith((BY_CONFIG, NOT_PROVEN))


def proven(question: Question) -> Commands:
    """Have each compute of QUESTION run a guest of its own, then open it; or close it.

    A compute whose guest does not work is closed with the cause, which ends the run once all others
    are through. Nothing of the guests is left in either case.
    """
    if not question.computes:
        return
    names = [compute.name for compute in question.computes]
    wanted = question.wanted
    say(
        f"prove {named(names)} with a guest of image {wanted.image} on network {wanted.network}, "
        "then open to new guests"
    )
    if not host.state.is_executing:
        yield StringCommand("true")  # not run: something is to be done
        return
    waiting = [Proof(compute.name, compute.nova_host) for compute in question.computes]
    failed: list[str] = []
    while waiting:
        batch, waiting = waiting[: wanted.at_once], waiting[wanted.at_once :]
        yield from _batch(question, batch)
        if any(not proof.over for proof in batch):
            return
        failed += [f"{p.name} is closed: {p.reason}" for p in batch if p.cause is not None]
    if failed:
        yield from refused("\n".join([*failed, "mend it, then deploy again"]))


def _batch(question: Question, batch: Sequence[Proof]) -> Commands:
    """Work at the computes of BATCH side by side, until each is proven or closed."""
    begun = time.monotonic()
    over = begun + question.wanted.timeout + CLEARING
    vnc = question.site.settings.vnc.enabled
    while True:
        state = question.asked(host, [proof.host for proof in batch if not proof.over])
        if state.error:
            yield from refused(state.error)
            return
        done = False
        for proof in [proof for proof in batch if not proof.over]:
            age = time.monotonic() - begun
            kind = decide(proof, state, question.wanted, age=age, vnc=vnc)
            if kind and (yield from _step(question, proof, kind)):
                done = True
        left = [proof for proof in batch if not proof.over]
        if not left:
            return
        if time.monotonic() > over:
            names = named([proof.name for proof in left])
            yield from refused(
                f"what was made to prove {names} is not gone after {CLEARING:.0f} s: see the "
                "guests and volumes pyinfra-nova-smoke-…, then deploy again"
            )
            return
        gevent.sleep(SOON if done else EVERY)


def _step(question: Question, proof: Proof, kind: Kind) -> Generator[StringCommand, None, bool]:
    """Do it; whether it was done."""
    if text := proof.text(kind):
        say(text)
    command = Heard(changing(question.command(proof, kind)))
    yield command
    words = answered("smoke_guests", command.lines)["refused"]
    if kind == "greet" and not words:
        proof.greeted = True
    if not words:
        return True
    if proof.cause is None and not proof.works:
        proof.cause = str(words)
    else:
        say(f"not done: {words}")
    return False
