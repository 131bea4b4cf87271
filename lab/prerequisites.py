"""What a Nova deployment builds on, put on the hosts by a pyinfra deploy of the lab's own."""

from __future__ import annotations

from pathlib import Path

from lab import state
from lab.settings import LabSettings


def is_recorded() -> bool:
    return state.PREPARED.exists()


def prepare(inventory: Path, settings: LabSettings, *, again: bool) -> None:
    """Run the lab's deploy where the hosts may not be as it leaves them."""
