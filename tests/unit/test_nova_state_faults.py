"""Whatever a server does instead of answering, nothing is concluded from it.

By files/nova_state.py and files/site_proof.py, that is.
Each error is said, and the connection cut, at each login and statement in turn.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from .mysql_stand_in import Databases, Fault, Server
from .nova_databases import Site, alone, cut_off, deployed, folders, site

__all__ = ["alone", "folders"]
Folders = dict[str, str]

FAULTS = [
    Fault(1020),  # somebody else has changed a row meanwhile
    Fault(1040),  # too many connections
    Fault(1047),  # a node of Galera's that is not ready
    Fault(1053),  # the server shuts down
    Fault(1203),  # the user has too many connections
    Fault(1205),  # a lock was waited for too long
    Fault(1213),  # a deadlock
    Fault(1317),  # the statement was ended by somebody
    Fault(1969),  # it took longer than max_statement_time
    Fault(2006),  # said by a proxy in front of the server
    Fault(2013),
    Fault(2013, "closed"),
    Fault(2013, "half an answer"),
]
DENIED = [Fault(1044), Fault(1045), Fault(1142)]
UNKNOWN = dict.fromkeys(("api", "cell0", "cell1"), "unknown")


def at_each_event(asked: Site, fault: Fault, ask: Callable[[], object]) -> Iterator[int]:
    """Have FAULT at each login and statement that ASK takes, one after the other."""
    server = asked.server
    server.fault = None
    server.events = 0
    ask()
    count, server.fault = server.events, fault
    assert count > 1
    for server.at in range(count):
        server.events = 0
        server.statements.clear()
        yield server.at


def changing(server: Server) -> list[str]:
    harmless = ("SELECT ", "SHOW ", "SET SESSION ", "LOCK TABLES ")
    return [statement for statement in server.statements if not statement.startswith(harmless)]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
@pytest.mark.parametrize("databases", [deployed(), cut_off()], ids=["deployed", "cut off"])
def test_what_could_not_be_read_is_neither_empty_nor_missing(
    folders: Folders, databases: Databases, fault: Fault
) -> None:
    with site(databases, folders) as asked:
        for _ in at_each_event(asked, fault, asked.read):
            answer = asked.read()
            assert answer["schemas"] == UNKNOWN
            assert answer["cells"] is None and answer["cells_changed"] is None
            assert answer["early"] is False
            assert re.match(rf"(127\.0\.0\.1|nova).*: {fault.number}: ", answer["error"])
            assert changing(asked.server) == []


@pytest.mark.parametrize("fault", DENIED, ids=str)
def test_what_was_refused_is_neither_empty_nor_missing(folders: Folders, fault: Fault) -> None:
    with site(cut_off(), folders) as asked:
        for _ in at_each_event(asked, fault, asked.read):
            answer = asked.read()
            assert answer["schemas"] == UNKNOWN and answer["cells"] is None
            assert f": {fault.number}: " in answer["error"] and answer["early"]


@pytest.mark.parametrize("fault", FAULTS + DENIED, ids=str)
def test_nobody_is_said_to_be_missing_strange_or_unmapped(folders: Folders, fault: Fault) -> None:
    with site(deployed(), folders) as asked:
        proven = asked.prove()
        assert (proven["error"], proven["missing"], proven["unmapped"]) == (None, {}, [])
        for _ in at_each_event(asked, fault, asked.prove):
            answer = asked.prove(wait=30)  # which it does not do
            assert f": {fault.number}: " in answer["error"]
            assert answer["missing"] == {} and answer["strangers"] == []
            assert answer["early"] == (fault in DENIED) and answer["api"] is None


@pytest.mark.parametrize("fault", FAULTS + DENIED, ids=str)
def test_nothing_is_dropped_because_something_did_not_answer(
    folders: Folders, fault: Fault
) -> None:
    def clear() -> dict[str, Any]:
        asked.server.databases = cut_off()
        return asked.clear("nova_api")

    with site(cut_off(), folders) as asked:
        for event in at_each_event(asked, fault, clear):
            with pytest.raises(SystemExit, match=rf"^(127\.0\.0\.1|nova_api).*: {fault.number}: "):
                clear()
            sent = changing(asked.server)
            # The drop is the last statement of all; one that fails is followed by none.
            assert sent == [] or (len(sent) == 1 and asked.server.events == event + 1)
            if fault.how == "said" or not sent:
                assert asked.server.databases == cut_off()


# --- clearing -------------------------------------------------------------------------------------


def test_a_first_migration_that_was_cut_off_is_cleared(folders: Folders) -> None:
    with site(cut_off(), folders) as asked:
        assert asked.read()["schemas"]["api"] == "empty"
        asked.server.statements.clear()
        assert asked.clear("nova_api") == {"cleared": ["nova_api"]}
        assert asked.server.databases["nova_api"] == {}
        assert asked.read()["schemas"]["api"] == "missing"
    (dropped,) = asked.server.dropped
    assert dropped.endswith("`nova_api`.`alembic_version`")
    before = asked.server.statements[: asked.server.statements.index(dropped)]
    locked = next(i for i, said in enumerate(before) if said.startswith("LOCK TABLES "))
    # Under the lock, everything that it rests on is read once more, from every table.
    for table in cut_off()["nova_api"]:
        place = f"`nova_api`.`{table}`"
        assert f"{place} WRITE" in before[locked]
        assert any(said.endswith(f" FROM {place} LIMIT 1") for said in before[locked:])
    assert "SELECT * FROM `nova_api`.`alembic_version`" in before[locked:]


def appears(table: str, *rows: dict[str, Any]) -> Callable[[Databases], None]:
    return lambda databases: databases["nova_api"].setdefault(table, []).extend(rows)


def vanishes(table: str) -> Callable[[Databases], None]:
    return lambda databases: databases["nova_api"].__delitem__(table)


@pytest.mark.parametrize("moment", ["SHOW FULL TABLES", "LOCK TABLES"])
@pytest.mark.parametrize(
    "happens",
    [
        appears("flavors", {"id": 1}),
        appears("alembic_version", {"version_num": "8f2f1571d55b"}),
        appears("new_table", {"id": 1}),
        appears("migrate_version"),
        vanishes("alembic_version"),
        lambda databases: databases.__delitem__("nova_api"),
    ],
    ids=["a row", "a version", "a table with a row", "migrate", "no version table", "no database"],
)
def test_what_happens_between_reading_and_clearing_keeps_all_tables(
    folders: Folders, happens: Callable[[Databases], None], moment: str
) -> None:
    with site(cut_off(), folders) as asked:
        assert asked.read()["schemas"]["api"] == "empty"
        asked.server.before[moment] = lambda: happens(asked.server.databases)
        with pytest.raises(SystemExit, match="nova_api"):
            asked.clear("nova_api")
        assert asked.server.before == {} and asked.server.dropped == []


def test_a_table_that_is_made_after_the_list_of_what_is_locked_keeps_all_tables(
    folders: Folders,
) -> None:
    with site(cut_off(), folders) as asked:
        asked.server.before["LOCK TABLES"] = lambda: appears("new_table")(asked.server.databases)
        with pytest.raises(SystemExit, match="no longer"):
            asked.clear("nova_api")
        assert asked.server.dropped == []


@pytest.mark.parametrize(
    ("tables", "why"),
    [
        ({"alembic_version": [{"version_num": "x"}], "services": []}, "no longer"),
        ({"alembic_version": [], "services": [{"host": "a"}]}, "no longer"),
        ({"services": []}, "no longer"),
        ({"alembic_version": []}, "no longer"),
        ({}, "no tables"),
    ],
)
def test_only_what_a_first_migration_left_is_ever_cleared(
    folders: Folders, tables: dict[str, Any], why: str
) -> None:
    with site({"nova_cell0": tables}, folders) as asked:
        with pytest.raises(
            SystemExit, match=f"nothing of database nova_cell0 was dropped: .*{why}"
        ):
            asked.clear("nova_cell0")
        assert asked.server.dropped == []


def test_a_migration_that_is_still_at_it_keeps_all_tables(folders: Folders) -> None:
    session = {"Id": 12, "User": "nova", "Host": "10.0.0.12:4711", "db": "nova_api"}
    with site(cut_off(), folders, sessions=[session]) as asked:
        with pytest.raises(SystemExit) as error:
            asked.clear("nova_api")
        assert str(error.value) == (
            "nothing of database nova_api was dropped: in use by nova from 10.0.0.12:4711, "
            "connection 12"
        )
        assert asked.server.dropped == []


def test_a_cluster_whose_nodes_share_no_locks_is_for_a_person(folders: Folders) -> None:
    with site(cut_off(), folders, cluster="ON") as asked:
        with pytest.raises(SystemExit) as error:
            asked.clear("nova_api")
        assert str(error.value) == (
            "nothing of database nova_api was dropped: its server is one of a Galera cluster, "
            "where no lock holds on all nodes"
        )
        assert asked.server.dropped == []
