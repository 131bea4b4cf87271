"""Read in cell1 which guests are on the way from one compute to another.

Request: as for nova_state.py
Answer:  {"moves": [{"guest", "kind", "status", "source", "target"}], "error": text|null}
A record that has not ended is not enough: what a compute was at when it died stays so for ever. The
guest has to be at something, too (instances.task_state). While a resize is confirmed it is at
nothing (nova/compute/api.py, confirm_resize): there the record has to be a new one.
"""

import nova_state
from nova_tables import FINISHED

OVER = (*FINISHED, "finished")
"""A resize that is `finished` waits for a person."""
WORDS = ", ".join(f"'{status}'" for status in OVER)
LONGEST = 600
"""Seconds for which a confirmation counts; it takes one call to the source, which removes disks."""
CONFIRMS = (
    f"(status = 'confirming' AND updated_at > UTC_TIMESTAMP() - INTERVAL {LONGEST} SECOND)"
    " AS confirms"
)
MIGRATIONS = f"instance_uuid, migration_type, status, source_compute, dest_compute, {CONFIRMS}"


def under_way(connection, request):
    cell1 = request["names"]["cell1"]
    where = f" WHERE deleted = 0 AND status NOT IN ({WORDS})"
    rows = nova_state.read_if_there(connection, cell1, "migrations", MIGRATIONS, where)
    where = " WHERE deleted = 0 AND (task_state IS NOT NULL OR vm_state = 'resized')"
    found = nova_state.read_if_there(connection, cell1, "instances", "uuid, task_state", where)
    tasks = {row["uuid"]: row["task_state"] for row in found}
    return [
        {
            "guest": row["instance_uuid"],
            "kind": row["migration_type"],
            "status": row["status"],
            "source": row["source_compute"],
            "target": row["dest_compute"],
        }
        for row in rows
        if tasks.get(row["instance_uuid"]) or (row["confirms"] and row["instance_uuid"] in tasks)
    ]


def answer(request):
    found, error, _ = nova_state.look(request, under_way)
    return {"moves": found or [], "error": str(error) if error else None}
