"""Which of several files of one name says a thing: pyinfra lays them over one another."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from pyinfra_nova.site.faults import Fault

FOLDER = "group_data"


def _assigned(tree: ast.Module) -> Iterator[str]:
    for statement in ast.walk(tree):
        if isinstance(statement, ast.Assign):
            yield from (each.id for each in statement.targets if isinstance(each, ast.Name))
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            yield statement.target.id


def _says(path: Path, key: str) -> bool:
    try:
        return key in _assigned(ast.parse(path.read_bytes()))
    except (OSError, SyntaxError, ValueError):
        return False


def located(fault: Fault, inventory_file: str) -> Fault:
    """FAULT with the file that says its key, where that is beside INVENTORY_FILE.

    pyinfra reads ``group_data`` of the folder where it runs, and then that beside the inventory,
    whose values win (pyinfra_cli/inventory.py, make_inventory_from_files).
    """
    name, beside = Path(fault.file), Path(inventory_file).parent / fault.file
    if name.parent != Path(FOLDER) or beside.resolve() == name.resolve():
        return fault
    if not _says(beside, fault.key.partition(".")[0]):
        return fault
    return Fault(str(beside), fault.key, fault.problem, fault.remedy)
