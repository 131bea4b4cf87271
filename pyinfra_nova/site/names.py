"""Names of hosts in messages for people."""

from __future__ import annotations

from collections.abc import Sequence

FEW = 5
"""How many names are read rather than counted."""


def counted(number: int) -> str:
    """NUMBER of hosts for a message."""
    return "1 host" if number == 1 else f"{number:,} hosts"


def named(names: Sequence[str], joint: str = ", ") -> str:
    """NAMES for a message: all of a few; of many a few, and how many more there are."""
    more = len(names) - FEW
    return joint.join(names[:FEW]) + (f" and {more:,} more" if more > 0 else "")
