"""The house: a room of the package imports only from rooms below it, never in a circle.

And no file of it is too long.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
PACKAGE = PROJECT / "pyinfra_nova"
PYTHON = ("pyinfra_nova", "tasks", "files", "lab", "tests", "bench", "group_data", "inventories")
"""The folders that hold what is written by hand in Python."""
LONGEST = 400
# From the bottom to the top.
ROOMS = (
    "knowledge",
    "site",
    "certificates",
    "nova_conf",
    "session",
    "resources",
    "run",
    "proof",
    "audit",
    "backup",
    "care",
    "upgrade",
    "maintenance",
    "commands",
)


def imports(path: Path) -> Iterator[str]:
    """The modules of this package that a file imports, dotted."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def test_every_room_is_in_the_list() -> None:
    assert {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()} == set(
        ROOMS
    )


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_from_below(room: str) -> None:
    below = ROOMS[: ROOMS.index(room) + 1]
    upwards = [
        f"{path.relative_to(PACKAGE)}: {module}"
        for path in (PACKAGE / room).rglob("*.py")
        for module in imports(path)
        if module.startswith("pyinfra_nova.") and module.split(".")[1] not in below
    ]
    assert upwards == []


@pytest.mark.parametrize("outside", ["tasks", "lab", "bench", "tests"])
def test_nothing_in_the_package_imports_what_is_built_on_it(outside: str) -> None:
    found = [
        f"{path.relative_to(PACKAGE)}: {module}"
        for path in PACKAGE.rglob("*.py")
        for module in imports(path)
        if module.split(".")[0] == outside
    ]
    assert found == []


def test_no_file_is_too_long_to_be_read_at_once() -> None:
    files = [path for top in PYTHON for path in (PROJECT / top).rglob("*.py")]
    assert PACKAGE / "check.py" in files
    long = {
        str(path.relative_to(PROJECT)): lines
        for path in [*files, *PROJECT.glob("*.py")]
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) >= LONGEST
    }
    assert long == {}
