"""Read a host's processes and rows; runs on a lab host with its own Python, as files/*.py do.

Request: {"databases": bool, "moving": {table: [columns]}, "left_out": [tables]}
Answer:  name -> what it is now, in a form that can be compared.
What does not answer, or with half of it, ends the script: two footprints without rows would agree.
"""

import json
import subprocess

import sql

UNITS = ("nova-*", "libvirt*", "virt*", "mariadb*", "rabbitmq*", "memcached*", "keystone*")
UNITS += ("glance*", "placement*", "neutron-*", "openvswitch*", "ovs*", "cinder-*", "ceph-*")
SHOWN = "Id,ActiveState,MainPID,ExecMainStartTimestampMonotonic,NRestarts,UnitFileState"
SYSTEM = ("information_schema", "performance_schema", "sys", "mysql")
PATIENCE = 300
"""Seconds for the sums over all tables."""
ACCOUNTS = ("mysql.global_priv", "mysql.db", "mysql.tables_priv")


def out(*command, **arguments):
    return subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, **arguments
    ).stdout


def started(pid):
    """A process: its number, program and start in ticks since the machine's boot."""
    with open(f"/proc/{pid}/stat") as stream:
        number, _, rest = stream.read().partition(" (")
    program, _, fields = rest.rpartition(") ")
    return [int(number), program, int(fields.split()[19])]


def workers(main):
    """The processes that the main one made to do the same; not what it calls and waits for."""
    try:
        mine = started(main)
        with open(f"/proc/{main}/task/{main}/children") as stream:
            children = [started(pid) for pid in stream.read().split()]
    except FileNotFoundError:
        return []
    return [mine, *(child for child in children if child[1] == mine[1])]


def units():
    found = {}
    words = ("show", "--all", "--property=" + SHOWN, *UNITS)
    for text in out("systemctl", *words).strip().split("\n\n"):
        values = dict(line.split("=", 1) for line in text.splitlines())
        if not values or values["Id"].rpartition(".")[2] not in ("service", "socket"):
            continue
        if values["Id"].startswith("nova-care-"):
            continue  # started by the clock; their timers' files are compared
        name = "unit " + values.pop("Id").replace(".service", "")
        found[name] = [*sorted(values.items()), workers(values.get("MainPID", "0"))]
    return found


def columns(moving, left_out):
    """Table -> its columns, without those that move by themselves."""
    found = {}
    wanted = (
        "SELECT CONCAT(table_schema, '.', table_name), column_name FROM information_schema.columns"
        " JOIN information_schema.tables USING (table_schema, table_name)"
        f" WHERE table_type = 'BASE TABLE' AND table_schema NOT IN {SYSTEM}"
        f" OR CONCAT(table_schema, '.', table_name) IN {ACCOUNTS} ORDER BY 1, 2"
    )
    for table, column in sql.client_rows("information_schema", wanted):
        if table not in left_out and column not in moving.get(table, ()):
            found.setdefault(table, []).append(column)
    return found


def rows(moving, left_out):
    """The number of rows of each table, and a sum over their texts."""
    questions = []
    for table, names in columns(moving, left_out).items():
        values = ", ".join(f"IFNULL(HEX({sql.quoted(name)}), '-')" for name in names)
        source = ".".join(sql.quoted(part) for part in table.split(".", 1))
        total = f"COUNT(*), BIT_XOR(CONV(LEFT(MD5(CONCAT_WS(',', {values})), 15), 16, 10))"
        questions.append(f"SELECT '{table}', {total} FROM {source}")
    answers = sql.client_rows("the rows of all tables", ";\n".join(questions))
    if len(answers) != len(questions):
        raise SystemExit(f"{len(questions)} tables were asked for, {len(answers)} have answered")
    return {"rows of " + table: values for table, *values in answers}


def broker():
    """Accounts as they are stored: a password set again, be it the same, is another hash."""
    text = out("rabbitmqctl", "-q", "export_definitions", "-")
    known = json.loads(text[text.index("{") :])
    return {"broker's " + key: known[key] for key in ("users", "permissions", "vhosts")}


def answer(request):
    sql.TIMEOUT = PATIENCE
    found = units()
    if request["databases"]:
        found.update(rows(request["moving"], request["left_out"]))
        found.update(broker())
    return found
