"""Read in cell1 which guests are on the way from one compute to another.

Request: as for nova_state.py
Answer:  {"moves": [{"guest", "kind", "status", "source", "target"}], "error": text|null}
A record that has not ended is not enough: what a compute was at when it died stays so for ever. The
guest has to be at something, too (instances.task_state).
"""

import nova_state
from nova_tables import FINISHED

OVER = (*FINISHED, "finished")
"""A resize that is `finished` waits for a person."""
WORDS = ", ".join(f"'{status}'" for status in OVER)
MIGRATIONS = "instance_uuid, migration_type, status, source_compute, dest_compute"


def under_way(connection, request):
    cell1 = request["names"]["cell1"]
    where = f" WHERE deleted = 0 AND status NOT IN ({WORDS})"
    rows = nova_state.read_if_there(connection, cell1, "migrations", MIGRATIONS, where)
    where = " WHERE deleted = 0 AND task_state IS NOT NULL"
    busy = nova_state.read_if_there(connection, cell1, "instances", "uuid", where)
    guests = {row["uuid"] for row in busy}
    return [
        {
            "guest": row["instance_uuid"],
            "kind": row["migration_type"],
            "status": row["status"],
            "source": row["source_compute"],
            "target": row["dest_compute"],
        }
        for row in rows
        if row["instance_uuid"] in guests
    ]


def answer(request):
    found, error, _ = nova_state.look(request, under_way)
    return {"moves": found or [], "error": str(error) if error else None}
