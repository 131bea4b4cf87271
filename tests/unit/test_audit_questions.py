"""What an audit asks Nova's databases about guests, answered by tables as Nova has them.

SQLite stands in for MariaDB: the statements are plain enough for both.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import evidence
import nova_state
import nova_tables
import pytest
import sql
import strangers

from .audited_guests import WEB, Cloud, allocation, domain, folder, named

NAMES = {"api": "nova_api", "cell0": "nova_cell0", "cell1": "nova"}
CELL = {
    "instances": "uuid, display_name, host, node, vm_state, task_state, power_state, vcpus,"
    " memory_mb, root_gb, ephemeral_gb, launched_at, created_at, updated_at, deleted_at, deleted",
    "instance_extra": "instance_uuid, flavor, deleted",
    "instance_faults": "id, instance_uuid, message, deleted",
    "instance_system_metadata": "id, instance_uuid, key, deleted",
    "block_device_mapping": "instance_uuid, boot_index, destination_type, deleted",
    "migrations": "id, uuid, instance_uuid, source_compute, dest_compute, source_node, dest_node,"
    " migration_type, status, created_at, updated_at, deleted",
}
API = {
    "instance_mappings": "id, instance_uuid, cell_id, queued_for_delete",
    "cell_mappings": "id, uuid",
    "build_requests": "instance_uuid, created_at",
}


class Tables:
    """A connection to three databases in memory, as the audit uses one."""

    def __init__(self) -> None:
        self.lite = sqlite3.connect(":memory:")
        self.asked: list[str] = []
        for name in NAMES.values():
            self.lite.execute(f"ATTACH ':memory:' AS {name}")
            for table, columns in (API if name == "nova_api" else CELL).items():
                self.lite.execute(f"CREATE TABLE {name}.{table} ({columns})")

    def insert(self, table: str, **row: Any) -> None:
        if not table.startswith("nova_api."):
            row.setdefault("deleted", 0)
        marks = ", ".join("?" * len(row))
        words = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})"  # noqa: S608
        self.lite.execute(words, list(row.values()))

    @contextmanager
    def cursor(self) -> Iterator[sqlite3.Cursor]:
        cursor = self.lite.cursor()
        self.lite.set_trace_callback(self.asked.append)
        yield cursor
        self.lite.set_trace_callback(None)

    def close(self) -> None:
        pass

    def answer(self, question: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = sql.rows(self, question, nova_tables.queries(NAMES)[question])
        return found


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> Tables:
    found = Tables()
    monkeypatch.setattr(nova_state, "connect", lambda _: found)
    return found


def flavor(swap: int, specs: dict[str, str]) -> str:
    return json.dumps({"cur": {"nova_object.data": {"swap": swap, "extra_specs": specs}}})


def test_only_migrations_that_say_something_of_today(tables: Tables) -> None:
    rows = [
        (1, WEB, "live-migration", "completed"),
        (2, WEB, "live-migration", "running"),
        (3, WEB, "evacuation", "done"),
        (4, WEB, "resize", "finished"),
        (5, WEB, "resize", "reverted"),
        (6, WEB, "evacuation", "completed"),
        (7, named("db"), "resize", "error"),
    ]
    for number, guest, kind, status in rows:
        more = {"migration_type": kind, "status": status}
        tables.insert("nova.migrations", id=number, instance_uuid=guest, **more)
    tables.insert("nova.migrations", id=8, instance_uuid="x", status="running", deleted=8)
    assert [row["id"] for row in tables.answer("migrations")] == [2, 3, 4, 6, 7]


def test_only_flavors_that_ask_for_more_than_the_columns_of_the_guest(tables: Tables) -> None:
    flavors = {
        "plain": flavor(0, {}),
        "swap": flavor(512, {}),
        "pinned": flavor(0, {"hw:cpu_policy": "dedicated"}),
        "unknown": None,
    }
    for name, text in flavors.items():
        tables.insert("nova.instances", uuid=name, host="compute1")
        tables.insert("nova.instance_extra", instance_uuid=name, flavor=text)
    tables.insert("nova.instances", uuid="without extra", host="compute1")
    tables.insert("nova.instances", uuid="away")
    found = {row["uuid"]: row for row in tables.answer("flavors")}
    assert set(found) == {"swap", "pinned", "unknown", "without extra"}
    assert int(found["swap"]["swap"]) == 512
    assert json.loads(found["pinned"]["extra_specs"]) == {"hw:cpu_policy": "dedicated"}
    assert found["without extra"]["extra_specs"] is None


def test_guests_whose_root_disk_is_a_volume(tables: Tables) -> None:
    rows = [
        ("a", 0, "volume", 0),
        ("b", 1, "volume", 0),
        ("c", 0, "local", 0),
        ("d", 0, "volume", 3),
    ]
    for guest, index, kind, deleted in rows:
        where = {"boot_index": index, "destination_type": kind, "deleted": deleted}
        tables.insert("nova.block_device_mapping", instance_uuid=guest, **where)
    assert tables.answer("volume_roots") == [{"instance_uuid": "a"}]


def test_only_guests_that_have_started_can_lack_a_machine_type(tables: Tables) -> None:
    for name, launched in (("old", "2020-01-01"), ("away", "2020-01-01"), ("new", None)):
        host = None if name == "away" else "compute1"
        tables.insert("nova.instances", uuid=name, host=host, launched_at=launched)
    tables.insert("nova.instances", uuid="right", host="compute1", launched_at="2020-01-01")
    key = {"id": 1, "key": "image_hw_machine_type"}
    tables.insert("nova.instance_system_metadata", instance_uuid="right", **key)
    other = {"id": 2, "key": "image_hw_disk_bus"}
    tables.insert("nova.instance_system_metadata", instance_uuid="old", **other)
    found = tables.answer("machine_types")
    assert [(row["uuid"], row["host"]) for row in found] == [("old", "compute1"), ("away", None)]


def test_guests_without_mapping_are_told_from_those_without_cell(tables: Tables) -> None:
    for number, uuid in ((1, nova_state.CELL0), (2, named("cell1"))):
        tables.insert("nova_api.cell_mappings", id=number, uuid=uuid)
    tables.insert("nova_api.instance_mappings", id=7, instance_uuid="buried", cell_id=1)
    for name in ("unmapped", "no cell", "right", "buried"):
        tables.insert("nova.instances", uuid=name, host="compute1")
    tables.insert("nova_api.instance_mappings", id=5, instance_uuid="no cell")
    tables.insert("nova_api.instance_mappings", id=6, instance_uuid="right", cell_id=2)
    rows = tables.answer("unmapped_instances")
    found = {row["uuid"]: (row["mapping"], row["cell"]) for row in rows}
    assert found == {"unmapped": (None, None), "no cell": (5, None), "buried": (7, 1)}


def test_faults_of_guests_in_error_of_both_cells(tables: Tables) -> None:
    for name, place, state in (("a", "nova", "error"), ("b", "nova", "active")):
        tables.insert(f"{place}.instances", uuid=name, vm_state=state)
        tables.insert(f"{place}.instance_faults", id=1, instance_uuid=name, message=name)
    tables.insert("nova_cell0.instances", uuid="c", vm_state="error")
    tables.insert("nova_cell0.instance_faults", id=1, instance_uuid="c", message="No valid host")
    found = {row["instance_uuid"]: row["message"] for row in tables.answer("faults")}
    assert found == {"a": "a", "c": "No valid host"}


# --- strangers ------------------------------------------------------------------------------------


def test_nobody_is_asked_about_where_there_is_no_stranger(tables: Tables) -> None:
    found = strangers.read({"names": NAMES}, Cloud().evidence())
    assert set(map(tuple, found.values())) == {()}
    assert tables.asked == []


def test_five_questions_about_all_uuids_that_the_others_speak_of(tables: Tables) -> None:
    cloud = Cloud()
    cloud.placement["allocations"] += [allocation(named(n), "compute2") for n in ("gone", "move")]
    cloud.hosts["compute2"]["domains"] = [domain("domain")]
    cloud.hosts["compute2"]["folders"] = [folder(named("folder") + "_resize")]
    cloud.hosts["compute1"]["domains"] = None
    cloud.placement["allocations"].append(allocation("' OR 1 --", "compute2"))
    tables.insert("nova.instances", uuid=named("gone"), deleted=4, deleted_at="2026-01-01")
    tables.insert("nova.instances", uuid=named("nobody asks"), deleted=5)
    tables.insert("nova_cell0.instances", uuid=named("domain"))
    tables.insert("nova.migrations", uuid=named("move"), status="confirmed", deleted=3)
    tables.insert("nova_api.instance_mappings", instance_uuid=named("folder"), queued_for_delete=1)
    tables.insert("nova_api.build_requests", instance_uuid=named("folder"))
    found = strangers.read({"names": NAMES}, cloud.evidence())
    assert [(row["uuid"], row["deleted"]) for row in found["guests"]] == [(named("gone"), 4)]
    assert [row["uuid"] for row in found["cell0_guests"]] == [named("domain")]
    assert [row["status"] for row in found["migrations"]] == ["confirmed"]
    assert [row["queued_for_delete"] for row in found["mappings"]] == [1]
    assert [row["instance_uuid"] for row in found["build_requests"]] == [named("folder")]
    assert len(tables.asked) == 5
    assert not any("OR 1" in statement for statement in tables.asked)


def test_without_the_databases_nobody_knows_who_is_strange(tables: Tables) -> None:
    seen = evidence.Evidence({}, 0.0)
    evidence.asked_about_strangers(seen, {"names": NAMES})
    assert seen.strangers is None
    assert seen.silent["strangers"] == "asked after Nova's databases, which did not answer"


def test_an_answer_makes_an_earlier_silence_good(tables: Tables) -> None:
    seen = Cloud().evidence()
    seen.silent["strangers"] = "2006: gone away"
    evidence.asked_about_strangers(seen, {"names": NAMES})
    assert "strangers" not in seen.silent
