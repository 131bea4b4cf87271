"""Rows of guests that do not name their compute node yet, as Nova from 28 on wants them to.

Nova's own migration (populate_instance_compute_id in nova/objects/instance.py) takes so many of
them at a time, in no order, deleted ones included. Those whose host and node are none, as of
shelved guests, it matches each time anew and gives them none.
"""

import sql

FEW = 5


def to_be_given(connection, cell):
    """How many rows it matches, how many are left by it, and a few of those that live."""
    instances, nodes = (f"{sql.quoted(cell)}.{name}" for name in ("instances", "compute_nodes"))
    there = sql.rows(connection, cell, f"SHOW COLUMNS FROM {instances} LIKE 'compute_id'")
    # Before the schema of 28 no row has one.
    todo = "i.compute_id IS NULL" if there else "1 = 1"
    # Also deleted nodes are found.
    stray = (
        f"NOT EXISTS (SELECT 1 FROM {nodes} n WHERE n.host = i.host"
        " AND n.hypervisor_hostname = i.node)"
    )
    count = f"SELECT COUNT(*) AS matched, SUM({stray}) AS `left` FROM {instances} i WHERE {todo}"
    (counted,) = sql.rows(connection, cell, count)
    names = (
        f"SELECT i.uuid FROM {instances} i WHERE {todo} AND i.deleted = 0 AND {stray}"
        f" ORDER BY i.uuid LIMIT {FEW}"
    )
    few = [row["uuid"] for row in sql.rows(connection, cell, names)] if counted["left"] else []
    return {"matched": int(counted["matched"]), "left": int(counted["left"] or 0), "few": few}
