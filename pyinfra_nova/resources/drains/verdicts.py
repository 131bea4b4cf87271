"""What is decided of a guest: a step that is done, that it is on the way, or why it stays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pyinfra_nova.resources.drains.state import Guest, Move

StepKind = Literal[
    "live", "cold", "confirm", "abort", "force_complete", "set_active", "free", "evacuate", "stop"
]
MENDS = ("set_active", "free")
"""What is done for a guest that has arrived though its move is in error."""


@dataclass(frozen=True)
class Step:
    """One thing to ask of Nova for one guest.

    Attributes:
        source: the compute that the guest is to leave.
        move: the number of the migration that it is about; for a new one, of that before it.
    """

    kind: StepKind
    guest: Guest
    source: str
    text: str
    move: int | None = None

    @property
    def moves(self) -> bool:
        return self.kind in ("live", "cold", "evacuate")


@dataclass(frozen=True)
class Stay:
    """A guest that nothing is done about.

    Attributes:
        why: the reason, with the remedy.
        passing: whether that may be over in a moment.
    """

    guest: Guest
    why: str
    passing: bool = False

    @property
    def text(self) -> str:
        return f"{self.guest.called} on {self.guest.host} {self.why}"


@dataclass(frozen=True)
class Way:
    """A guest that is on the way."""

    guest: Guest
    move: Move

    @property
    def text(self) -> str:
        move, left = self.move, ""
        if move.total and move.remaining is not None:
            left = f", {move.remaining:,} of {move.total:,} MiB to go"
        where = f"{move.source} -> {move.target or '?'}"
        return f"{self.guest.name}: {where}, {move.status}{left}"


Verdict = Step | Stay | Way | None
