"""The extra specs of flavors of all releases, as one table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyinfra_nova.knowledge.releases.generate.table_files import Table

# Standard traits and resource classes come from libraries, hundreds of them with one rule each.
COLLECTED = {
    "traits": ("trait{group}:", {"type": "string", "enum": ["required", "forbidden"]}),
    "resources": ("resources{group}:", {"type": "integer"}),
}


def _collection(name: str, row: Mapping[str, Any]) -> str | None:
    plain = {key: value for key, value in row.items() if key != "parameters"}
    for kind, (prefix, rule) in COLLECTED.items():
        if name.startswith(prefix) and plain == rule and list(row["parameters"]) == ["group"]:
            return kind
    return None


def spec_history(found: Mapping[int, Mapping[str, Table]]) -> Table:
    """The validators of every version in one table.

    Under ``specs`` each name has rows ``{"since", "until", ...}``, the versions that they hold for,
    both included; ``traits`` and ``resources`` have the first version that knows a standard one.
    """
    specs: dict[str, list[Table]] = {}
    collected: dict[str, dict[str, int]] = {kind: {} for kind in COLLECTED}
    for version, rows in sorted(found.items()):
        for name, row in rows.items():
            if kind := _collection(name, row):
                plain = name.removeprefix(COLLECTED[kind][0])
                collected[kind].setdefault(plain, version)
                continue
            held = specs.setdefault(name, [])
            last = held[-1] if held else {}
            same = {k: v for k, v in last.items() if k not in ("since", "until")} == row
            if same and last["until"] == version - 1:
                last["until"] = version
            else:
                held.append({"since": version, "until": version, **row})
    return {"specs": dict(sorted(specs.items())), **collected}
