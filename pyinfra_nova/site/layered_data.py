"""Nested settings from several files, laid over one another without forgetting who said what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Data = Mapping[str, Any]


@dataclass
class Layers:
    """Nested dictionaries laid over one another, and which file each value came from."""

    merged: dict[str, Any] = field(default_factory=dict)
    origins: dict[tuple[str, ...], str] = field(default_factory=dict)

    def add(self, file: str, data: Data) -> None:
        """Lay DATA over what is there, dictionaries key by key."""
        self._add(self.merged, file, data, ())

    def _add(self, target: dict[str, Any], file: str, data: Data, path: tuple[str, ...]) -> None:
        for key, value in data.items():
            here = (*path, str(key))
            self.origins[here] = file
            below = target.get(key)
            if isinstance(value, Mapping) and isinstance(below, dict):
                self._add(below, file, value, here)
            elif isinstance(value, Mapping):
                target[key] = {}
                self._add(target[key], file, value, here)
            else:
                target[key] = value

    def origin(self, path: Sequence[str], otherwise: str) -> str:
        """The file that set the value at PATH, or the nearest one around it."""
        for length in range(len(path), 0, -1):
            if (file := self.origins.get(tuple(path[:length]))) is not None:
                return file
        return otherwise
