"""Databases, their user and its grants, on a MariaDB server of the host itself.

pyinfra's own ``mysql`` operations neither change an existing user's password nor recognise a grant
on a name with a digit such as ``nova_cell0`` (``MYSQL_GRANT_REGEX``), and put passwords into SQL
unescaped; here only the hash of a password is ever written into a statement.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import SecretStr
from pyinfra import host
from pyinfra.api import StringCommand, operation

from pyinfra_nova.session.host_script import NO_ANSWER, ScriptFact, ask, script_command
from pyinfra_nova.session.steps import Commands, changing, refused, say
from pyinfra_nova.site.names import named
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
    """A user who may log in from any host and do everything in DATABASES.

    Attributes:
        encrypted: whether the server lets the user in over TLS alone. Nova asks for nothing else
            (files/pyinfra_nova_tls.py); others that have its password may.
    """

    name: str
    password: SecretStr
    databases: tuple[str, ...]
    encrypted: bool = False

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
            require = " REQUIRE SSL" if user.encrypted else ""
            made = f"CREATE USER {account} {identified}{require};"
            found.append((f"create database user {user.name}", made))
        elif lack["password_differs"]:
            text = f"change the password of database user {user.name}"
            found.append((text, f"ALTER USER {account} {identified};"))
        # What asks for more than TLS, a certificate say, somebody else has set.
        if lack.get("requires_tls") == "ANY" and not user.encrypted:
            text = f"let database user {user.name} in without TLS"
            found.append((text, f"ALTER USER {account} REQUIRE NONE;"))
        for name in lack["missing_grants"]:
            grant = f"GRANT ALL PRIVILEGES ON {_grant_name(name)}.* TO {account};"
            found.append((f"grant database {name} to {user.name}", grant))
    return found


def _told(statements: Sequence[str]) -> StringCommand:
    """The command that has the server on this host do STATEMENTS."""
    fact, request = DatabaseDifferences, {"statements": list(statements)}
    return script_command(fact.script, "write", request, fact.uses)


@operation()
def present(
    users: Sequence[DatabaseUser],
    left_out: Sequence[HostSettings] = (),
    in_plain_text: set[str] | None = None,
) -> Commands:
    """Have every database of USERS, the users, their passwords and their grants.

    IN_PLAIN_TEXT comes to name those who are to be let in over TLS alone, and are without it as
    well: they may log in so until whoever logs in as them has been restarted, see ``insisted``.
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
    if in_plain_text is not None:
        in_plain_text.clear()
        in_plain_text.update(_in_plain_text(state, users))
    found = statements(state, users)
    for text, _ in found:
        say(text)
    if found:
        yield changing(_told([statement for _, statement in found]))


def _in_plain_text(state: Mapping[str, Any], users: Sequence[DatabaseUser]) -> Iterator[str]:
    encrypted = {user.name for user in users if user.encrypted}
    for found in state["users"]:
        if found["name"] in encrypted and not (found["missing"] or found.get("requires_tls")):
            yield found["name"]


@operation()
def insisted(in_plain_text: Collection[str], left_out: Sequence[HostSettings] = ()) -> Commands:
    """Let those who are IN_PLAIN_TEXT, as ``present`` has found, in over TLS alone from now on.

    Not as long as LEFT_OUT hosts, which this run does not reach, may log in in plain text.
    """
    if in_plain_text and left_out:
        names = named([controller.name for controller in left_out])
        for name in sorted(in_plain_text):
            say(f"database user {name} is let in without TLS until {names} are deployed too")
        return
    for name in sorted(in_plain_text):
        say(f"let database user {name} in over TLS alone")
    if in_plain_text:
        made = [f"ALTER USER {_account(name)} REQUIRE SSL;" for name in sorted(in_plain_text)]
        yield changing(_told(made))
