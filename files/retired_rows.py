"""What Nova's databases have of computes that are to be none any more."""

import nova_state
from nova_tables import FINISHED_SQL
from sql import text_list

KINDS = ("moves", "unconfirmed", "unconfirmable")
"""Of moves that have not ended; as in retirements.py."""


class Rows:
    """What the databases have of HOSTS: one query for each table, whatever their number."""

    def __init__(self, connection, request):
        names = request["names"]
        self.connection, self.cell, self.api = connection, names["cell1"], names["api"]
        self.read = nova_state.read_table if request["there"] else nova_state.read_if_there
        mine = text_list(request["hosts"])
        where = f" WHERE deleted = 0 AND `binary` = 'nova-compute' AND host IN {mine}"
        self.services = self.of(self.cell, "services", "uuid, host", where)
        where = f" WHERE deleted = 0 OR host IN {mine}"
        self.nodes = self.of(
            self.cell, "compute_nodes", "uuid, host, hypervisor_hostname, deleted", where
        )
        where = f" WHERE deleted = 0 AND host IN {mine}"
        self.guests = self.of(self.cell, "instances", "uuid, host", where)
        where = f" WHERE deleted = 0 AND status NOT IN {FINISHED_SQL}"
        where += f" AND (source_compute IN {mine} OR dest_compute IN {mine})"
        what = "uuid, instance_uuid, source_compute, dest_compute, status"
        self.moves = self.of(self.cell, "migrations", what, where)
        where = f" WHERE host IN {mine}"
        self.mappings = self.of(self.api, "host_mappings", "host, cell_id", where)
        cells = self.of(self.api, "cell_mappings", "id, uuid") if self.mappings else []
        self.cells = {row["id"]: row["uuid"] for row in cells}
        # A move of a guest that is gone is over, whatever its record says.
        moved = text_list(sorted({row["instance_uuid"] for row in self.moves}))
        where = f" WHERE deleted = 0 AND uuid IN {moved}"
        what = "uuid, vm_state, task_state"
        found = self.of(self.cell, "instances", what, where) if self.moves else []
        self.moved = {row["uuid"]: row for row in found}
        self.moves = [row for row in self.moves if row["instance_uuid"] in self.moved]

    def of(self, *what):
        return self.read(self.connection, *what)

    def left(self, host):
        # A database may compare names without regard to case; Nova does not.
        services = [row["uuid"] for row in self.services if row["host"] == host]
        mapped = [row["cell_id"] for row in self.mappings if row["host"] == host]
        moves = [row for row in self.moves if host in (row["source_compute"], row["dest_compute"])]
        return {
            "guests": sorted(row["uuid"] for row in self.guests if row["host"] == host),
            **{kind: self.moved_guests(moves, kind) for kind in KINDS},
            "service": next(iter(services), None),
            "nodes": [r["uuid"] for r in self.nodes if r["host"] == host and not r["deleted"]],
            "cell": self.cells.get(mapped[0], "") if mapped else None,
        }

    def moved_guests(self, moves, kind):
        """The guests of those of MOVES that are of KIND."""
        of_kind = (row for row in moves if self.kind(row) == kind)
        return sorted({row["instance_uuid"] for row in of_kind})

    def kind(self, move):
        """Nova lets a move be confirmed only for a guest that is `resized` (nova/compute/api.py,
        confirm_resize); one that is at something may be about to be."""
        guest = self.moved[move["instance_uuid"]]
        if move["status"] != "finished" or guest["task_state"]:
            return "moves"
        return "unconfirmed" if guest["vm_state"] == "resized" else "unconfirmable"

    def names_of(self, host):
        """The identifiers of the nodes that HOST has or had, and the names of their providers."""
        mine = [row for row in self.nodes if row["host"] == host]
        names = {host, *(row["hypervisor_hostname"] for row in mine)}
        return {row["uuid"] for row in mine}, names


def read_rows(connection, request):
    rows = Rows(connection, request)
    return rows, {host: rows.left(host) for host in request["hosts"]}
