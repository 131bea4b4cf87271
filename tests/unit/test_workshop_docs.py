"""The exercise by hand: both documents have exactly the commands that `./run workshop` runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lab.workshop.exercise import exercise, tidy

from .small_lab import place

DOCS = Path(__file__).resolve().parents[2] / "docs"
ENGLISH, FRENCH = DOCS / "workshop.md", DOCS / "fr" / "atelier.md"
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def typed(document: Path) -> list[tuple[str, str]]:
    """Where each line of a document is typed, and the line; a continued one is one line."""
    lines: list[tuple[str, str]] = []
    for block in BLOCK.findall(document.read_text(encoding="utf-8")):
        where = "nowhere"
        for line in re.sub(r" \\\n +", " ", block).splitlines():
            if line.startswith("# "):
                where = line.removeprefix("# ")
            else:
                lines.append((where, line))
    return lines


@pytest.mark.parametrize("document", [ENGLISH, FRENCH], ids=lambda path: path.stem)
def test_the_commands_by_hand_are_those_that_are_run(document: Path) -> None:
    here = place()
    commands = [command for step in exercise(here) for command in step.commands]
    assert typed(document) == [(c.where, c.text) for c in (*commands, *tidy(here))]


@pytest.mark.parametrize("document", [ENGLISH, FRENCH], ids=lambda path: path.stem)
def test_a_drifted_line_is_seen(document: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.md"
    copy.write_text(document.read_text(encoding="utf-8").replace("--ram 192", "--ram 256"))
    assert typed(copy) != typed(document)


def test_both_have_the_same_sections() -> None:
    def numbers(document: Path) -> list[str]:
        return re.findall(r"^## (\d+)\.", document.read_text(encoding="utf-8"), re.MULTILINE)

    assert numbers(ENGLISH) == numbers(FRENCH) != []
