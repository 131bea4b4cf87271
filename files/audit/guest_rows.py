"""Nova's rows about guests, ready to be looked up; and what is left alone because it is moving.

Guests in the midst of something differ from place to place, and rightly so. `busy` is a guest with
a task, with a migration under way, or that has changed within GRACE seconds, or since the first
host was asked: two sources that are read one after the other cannot be held against each other for
it.
"""

import nova_state
from finding import GRACE
from nova_tables import FINISHED

BUILDING, ERROR, OFFLOADED = "building", "error", "shelved_offloaded"
LOST = ("accepted", "pre-migrating", "done")
"""Of an evacuation: the old host, when it comes back, destroys the guest and gives its resources
back, and only then is it `completed` (nova/compute/manager.py, _destroy_evacuated_instances)."""
UNCONFIRMED = "finished"
"""Of a resize that waits for a person to confirm it, as long as it takes."""
LIBVIRT = ("QEMU", "KVM", "LXC")


class GuestRows:
    """
    Attributes:
        live: the row of each guest of the cell, by uuid.
        failed: the same of cell0, whose guests never got to a host.
        moving: uuids of guests with a migration under way, an unconfirmed one included.
        on_the_way: the same without those that wait for somebody to confirm them.
        last: the newest migration of each guest.
        left: of each guest the hosts from which an evacuation has taken it.
        nodes: the row of each compute node, by uuid.
        named: host in Nova, by the name in the inventory.
    """

    def __init__(self, evidence):
        tables = evidence.databases
        self.now, self.grace = evidence.now, GRACE + evidence.hosts_took
        self.live = {row["uuid"]: row for row in tables["instances"]}
        self.failed = {row["uuid"]: row for row in tables["cell0_instances"]}
        self.migrations = {row["uuid"]: row for row in tables["migrations"]}
        self.nodes = {row["uuid"]: row for row in tables["compute_nodes"]}
        self.many_cells = len(tables["cell_mappings"]) > 2
        self.named = {name: host for host, name in evidence.expected["names"].items()}
        self.moving, self.on_the_way = set(), set()
        self.last, self.left, self._busy = {}, {}, {}
        for row in tables["migrations"]:
            self._sort(row)
        self.strangers = {
            name: {row.get("instance_uuid" if name in BY_GUEST else "uuid"): row for row in rows}
            for name, rows in (evidence.strangers or {}).items()
        }

    def _sort(self, row):
        guest = row["instance_uuid"]
        if row["status"] not in FINISHED:
            self.moving.add(guest)
            if row["status"] != UNCONFIRMED:
                self.on_the_way.add(guest)
        if guest not in self.last or self.last[guest]["id"] < row["id"]:
            self.last[guest] = row
        if row["migration_type"] == "evacuation" and row["status"] in LOST:
            self.left.setdefault(guest, set()).add(row["source_compute"])

    def is_fresh(self, moment):
        """Whether a time of the database or an epoch is within GRACE; None is not."""
        if hasattr(moment, "tzinfo"):
            moment = nova_state.epoch(moment)
        return moment is not None and moment > self.now - self.grace

    def busy(self, uuid):
        """Whether a guest is in the midst of something, or was within GRACE."""
        if uuid not in self._busy:
            self._busy[uuid] = self._is_busy(uuid)
        return self._busy[uuid]

    def _is_busy(self, uuid):
        row, migration = self.live.get(uuid) or self.failed[uuid], self.last.get(uuid)
        return (
            bool(row["task_state"])
            or uuid in self.moving
            or self.is_fresh(row["written"])
            or (migration is not None and self.is_fresh(migration["written"]))
        )

    def fate(self, uuid):
        """What Nova says of a uuid that is no guest of the cell, and since when.

        "here": one that exists or is about to, or a migration under way; "deleted": a guest that
        was; "migrated", "failed": a migration that has ended; "unknown".
        """
        if uuid in self.live or uuid in self.failed:
            return "here", None
        found = {name: rows.get(uuid) for name, rows in self.strangers.items()}
        rows = [found.get("guests"), found.get("cell0_guests")]
        if found.get("build_requests") or any(row and not row["deleted"] for row in rows):
            return "here", None
        migration = self.migrations.get(uuid) or found.get("migrations")
        if migration:
            return fate_of_migration(migration)
        mapping = found.get("mappings")
        row = next((row for row in rows if row), None)
        if mapping and (row is None or (self.many_cells and not mapping["queued_for_delete"])):
            return "here", None  # in another cell
        if row:
            return "deleted", nova_state.epoch(row["deleted_at"]) or None
        return "unknown", None


BY_GUEST = ("mappings", "build_requests")


def fate_of_migration(row):
    since = nova_state.epoch(row["written"]) or None
    if row["status"] not in FINISHED and not row.get("deleted"):
        return "here", since
    return ("failed" if row["status"] == "error" else "migrated"), since


def of(evidence):
    """The rows of EVIDENCE, made once for all detectors."""
    if getattr(evidence, "guest_rows", None) is None:
        evidence.guest_rows = GuestRows(evidence)
    return evidence.guest_rows


def called(row):
    return f"{row['display_name']} ({row['uuid']})"


def some(names, most=5):
    """The first of many NAMES, and how many more there are."""
    names = sorted(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
