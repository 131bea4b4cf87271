"""Guests that live migrations have brought to their targets though Nova has these in error.

Which these are and how it comes to that says ``files/arrivals.py``. Nova alone does not show that
a guest runs where it has it: libvirt on both sides is asked.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from pyinfra_nova.resources.drains.remedies import AGAIN, arrived_by_hand
from pyinfra_nova.resources.drains.state import LIVE, Drained, Guest, Move, Seen

ERROR = "error"


@dataclass(frozen=True)
class Libvirt:
    """What libvirt says on one compute; ``silent`` is why it says nothing."""

    domains: Collection[str] = ()
    awake: Collection[str] = ()
    silent: str = ""

    def of(self, uuid: str) -> str:
        if self.silent:
            return f"nobody could say: {self.silent}"
        if uuid not in self.domains:
            return "it is not there"
        return "it runs" if uuid in self.awake else "it is there, and does not run"


@dataclass(frozen=True)
class Sides:
    """What libvirt says on both sides of the moves that are in doubt, by host in Nova."""

    by_host: Mapping[str, Libvirt] = field(default_factory=dict)

    def _at(self, host: str | None) -> Libvirt:
        return self.by_host.get(str(host), Libvirt(silent=f"{host} was not asked"))

    def has(self, host: str | None, uuid: str) -> bool:
        """Whether libvirt on HOST has said that it runs the guest."""
        return not self._at(host).silent and uuid in self._at(host).awake

    def against(self, move: Move) -> str:
        """What keeps it from being shown that the guest of MOVE runs on its target alone, or ""."""
        target, source = self._at(move.target), self._at(move.source)
        if not self.has(move.target, move.guest):
            return f"libvirt on {move.target}: {target.of(move.guest)}"
        if source.silent or move.guest in source.domains:
            return f"libvirt on {move.source}: {source.of(move.guest)}"
        return ""


def _is_in_doubt(guest: Guest, move: Move | None, seen: Seen) -> bool:
    """Whether GUEST may run on the target of MOVE while Nova has both in error."""
    if guest.state != ERROR or guest.task or move is None or move.target is None:
        return False
    failed = move.kind == LIVE and move.status == ERROR and move.source in seen.hosts
    return failed and (move.twice or guest.host == move.source)


def in_doubt(seen: Seen, known: Collection[str]) -> frozenset[str]:
    """The hosts whose libvirt is to be asked about guests, but for those that are KNOWN."""
    hosts: set[str] = set()
    for guest in seen.state.guests:
        move = seen.moves.get(guest.uuid)
        if guest.uuid not in known and move and _is_in_doubt(guest, move, seen):
            hosts |= {str(move.source), str(move.target)}
    return frozenset(hosts)


def places(hosts: Collection[str], *computes: Sequence[Drained]) -> list[Drained]:
    """Of COMPUTES those on HOSTS, each once, as the first says that knows its libvirt."""
    found: dict[str, Drained] = {}
    for compute in (each for several in computes for each in several):
        if compute.host in hosts and compute.libvirt:
            found.setdefault(compute.host, compute)
    return list(found.values())


def is_arrived(guest: Guest, move: Move | None, seen: Seen) -> bool:
    """Whether GUEST is in ERROR on the target of MOVE as Neutron was told of it twice at once."""
    if move is None or not move.twice or guest.host != move.target:
        return False
    return _is_in_doubt(guest, move, seen)


def is_held(guest: Guest, move: Move | None, seen: Seen) -> bool:
    """Whether GUEST is well on the target of MOVE, which has not given back what it had."""
    if move is None or not move.holds or guest.task or guest.state == ERROR:
        return False
    return guest.host == move.target and move.source in seen.hosts


def is_elsewhere(guest: Guest, move: Move | None, seen: Seen, sides: Sides) -> bool:
    """Whether GUEST runs on the target of MOVE, while Nova has it on its source."""
    if move is None or guest.host != move.source or not _is_in_doubt(guest, move, seen):
        return False
    return sides.has(move.target, guest.uuid)


def setting(guest: Guest, move: Move) -> str:
    """What is said of it before GUEST is set active."""
    return (
        f"{guest.called} is in ERROR, though it runs on {move.target}: set it active (Neutron was "
        f"told twice at once that it had arrived); `./run audit` says whether {move.source} keeps "
        "a folder of it"
    )


def freeing(guest: Guest, move: Move) -> str:
    """What is said of it before what MOVE has is given back."""
    return (
        f"give back what the {move.called} of {guest.called} still holds in Placement on "
        f"{move.source}"
    )


def unproven(guest: Guest, why: str) -> str:
    """Why GUEST stays in ERROR, and what mends that."""
    return f"{arrived_by_hand(guest)}; it is not done here, because {why}"


def misplaced(guest: Guest, move: Move) -> str:
    """What is said of one that Nova has on its source: nothing of Nova's own changes that."""
    return (
        f"is in ERROR ({guest.fault or 'no reason given'}), and Nova has it there, but by libvirt "
        f"it runs on {move.target}: do not start, rebuild or evacuate it, or it runs twice. Have "
        f"host and node of its row in the cell's table instances be those of {move.target}, then "
        f"`openstack server set --state active {guest.uuid}`{AGAIN}"
    )
