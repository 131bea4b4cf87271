"""What keeps a cloud from being upgraded, asked once on its primary controller; nothing is changed.

Request: {**as of cloud_audit.py, "kinds": [kinds of findings that matter],
          "paths": [folders whose room is wanted], "care": folder of what jobs leave}
Answer:  {"findings": [{"kind", "where", "what", "remedy"}], "silent": {source: reason},
          "guests": {"ERROR"|"MIGRATING"|"VERIFY_RESIZE": {"count", "few": [names]}},
          "computes": {host: version of nova-compute's service, of those not forced down},
          "linux_bridges": [hosts]|null, "room": as of disk_room.py, "bytes": of the databases|null,
          "rows": {"matched", "left", "few": [uuids]}|null, "backup": as jobs.py leaves it|null,
          "at": epoch}
`rows` is what `online_data_migrations` has to do from Nova 28 on; see guest_numbers.py.
"""

import contextlib

import cloud_audit
import disk_room
import evidence
import guest_numbers
import guests
import jobs
import nova_state
import sql
from guest_rows import ERROR, called

FEW = 5
LINUX_BRIDGE = "neutron-linuxbridge-agent"
"""The agent's program, by which it registers (neutron/plugins/ml2/drivers/linuxbridge/agent)."""
RESIZED = "resized"
PREPARED = ("resize_prep", *guests.MOVES)


def some(names):
    return {"count": len(names), "few": sorted(names)[:FEW]}


def in_the_way(rows):
    """Guests that are somewhere between two states, by the state that the API shows."""
    found = {"ERROR": [], "MIGRATING": [], "VERIFY_RESIZE": []}
    for row in rows:
        if row["task_state"] in PREPARED:
            found["MIGRATING"].append(called(row))
        elif row["vm_state"] == RESIZED:
            found["VERIFY_RESIZE"].append(called(row))
        # What never got to a host, or has left it, is no compute's any more.
        elif row["vm_state"] == ERROR and row["host"]:
            found["ERROR"].append(called(row))
    return {state: some(names) for state, names in found.items()}


def computes(rows):
    """Nova passes over those that are forced down (service_get_minimum_version)."""
    found = {}
    for row in rows:
        if row["binary"] == "nova-compute" and not row["forced_down"]:
            older = min(row["version"], found.get(row["host"], row["version"]))
            found[row["host"]] = older
    return found


def linux_bridges(network):
    if network is None:
        return None
    hosts = {row["host"] for row in network["agents"] if row["binary"] == LINUX_BRIDGE}
    return sorted(hosts)


def size_of(connection, names):
    statement = (
        "SELECT SUM(data_length + index_length) AS bytes FROM information_schema.TABLES"
        f" WHERE table_schema IN {sql.text_list(names)}"
    )
    (row,) = sql.rows(connection, "the size of the databases", statement)
    return int(row["bytes"] or 0)


def counted(request):
    """Rows and size, and why they are not known."""
    names = request["names"]
    try:
        with contextlib.closing(nova_state.connect(request)) as connection:
            rows = guest_numbers.to_be_given(connection, names["cell1"])
            return {"rows": rows, "bytes": size_of(connection, names.values())}, {}
    except evidence.FAILURES as error:
        return {"rows": None, "bytes": None}, {"databases": evidence.words_of(error)}


def told(finding):
    return {key: finding[key] for key in ("kind", "where", "what", "remedy")}


def answer(request):
    seen, found, _ = cloud_audit.looked_twice(request)
    tables = seen.databases or {"instances": [], "services": []}
    figures, silent = counted(request)
    return {
        "findings": [told(each) for each in found if each["kind"] in request["kinds"]],
        # That the hosts were not asked is no news.
        "silent": {**{k: why for k, why in seen.silent.items() if k != "hosts"}, **silent},
        "guests": in_the_way(tables["instances"]),
        "computes": computes(tables["services"]),
        "linux_bridges": linux_bridges(seen.network),
        "room": disk_room.room(request["paths"]),
        **figures,
        "backup": jobs.left_by(request["care"], "backup"),
        "at": seen.now,
    }
