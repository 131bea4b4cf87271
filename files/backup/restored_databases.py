"""Look at the databases that a restore replaces, put a loaded backup in their place, or clear up.

Request: {"verb", "databases": [names]} with
    look    changes nothing
    swap    {"sha256"}: what is loaded takes the place of what is there, which is kept beside
    finish  {"sha256"}: drop what was replaced, and the record
    abandon drop what was loaded, and the record, where nothing was replaced yet
    replaced {"cell", "uuids"}: what was replaced says of guests; changes nothing
Answer:  {"databases": {name: {table: rows|null}}, "progress": {...}|null,
          "others": [who is connected to them, in words], "kept": [names of what was replaced],
          "guests": {uuid: "here"|"deleted"}|null where there is nothing to be asked, of `replaced`}
As root over the local socket. The record is a table of this project's own: {"sha256", "names",
"loaded": "yes"|absent, "tables": {name: {table: rows}}, "old": {name: [tables]}|absent,
"swapped": "yes"|absent}. RENAME TABLE moves all tables in one statement. Where a server dies in
the midst of it, the record tells whose a table is: one that was there before is the old one until
it is found beside.
"""

import json
import re
import shutil
import time

import sql

RECORD = "pyinfra_nova_restore"
OLD = "_before_restore"
PATIENCE = 20
"""Seconds that a table may be held by somebody; MariaDB's own lock_wait_timeout is a day."""
ALLOWED = ("event_scheduler", "system user")


def client():
    for name in ("mariadb", "mysql"):
        if shutil.which(name):
            return name
    raise SystemExit("neither mariadb nor mysql is installed here: mariadb-client has it")


def text(value):
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def run(subject, *statements):
    return sql.client_rows(subject, ";\n".join(statements))


def names_there():
    return {name for (name,) in run("the databases", "SHOW DATABASES")}


def tables(name):
    """The tables of a database that is there."""
    found = run(name, f"SHOW FULL TABLES FROM {sql.quoted(name)} WHERE Table_type = 'BASE TABLE'")
    return sorted(row[0] for row in found)


def counted(name):
    """How many rows each table has; None for one that cannot be read."""
    found = {}
    for table in tables(name):
        place = f"{sql.quoted(name)}.{sql.quoted(table)}"
        try:
            found[table] = int(run(place, f"SELECT COUNT(*) FROM {place}")[0][0])
        except sql.NotThereError:
            found[table] = None
        except sql.NoAnswerError as error:
            if error.number is None or error.no_server:
                raise
            found[table] = None
    return found


# --- the record -----------------------------------------------------------------------------------


def record():
    """What an earlier call has left; None where there is nothing."""
    if RECORD not in names_there():
        return None
    try:
        rows = run("the record", f"SELECT k, v FROM {RECORD}.record")
    except sql.NotThereError:
        return {}
    return {key: json.loads(value) for key, value in rows}


def note(**values):
    pairs = ", ".join(f"({text(key)}, {text(json.dumps(v))})" for key, v in values.items())
    run("the record", f"REPLACE INTO {RECORD}.record (k, v) VALUES {pairs}")


def begin(sha256, names, suffix):
    """Make the record of a load, and take away what an earlier load has left half done."""
    found = record()
    if found and found.get("old"):
        raise SystemExit("an earlier restore has begun to replace databases: finish it first")
    if found is not None:
        # A load that was cut off may still be at it: its client ends with its last statement.
        alone([name + suffix for name in found.get("names", [])])
        dropped([name + suffix for name in found.get("names", [])])
        run("the record", f"DROP DATABASE {RECORD}")
    taken = [name + s for name in names for s in (suffix, OLD) if name + s in names_there()]
    if taken:
        raise SystemExit(f"there is a database {', '.join(taken)}, which nobody here has made")
    run(
        "the record",
        f"CREATE DATABASE {RECORD} CHARACTER SET utf8mb4",
        f"CREATE TABLE {RECORD}.record (k VARCHAR(64) PRIMARY KEY, v LONGTEXT) ENGINE=InnoDB",
    )
    note(sha256=sha256, names=names, suffix=suffix)


def alone(names):
    """Wait until nobody has one of NAMES open."""
    deadline = time.monotonic() + PATIENCE
    while True:
        others = connected(names) if names else []
        if not others:
            return
        if time.monotonic() > deadline:
            raise SystemExit(f"an earlier load is still at it: {', '.join(others)}")
        time.sleep(1)


def dropped(names):
    for name in sorted(set(names) & names_there()):
        run(name, f"DROP DATABASE {sql.quoted(name)}")


# --- in their place -------------------------------------------------------------------------------


def moves(old, new, now, suffix):
    """Which tables go where, from where they are NOW, in one order that is never in the way.

    Both OLD and NEW name the tables of each database; NOW has those of each database, of what was
    loaded and of what was replaced. Where all is done there are none.
    """
    found = []
    for name in old:
        here, beside, loaded = (set(now.get(name + s, ())) for s in ("", OLD, suffix))
        for table in old[name]:
            if table in here and table not in beside:
                found.append(((name, table), (name + OLD, table)))
        for table in new[name]:
            if table in loaded:
                found.append(((name + suffix, table), (name, table)))
    return found


def tables_now(names, suffix):
    there = names_there()
    every = [name + s for name in names for s in ("", OLD, suffix)]
    return {name: tables(name) for name in every if name in there}


def swap(request):
    found = record() or {}
    if found.get("loaded") != "yes" or found.get("sha256") != request["sha256"]:
        raise SystemExit("that backup is not loaded here")
    if found.get("swapped") == "yes":
        return
    names, suffix, new = found["names"], found["suffix"], found["tables"]
    alone([name + suffix for name in names])
    others = connected(names)
    if others:
        raise SystemExit(
            f"still connected to these databases, so nothing was replaced: {', '.join(others)}"
        )
    there = names_there()
    if not found.get("old"):
        now = {name + suffix: counted(name + suffix) for name in names}
        if any(now[name + suffix] != new[name] for name in names):
            raise SystemExit("what was loaded has changed since; nothing was replaced")
        found["old"] = {name: tables(name) if name in there else [] for name in names}
        note(old=found["old"])
    charset = {name: charset_of(name + suffix) for name in names}
    for name in names:
        for each in (name, name + OLD):
            run(each, f"CREATE DATABASE IF NOT EXISTS {sql.quoted(each)} {charset[name]}")
    steps = moves(found["old"], new, tables_now(names, suffix), suffix)
    if steps:
        pairs = ", ".join(f"{place(source)} TO {place(target)}" for source, target in steps)
        run(
            "the tables",
            f"SET SESSION lock_wait_timeout = {PATIENCE}, foreign_key_checks = 0",
            f"RENAME TABLE {pairs}",
        )
    now = {name: tables(name) for name in names}
    wrong = [name for name in names if now[name] != sorted(new[name])]
    if wrong:
        raise SystemExit(f"{', '.join(wrong)} has other tables than the backup; look at it")
    for name in names:
        run(name, f"ALTER DATABASE {sql.quoted(name)} {charset[name]}")
    note(swapped="yes")
    dropped_empty([name + suffix for name in names])


def charset_of(name):
    found = run(
        name,
        "SELECT default_character_set_name, default_collation_name FROM"
        f" information_schema.schemata WHERE schema_name = {text(name)}",
    )
    return "CHARACTER SET {} COLLATE {}".format(*found[0]) if found else ""


def place(table):
    return f"{sql.quoted(table[0])}.{sql.quoted(table[1])}"


def dropped_empty(names):
    """Drop those of NAMES that are seen to hold nothing."""
    for name in sorted(set(names) & names_there()):
        if not run(name, f"SHOW FULL TABLES FROM {sql.quoted(name)}"):
            run(name, f"DROP DATABASE {sql.quoted(name)}")


def finish(request):
    """Drop what was replaced, while what took its place is seen to be there."""
    found = record()
    if found is None:
        return
    if found.get("sha256") != request["sha256"] or found.get("swapped") != "yes":
        raise SystemExit("that restore has not replaced anything yet; nothing was dropped")
    for name in found["names"]:
        lacking = sorted(set(found["tables"][name]) - set(tables(name)))
        if lacking:
            raise SystemExit(f"{name} lacks {', '.join(lacking)}: nothing was dropped")
    dropped([name + OLD for name in found["names"]])
    dropped_empty([name + found["suffix"] for name in found["names"]])
    run("the record", f"DROP DATABASE {RECORD}")


def abandon():
    found = record()
    if found is None:
        return
    if found.get("old"):
        raise SystemExit("databases are being replaced already: let the restore go on")
    dropped([name + found["suffix"] for name in found.get("names", [])])
    run("the record", f"DROP DATABASE {RECORD}")


def connected(names):
    """Who has one of NAMES open, in words; never what they ask."""
    listed = ", ".join(text(name) for name in names)
    rows = run(
        "the connections",
        "SELECT DISTINCT user, SUBSTRING_INDEX(host, ':', 1), db FROM"
        f" information_schema.processlist WHERE db IN ({listed}) AND id <> CONNECTION_ID()",
    )
    return [f"{user} from {host} ({db})" for user, host, db in rows if user not in ALLOWED]


UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def replaced_guests(request):
    """What the cell's replaced database says of guests, of those that it has or has archived."""
    name, uuids = request["cell"] + OLD, [u for u in request["uuids"] if UUID.fullmatch(u)]
    if name not in names_there():
        return None
    if not uuids:
        return {}
    listed = ", ".join(text(uuid) for uuid in uuids)
    rows = []
    for table in ("shadow_instances", "instances"):
        wanted = f"{place((name, table))} WHERE uuid IN ({listed})"
        try:
            rows += run(name, f"SELECT uuid, deleted FROM {wanted}")
        except sql.NotThereError:
            return None
    return {uuid: "here" if deleted == "0" else "deleted" for uuid, deleted in rows}


def look(request):
    there, names = names_there(), request["databases"]
    found = record()
    every = sorted({*names, *(found or {}).get("names", [])})
    return {
        "databases": {name: counted(name) for name in names if name in there},
        "progress": found,
        "others": connected(every) if every else [],
        "kept": [name + OLD for name in every if name + OLD in there],
    }


def answer(request):
    try:
        if request["verb"] == "swap":
            swap(request)
        elif request["verb"] == "finish":
            finish(request)
        elif request["verb"] == "abandon":
            abandon()
        elif request["verb"] == "replaced":
            return {**look(request), "guests": replaced_guests(request)}
        return look(request)
    except (sql.NoAnswerError, sql.NotInstalledError) as error:
        raise SystemExit(str(error)) from None
