"""docs/audit.md: its tables are those of the scripts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import kinds
import repairs

from pyinfra_nova.audit.report import ACTIONS, Repair

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "audit.md").read_text(encoding="utf-8")


def rows(head: str) -> list[list[str]]:
    """The cells of the table whose first line begins with HEAD."""
    _, _, after = TEXT.partition(f"\n| {head} |")
    lines = after.split("\n\n")[0].splitlines()[2:]
    return [line.strip("| ").split(" | ") for line in lines]


def test_every_kind_is_there_with_its_effect() -> None:
    assert {row[0].strip("`"): row[1] for row in rows("kind")} == kinds.EFFECTS


def test_every_kind_has_a_remedy_and_says_whether_it_is_repaired() -> None:
    assert all(len(row) == 4 and row[2] and row[3] for row in rows("kind"))


def test_every_outcome_is_there() -> None:
    outcomes = get_args(Repair.model_fields["outcome"].annotation)
    assert [row[0].strip("`") for row in rows("outcome")] == list(outcomes)
    assert all(f"\n  {outcome} " in (repairs.__doc__ or "") for outcome in outcomes)


def test_every_repair_is_there() -> None:
    assert len(rows("repair")) == len(ACTIONS) == len(repairs.ACTIONS)
    assert list(ACTIONS) == list(repairs.ACTIONS)


def test_every_repair_that_a_finding_asks_for_can_be_done() -> None:
    scripts = (ROOT / "files" / "audit").glob("*.py")
    texts = (path.read_text(encoding="utf-8") for path in scripts)
    asked = {action for text in texts for action in re.findall('"action": "([a-z-]+)"', text)}
    assert asked == set(repairs.ACTIONS)
