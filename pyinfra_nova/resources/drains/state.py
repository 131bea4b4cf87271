"""What Nova says of computes that are to have no guests, as ``files/drains.py`` has read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from pydantic import BaseModel

from pyinfra_nova.site.names import named

ENDED = frozenset({"cancelled", "completed", "confirmed", "done", "error", "failed", "reverted"})
"""nova/db/main/api.py, migration_get_in_progress_by_host_and_node."""
LIVE, COLD = "live-migration", "migration"


class Place(BaseModel):
    """An address of a guest, and the network of Neutron's that it is in, if that is known.

    Attributes:
        direct: whether it is the guest's also for who has no part in that network.
    """

    address: str
    network: str | None
    direct: bool


class Guest(BaseModel):
    """A guest.

    Attributes:
        host: of nova-compute; None where it is nowhere.
        state: Nova's ``vm_state``, such as ``active``.
        task: what it is at, Nova's ``task_state``.
        power: what its hypervisor says, ``power_state``: 1 runs, 3 paused, 4 off.
        fault: why it is in ERROR.
        image: what its disk was made of; None where that is a volume, or nobody has asked.
        ephemeral: whether it has another disk on its compute.
        addresses: where it would answer, if that was asked.
    """

    uuid: str
    name: str
    host: str | None
    state: str
    task: str | None
    power: int | None
    fault: str | None
    image: str | None = None
    ephemeral: bool = False
    addresses: list[Place] = []

    @property
    def called(self) -> str:
        return f"guest {self.name} ({self.uuid})"


class Move(BaseModel):
    """The newest migration of a guest.

    Attributes:
        kind: ``live-migration``, ``migration``, ``resize`` or ``evacuation``.
        age: seconds since Nova was told of it; of a resize that ends, since it was told to end it.
        same_flavor: False for a resize.
        total, remaining: MiB of memory, while it is copied.
        cause: the last words of what has failed.
        twice: whether it is in error, as its guest is, on the target, because Neutron was told of
            the arrival twice at once.
        holds: whether its guest is well there, and it still has an allocation at the source.
    """

    id: int
    guest: str
    kind: str
    status: str
    source: str | None
    target: str | None
    age: float
    same_flavor: bool
    total: int | None
    remaining: int | None
    cause: str | None
    twice: bool = False
    holds: bool = False

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED

    @property
    def called(self) -> str:
        """What it is, for people."""
        words = {LIVE: "live migration", COLD: "cold migration"}
        return words.get(self.kind, self.kind) + (f" to {self.target}" if self.target else "")


class Apart(BaseModel):
    """A server group that keeps its members apart, and how many more LEFT hosts may have."""

    id: str
    name: str
    left: dict[str, int]


class Target(BaseModel):
    """Where a guest could go.

    Attributes:
        hosts: of nova-compute.
        new: those that this deploy adds and that may have room; said in a plan alone.
        needs: what it takes of one, by resource class.
        free: what each of the hosts has of that.
        why: why there is none, with the remedy.
        bound: what keeps it from moving while it runs.
        group: what keeps it from others.
    """

    hosts: list[str]
    needs: dict[str, int]
    free: dict[str, dict[str, int]]
    why: str
    bound: str | None
    group: Apart | None = None
    new: list[str] = []

    @property
    def places(self) -> str:
        """All of them, for people; "" where there is none."""
        return named([*self.hosts, *(f"{host} (new)" for host in self.new)], " or ")

    def cut_to(self, host: str) -> Target:
        """The same of a guest that is to go to HOST, and nowhere else."""
        if host in self.hosts:
            return self.model_copy(update={"hosts": [host], "new": []})
        why = self.why or f"Placement, its server group or its zone keeps it from {host}"
        return self.model_copy(update={"hosts": [], "new": [], "why": why})


class DrainState(BaseModel):
    """One answer; see ``files/drains.py``.

    Attributes:
        error: why nothing is known.
        closed: why each of the computes takes no new guests; None where it takes some.
        now: seconds since 1970 by the primary controller's clock.
        domains: the host that Nova has for each domain that libvirt has, or that its guest is on no
            compute; None where Nova has no such guest.
    """

    error: str | None
    computes: dict[str, str] = {}
    closed: dict[str, str | None] = {}
    now: float = 0.0
    guests: list[Guest] = []
    moves: list[Move] = []
    targets: dict[str, Target] = {}
    domains: dict[str, str | None] = {}


@dataclass(frozen=True)
class Drained:
    """A compute that is to have no guests.

    Attributes:
        name: in the inventory.
        host: in Nova.
        libvirt: the URI under which its libvirt answers.
    """

    name: str
    host: str
    libvirt: str


@dataclass(frozen=True)
class Seen:
    """The computes, and what was answered of them."""

    computes: Sequence[Drained]
    state: DrainState

    @cached_property
    def hosts(self) -> frozenset[str]:
        return frozenset(compute.host for compute in self.computes)

    @cached_property
    def moves(self) -> Mapping[str, Move]:
        """By guest."""
        return {move.guest: move for move in self.state.moves}

    def touched(self, guest: Guest) -> frozenset[str]:
        """Which of the computes a guest is on, or has a move from or to that has not ended."""
        move = self.moves.get(guest.uuid)
        found = {guest.host}
        if move and not move.has_ended:
            found |= {move.source, move.target}
        return self.hosts & found
