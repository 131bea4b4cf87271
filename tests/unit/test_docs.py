"""What the documents point at is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
DOCUMENTS = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]
NAMED = re.compile(
    r"`((?:tests|files|lab|docs|inventories|pyinfra_nova|tasks|templates)/[\w./*-]+)`"
)
TEST = re.compile(r"`(test_\w+\.py)`")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_named_files_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#\s]+)", text)
    assert [link for link in links if not (document.parent / link).exists()] == []
    assert [name for name in NAMED.findall(text) if not list(CHECKOUT.glob(name))] == []
    tests = {path.name for path in (CHECKOUT / "tests").rglob("test_*.py")}
    assert sorted(set(TEST.findall(text)) - tests) == []
