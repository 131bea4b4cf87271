"""How far a host's clock is off this machine's, however long it takes to ask."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Offset:
    """Between which seconds a host's clock is ahead of this machine's.

    The host reads its clock after it was asked and before its answer was here. What delays either,
    there, on the way or here among hundreds of others, makes the range wider and moves neither end
    past the truth.
    """

    least: float = -math.inf
    most: float = math.inf

    @classmethod
    def of(cls, asked: float, time: float, answered: float) -> Offset:
        """What follows from the host's TIME, all in seconds since 1970."""
        return cls(time - answered, time - asked)

    def narrowed(self, other: Offset) -> Offset:
        """What both say; the later one alone if a clock was set in between."""
        found = Offset(max(self.least, other.least), min(self.most, other.most))
        return found if found.least <= found.most else other

    @property
    def skew(self) -> float:
        """The least that the clock is off for certain."""
        return min(max(0.0, self.least), self.most)

    def decides(self, tolerance: float) -> bool:
        """Whether it is known if the clock is off by more than TOLERANCE."""
        is_right = -tolerance <= self.least and self.most <= tolerance
        return is_right or abs(self.skew) > tolerance
