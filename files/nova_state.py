"""Read the state of Nova's schemas and cells, or clear half-made schemas.

Request: {"database": {"host", "port", "user", "password"}, "names": {"api", "cell0", "cell1"},
          "migrations": {"api": folder, "main": folder},
          "cells": {"cell0": {"transport_url", "database_connection"}, "cell1": {...}},
          "clear": [databases]|absent}
Answer:  {"schemas": {"api"|"cell0"|"cell1":
                      "current"|"old"|"empty"|"stuck"|"missing"|"unknown"},
          "cells": [{"name", "uuid", "right", "disabled"}]|null, "cells_changed": epoch|null,
          "error": text|null, "early": bool}
nova-manage takes seconds to start; a query takes milliseconds.
A schema is `empty` when Alembic began it, never noted a revision, and none of its tables has a row:
a first migration that was cut off, for MariaDB does not roll tables back. `stuck` is what else no
migration goes on from. Whatever has a revision is `current` or `old`, however empty it is.
`error` says why Nova's own user could not read all of it; then what is not known is `unknown` and
null. `early` is an error that the packages and accounts of the same run take away.
"""

import datetime
import glob
import os
import re
import socket

import sql

CELL0 = "00000000-0000-0000-0000-000000000000"
SCHEMAS = ("api", "cell0", "cell1")
SOCKETS = ("/run/mysqld/mysqld.sock", "/var/lib/mysql/mysql.sock")
"""Debian's and Ubuntu's, EL9's."""
ALEMBIC, BEFORE_ALEMBIC = "alembic_version", "migrate_version"
LOCK_WAIT = 20
"""Seconds; MariaDB's own lock_wait_timeout is a day."""
IN_CLUSTER = "SHOW VARIABLES LIKE 'wsrep_on'"
REVISION = re.compile(r"^(revision|down_revision)\s*(?::[^=]+)?=\s*['\"]?([\w]+)", re.MULTILINE)


class NoHeadError(Exception):
    """The installed package does not say which schema revision is its newest."""

    early = False


class NoPackageError(NoHeadError):
    """Nova's package is not installed."""

    early = True


def head(folder):
    """The newest schema revision that the installed package knows: the one nobody builds on."""
    if not os.path.isdir(folder):
        raise NoPackageError(f"{folder} is not there: Nova is not installed")
    made, built_on = set(), set()
    try:
        for path in glob.glob(folder + "/*.py"):
            with open(path, encoding="utf-8") as stream:
                found = dict(REVISION.findall(stream.read()))
            made.add(found.get("revision"))
            built_on.add(found.get("down_revision"))
    except (OSError, ValueError) as error:
        raise NoHeadError(f"{folder} cannot be read: {error}") from None
    heads = sorted(made - built_on - {None})
    if len(heads) != 1:
        found = ", ".join(heads) or "none"
        raise NoHeadError(f"{folder} should hold one newest schema revision, but holds {found}")
    return heads[0]


def tables(connection, name):
    """The tables of a database, each with its type; none where the database is not there."""
    try:
        found = sql.rows(connection, name, f"SHOW FULL TABLES FROM {sql.quoted(name)}")
    except sql.NotThereError:
        return {}
    return dict(row.values() for row in found)


def read_table(connection, name, table, what, more=""):
    """The rows that `SELECT what FROM name.table more` yields."""
    place = f"{sql.quoted(name)}.{sql.quoted(table)}"
    return sql.rows(connection, f"{name}.{table}", f"SELECT {what} FROM {place}{more}")


def read_if_there(*arguments):
    """The same; none where the table, or its database, is not there."""
    try:
        return read_table(*arguments)
    except sql.NotThereError:
        return []


def schema(connection, name, wanted):
    there = tables(connection, name)
    versions = set()
    if ALEMBIC in there:
        versions = {row["version_num"] for row in read_table(connection, name, ALEMBIC, "*")}
    if not versions and not set(there) - {ALEMBIC}:
        return "missing"
    if wanted is None:
        return "unknown"
    if versions:
        return "current" if versions == {wanted} else "old"
    if BEFORE_ALEMBIC in there:
        return "old"  # nova-manage knows on (nova/db/migration.py)
    return "empty" if is_cut_off(connection, name, there) else "stuck"


def is_cut_off(connection, name, there):
    """Whether Alembic has begun, and nothing was stored in what it made.

    Its own table is the first that it makes, and each migration ends with a row in it
    (alembic/runtime/migration.py). What does not hold that table was made by somebody else.
    """
    if ALEMBIC not in there or set(there.values()) != {"BASE TABLE"}:
        return False
    return not any(read_table(connection, name, table, "1", " LIMIT 1") for table in there)


def clear(connection, name):
    """Drop the tables of a first migration that was cut off.

    Nothing is concluded from what was read before: all of it is read again under a lock that lasts
    until the tables are gone. LOCK TABLES ... WRITE is that lock, because who does not know of it
    has to wait for it too: it begins when every open transaction on these tables has ended, and a
    statement of nova-manage's that waits for it fails as soon as they are gone, with error 1146.
    Nobody would respect a GET_LOCK. It does not keep new tables from being made: a migration that
    is still at it is seen by its connection. One statement drops all: after one that failed MariaDB
    (10.11) lets others write to what is left, so none follows it.
    """
    if any(row["Value"] == "ON" for row in sql.rows(connection, name, IN_CLUSTER)):
        # MariaDB's documentation, "Galera Cluster known limitations": LOCK TABLES, GET_LOCK.
        kept(name, "its server is one of a Galera cluster, where no lock holds on all nodes")
    sql.rows(
        connection,
        name,
        f"SET SESSION lock_wait_timeout = {LOCK_WAIT}, foreign_key_checks = 0",
    )
    there = tables(connection, name)
    # Alembic's own goes last: without it nobody could tell what the others are.
    places = [
        f"{sql.quoted(name)}.{sql.quoted(table)}"
        for table in sorted(there, key=lambda table: (table == ALEMBIC, table))
    ]
    if not places:
        kept(name, "it has no tables")
    sql.rows(connection, name, "LOCK TABLES " + ", ".join(f"{place} WRITE" for place in places))
    found = schema(connection, name, "")
    if found != "empty" or tables(connection, name) != there:
        kept(name, "it is no longer what a first migration leaves that was cut off")
    others = [row for row in sql.rows(connection, name, "SHOW PROCESSLIST") if row["db"] == name]
    if others:
        kept(name, "in use by {User} from {Host}, connection {Id}".format(**others[0]))
    sql.rows(connection, name, "DROP TABLE " + ", ".join(places))


def kept(name, why):
    raise SystemExit(f"nothing of database {name} was dropped: {why}")


def epoch(moment):
    return moment.replace(tzinfo=datetime.timezone.utc).timestamp() if moment else 0.0


def cells(connection, request):
    """Every mapping, whether its URLs are those of the request, and whether it takes no guests."""
    found = read_if_there(connection, request["names"]["api"], "cell_mappings", "*")
    described = []
    for row in found:
        name = "cell0" if row["uuid"] == CELL0 else row["name"]
        wanted = request["cells"].get(name, {})
        right = all(row[key] == value for key, value in wanted.items()) and bool(wanted)
        # cell0 holds no guests, and nova-manage neither disables nor enables it.
        disabled = bool(row.get("disabled")) and row["uuid"] != CELL0
        described.append({"name": name, "uuid": row["uuid"], "right": right, "disabled": disabled})
    times = [epoch(row["updated_at"] or row["created_at"]) for row in found]
    return described, max(times, default=None)


def connect(request):
    """A connection as Nova's own user."""
    server = request["database"]
    login = {key: server[key] for key in ("host", "port", "user", "password")}
    return sql.connect("{host}:{port}".format(**server), **login)


def connect_as_root(request):
    """One as root over the socket, where the server is this host's own."""
    path = next((path for path in SOCKETS if os.path.exists(path)), None)
    if not path or not is_here(request["database"]["host"]):
        return None
    return sql.connect(path, unix_socket=path, user="root")


def is_here(name):
    """Whether a host name means this host: only its own addresses can be bound to."""
    try:
        found = socket.getaddrinfo(name, 0, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return any(can_bind(family, address) for family, *_, address in found)


def can_bind(family, address):
    try:
        with socket.socket(family, socket.SOCK_STREAM) as tried:
            tried.bind(address)
            return True
    except OSError:
        return False


def read(connection, request):
    wanted, problem = {}, None
    for key, folder in request["migrations"].items():
        try:
            wanted[key] = head(folder)
        except NoHeadError as error:
            wanted[key], problem = None, problem or error
    wanted["cell0"] = wanted["cell1"] = wanted["main"]
    described, changed = cells(connection, request)
    return {
        "schemas": {key: schema(connection, request["names"][key], wanted[key]) for key in SCHEMAS},
        "cells": described,
        "cells_changed": changed,
        "headless": problem,
    }


def used(connection, use, *arguments):
    try:
        return use(connection, *arguments)
    finally:
        connection.close()


def look(request, read):
    """What READ finds as Nova's own user, why not all is well with that, and whether it is early.

    Where that user is refused, root of a local server looks in its place: an account that has
    drifted says nothing about what is in the databases, and is put right before them. So what root
    finds comes with the refusal. None is found where nobody could look.
    """
    try:
        return used(connect(request), read, request), None, False
    except sql.NotInstalledError as error:
        return None, error, True
    except sql.NoAnswerError as error:
        if not error.denied:
            return None, error, False
        refusal = error
    try:
        connection = connect_as_root(request)
        return used(connection, read, request) if connection else None, refusal, True
    except sql.NoAnswerError as error:
        return None, refusal if error.denied else error, error.denied


def cleared(request):
    """Clear as Nova's own user; what the server says instead ends the run."""
    try:
        for name in request["clear"]:
            used(connect(request), clear, name)
    except (sql.NoAnswerError, sql.NotInstalledError) as error:
        raise SystemExit(str(error)) from None
    return {"cleared": request["clear"]}


def answer(request):
    if "clear" in request:
        return cleared(request)
    found, error, early = look(request, read)
    if found is None:
        found = {"schemas": dict.fromkeys(SCHEMAS, "unknown"), "cells": None, "cells_changed": None}
        if isinstance(error, sql.NotInstalledError):
            # Nova's packages bring it, so this host is one on which nothing was deployed yet.
            found.update(schemas=dict.fromkeys(SCHEMAS, "missing"), cells=[])
    headless = found.pop("headless", None)
    if headless and not (error and headless.early):
        error, early = headless, headless.early
    return {**found, "error": str(error) if error else None, "early": early}
