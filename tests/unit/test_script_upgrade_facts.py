"""files/upgrade_facts.py and files/disk_room.py: what hinders an upgrade, told from what does not.

SQLite stands in for MariaDB: the statements are plain enough for both, but for SHOW COLUMNS.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cloud_audit
import disk_room
import nova_state
import pytest
import sql
import upgrade_facts

from .audited_cloud import NOW, Cloud, agent, guest, service

NAMES = {"api": "nova_api", "cell0": "nova_cell0", "cell1": "nova"}
NONE = {"count": 0, "few": []}
SIZED = "CREATE TABLE schema.TABLES (table_schema, data_length, index_length)"


def one(*names: str) -> dict[str, Any]:
    return {"count": len(names), "few": list(names)}


# --- guests ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "state"),
    [
        ({"vm_state": "error"}, "ERROR"),
        ({"task_state": "migrating"}, "MIGRATING"),
        ({"task_state": "resize_prep"}, "MIGRATING"),
        ({"task_state": "resize_migrated"}, "MIGRATING"),
        ({"vm_state": "resized"}, "VERIFY_RESIZE"),
        ({"vm_state": "error", "task_state": "migrating"}, "MIGRATING"),
    ],
)
def test_a_guest_between_two_states_is_in_the_way(row: dict[str, Any], state: str) -> None:
    found = upgrade_facts.in_the_way([guest("compute1", **row), guest("compute2")])
    assert found.pop(state) == one("web (g-compute1)")
    assert set(map(str, found.values())) == {str(NONE)}


@pytest.mark.parametrize(
    "row",
    [
        {"vm_state": "stopped"},
        {"task_state": "powering-off"},
        {"vm_state": "shelved_offloaded", "host": None},
        {"vm_state": "error", "host": None},
    ],
    ids=["stopped", "busy for a moment", "shelved", "in error and on no host"],
)
def test_a_guest_that_no_upgrade_hurts_is_not(row: dict[str, Any]) -> None:
    found = upgrade_facts.in_the_way([{**guest("compute1"), **row}])
    assert list(found.values()) == [NONE, NONE, NONE]


def test_of_many_guests_a_few_are_named() -> None:
    rows = [{**guest("compute1", vm_state="error"), "uuid": f"{n:02}"} for n in range(12)]
    found = upgrade_facts.in_the_way(rows)["ERROR"]
    assert found["count"] == 12
    assert found["few"] == [f"web ({n:02})" for n in range(5)]


# --- services -------------------------------------------------------------------------------------


def test_versions_are_those_of_computes_that_nova_counts() -> None:
    rows = [
        service("nova-conductor", "controller", version=61),
        service("nova-compute", "compute1", version=64),
        service("nova-compute", "compute2", version=61),
        service("nova-compute", "compute2", version=64),
        service("nova-compute", "gone", version=30, forced_down=1),
    ]
    assert upgrade_facts.computes(rows) == {"compute1": 64, "compute2": 61}


def test_linux_bridges_are_known_by_the_agents_program() -> None:
    bridge = {**agent("compute2"), "binary": "neutron-linuxbridge-agent"}
    network = {"agents": [agent("compute1"), bridge]}
    assert upgrade_facts.linux_bridges(network) == ["compute2"]
    assert upgrade_facts.linux_bridges({"agents": []}) == []
    assert upgrade_facts.linux_bridges(None) is None


# --- rows -----------------------------------------------------------------------------------------


class Tables:
    """A connection to a cell's tables; with NUMBERED, of a schema of Nova 28 or later."""

    def __init__(self, *, numbered: bool) -> None:
        self.lite = sqlite3.connect(":memory:")
        self.numbered = numbered
        self.lite.execute("ATTACH ':memory:' AS nova")
        self.lite.execute("ATTACH ':memory:' AS information_schema")
        self.lite.execute(SIZED.replace("schema.", "information_schema.", 1))
        more = ", compute_id" if numbered else ""
        self.lite.execute(f"CREATE TABLE nova.instances (uuid, host, node, deleted{more})")
        self.lite.execute("CREATE TABLE nova.compute_nodes (host, hypervisor_hostname, deleted)")

    @contextmanager
    def cursor(self) -> Iterator[Any]:
        yield self

    def execute(self, statement: str) -> None:
        column = re.fullmatch(r"SHOW COLUMNS FROM (\S+) LIKE '(\w+)'", statement)
        if column:
            described = "SELECT name AS Field FROM nova.pragma_table_info('instances')"
            statement = f"{described} WHERE name = '{column[2]}'"
        self.found = self.lite.execute(statement)
        self.description = self.found.description

    def fetchall(self) -> list[Any]:
        return self.found.fetchall()

    def close(self) -> None:
        pass

    def add(self, table: str, *values: Any) -> None:
        marks = ", ".join("?" * len(values))
        self.lite.execute(f"INSERT INTO {table} VALUES ({marks})", values)  # noqa: S608


def counted(monkeypatch: pytest.MonkeyPatch, tables: Tables) -> Any:
    monkeypatch.setattr(nova_state, "connect", lambda _: tables)
    figures, silent = upgrade_facts.counted({"names": NAMES})
    assert silent == {}
    return figures


def test_before_nova_28_every_row_of_a_guest_is_to_get_a_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tables = Tables(numbered=False)
    tables.add("nova.compute_nodes", "compute1", "compute1", 0)
    tables.add("nova.compute_nodes", "gone", "gone", 7)
    tables.add("nova.compute_nodes", "gone", "gone", 8)
    for uuid, host, deleted in (("a", "compute1", 0), ("b", "compute1", 3), ("c", "gone", 4)):
        tables.add("nova.instances", uuid, host, host, deleted)
    figures = counted(monkeypatch, tables)
    assert figures["rows"] == {"matched": 3, "left": 0, "few": []}


def test_rows_that_never_get_one_are_counted_and_those_of_living_guests_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tables = Tables(numbered=False)
    tables.add("nova.compute_nodes", "compute1", "compute1", 0)
    for row in (
        ("a", "compute1", "compute1", 0),
        ("b", "compute1", "compute1.example", 0),
        ("shelved", None, None, 0),
        ("failed long ago", None, None, 5),
    ):
        tables.add("nova.instances", *row)
    figures = counted(monkeypatch, tables)
    assert figures["rows"] == {"matched": 4, "left": 3, "few": ["b", "shelved"]}


def test_from_nova_28_on_only_rows_without_a_number_count(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = Tables(numbered=True)
    tables.add("nova.compute_nodes", "compute1", "compute1", 0)
    tables.add("nova.instances", "a", "compute1", "compute1", 0, 1)
    tables.add("nova.instances", "b", "compute1", "compute1", 0, None)
    figures = counted(monkeypatch, tables)
    assert figures["rows"] == {"matched": 1, "left": 0, "few": []}


def test_a_cell_without_guests_has_nothing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = Tables(numbered=True)
    assert counted(monkeypatch, tables)["rows"] == {"matched": 0, "left": 0, "few": []}


def test_the_size_is_that_of_novas_own_databases(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = Tables(numbered=True)
    for name, data, index in (("nova", 100, 20), ("nova_api", 10, 2), ("keystone", 9999, 0)):
        tables.add("information_schema.TABLES", name, data, index)
    assert counted(monkeypatch, tables)["bytes"] == 132


def test_tables_that_are_not_there_are_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: object) -> Any:
        raise sql.NoAnswerError("nova", 1045, "Access denied")

    monkeypatch.setattr(nova_state, "connect", refused)
    figures, silent = upgrade_facts.counted({"names": NAMES})
    assert figures == {"rows": None, "bytes": None}
    assert silent == {"databases": "nova: 1045: Access denied"}


# --- room -----------------------------------------------------------------------------------------


def test_room_is_that_of_the_folder_or_of_what_will_hold_it(tmp_path: Path) -> None:
    (found,) = disk_room.answer({"paths": [str(tmp_path / "not" / "there")]})["room"].values()
    assert found["disk"] == tmp_path.stat().st_dev
    assert found["free"] > 0


# --- the answer -----------------------------------------------------------------------------------


def answer(monkeypatch: pytest.MonkeyPatch, cloud: Cloud, care: Path, *kinds: str) -> Any:
    def looked(_: object) -> Any:
        seen = cloud.evidence()
        return seen, *cloud_audit.judged(seen)

    monkeypatch.setattr(cloud_audit, "looked_twice", looked)
    tables = Tables(numbered=True)
    monkeypatch.setattr(nova_state, "connect", lambda _: tables)
    request = {"names": NAMES, "kinds": kinds, "paths": ["/usr"], "care": str(care)}
    return json.loads(json.dumps(upgrade_facts.answer(request)))


def test_only_findings_that_matter_are_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cloud = Cloud()
    cloud.databases["host_mappings"].pop()
    cloud.hosts = None
    found = answer(monkeypatch, cloud, tmp_path, "compute-unmapped")
    (finding,) = found["findings"]
    assert finding["where"] == "compute2"
    assert set(finding) == {"kind", "where", "what", "remedy"}
    assert found["silent"] == {}
    assert found["computes"] == {"compute1": 66, "compute2": 66}
    assert found["at"] == NOW
    assert answer(monkeypatch, cloud, tmp_path, "guest-in-error")["findings"] == []


def test_the_last_backup_is_what_its_job_has_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert answer(monkeypatch, Cloud(), tmp_path)["backup"] is None
    left = {"outcome": "done", "done": NOW}
    (tmp_path / "backup.json").write_text(json.dumps(left))
    assert answer(monkeypatch, Cloud(), tmp_path)["backup"] == left


def test_a_source_that_is_silent_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cloud = Cloud()
    cloud.network = None
    found = answer(monkeypatch, cloud, tmp_path)
    assert found["linux_bridges"] is None
    assert found["silent"] == {"network": "silent"}
