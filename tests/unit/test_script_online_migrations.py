"""files/online_migrations.py: as many batches as it takes, and what stays is told.

What stands in for Nova does as its own code does (nova/cmd/manage.py, nova/objects/instance.py): it
takes rows in their order, says how many it matched, and ends with 0 where it could migrate none.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import guest_numbers
import nova_state
import online_migrations
import pytest
import sql

NOVA = """#!{python}
import json, sys
assert sys.argv[1:7] == "-u nova -- nova-manage db online_data_migrations".split(), sys.argv
most = int(sys.argv[8])
path = {path!r}
state = json.load(open(path))
state["calls"].append(most)
total, ran = {{}}, 0
for name, rows in state["rows"].items():
    todo = [n for n, row in enumerate(rows) if row != "done"][: most - ran]
    able = [n for n in todo if rows[n] == "todo"]
    for n in able:
        rows[n] = "done"
    if todo:
        print(f"{{len(todo)}} rows matched query {{name}}, {{len(able)}} migrated")
    total[name] = len(todo), len(able)
    ran += len(able)
    if ran >= most:
        break
json.dump(state, open(path, "w"))
print("+-----------+--------------+-----------+")
print("| Migration | Total Needed | Completed |")
for name, (found, done) in sorted(total.items()):
    print(f"| {{name}} | {{found}} | {{done}} |")
if state["fails"]:
    print(state["fails"])
    sys.exit(2)
sys.exit(1 if ran else 0)
"""
NUMBERS = "populate_instance_compute_id"
Cloud = Callable[..., dict[str, Any]]


@pytest.fixture
def nova(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets the rows of each migration, and returns what becomes of them."""
    import json

    path, program = tmp_path / "state.json", tmp_path / "runuser"
    program.write_text(NOVA.format(python=sys.executable, path=str(path)))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    class Connection:
        def close(self) -> None:
            pass

    def counted(_: object, cell: str) -> dict[str, Any]:
        assert cell == "nova"
        rows = json.loads(path.read_text())["rows"].get(NUMBERS, [])
        strays = [f"guest{n}" for n, row in enumerate(rows) if row == "stray"]
        matched = len([row for row in rows if row != "done"])
        return {"matched": matched, "left": len(strays), "few": strays[:5]}

    monkeypatch.setattr(nova_state, "connect", lambda _: Connection())
    monkeypatch.setattr(guest_numbers, "to_be_given", counted)

    class Nova:
        def has(self, *, fails: str = "", **rows: list[str]) -> None:
            path.write_text(json.dumps({"rows": rows, "calls": [], "fails": fails}))

        @property
        def state(self) -> dict[str, Any]:
            return dict(json.loads(path.read_text()))

        def migrate(self, batch: int = 10) -> dict[str, Any]:
            request = {"names": {"cell1": "nova"}, "batch": batch}
            return dict(online_migrations.answer(request))

    return Nova()


def test_it_goes_on_until_nothing_is_migrated_any_more(nova: Any) -> None:
    nova.has(**{NUMBERS: ["todo"] * 25, "populate_uuids": ["todo"] * 3})
    found = nova.migrate()
    assert found == {"migrated": {NUMBERS: 25, "populate_uuids": 3}, "left": {}, "few": []}
    assert nova.state["calls"] == [10, 10, 10, 10]


def test_a_second_run_has_nothing_to_do(nova: Any) -> None:
    nova.has(**{NUMBERS: ["done"] * 25})
    assert nova.migrate() == {"migrated": {}, "left": {}, "few": []}


def test_guests_without_a_node_stay_and_are_named(nova: Any) -> None:
    nova.has(**{NUMBERS: ["stray", "todo", "stray"]})
    found = nova.migrate()
    assert found == {"migrated": {NUMBERS: 1}, "left": {NUMBERS: 2}, "few": ["guest0", "guest2"]}


def test_however_many_of_those_come_first_the_others_are_migrated(nova: Any) -> None:
    """Asked for ten at a time Nova would match ten that it cannot migrate, and end with 0."""
    nova.has(**{NUMBERS: ["stray"] * 50 + ["todo"] * 5})
    assert nova.migrate()["migrated"] == {NUMBERS: 5}
    assert nova.state["calls"] == [60, 60]


def test_rows_that_stay_without_a_known_reason_end_the_run(nova: Any) -> None:
    nova.has(**{NUMBERS: ["todo"], "populate_uuids": ["bad", "todo"]})
    with pytest.raises(SystemExit, match=r"left: 1 of populate_uuids; see nova-manage\.log"):
        nova.migrate()


def test_a_migration_that_fails_ends_the_run_with_novas_words(nova: Any) -> None:
    nova.has(fails="Some migrations failed unexpectedly. Check log for details.", a=["todo"])
    with pytest.raises(SystemExit, match="ended with 2: Some migrations failed unexpectedly"):
        nova.migrate()


def test_what_prints_no_table_has_migrated_nothing(nova: Any, tmp_path: Path) -> None:
    nova.has()
    (tmp_path / "runuser").write_text("#!/bin/sh\necho 'Traceback: no such module'\n")
    with pytest.raises(SystemExit, match="ended with 0: Traceback: no such module"):
        nova.migrate()


def test_a_database_that_does_not_answer_ends_the_run(
    nova: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: object) -> Any:
        raise sql.NoAnswerError("db:3306", 1045, "Access denied")

    nova.has(a=["todo"])
    monkeypatch.setattr(nova_state, "connect", refused)
    with pytest.raises(SystemExit, match="db:3306: 1045: Access denied"):
        nova.migrate()
    assert nova.state["calls"] == []
