"""What goes to a host for a script is all that it imports, in an order in which it can be."""

from __future__ import annotations

import ast
import importlib
import json
import pkgutil
from collections.abc import Iterator

import pytest

import lab.operations
import pyinfra_nova
from pyinfra_nova.session.host_script import SCRIPTS, ScriptFact, script_input

for found in pkgutil.walk_packages(pyinfra_nova.__path__, "pyinfra_nova."):
    if found.name.split(".")[1] != "commands":
        importlib.import_module(found.name)

OURS = {path.stem for path in SCRIPTS.rglob("*.py")}


def facts(base: type[ScriptFact] = ScriptFact) -> Iterator[type[ScriptFact]]:
    for fact in base.__subclasses__():
        yield fact
        yield from facts(fact)


def imported(source: str) -> set[str]:
    """What a module cannot be loaded without; what a function imports it may do without."""
    nodes = [node for node in ast.parse(source).body if isinstance(node, ast.Import)]
    return {name.name for node in nodes for name in node.names} & OURS


def test_the_labs_scripts_are_looked_at_too() -> None:
    assert lab.operations.CloudObjects in set(facts())


@pytest.mark.parametrize("fact", list(facts()), ids=lambda fact: fact.__name__)
def test_a_script_has_what_it_imports(fact: type[ScriptFact]) -> None:
    (text,) = script_input(fact.script, {}, fact.uses, fact.folder)
    there: set[str] = set()
    for name, source in json.loads(text)["modules"]:
        assert imported(source) <= there, f"{name} comes too early"
        there.add(name)
