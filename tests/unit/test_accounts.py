"""The statements and commands that make accounts: any name and any password ends up literally."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import broker_users
import pytest
from pydantic import SecretStr

from pyinfra_nova.resources.databases import DatabaseUser, statements
from pyinfra_nova.resources.messaging import BrokerUser, set_user
from tests.unit.rabbitmqctl_stand_in import Rabbitmqctl

NASTY = "p@ss/w%rd:$#\"' \\ end"
USER = DatabaseUser("nova", SecretStr(NASTY), ("nova_api", "nova"))
MISSING = {
    "missing_databases": ["nova", "nova_api"],
    "users": [
        {
            "name": "nova",
            "missing": True,
            "password_differs": False,
            "missing_grants": ["nova_api", "nova"],
        }
    ],
}


def test_only_the_hash_of_a_password_is_in_a_statement() -> None:
    sql = "\n".join(statement for _, statement in statements(MISSING, [USER]))
    stored = hashlib.sha1(hashlib.sha1(NASTY.encode()).digest()).hexdigest().upper()
    assert f"IDENTIFIED BY PASSWORD '*{stored}'" in sql
    assert "w%rd" not in sql


def test_an_underscore_in_a_grant_stands_for_itself() -> None:
    sql = [statement for _, statement in statements(MISSING, [USER])]
    assert "GRANT ALL PRIVILEGES ON `nova\\_api`.* TO 'nova'@'%';" in sql


def test_a_changed_password_changes_the_password_and_nothing_else() -> None:
    state = {
        "missing_databases": [],
        "users": [
            {"name": "nova", "missing": False, "password_differs": True, "missing_grants": []}
        ],
    }
    ((text, statement),) = statements(state, [USER])
    assert text == "change the password of database user nova"
    assert statement.startswith("ALTER USER 'nova'@'%' IDENTIFIED BY PASSWORD '*")


def test_a_name_with_a_quote_stays_a_name() -> None:
    user = DatabaseUser("no'va", SecretStr("x" * 8), ())
    state = {
        "missing_databases": [],
        "users": [
            {"name": "no'va", "missing": True, "password_differs": False, "missing_grants": []}
        ],
    }
    assert any("'no''va'@'%'" in statement for _, statement in statements(state, [user]))


def test_a_password_of_the_broker_goes_over_stdin_alone() -> None:
    command = set_user(BrokerUser("openstack", SecretStr(NASTY)))
    assert "w%rd" not in str(command) and "w%rd" not in repr(command.connector_arguments)
    (text,) = command.connector_arguments["_stdin"]
    assert json.loads(text)["request"]["password"] == NASTY


def test_rabbitmqctl_gets_the_password_on_stdin_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    tool = Rabbitmqctl(tmp_path, users={"openstack": "old"})
    broker_users.set_password("openstack", NASTY)
    assert tool.users == {"openstack": NASTY}
    assert NASTY not in [word for words in tool.asked for word in words]
