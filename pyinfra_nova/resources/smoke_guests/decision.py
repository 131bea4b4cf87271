"""What is done next to prove a compute with a guest: decided of what was read alone.

What an earlier run has begun is gone on with; nothing is left where it is over.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel

from pyinfra_nova.site.smoke_guest import SmokeGuest
from pyinfra_nova.site.value_types import BY_ITSELF

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
COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\[[0-9;]+[mHJK]")
"""What terminals make of them; in a console's output Nova leaves out their first character."""
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
        clears: whether nothing is to be proven any more, and what was made for it is to go.
        works: whether its guest has shown all that it has to.
        cause: why the compute is not proven.
        greeted: whether its screen was seen.
        booted: whether this run has begun its guest.
        made: whether this run has made its volume.
        closed: whether this run has closed the compute.
        over: whether nothing is left to be done.
    """

    name: str
    host: str
    clears: bool = False
    works: bool = False
    cause: str | None = None
    greeted: bool = False
    booted: bool = False
    made: bool = False
    closed: bool = False
    over: bool = False
    said: set[str] = field(default_factory=set)

    @property
    def reason(self) -> str:
        return (NOT_PROVEN + str(self.cause))[:LONGEST].strip()

    def fails(self, cause: str) -> None:
        """CAUSE may hold a console's line: only what each database and terminal takes is kept."""
        plain = COLOURS.sub("", cause)
        plain = "".join(c if c.isprintable() and c <= "\uffff" else " " for c in plain)
        self.cause = " ".join(plain.split())

    def done(self, kind: Kind) -> None:
        """Take note that this step was done."""
        self.greeted = self.greeted or kind == "greet"
        self.booted = self.booted or kind == "boot"
        self.made = self.made or kind == "make_volume"
        self.closed = self.closed or kind == "close"

    def refused(self, words: str) -> str | None:
        """What is said of a step that was not done, once; while it proves, it is the cause."""
        if not (self.clears or self.works or self.cause is not None):
            self.fails(words)
            return None
        text = f"not done: {words}"
        return None if text in self.said else self._once(text)

    def text(self, kind: Kind) -> str | None:
        """What is said of a step, once."""
        text = TEXTS.get(kind)
        if text is None or text in self.said or (kind == "release" and not self.works):
            return None
        return self._once(text).format(host=self.name, why=self.reason)

    def _once(self, text: str) -> str:
        self.said.add(text)
        return text


def decide(proof: Proof, state: State, wanted: SmokeGuest, *, age: float, vnc: bool) -> Kind | None:
    """The next step for a compute; None where there is nothing to do but to wait, or it is over.

    AGE is for how many seconds this run has been at it.
    """
    compute = state.computes[proof.host]
    if not (proof.clears or proof.works) and proof.cause is None:
        kind = _proving(proof, compute, volumes=state.volumes, vnc=vnc)
        if not proof.works and proof.cause is None:
            if age <= wanted.timeout:
                return kind
            proof.fails(f"{_waits_for(compute)} after {wanted.timeout} s")
    return _clearing(proof, compute)


def _proving(proof: Proof, compute: ComputeState, *, volumes: bool, vnc: bool) -> Kind | None:
    guest = compute.guest
    if not compute.isolated:
        return "isolate"
    if not compute.open:
        by_itself = (compute.reason or "").startswith(BY_ITSELF)
        return None if by_itself else "enable"
    if guest is None:
        return "boot"
    if guest.task == "deleting":
        return None
    is_elsewhere = guest.host not in (None, proof.host)
    if not proof.booted and (guest.state in ("error", "soft-delete") or is_elsewhere):
        return "delete_guest"  # an earlier run's says nothing of what there is now
    if guest.state == "error":
        proof.fails(f"its guest is in ERROR: {guest.fault or 'no reason given'}")
    elif is_elsewhere:
        proof.fails(f"its guest is on {guest.host}")
    elif guest.state == "active" and guest.spoke and not guest.task:
        if vnc and not proof.greeted:
            return "greet"
        return _with_volume(proof, compute.volume, volumes=volumes)
    return None


def _with_volume(proof: Proof, volume: VolumeState | None, *, volumes: bool) -> Kind | None:
    """The guest runs, and its network and its console work."""
    if not volumes:
        proof.works = True
    elif volume is None:
        return "make_volume"
    elif volume.status.startswith("error") and not proof.made:
        return "delete_volume"
    elif volume.status.startswith("error"):
        proof.fails(f"the volume of its guest is {volume.status}: see Cinder's logs")
    elif volume.status == "available":
        return "attach"
    elif volume.status == "in-use" and volume.attached:
        proof.works = True
    return None


def _waits_for(compute: ComputeState) -> str:
    """What has not come."""
    guest, volume = compute.guest, compute.volume
    if not compute.isolated:
        return "Nova and Placement do not both have it in aggregate pyinfra-nova-joining"
    if not compute.open:
        return f"Nova keeps it closed ({compute.reason})"
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
    is_told = compute.reason == proof.reason or proof.closed
    if proof.cause is not None and (compute.open or not is_told):
        return "close"
    if compute.guest is not None:
        return None if compute.guest.task == "deleting" else "delete_guest"
    if compute.volume is not None:
        status = compute.volume.status
        can_go = status == "available" or status.startswith("error")
        return "delete_volume" if can_go and not compute.volume.attached else None
    if compute.marked:
        return "release"
    proof.over = True
    return None
