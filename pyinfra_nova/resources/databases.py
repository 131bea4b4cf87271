"""Databases, their user and its grants, on a MariaDB server of the host itself.

pyinfra's own ``mysql`` operations neither change an existing user's password nor recognise a grant
on a name with a digit such as ``nova_cell0`` (``MYSQL_GRANT_REGEX``), and put passwords into SQL
unescaped; here only the hash of a password is ever written into a statement.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr
from pyinfra import host
from pyinfra.api import StringCommand, operation

from pyinfra_nova.session.host_script import NO_ANSWER, ScriptFact, ask
from pyinfra_nova.session.redaction import SecretInput
from pyinfra_nova.session.steps import Commands, changing, refused, say
from pyinfra_nova.site.run_scope import cut_off
from pyinfra_nova.site.settings import HostSettings, Site


def as_nova(site: Site) -> dict[str, Any]:
    """How Nova's own user of SITE reaches MariaDB."""
    database = site.settings.database
    return {
        "host": database.host,
        "port": database.port,
        "user": database.user,
        "password": site.secrets.database_password.get_secret_value(),
    }


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
    uses = ("trust", "sql")


def _name(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def _account(name: str) -> str:
    return "'" + name.replace("\\", "\\\\").replace("'", "''") + "'@'%'"


def _grant_name(name: str) -> str:
    # In a grant an underscore stands for any character unless it is escaped.
    return _name(name.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%"))


def statements(state: Mapping[str, Any], users: Sequence[DatabaseUser]) -> list[tuple[str, str]]:
    """What is to be done, in words, and the SQL that does it, for what a server lacks."""
    found = [
        (f"create database {name}", f"CREATE DATABASE {_name(name)} CHARACTER SET utf8mb3;")
        for name in state["missing_databases"]
    ]
    by_name = {user.name: user for user in users}
    for lack in state["users"]:
        user = by_name[lack["name"]]
        account, identified = _account(user.name), f"IDENTIFIED BY PASSWORD '{user.password_hash}'"
        if lack["missing"]:
            found.append(
                (f"create database user {user.name}", f"CREATE USER {account} {identified};")
            )
        elif lack["password_differs"]:
            text = f"change the password of database user {user.name}"
            found.append((text, f"ALTER USER {account} {identified};"))
        for name in lack["missing_grants"]:
            grant = f"GRANT ALL PRIVILEGES ON {_grant_name(name)}.* TO {account};"
            found.append((f"grant database {name} to {user.name}", grant))
    return found


@operation()
def present(users: Sequence[DatabaseUser], left_out: Sequence[HostSettings] = ()) -> Commands:
    """Have every database of USERS, the users, their passwords and their grants.

    A password that LEFT_OUT hosts use, which this run does not reach, is not changed.
    What a server did not answer is not taken for missing: the run ends with what it said.
    """
    databases = sorted({name for user in users for name in user.databases})
    request = {"databases": databases, "users": [user.as_request() for user in users]}
    state = ask(host, DatabaseDifferences, request)
    # A plan is also made for a host on which an earlier operation of the run starts the server.
    error = state.get("error", NO_ANSWER)
    if error and (host.state.is_executing or not state.get("early")):
        yield from refused(f"the database server did not answer: {error}")
        return
    if error:
        say(f"no database server is there yet: {error}")
    changed = [user["name"] for user in state["users"] if user["password_differs"]]
    if left_out and changed:
        yield from refused(cut_off(f"the password of database user {changed[0]}", left_out))
        return
    found = statements(state, users)
    for text, _ in found:
        say(text)
    if found:
        sql = "\n".join(statement for _, statement in found)
        yield changing(StringCommand("mysql", _stdin=SecretInput(sql)))
