"""files/site_proof.py: the computes that an earlier run was proving with guests of their own."""

from __future__ import annotations

from typing import Any

import pytest
import site_proof
import sql

NAMES = {"api": "nova_api", "cell0": "nova_cell0", "cell1": "nova"}


class Database:
    """Nova's API database: its aggregates, as far as their hosts matter."""

    def __init__(self) -> None:
        self.hosts: dict[int, list[str]] = {7: ["compute2", "compute1"]}
        self.asked: list[str] = []

    def read(self, _: Any, name: str, table: str, what: str, more: str) -> list[dict[str, Any]]:
        self.asked.append(f"{name}.{table} {what}{more}")
        if table == "aggregates":
            return [{"id": number} for number in self.hosts]
        return [{"host": host} for hosts in self.hosts.values() for host in hosts]


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Database:
    found = Database()
    monkeypatch.setattr(site_proof.nova_state, "read_table", found.read)
    return found


def joining(**request: Any) -> list[str]:
    found: list[str] = site_proof.joining(None, {"names": NAMES, **request})
    return found


def test_the_hosts_of_the_one_aggregate_are_told(database: Database) -> None:
    assert joining(joining=True) == ["compute1", "compute2"]
    assert database.asked == [
        "nova_api.aggregates id WHERE name = 'pyinfra-nova-joining'",
        "nova_api.aggregate_hosts host WHERE aggregate_id IN (7)",
    ]


def test_a_cloud_in_which_nothing_was_ever_proven_so_has_none(database: Database) -> None:
    database.hosts.clear()
    assert joining(joining=True) == []
    assert len(database.asked) == 1


def test_a_site_that_does_not_want_it_is_asked_nothing(database: Database) -> None:
    assert joining(joining=False) == joining() == []
    assert database.asked == []


def test_tables_that_are_not_there_yet_hold_none(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(*_: Any) -> None:
        raise sql.NotThereError(1146, True, "Table 'nova_api.aggregates' doesn't exist")

    monkeypatch.setattr(site_proof.nova_state, "read_table", absent)
    assert joining(joining=True) == []
