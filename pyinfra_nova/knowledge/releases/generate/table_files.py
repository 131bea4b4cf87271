"""What the tables are, and how a file holds one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Table = dict[str, Any]
Names = dict[str, dict[str, list[str]]]
"""By section, every option and the names under which it is still read."""


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _lines(value: Mapping[str, Any], depth: int) -> str:
    """VALUE as JSON, its innermost things a line each, so that two releases can be compared."""
    if depth == 0:
        return _json(value)
    rows = (
        f"{_json(key)}: {_lines(item, depth - 1) if isinstance(item, dict) else _json(item)}"
        for key, item in value.items()
    )
    return "{\n" + ",\n".join(rows) + "\n}"


def write(file: Path, value: Mapping[str, Any], depth: int) -> None:
    """VALUE into FILE."""
    file.write_text(_lines(value, depth) + "\n", encoding="utf-8")
