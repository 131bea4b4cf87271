"""What Nova has of its computes: nodes, services, and the guests of some of them.

Request: {"database", "names": as for nova_state.py, "hosts": [hosts whose guests are wanted],
          "there": bool, whether Nova's tables have to be there: before a first deploy none is}
Answer:  {"nodes": [{"uuid", "host", "name": of the hypervisor}],
          "services": {host: version of nova-compute's service},
          "guests": {host: [uuids of those that have been built]},
          "error": text|null, "early": bool} with both as in nova_state.py
One query for each table, whatever the number of computes.
"""

import nova_state
import sql


def read(connection, request):
    cell = request["names"]["cell1"]
    table = nova_state.read_table if request["there"] else nova_state.read_if_there

    def rows(*what):
        return table(connection, cell, *what)

    nodes = rows("compute_nodes", "uuid, host, hypervisor_hostname", " WHERE deleted = 0")
    where = " WHERE deleted = 0 AND `binary` = 'nova-compute'"
    services = rows("services", "host, version", where)
    # What was never launched has no disk that could be missing.
    where = " WHERE deleted = 0 AND launched_at IS NOT NULL"
    where += f" AND host IN {sql.text_list(request['hosts'])}"
    guests = {}
    for row in rows("instances", "uuid, host", where):
        guests.setdefault(row["host"], []).append(row["uuid"])
    return {
        "nodes": [
            {"uuid": row["uuid"], "host": row["host"], "name": row["hypervisor_hostname"]}
            for row in nodes
            if row["host"] and row["hypervisor_hostname"]  # records of 2014 may have neither
        ],
        "services": {row["host"]: row["version"] for row in services},
        "guests": guests,
    }


def answer(request):
    found, error, early = nova_state.look(request, read)
    nothing = {"nodes": [], "services": {}, "guests": {}}
    # What root has read in the place of an account that is still to be made is an answer.
    is_known = found is not None
    return {
        **(found if is_known else nothing),
        "error": None if is_known else str(error),
        "early": early and not is_known,
    }
