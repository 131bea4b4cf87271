"""Read Nova's own state from its databases, wait for computes, or clear half-made schemas.

Request: {"database": {"host", "port", "user", "password"}, "names": {"api", "cell0", "cell1"},
          "migrations": {"api": folder, "main": folder},
          "cells": {"cell0": {"transport_url", "database_connection"}, "cell1": {...}},
          "computes": {host: its address}, "service_down_time": seconds,
          "wait": seconds|absent, "clear": [databases]|absent}
Answer:  {"schemas": {"api"|"cell0"|"cell1": "current"|"old"|"empty"|"stuck"|"missing"},
          "cells": [{"name", "uuid", "right", "disabled"}], "cells_changed": epoch|null,
          "computes": {host: {"up", "node", "mapped", "flagged", "address"}}, "error": text|null}
`mapped` is a compute with a row in host_mappings; `flagged` one whose node claims to have it.
nova-manage takes seconds to start; a query takes milliseconds.
A schema is `empty` when it is not current and has tables without a single row: a first migration
that was cut off, for MariaDB does not roll tables back. `stuck`: the same, but with rows in them.
"""

import datetime
import glob
import re
import time

CELL0 = "00000000-0000-0000-0000-000000000000"
SOCKET = "/run/mysqld/mysqld.sock"
DENIED = (1044, 1045, 1142)
"""The server's words for: not this user, not this database, not this table."""
REVISION = re.compile(r"^(revision|down_revision)\s*(?::[^=]+)?=\s*['\"]?([\w]+)", re.MULTILINE)


def head(folder):
    """The newest schema revision that the installed package knows: the one nobody builds on."""
    made, built_on = set(), set()
    for path in glob.glob(folder + "/*.py"):
        with open(path, encoding="utf-8") as stream:
            found = dict(REVISION.findall(stream.read()))
        made.add(found.get("revision"))
        built_on.add(found.get("down_revision"))
    heads = made - built_on - {None}
    return heads.pop() if len(heads) == 1 else None


def rows(connection, statement):
    import pymysql

    try:
        with connection.cursor(pymysql.cursors.DictCursor) as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())
    except pymysql.Error as error:
        if is_denied(error):
            raise
        return []


def tables(connection, name):
    """The tables of a database, but for Alembic's own."""
    found = rows(connection, f"SHOW TABLES FROM `{name}`")
    return sorted({table for row in found for table in row.values()} - {"alembic_version"})


def has_rows(connection, name):
    return any(
        rows(connection, f"SELECT 1 FROM `{name}`.`{table}` LIMIT 1")
        for table in tables(connection, name)
    )


def schema(connection, name, wanted):
    found = rows(connection, f"SELECT version_num FROM `{name}`.alembic_version")
    if found and found[0]["version_num"] == wanted:
        return "current"
    there = tables(connection, name)
    if not there:
        return "missing"
    if not has_rows(connection, name):
        return "empty"
    # Without a version, but under the control of what came before Alembic, nova-manage knows on.
    return "old" if found or "migrate_version" in there else "stuck"


def clear(connection, name):
    """Drop the tables of a database in which not one has a row."""
    if has_rows(connection, name):
        raise SystemExit(f"{name} holds rows now; nothing was dropped")
    rows(connection, "SET FOREIGN_KEY_CHECKS = 0")
    for table in (*tables(connection, name), "alembic_version"):
        rows(connection, f"DROP TABLE IF EXISTS `{name}`.`{table}`")
    rows(connection, "SET FOREIGN_KEY_CHECKS = 1")


def epoch(moment):
    return moment.replace(tzinfo=datetime.timezone.utc).timestamp() if moment else 0.0


def cells(connection, request):
    """Every mapping, whether its URLs are those of the request, and whether it takes no guests."""
    found = rows(connection, "SELECT * FROM `{}`.cell_mappings".format(request["names"]["api"]))
    described = []
    for row in found:
        name = "cell0" if row["uuid"] == CELL0 else row["name"]
        wanted = request["cells"].get(name, {})
        right = all(row[key] == value for key, value in wanted.items()) and bool(wanted)
        # cell0 holds no guests, and nova-manage neither disables nor enables it.
        disabled = bool(row["disabled"]) and row["uuid"] != CELL0
        described.append({"name": name, "uuid": row["uuid"], "right": right, "disabled": disabled})
    times = [epoch(row["updated_at"] or row["created_at"]) for row in found]
    return described, max(times, default=None)


def computes(connection, request):
    """Of each registered nova-compute: is it up, has it a node, is it mapped to a cell."""
    cell, api = request["names"]["cell1"], request["names"]["api"]
    services = rows(
        connection,
        f"SELECT host, last_seen_up, forced_down FROM `{cell}`.services"
        " WHERE `binary` = 'nova-compute' AND deleted = 0",
    )
    nodes = rows(
        connection,
        f"SELECT host, mapped, host_ip FROM `{cell}`.compute_nodes WHERE deleted = 0",
    )
    mapped = {row["host"] for row in rows(connection, f"SELECT host FROM `{api}`.host_mappings")}
    found = {}
    for service in services:
        node = next((n for n in nodes if n["host"] == service["host"]), None)
        age = time.time() - epoch(service["last_seen_up"])
        found[service["host"]] = {
            "up": age < request["service_down_time"] and not service["forced_down"],
            "node": node is not None,
            "mapped": node is not None and service["host"] in mapped,
            "flagged": node is not None and bool(node["mapped"]),
            "address": node["host_ip"] if node else None,
        }
    return found


def logins(request):
    """As Nova's user; then, where that is refused, as root over the socket of a local server.

    An account that has drifted says nothing about the schemas, and is put right before them.
    """
    server = request["database"]
    yield {key: server[key] for key in ("host", "port", "user", "password")}
    yield {"unix_socket": SOCKET, "user": "root"}


def connect(login):
    import pymysql

    return pymysql.connect(connect_timeout=10, autocommit=True, **login)


def is_denied(error):
    return bool(error.args) and error.args[0] in DENIED


def nothing(request, error):
    missing = dict.fromkeys(("api", "cell0", "cell1"), "missing")
    return {
        "schemas": missing,
        "cells": [],
        "cells_changed": None,
        "computes": {},
        "error": str(error),
    }


def read(connection, request):
    folders, names = request["migrations"], request["names"]
    api, main = head(folders["api"]), head(folders["main"])
    described, changed = cells(connection, request)
    return {
        "schemas": {
            "api": schema(connection, names["api"], api),
            "cell0": schema(connection, names["cell0"], main),
            "cell1": schema(connection, names["cell1"], main),
        },
        "cells": described,
        "cells_changed": changed,
        "computes": computes(connection, request),
        "error": None,
    }


def unregistered(found, expected):
    """The expected hosts without a node at their address or not up, each with what is missing."""
    missing = {}
    for host, address in expected.items():
        state = found.get(host)
        if state is None:
            missing[host] = "nova-compute has not registered"
        elif not state["up"]:
            missing[host] = "nova-compute is registered but not up"
        elif not state["node"]:
            missing[host] = "nova-compute is up but has no compute node yet"
        elif state["address"] != address:
            # It is up by its last heartbeat; the node follows after a restart.
            missing[host] = f"its compute node has address {state['address']} instead of {address}"
    return missing


def wait(connection, request):
    deadline = time.monotonic() + request["wait"]
    while True:
        missing = unregistered(computes(connection, request), request["computes"])
        if not missing:
            return {"registered": list(request["computes"])}
        if time.monotonic() > deadline:
            for host, why in sorted(missing.items()):
                print(f"{host}: {why}; look at nova-compute.log there")
            raise SystemExit(1)
        time.sleep(0.5)


def act(connection, request):
    if "wait" in request:
        return wait(connection, request)
    for name in request.get("clear", ()):
        clear(connection, name)
    return read(connection, request)


def answer(request):
    problem = None
    for login in logins(request):
        try:
            connection = connect(login)
        except Exception as error:  # pymysql may not be installed yet: nothing of Nova is here
            problem = problem or error
            if is_denied(error):
                continue
            break
        try:
            return act(connection, request)
        except Exception as error:
            if not is_denied(error):
                raise
            problem = problem or error
        finally:
            connection.close()
    if "wait" in request or "clear" in request:
        raise SystemExit(f"the database does not answer: {problem}")
    return nothing(request, problem)
