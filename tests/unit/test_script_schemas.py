"""lab/files/schemas.py: nothing is brought up because a database did not answer."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import sql

SCRIPT = Path(__file__).resolve().parents[2] / "lab" / "files" / "schemas.py"
SERVICES: list[dict[str, Any]] = [
    {"name": name, "package": name, "commands": [], "environment": {}}
    for name in ("glance", "keystone")
]
NOT_READY = sql.failure("information_schema", 1047, "WSREP has not yet prepared node")
NO_SERVER = sql.failure("information_schema", 2002, "Can't connect to local server (2)")


@pytest.fixture
def schemas(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    specification = importlib.util.spec_from_file_location("schemas", SCRIPT)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    monkeypatch.setattr(module, "versions", lambda names: dict.fromkeys(names, "1"))
    return module


def answers(monkeypatch: pytest.MonkeyPatch, *said: Any) -> list[str]:
    """Have the client say these, one after the other; what it is asked."""
    asked: list[str] = []

    def client_rows(_: str, statement: str) -> Any:
        found = said[min(len(asked), len(said) - 1)]
        asked.append(statement)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(sql, "client_rows", client_rows)
    return asked


def test_what_is_noted_and_there_is_not_stale(
    schemas: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = [["glance", "9"], ["keystone", "9"], [schemas.NOTES, "1"]]
    answers(monkeypatch, tables, [["glance", "1"], ["keystone", "0"]])
    assert schemas.answer({"services": SERVICES, "apply": False}) == {"stale": ["keystone"]}


@pytest.mark.parametrize("error", [NO_SERVER, sql.NotInstalledError("mysql is not installed")])
def test_where_no_server_is_yet_a_plan_has_all(
    schemas: ModuleType, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    answers(monkeypatch, error)
    request = {"services": SERVICES, "apply": False}
    assert schemas.answer(request) == {"stale": ["glance", "keystone"]}
    with pytest.raises(SystemExit, match=str(error).replace("(", ".").replace(")", ".")):
        schemas.answer({**request, "apply": True})


@pytest.mark.parametrize("apply", [False, True])
@pytest.mark.parametrize("number", [0, 1])
def test_a_server_that_gives_no_answer_ends_it(
    schemas: ModuleType, monkeypatch: pytest.MonkeyPatch, number: int, apply: bool
) -> None:
    answers(monkeypatch, *[[[schemas.NOTES, "1"]]] * number, NOT_READY)
    with pytest.raises(SystemExit, match="1047: WSREP has not yet prepared node"):
        schemas.answer({"services": SERVICES, "apply": apply})


def test_what_was_brought_up_is_noted(schemas: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answers(monkeypatch, [])
    schemas.answer({"services": SERVICES, "apply": True})
    assert "REPLACE INTO" in asked[-1] and "('glance', '1'), ('keystone', '1')" in asked[-1]
