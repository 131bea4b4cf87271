"""files/nova_state.py: what follows from what the databases answer."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import nova_state
import pytest

from .mysql_stand_in import Databases, Server, SqlError, serving
from .nova_databases import (
    API_HEAD,
    CELL0,
    MAIN_HEAD,
    NEW,
    Site,
    alone,
    cut_off,
    deployed,
    folders,
    revision,
    site,
)

__all__ = ["alone", "folders"]
Folders = dict[str, str]
NAMES = {"api": "nova_api", "cell0": "nova_cell0", "cell1": "nova"}
CURRENT = dict.fromkeys(NAMES, "current")
UNKNOWN = dict.fromkeys(NAMES, "unknown")
MISSING = dict.fromkeys(NAMES, "missing")


def read(databases: Databases, folders: Folders, **more: Any) -> dict[str, Any]:
    with site(databases, folders, **more) as asked:
        return asked.read()


# --- the newest revision that the package knows ---------------------------------------------------


def test_the_head_is_the_revision_nobody_builds_on(tmp_path: Path) -> None:
    revision(tmp_path, "8f2f1571d55b", None)
    revision(tmp_path, "16f1fbcab42b", "8f2f1571d55b")
    assert nova_state.head(str(tmp_path)) == "16f1fbcab42b"


def test_no_package_is_told_from_one_that_does_not_say_its_newest_revision(tmp_path: Path) -> None:
    with pytest.raises(nova_state.NoPackageError, match="Nova is not installed"):
        nova_state.head(str(tmp_path / "versions"))
    with pytest.raises(nova_state.NoHeadError, match="holds none"):
        nova_state.head(str(tmp_path))
    revision(tmp_path, "8f2f1571d55b", None)
    revision(tmp_path, "16f1fbcab42b", None)
    with pytest.raises(nova_state.NoHeadError, match="holds 16f1fbcab42b, 8f2f1571d55b"):
        nova_state.head(str(tmp_path))
    (tmp_path / "latin.py").write_bytes(b"# \xfc\n")
    with pytest.raises(nova_state.NoHeadError, match=r"cannot be read: .*utf-8"):
        nova_state.head(str(tmp_path))


def test_the_heads_of_both_folders_are_told_apart(folders: Folders) -> None:
    assert [nova_state.head(folders[name]) for name in ("api", "main")] == [API_HEAD, MAIN_HEAD]


@pytest.mark.parametrize("package", ["absent", "without a revision"])
@pytest.mark.parametrize("databases", [deployed(), cut_off()], ids=["deployed", "cut off"])
def test_without_a_newest_revision_nothing_is_said_to_be_behind_or_cut_off(
    tmp_path: Path, package: str, databases: Databases
) -> None:
    folder = tmp_path / "versions"
    if package != "absent":
        folder.mkdir()
    answer = read(databases, {"api": str(folder), "main": str(folder)})
    assert set(answer["schemas"].values()) <= {"unknown", "missing"}
    assert answer["schemas"]["api"] == "unknown"
    assert str(folder) in answer["error"] and answer["early"] == (package == "absent")


# --- schemas --------------------------------------------------------------------------------------


def test_a_deployed_site_is_current_and_its_cell0_without_rows_is_healthy(folders: Folders) -> None:
    assert read(deployed(), folders) == {
        "schemas": CURRENT,
        "cells": [
            {"name": "cell0", "uuid": nova_state.CELL0, "right": True, "disabled": False},
            {"name": "cell1", "uuid": "c1", "right": True, "disabled": False},
        ],
        "cells_changed": nova_state.epoch(NEW),
        "error": None,
        "early": False,
    }


ROW = [{"id": 1}]
OLD, OLDER = [{"version_num": "8f2f1571d55b"}], [{"version_num": "1"}, {"version_num": "2"}]
HEAD = [{"version_num": MAIN_HEAD}]


@pytest.mark.parametrize(
    ("tables", "state"),
    [
        (None, "missing"),
        ({}, "missing"),
        ({"alembic_version": []}, "missing"),
        ({"alembic_version": HEAD, "instances": []}, "current"),
        ({"alembic_version": HEAD, "instances": ROW}, "current"),
        ({"alembic_version": OLD, "instances": []}, "old"),
        ({"alembic_version": OLD, "instances": ROW}, "old"),
        ({"alembic_version": OLDER, "instances": []}, "old"),
        ({"alembic_version": HEAD + OLD, "instances": []}, "old"),
        ({"alembic_version": [], "instances": [], "services": []}, "empty"),
        ({"alembic_version": [], "instances": [], "services": ROW}, "stuck"),
        ({"instances": [], "services": []}, "stuck"),
        ({"instances": ROW}, "stuck"),
        ({"migrate_version": ROW, "instances": []}, "old"),
        ({"migrate_version": ROW, "instances": ROW}, "old"),
        ({"migrate_version": [], "alembic_version": [], "instances": []}, "old"),
    ],
)
def test_a_schema_is_judged_by_its_version_and_only_without_one_by_its_rows(
    folders: Folders, tables: dict[str, Any] | None, state: str
) -> None:
    databases = deployed()
    del databases["nova_cell0"]
    if tables is not None:
        databases["nova_cell0"] = tables
    assert read(databases, folders)["schemas"] == {**CURRENT, "cell0": state}


def test_nothing_there_is_an_answer(folders: Folders) -> None:
    answer = read({}, folders)
    assert answer["schemas"] == MISSING
    assert (answer["cells"], answer["error"]) == ([], None)


def test_the_client_that_is_not_installed_means_a_host_without_anything_of_nova(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pymysql", None)
    answer = read(deployed(), folders)
    assert answer["schemas"] == MISSING and answer["cells"] == [] and answer["early"]
    assert answer["error"] == "PyMySQL is not installed"


def test_a_server_that_is_not_there_is_said_with_its_address_and_no_schema_is_missing(
    folders: Folders,
) -> None:
    gone = Site(Server(port=1), folders).read()
    assert gone["schemas"] == UNKNOWN and gone["cells"] is None
    assert gone["error"].startswith("127.0.0.1:1: 2003: Can't connect to MySQL server")
    assert gone["early"] is False


# --- cells ----------------------------------------------------------------------------------------

ROWS: dict[str, tuple[dict[str, Any], tuple[str, bool, bool]]] = {
    "as wanted": ({}, ("cell1", True, False)),
    "another database": ({"database_connection": "mysql://old/nova"}, ("cell1", False, False)),
    "another broker": ({"transport_url": "rabbit://old"}, ("cell1", False, False)),
    "disabled": ({"disabled": 1}, ("cell1", True, True)),
    "a cell that is not the site's": ({"name": "cell9"}, ("cell9", False, False)),
    # Nova knows cell0 by its identifier alone, and takes no guests there whatever is noted.
    "cell0 by another name": (
        {"uuid": nova_state.CELL0, "name": None, "disabled": 1, "transport_url": "none:///",
         "database_connection": CELL0},
        ("cell0", True, False),
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", ROWS)
def test_a_mapping_is_right_with_both_urls_and_only_a_cell_of_guests_is_disabled(
    folders: Folders, how: str
) -> None:
    more, told = ROWS[how]
    databases = deployed()
    databases["nova_api"]["cell_mappings"][1].update(more)
    cell = read(databases, folders)["cells"][1]
    assert (cell["name"], cell["right"], cell["disabled"]) == told


def test_a_time_of_novas_is_utc_wherever_the_host_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert nova_state.epoch(NEW) == 1795176000.0
        assert nova_state.epoch(None) == 0.0
    finally:
        monkeypatch.undo()
        time.tzset()


# --- who asks -------------------------------------------------------------------------------------

REFUSAL = SqlError(1045, "Access denied for user 'nova'@'controller'")


def test_an_account_that_is_not_right_yet_leaves_all_unknown(folders: Folders) -> None:
    answer = read(deployed(), folders, refuses={"nova": REFUSAL})
    assert answer["schemas"] == UNKNOWN and answer["cells"] is None
    assert answer["early"] and "1045: Access denied for user 'nova'" in answer["error"]


def test_one_table_that_is_refused_leaves_all_unknown(folders: Folders) -> None:
    answer = read(cut_off(), folders, denies={"nova": {"flavors"}})
    assert answer["schemas"] == UNKNOWN and answer["early"]
    assert answer["error"].startswith("nova_api.flavors: 1142: SELECT command denied")


@pytest.mark.parametrize("how", ["login", "table"])
def test_root_of_the_hosts_own_server_sees_what_nova_may_not(
    folders: Folders, alone: Path, how: str
) -> None:
    local = Server(deployed())
    refused: dict[str, Any] = {"refuses": {"nova": REFUSAL}}
    if how == "table":
        refused = {"denies": {"nova": {"cell_mappings"}}}
    with serving(local, alone):
        answer = read(deployed(), folders, **refused)
    assert local.users == ["root"]
    assert answer["schemas"] == CURRENT and len(answer["cells"]) == 2
    assert answer["early"] and answer["error"]  # while operations run it is refused even so


def test_another_server_of_the_host_is_not_asked_instead(
    folders: Folders, alone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nova_state, "is_here", lambda _: False)
    local = Server({})
    with serving(local, alone):
        answer = read(deployed(), folders, refuses={"nova": REFUSAL})
    assert local.statements == [] and answer["schemas"] == UNKNOWN


@pytest.mark.parametrize(
    ("roots", "said", "early"),
    [
        (SqlError(1698, "Access denied for user 'root'"), "1045: Access denied for user 'nova'", 1),
        (SqlError(1205, "Lock wait timeout"), "1205: Lock wait timeout", 0),
    ],
)
def test_root_that_is_refused_too_leaves_the_first_refusal_and_any_other_error_is_told(
    folders: Folders, alone: Path, roots: SqlError, said: str, early: int
) -> None:
    with serving(Server(deployed(), refuses={"root": roots}), alone):
        answer = read(deployed(), folders, refuses={"nova": REFUSAL})
    assert said in answer.pop("error")
    nothing = {"schemas": UNKNOWN, "cells": None, "cells_changed": None}
    assert answer == {**nothing, "early": bool(early)}


def test_root_is_not_asked_of_a_host_that_is_not_the_sites_server(alone: Path) -> None:
    local = Server({})
    request = {"database": {"host": "192.0.2.1", "port": 3306, "user": "nova", "password": "x"}}
    with serving(local, alone):
        assert nova_state.connect_as_root(request) is None
    assert local.users == []


def test_only_the_hosts_own_addresses_are_here() -> None:
    assert nova_state.is_here("127.0.0.1")
    assert not nova_state.is_here("192.0.2.1")
    assert not nova_state.is_here("no-such-host.invalid")
