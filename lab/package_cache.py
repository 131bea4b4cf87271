"""The packages that hosts have downloaded, kept for the next lab."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from lab import state


def offer_packages(root: Path) -> None:
    """Give a host the packages that earlier runs downloaded, as hard links where that goes.

    Every host has its own archives directory, because apt locks it for as long as it downloads;
    what a host downloads itself is taken over by `collect_packages`.
    """
    target = root / "var/cache/apt/archives"
    target.mkdir(parents=True, exist_ok=True)
    for package in state.ARCHIVES.glob("*.deb"):
        _link_or_copy(package, target / package.name)


def collect_packages(root: Path) -> None:
    """Keep what a host has downloaded for the next lab."""
    for package in (root / "var/cache/apt/archives").glob("*.deb"):
        _link_or_copy(package, state.ARCHIVES / package.name)


def _link_or_copy(source: Path, target: Path) -> None:
    if target.exists():
        return
    try:
        os.link(source, target)
    except OSError:
        beside = target.with_suffix(".new")
        shutil.copyfile(source, beside)
        beside.rename(target)


def cache_size() -> int:
    """Bytes of downloaded packages kept."""
    return sum(path.stat().st_size for path in state.ARCHIVES.glob("*.deb"))
