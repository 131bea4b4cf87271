"""Databases, their user and its grants, on a MariaDB or MySQL server of the host itself.

pyinfra's own ``mysql`` operations neither change an existing user's password nor recognise a grant
on a name with a digit such as ``nova_cell0`` (``MYSQL_GRANT_REGEX``), and put passwords into SQL
unescaped; here only the hash of a password is ever written into a statement.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import SecretStr
from pyinfra import host
from pyinfra.api import StringCommand, operation

from pyinfra_nova.redact import SecretInput
from pyinfra_nova.resources.host_script import ScriptFact, ask
from pyinfra_nova.resources.steps import Commands, say


@dataclass(frozen=True)
class DatabaseUser:
    """A user who may log in from any host and do everything in DATABASES."""

    name: str
    password: SecretStr
    databases: tuple[str, ...]

    @property
    def password_hash(self) -> str:
        """The password as ``mysql_native_password`` stores it."""
        once = hashlib.sha1(self.password.get_secret_value().encode()).digest()
        return "*" + hashlib.sha1(once).hexdigest().upper()

    def as_request(self) -> dict[str, object]:
        return {
            "name": self.name,
            "password_hash": self.password_hash,
            "databases": list(self.databases),
        }


class DatabaseDifferences(ScriptFact):
    """The databases, users, passwords and grants that are missing or differ."""

    script = "databases"


def _name(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _account(name: str) -> str:
    return "'" + name.replace("\\", "\\\\").replace("'", "''") + "'@'%'"


def _grant_name(name: str) -> str:
    # In a grant an underscore stands for any character unless it is escaped.
    return _name(name.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%"))


@operation()
def present(users: Sequence[DatabaseUser]) -> Commands:
    """Have every database of USERS, the users, their passwords and their grants."""
    databases = sorted({name for user in users for name in user.databases})
    state = ask(
        host,
        DatabaseDifferences,
        {"databases": databases, "users": [user.as_request() for user in users]},
    )
    statements = [
        f"CREATE DATABASE IF NOT EXISTS {_name(name)} CHARACTER SET utf8mb3;"
        for name in state.get("missing_databases", databases)
    ]
    by_name = {user.name: user for user in users}
    said = [f"create database {name}" for name in state.get("missing_databases", [])]
    for found in state.get("users", []):
        user = by_name[found["name"]]
        account, identified = _account(user.name), f"IDENTIFIED BY PASSWORD '{user.password_hash}'"
        if found["missing"]:
            statements.append(f"CREATE USER {account} {identified};")
            said.append(f"create user {user.name}")
        elif found["password_differs"]:
            statements.append(f"ALTER USER {account} {identified};")
            said.append(f"change the password of user {user.name}")
        for name in found["missing_grants"]:
            statements.append(f"GRANT ALL PRIVILEGES ON {_grant_name(name)}.* TO {account};")
            said.append(f"grant {name} to {user.name}")
    for line in said:
        say(line)
    if statements:
        yield StringCommand("mysql", _stdin=SecretInput("\n".join(statements) + "\n"))
