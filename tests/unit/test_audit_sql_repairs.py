"""files/audit/sql_repairs.py: a record is changed only while all that it rests on is so.

The rows are in SQLite, which stands in for MariaDB; that locks what the statement reads.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import cloud_audit
import migrations
import nova_state
import pytest
import repairs
import sql
from typing_extensions import override

from .audit_stand_in import Cloud, ago, stand_in_for
from .serving import Json, running

OLD = "2020-01-01 00:00:00"
KEY = "move-unconfirmable/compute1/m{}"


class Connection:
    """To a database in memory, which may fail when it is to be changed."""

    def __init__(self, lite: sqlite3.Connection, fails: Exception | None) -> None:
        self.lite, self.fails = lite, fails

    @contextmanager
    def cursor(self) -> Iterator[sqlite3.Cursor]:
        if self.fails:
            raise self.fails
        yield self.lite.cursor()

    def close(self) -> None:
        pass


class Moved(Cloud):
    """Attributes:
    lite: the tables of the cell.
    first: what happens right before a record is changed; done once.
    fails: what the server says to that instead; said once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lite = sqlite3.connect(":memory:", check_same_thread=False)
        self.lite.row_factory = sqlite3.Row
        self.lite.create_function("UTC_TIMESTAMP", 0, lambda: "2027-01-15 08:00:00")
        self.lite.execute("ATTACH ':memory:' AS nova")
        self.lite.execute(
            "CREATE TABLE nova.instances (uuid, vm_state, task_state, deleted DEFAULT 0)"
        )
        self.lite.execute(
            "CREATE TABLE nova.migrations"
            " (id, instance_uuid, status, updated_at, deleted DEFAULT 0)"
        )
        self.first: Callable[[], object] = lambda: None
        self.fails: Exception | None = None

    def guest(self, number: int, state: str = "active") -> None:
        """A guest with a resize of its number that is finished."""
        self.lite.execute(
            "INSERT INTO nova.instances (uuid, vm_state) VALUES (?, ?)", (f"g{number}", state)
        )
        self.move(number, number)

    def move(self, number: int, of: int) -> None:
        values = (number, f"g{of}", "finished", OLD)
        self.lite.execute("INSERT INTO nova.migrations VALUES (?, ?, ?, ?, 0)", values)

    def connect(self, _: Json) -> Connection:
        self.first()
        self.first = lambda: None
        fails, self.fails = self.fails, None
        return Connection(self.lite, fails)

    @override
    def databases(self, _: Json) -> Json:
        found = super().databases(_)
        place = {"source_compute": "compute1", "dest_compute": "compute2", "written": ago(9000)}
        found["instances"] = [
            {**row, **place, "display_name": row["uuid"], "host": "compute2"}
            for row in self.lite.execute("SELECT * FROM nova.instances WHERE deleted = 0")
        ]
        kind = {"migration_type": "resize"}
        found["migrations"] = [
            {**row, **place, **kind, "uuid": f"m{row['id']}"}
            for row in self.lite.execute("SELECT * FROM nova.migrations WHERE deleted = 0")
        ]
        return found

    def statuses(self) -> list[str]:
        rows = self.lite.execute("SELECT status FROM nova.migrations ORDER BY id")
        return [row["status"] for row in rows]


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Moved]:
    monkeypatch.setattr(cloud_audit, "DETECTORS", (migrations.unconfirmable_moves,))
    with running(Moved()) as cloud:
        stand_in_for(cloud, monkeypatch)
        monkeypatch.setattr(nova_state, "connect", cloud.connect)
        yield cloud


def mend(cloud: Moved, *numbers: int) -> list[tuple[str, str]]:
    request = cloud.request(*(KEY.format(number) for number in numbers))
    request["expected"]["names"] = {}
    return [(each["outcome"], each["said"]) for each in repairs.answer(request)["repairs"]]


def test_a_move_that_nobody_can_confirm_is_ended_as_nova_ends_it(cloud: Moved) -> None:
    cloud.guest(1)
    cloud.guest(2, "stopped")
    cloud.guest(3, "resized")
    assert mend(cloud, 1, 2) == [
        ("mended", "wrote down that migration 1 is in error"),
        ("mended", "wrote down that migration 2 is in error"),
    ]
    assert cloud.statuses() == ["error", "error", "finished"]
    (row,) = cloud.lite.execute("SELECT updated_at FROM nova.migrations WHERE id = 1")
    assert row["updated_at"] == "2027-01-15 08:00:00"


def test_the_older_of_two_is_ended_while_its_guest_waits_for_the_newer(cloud: Moved) -> None:
    cloud.guest(1, "resized")
    cloud.move(2, of=1)
    assert [outcome for outcome, _ in mend(cloud, 1, 2)] == ["mended", "unneeded"]
    assert cloud.statuses() == ["error", "finished"]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE nova.instances SET vm_state = 'resized'",
        "UPDATE nova.instances SET vm_state = 'error'",
        "UPDATE nova.instances SET task_state = 'resize_prep'",
        "UPDATE nova.instances SET deleted = 7",
        "UPDATE nova.migrations SET status = 'confirming'",
        "UPDATE nova.migrations SET deleted = 7",
    ],
)
def test_what_has_changed_since_the_last_look_is_left_alone(cloud: Moved, change: str) -> None:
    cloud.guest(1)
    cloud.first = lambda: cloud.lite.execute(change)
    why = "migration 1 or its guest has just become another one"
    assert mend(cloud, 1) == [("refused", why)]
    assert cloud.statuses() == ["confirming" if "confirming" in change else "finished"]


class SaidError(Exception):
    """As PyMySQL raises what the server says."""


@pytest.mark.parametrize("number", [1020, 1205, 1213])
def test_a_change_that_the_server_takes_back_is_not_done_and_the_others_go_on(
    cloud: Moved, number: int
) -> None:
    cloud.guest(1)
    cloud.guest(2)
    cloud.fails = SaidError(number, "Record has changed")
    (refused, why), done = mend(cloud, 1, 2)
    assert (refused, done[0]) == ("refused", "mended")
    assert why.startswith(f"migration 1: {number}: Record has changed")
    assert cloud.statuses() == ["finished", "error"]


def test_one_that_says_so_by_1020_is_told_that_it_can_be_tried_again() -> None:
    error = sql.failure("nova.instances", 1020, "Record has changed since last read")
    assert error.undone and not error.denied
    assert str(error).endswith(
        ": 1020: Record has changed since last read; try restarting transaction"
    )


@pytest.mark.parametrize("number", [1047, 2006, 2013])
def test_after_no_answer_nothing_more_is_changed(cloud: Moved, number: int) -> None:
    cloud.guest(1)
    cloud.guest(2)
    cloud.fails = SaidError(number, "gone")
    assert [outcome for outcome, _ in mend(cloud, 1, 2)] == ["failed", "untried"]
    assert cloud.statuses() == ["finished", "finished"]


def test_names_that_others_gave_are_quoted(cloud: Moved) -> None:
    cloud.lite.execute("INSERT INTO nova.instances (uuid, vm_state) VALUES (?, 'active')", ("a'b",))
    cloud.lite.execute("INSERT INTO nova.migrations VALUES (4, ?, 'finished', ?, 0)", ("a'b", OLD))
    assert [outcome for outcome, _ in mend(cloud, 4)] == ["mended"]
