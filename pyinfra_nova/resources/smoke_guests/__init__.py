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
from pyinfra_nova.resources.units import Unit
from pyinfra_nova.session.host_script import (
    NO_ANSWER,
    ScriptFact,
    answered,
    ask,
    script_command,
)
from pyinfra_nova.session.steps import Commands, Heard, changing, say
from pyinfra_nova.site.names import named
from pyinfra_nova.site.settings import HostSettings, Settings, Site
from pyinfra_nova.site.smoke_guest import SmokeGuest

USES = (
    *("trust", "rest", "websocket", "keystone", "compute_api", "cloud_session", "compute_states"),
    *("cloud_aggregates", "unit_logs", "units", "smoke_isolation", "smoke_servers"),
)
BY_CONFIG = "New compute service disabled"
"""How the reason begins with which Nova registers a compute (nova/db/main/api.py)."""
VOLUME_TYPES = ("volumev3", "block-storage")
"""How catalogues call Cinder's API, beside what Nova is told."""
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
    """How the primary controller is asked about COMPUTES, with WANTED as their guests.

    Attributes:
        clearing: computes of which nothing is to be proven any more, but something is left.
        scheduler: the unit of the controller's own.
        proxy: the URL of its console proxy; None without one.
        unsure: controllers that the run leaves out, of whose schedulers nothing is known.
    """

    site: Site = field(repr=False)
    wanted: SmokeGuest
    computes: Sequence[HostSettings]
    clearing: Sequence[HostSettings]
    scheduler: Unit
    proxy: str | None
    unsure: Sequence[HostSettings] = ()

    @property
    def proofs(self) -> list[Proof]:
        found = [Proof(compute.name, compute.nova_host, clears=True) for compute in self.clearing]
        if not self.unsure:
            found += [Proof(compute.name, compute.nova_host) for compute in self.computes]
        return found

    def as_request(self, hosts: Sequence[str]) -> dict[str, Any]:
        settings, wanted = self.site.settings, self.wanted
        kind, where = _cinder(settings)
        kinds = list(dict.fromkeys((kind, *VOLUME_TYPES)))
        elsewhere = {**places(settings), **dict.fromkeys(kinds, where)}
        return {
            **KeystoneAdmin.of(self.site).as_request(settings.region, elsewhere),
            "hosts": list(hosts),
            **{"image": wanted.image, "network": wanted.network, "ram": wanted.ram},
            **{"expects": wanted.expects, "volume": wanted.volume, "proxy": self.proxy},
            "volumes_at": kinds,
            "same_zone": settings.cinder.cross_az_attach is False,
        }

    def asked(self, controller: Host, proofs: Sequence[Proof], *, begins: bool) -> State:
        request = self.as_request([proof.host for proof in proofs])
        if begins and not all(proof.clears for proof in proofs):
            unit = self.scheduler
            request["begins"] = {"unit": unit.name, "reads": list(unit.reads)}
        answer = ask(controller, SmokeGuests, request) or {"error": NO_ANSWER}
        return State.model_validate(answer)

    def command(self, proof: Proof, kind: Kind) -> StringCommand:
        wanted = {"kind": kind, "host": proof.host, "reason": proof.reason}
        request = {**self.as_request([proof.host]), "step": wanted}
        return script_command("smoke_guests", kind, request, USES)


def _cinder(settings: Settings) -> tuple[str, dict[str, Any]]:
    """The type of Cinder's endpoint, and where Nova itself finds it in the catalogue."""
    cinder = settings.cinder
    kind, _, interface = (cinder.catalog_info or "volumev3::publicURL").split(":")
    first = interface.removesuffix("URL")
    interfaces = list(dict.fromkeys((first, "internal", "public")))
    return kind, {"region": cinder.os_region_name, "interfaces": interfaces}


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


def left(compute: HostSettings, closed: Closed, joining: Collection[str]) -> bool:
    """Whether an earlier run has left something of a compute that is not to be open any more.

    One that is dead is left to its evacuation, which names the guest: who deletes it would wait for
    a nova-compute that does not answer.
    """
    name = compute.nova_host
    is_wanted = compute.state == "open" or compute.is_dead
    return not is_wanted and name in joining and name not in closed.unseen


def proven(question: Question, failed: list[str]) -> Commands:
    """Have each compute of QUESTION run a guest of its own, then open it; or close it.

    A compute whose guest does not work is closed with the cause. That, and whatever else has kept
    one from being proven, is added to FAILED: it is no reason to leave other computes' guests where
    they are. Nothing of the guests is left in either case.
    """
    names = named([compute.name for compute in question.computes])
    wanted = question.wanted
    unsure = (
        f"{names} cannot be proven with a guest: schedulers on "
        f"{named([controller.name for controller in question.unsure])}, which this run leaves out, "
        "may send others' guests there; run without --limit"
    )
    if question.clearing:
        cleared = named([compute.name for compute in question.clearing])
        say(f"take away what was made to prove {cleared}")
    if question.computes and question.unsure:
        say(unsure)
    elif question.computes:
        say(
            f"prove {names} with a guest of image {wanted.image} on network {wanted.network}, "
            "then open to new guests"
        )
    if not host.state.is_executing:
        if question.computes or question.clearing:
            yield StringCommand("true")  # not run: something is to be done
        return
    waiting = question.proofs
    while waiting:
        batch, waiting = waiting[: wanted.at_once], waiting[wanted.at_once :]
        problem = yield from _batch(question, batch)
        failed += [f"{p.name} is closed: {p.reason}" for p in batch if p.cause and p.over]
        if problem:
            failed.append(problem)
            return
    if question.computes and question.unsure:
        failed.append(unsure)


def _batch(
    question: Question, batch: Sequence[Proof]
) -> Generator[StringCommand, None, str | None]:
    """Work at the computes of BATCH side by side, until each is proven or closed.

    What is returned is why that was not possible.
    """
    begun = time.monotonic()
    over = begun + question.wanted.timeout + CLEARING
    remaining, begins = list(batch), True
    while True:
        state = question.asked(host, remaining, begins=begins)
        if state.error:
            names = named([proof.name for proof in remaining])
            return f"{names} cannot be proven with a guest: {state.error}"
        done = begins = False
        for proof in remaining:
            age = time.monotonic() - begun
            vnc = question.proxy is not None
            kind = decide(proof, state, question.wanted, age=age, vnc=vnc)
            if kind and (yield from _step(question, proof, kind)):
                done = True
        remaining = [proof for proof in remaining if not proof.over]
        if not remaining:
            return None
        if time.monotonic() > over:
            names = named([proof.name for proof in remaining])
            return (
                f"what was made to prove {names} is not gone after {CLEARING:.0f} s: see guests "
                "and volumes pyinfra-nova-smoke-… of the administrator's project"
            )
        gevent.sleep(SOON if done else EVERY)


def _step(question: Question, proof: Proof, kind: Kind) -> Generator[StringCommand, None, bool]:
    """Do it; whether it was done."""
    if text := proof.text(kind):
        say(text)
    command = Heard(changing(question.command(proof, kind)))
    yield command
    words = answered("smoke_guests", command.lines)["refused"]
    if not words:
        proof.done(kind)
        return True
    if text := proof.refused(str(words)):
        say(text)
    return False
