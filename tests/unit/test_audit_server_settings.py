"""What the database server was told: found where it says so, and nothing concluded where not."""

from __future__ import annotations

from typing import Any

import nova_tables
import pytest
import sql
from typing_extensions import override

from .audited_cloud import Cloud
from .mysql_stand_in import Server, SqlError, serving

ON = {
    "hostname": "db1",
    "version": "11.8.3-MariaDB",
    "innodb_snapshot_isolation": "ON",
    "transaction_isolation": "REPEATABLE-READ",
}


def cloud_with(**values: str) -> Cloud:
    cloud = Cloud()
    cloud.databases["settings"] = [
        {"Variable_name": name, "Value": value} for name, value in values.items()
    ]
    return cloud


def test_a_server_that_ends_one_of_two_changes_is_named() -> None:
    found = cloud_with(**ON).only("snapshot-isolation")
    assert found["where"] == "db1"
    assert found["what"] == (
        "the database server on db1, version 11.8.3-MariaDB, has innodb_snapshot_isolation = ON"
    )
    assert found["remedy"] == (
        "`innodb_snapshot_isolation = OFF` under [mariadbd] in the configuration of each database "
        "server, and `SET GLOBAL innodb_snapshot_isolation = OFF` on it for connections that begin "
        "after that"
    )
    assert found["repair"] is None


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"hostname": "db1", "version": "10.11.2-MariaDB"},
        {**ON, "innodb_snapshot_isolation": "OFF"},
        {**ON, "transaction_isolation": "READ-COMMITTED"},
        {**ON, "transaction_isolation": "", "tx_isolation": "READ-COMMITTED"},
    ],
    ids=["silent", "older", "off", "no snapshots", "no snapshots, older"],
)
def test_others_are_not(values: dict[str, str]) -> None:
    assert cloud_with(**values).findings() == []


class Told(Server):
    """A server that says ANSWER when it is asked for its variables."""

    answer: Any = ()

    @override
    def rows(self, user: str, statement: str) -> Any:
        assert statement == nova_tables.SETTINGS
        if isinstance(self.answer, SqlError):
            raise self.answer
        return self.answer


def settings_of(answer: Any) -> Any:
    server = Told()
    server.answer = answer
    with serving(server):
        login = {"host": "127.0.0.1", "port": server.port, "user": "nova", "password": "x"}
        connection = sql.connect("db", **login)
        return nova_tables.settings(connection)


def test_a_server_is_asked_for_what_it_knows() -> None:
    row = {"Variable_name": "hostname", "Value": "db1"}
    assert settings_of([row]) == [row]


@pytest.mark.parametrize("number", [1227, 1142, 1064, 1205])
def test_a_refusal_says_nothing(number: int) -> None:
    assert settings_of(SqlError(number, "no")) == []
