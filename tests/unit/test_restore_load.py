"""What a restore loads and moves: whole or not at all, and from wherever a server has died."""

from __future__ import annotations

import hashlib
import io
import json
import sqlite3
import subprocess
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import layout
import load
import nova_state
import pytest
import restored_databases as databases
from hypothesis import given, settings
from hypothesis import strategies as st

from pyinfra_nova.backup.seal import BackupError
from pyinfra_nova.commands import restore
from pyinfra_nova.nova_conf.urls import cell_urls

from . import backup_stand_in
from .site_data import secrets, site

# --- one table after the other --------------------------------------------------------------------

Tables = dict[str, list[str]]
NAMES = st.sets(st.sampled_from("abcdef"), max_size=6).map(sorted)
S = "_restoring"


def moved(state: dict[str, set[str]], step: Any) -> None:
    (source, table), (target, name) = step
    assert table in state[source]
    assert name not in state.setdefault(target, set()), "it would be in the way"
    state[source].remove(table)
    state[target].add(name)


def steps(old: Tables, new: Tables, state: Mapping[str, set[str]]) -> list[Any]:
    return list(databases.moves(old, new, {k: sorted(v) for k, v in state.items()}, S))


@given(NAMES, NAMES, st.integers(0, 20))
@settings(max_examples=300, deadline=None)
def test_tables_end_where_they_belong_from_wherever_a_server_has_died(
    before: list[str], after: list[str], died: int
) -> None:
    old, new = {"nova": before}, {"nova": after}
    state = {"nova": set(before), "nova" + S: set(after)}
    for step in steps(old, new, state)[:died]:
        moved(state, step)
    for step in steps(old, new, state):
        moved(state, step)
    assert state["nova"] == set(after)
    assert state.get("nova" + databases.OLD, set()) == set(before)
    assert state["nova" + S] == set()
    assert steps(old, new, state) == []


def test_a_load_that_is_still_at_it_is_waited_for_and_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = [["root from localhost (nova_restoring)"], []]
    monkeypatch.setattr(databases, "connected", lambda _: answers.pop(0))
    databases.alone(["nova_restoring"])
    assert answers == []
    monkeypatch.setattr(databases, "PATIENCE", 0)
    monkeypatch.setattr(databases, "connected", lambda _: ["root from localhost (x)"])
    with pytest.raises(SystemExit, match="an earlier load is still at it: root from localhost"):
        databases.alone(["x"])


# --- evacuations ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "changes"), [("0", 0), ("3", 1)])
def test_no_host_destroys_a_guest_for_an_evacuation_of_the_time_of_the_backup(
    monkeypatch: pytest.MonkeyPatch, count: str, changes: int
) -> None:
    """It may have been moved back since; what is of that time is only called completed."""
    asked: list[str] = []

    def run(subject: str, statement: str) -> list[list[str]]:
        asked.append(statement)
        return [[count]]

    monkeypatch.setattr(databases, "run", run)
    assert load.forget_evacuations("`nova_restoring`") == int(count)
    where = (
        "WHERE deleted = 0 AND migration_type = 'evacuation'"
        " AND status IN ('accepted', 'pre-migrating', 'done')"
    )
    head, table = "SELECT COUNT(*) FROM ", "`nova_restoring`.migrations "
    assert asked[0] == head + table + where
    changed = ["UPDATE " + table + "SET status = 'completed' " + where]
    assert asked[1:] == changed * changes


# --- the cells ------------------------------------------------------------------------------------


def test_nova_reaches_its_cells_as_the_site_says_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """A backup of before there was TLS would have it ask them in plain text again."""
    server = sqlite3.connect(":memory:", isolation_level=None)
    monkeypatch.setattr(databases, "run", lambda _, *said: server.execute(";".join(said)))
    server.execute("ATTACH ':memory:' AS nova_api_restoring")
    server.execute(
        "CREATE TABLE nova_api_restoring.cell_mappings"
        " (uuid TEXT, name TEXT, transport_url TEXT, database_connection TEXT)"
    )
    plain = {name: asdict(urls) for name, urls in cell_urls(site()).items()}
    uuids = {"cell0": nova_state.CELL0, "cell1": "c1", "somebody's": "c2"}
    for name, uuid in uuids.items():
        row = plain.get(name, {"transport_url": "their", "database_connection": "own"})
        server.execute(
            "INSERT INTO nova_api_restoring.cell_mappings VALUES (?, ?, ?, ?)",
            (uuid, None if name == "cell0" else name, *row.values()),
        )
    now = site({"tls": {"mode": "internal"}}, passwords=secrets(tls_secret="t" * 32))
    load.point_cells(
        "`nova_api_restoring`", {name: asdict(urls) for name, urls in cell_urls(now).items()}
    )
    found = server.execute("SELECT uuid, database_connection FROM cell_mappings").fetchall()
    begin = "{scheme}://{username}:{password}@{hostname}:{port}/"
    assert dict(found) == {
        nova_state.CELL0: begin + "nova_cell0?{query}",
        "c1": begin + "nova?{query}",
        "c2": "own",
    }


# --- what is loaded -------------------------------------------------------------------------------


class Taken:
    """In the place of the client of a server."""

    def __init__(self) -> None:
        self.text = b""

    def write(self, data: bytes) -> None:
        self.text += data


def backup() -> bytes:
    out = io.BytesIO()
    sealed, tally = layout.Sealed(out), layout.Tally()
    sealed.write(layout.line(layout.HEAD, {"databases": list(backup_stand_in.CLOUD)}))
    for line in backup_stand_in.dump(backup_stand_in.CLOUD).encode().splitlines(keepends=True):
        tally.see(line)
        sealed.write(line)
    end = {**sealed.seal(), "rows": tally.rows, "revisions": tally.revisions}
    out.write(layout.line(layout.END, end))
    return out.getvalue()


def test_it_goes_beside_what_is_there_and_rows_stay_as_they_are() -> None:
    client = Taken()
    _, end, tally = load.load(io.BytesIO(backup()), S, client)
    assert end["rows"] == tally.rows
    used = [line for line in client.text.splitlines() if line.startswith(b"USE")]
    assert used == [f"USE `{name}{S}`;".encode() for name in backup_stand_in.CLOUD]
    assert b"EXISTS*/ `nova_restoring` " in client.text
    assert b"(1,'USE `mysql`;\\n(2')" in client.text


@pytest.mark.parametrize("part", [0.2, 0.6, 0.99])
def test_half_of_it_is_not_taken(part: float) -> None:
    whole = backup()
    with pytest.raises(SystemExit, match="has not come whole"):
        load.load(io.BytesIO(whole[: int(len(whole) * part)]), S, Taken())


def test_what_was_changed_on_the_way_is_not_taken() -> None:
    with pytest.raises(SystemExit, match="has not come whole"):
        load.load(io.BytesIO(backup().replace(b"(3,NULL)", b"(3,'xx')")), S, Taken())


# --- the file -------------------------------------------------------------------------------------


def sealed_file(folder: Path) -> tuple[Path, Path]:
    key, path = folder / "key", folder / "cloud.age"
    subprocess.run(["age-keygen", "-o", key], check=True, capture_output=True)
    recipient = subprocess.run(
        ["age-keygen", "-y", key], check=True, capture_output=True, text=True
    ).stdout.strip()
    text = backup()
    subprocess.run(["age", "-r", recipient, "-o", path], input=text, check=True)
    return key, path


@pytest.mark.parametrize("part", [0.0, 0.3, 0.9])
def test_half_a_file_is_refused_before_anything(tmp_path: Path, part: float) -> None:
    key, path = sealed_file(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(BackupError, match=f"{path}"):
        restore.read(path, [key])


def test_another_key_opens_nothing(tmp_path: Path) -> None:
    _, path = sealed_file(tmp_path)
    other = tmp_path / "other"
    subprocess.run(["age-keygen", "-o", other], check=True, capture_output=True)
    with pytest.raises(BackupError, match="cannot be decrypted: age: no identity matched"):
        restore.read(path, [other])


def test_a_file_of_something_else_is_named(tmp_path: Path) -> None:
    key, path = sealed_file(tmp_path)
    recipient = subprocess.run(
        ["age-keygen", "-y", key], check=True, capture_output=True, text=True
    ).stdout.strip()
    path.unlink()
    subprocess.run(["age", "-r", recipient, "-o", path], input=b"hello" * 99, check=True)
    with pytest.raises(BackupError, match="this is no backup of pyinfra-nova"):
        restore.read(path, [key])


def test_the_digest_of_a_backup_is_that_of_all_before_its_last_line() -> None:
    text, _, end = backup().rpartition(layout.END)
    assert json.loads(end)["sha256"] == hashlib.sha256(text).hexdigest()
