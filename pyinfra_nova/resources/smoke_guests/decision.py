"""What is done next to prove a compute with a guest: decided of what was read alone.

Nothing of what an earlier run has begun is begun anew; nothing is left where it is over.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel

from pyinfra_nova.site.smoke_guest import SmokeGuest

Kind = Literal[
    "isolate",
    "enable",
    "boot",
    "greet",
    "make_volume",
    "attach",
    "delete_guest",
    "delete_volume",
    "release",
    "close",
]
NOT_PROVEN = "not proven: "
"""How the reason begins for which a compute is closed whose guest did not work."""
LONGEST = 255
"""Characters that Nova takes for it."""
TEXTS: Mapping[str, str] = {
    "isolate": "keep all guests but its own from {host}",
    "enable": "let the guest of its own onto {host}",
    "boot": "start a guest on {host}",
    "make_volume": "make a volume for the guest on {host}",
    "attach": "give the guest on {host} its volume",
    "release": "open {host} to new guests: its own works",
    "close": "close {host} to new guests: {why}",
}
"""Of the others nothing is said."""


class SmokeGuestState(BaseModel):
    """The guest of a compute; see ``files/smoke_guests.py``."""

    uuid: str
    state: str
    task: str | None
    fault: str | None
    host: str | None
    spoke: bool
    last: str


class VolumeState(BaseModel):
    """The volume of a compute's guest."""

    uuid: str
    status: str
    attached: bool


class ComputeState(BaseModel):
    """One compute; see ``files/smoke_guests.py``."""

    open: bool
    reason: str | None
    isolated: bool
    marked: bool
    guest: SmokeGuestState | None
    volume: VolumeState | None


class State(BaseModel):
    """One look: the computes by their host in Nova, and whether volumes are asked for."""

    computes: dict[str, ComputeState] = {}
    volumes: bool = False
    error: str | None = None


@dataclass
class Proof:
    """What this run knows of one compute.

    Attributes:
        name: in the inventory.
        host: of nova-compute.
        works: whether its guest has shown all that it has to.
        cause: why the compute is not proven.
        greeted: whether its screen was seen.
        over: whether nothing is left to be done.
    """

    name: str
    host: str
    works: bool = False
    cause: str | None = None
    greeted: bool = False
    over: bool = False
    said: set[str] = field(default_factory=set)

    @property
    def reason(self) -> str:
        return (NOT_PROVEN + str(self.cause))[:LONGEST]

    def text(self, kind: Kind) -> str | None:
        """What is said of a step, once."""
        text = TEXTS.get(kind)
        if text is None or text in self.said or (kind == "release" and not self.works):
            return None
        self.said.add(text)
        return text.format(host=self.name, why=self.reason)


def decide(proof: Proof, state: State, wanted: SmokeGuest, *, age: float, vnc: bool) -> Kind | None:
    """The next step for a compute; None where there is nothing to do but to wait, or it is over.

    AGE is for how many seconds this run has been at it.
    """
    compute = state.computes[proof.host]
    if not proof.works and proof.cause is None:
        kind = _proving(proof, compute, state, vnc=vnc)
        if proof.cause is None and not proof.works:
            if age > wanted.timeout:
                proof.cause = f"{_waits_for(compute)} after {wanted.timeout} s"
            else:
                return kind
    return _clearing(proof, compute)


def _proving(proof: Proof, compute: ComputeState, state: State, *, vnc: bool) -> Kind | None:
    guest, volume = compute.guest, compute.volume
    if not compute.isolated:
        return "isolate"
    if not compute.open:
        return "enable"
    if guest is None:
        return "boot"
    if guest.task == "deleting":
        return None
    if guest.state == "error":
        proof.cause = f"its guest is in ERROR: {guest.fault or 'no reason given'}"
    elif guest.host not in (None, proof.host):
        proof.cause = f"its guest is on {guest.host}"
    elif guest.state == "active" and guest.spoke and not guest.task:
        return _with_more(proof, volume, wanted_volume=state.volumes, vnc=vnc)
    return None


def _with_more(
    proof: Proof,
    volume: VolumeState | None,
    *,
    wanted_volume: bool,
    vnc: bool,
) -> Kind | None:
    """The guest runs, and its network works."""
    if vnc and not proof.greeted:
        return "greet"
    if wanted_volume:
        if volume is None:
            return "make_volume"
        if volume.status.startswith("error"):
            proof.cause = f"the volume of its guest is {volume.status}: see Cinder's logs"
            return None
        if volume.status == "available":
            return "attach"
        if not volume.attached or volume.status != "in-use":
            return None
    proof.works = True
    return None


def _waits_for(compute: ComputeState) -> str:
    """What has not come."""
    guest, volume = compute.guest, compute.volume
    if not compute.isolated:
        return "Nova and Placement do not both have it in aggregate pyinfra-nova-joining"
    if guest is None:
        return "its guest is not there"
    if guest.state != "active" or guest.task:
        return f"its guest is {guest.task or guest.state}"
    if not guest.spoke:
        last = f", but: {guest.last}" if guest.last else ""
        return f"its guest's console does not say that its network works{last}"
    return f"the volume of its guest is {volume.status}" if volume else "it waits for its volume"


def _clearing(proof: Proof, compute: ComputeState) -> Kind | None:
    """All that was made goes; a compute that is not proven is closed first."""
    if proof.cause is not None and (compute.open or compute.reason != proof.reason):
        return "close"
    if compute.guest is not None:
        return None if compute.guest.task == "deleting" else "delete_guest"
    if compute.volume is not None:
        can_go = not compute.volume.attached and compute.volume.status != "deleting"
        return "delete_volume" if can_go else None
    if compute.marked:
        return "release"
    proof.over = True
    return None
