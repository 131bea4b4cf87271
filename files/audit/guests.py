"""Guests, as Nova's own rows have them: where they are, what they are at, for how long.

Rows of one database are read within one moment, but by one query after the other, so what two of
them have to agree on is left alone for GRACE seconds, too.
"""

import guest_rows
import nova_state
from finding import finding, needs
from guest_rows import BUILDING, ERROR, LIBVIRT, called, some
from names import word

NOWHERE = "no host"
MINUTE, HOUR = 60, 3600
PATIENCE = dict.fromkeys(
    (
        "spawning",
        "block_device_mapping",
        "rebuild_spawning",
        "rebuild_block_device_mapping",
        "unshelving",
        "image_snapshot",
        "image_pending_upload",
        "image_uploading",
        "image_backup",
        "shelving_image_pending_upload",
        "shelving_image_uploading",
        "resize_migrating",
        "migrating",
    ),
    HOUR,
)
"""Tasks that copy an image, a volume or a disk."""
SHORT = 15 * MINUTE
MOVES = ("migrating", "resize_migrating", "resize_migrated", "resize_finish")
ENDED_WELL = ("completed", "confirmed", "done")
"""Statuses of a migration that Nova writes down after it has written down the guest's new host."""


def minutes(seconds):
    """As people say it: the largest unit of which there are two."""
    for size, unit in ((86400, "days"), (HOUR, "hours"), (MINUTE, "minutes")):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} seconds"


@needs("databases")
def stuck_guests(evidence):
    """Guests with the same task for too long; with a migration under way, that one is judged."""
    rows = guest_rows.of(evidence)
    elsewhere = unrecorded(rows)
    for uuid, row in rows.live.items():
        task = row["task_state"] or (BUILDING if row["vm_state"] == BUILDING else None)
        since = nova_state.epoch(row["written"])
        waited = evidence.now - since
        if not task or uuid in rows.on_the_way or uuid in elsewhere:
            continue
        if waited < PATIENCE.get(task, SHORT):
            continue
        host = row["host"] or NOWHERE
        yield finding(
            "guest-stuck",
            host,
            f"guest {called(row)} has been {task} for {minutes(waited)}",
            unstuck(row, host),
            since=since,
            key=uuid,
        )


def unstuck(row, host):
    uuid, vm_state = row["uuid"], row["vm_state"]
    before = "see the logs of nova-compute and nova-conductor; when nobody is at it any more, "
    if row["task_state"] in MOVES:
        # Nova stops a guest that it takes for idle on a host on which it does not run.
        before += f"and `virsh list --all --uuid` on {host} names it, "
    if vm_state not in (BUILDING, ERROR, "active"):
        # To set the state would make a resize that waits, or a shelved guest, an active one.
        return before + (
            f"in the cell's database: `UPDATE instances SET task_state = NULL WHERE uuid = "
            f"'{uuid}' AND task_state = {literal(row['task_state'])} AND deleted = 0`"
        )
    state = "active" if vm_state == "active" else ERROR
    return before + f"`openstack server set --state {state} {uuid}` clears the task"


@needs("databases")
def left_build_requests(evidence):
    """Requests to build a guest that has long been built, or that nobody has begun with."""
    for row in evidence.databases["build_requests"]:
        uuid, since = row["instance_uuid"], nova_state.epoch(row["created_at"])
        waited = evidence.now - since
        if waited < SHORT:
            continue
        if row["made"]:
            what = "is still there, though the guest is made"
            remedy = (
                "in the API database: "
                f"`DELETE FROM build_requests WHERE instance_uuid = '{uuid}'`; the guest stays"
            )
        else:
            what = "has reached no cell"
            remedy = (
                "see the logs of nova-conductor and nova-scheduler; "
                f"`openstack server delete {uuid}` takes it back"
            )
        yield finding(
            "build-request-left",
            "nova-conductor",
            f"the request of {minutes(waited)} ago to build guest {uuid} {what}",
            remedy,
            since=since,
            key=uuid,
        )


@needs("databases")
def guests_in_error(evidence):
    rows, said = guest_rows.of(evidence), {}
    for fault in sorted(evidence.databases["faults"], key=lambda fault: fault["id"]):
        said[fault["instance_uuid"]] = fault["message"]
    for uuid, row in {**rows.failed, **rows.live}.items():
        if row["vm_state"] != ERROR or row["task_state"]:
            continue
        host = row["host"] or NOWHERE
        why = f": {said[uuid]}" if said.get(uuid) else ""
        if row["host"]:
            remedy = f"`openstack server reboot --hard {uuid}` once the cause is gone"
        else:
            remedy = f"it never ran or runs nowhere any more: `openstack server delete {uuid}`"
        yield finding(
            "guest-in-error",
            host,
            f"guest {called(row)} is in ERROR on {host}{why}",
            remedy,
            since=nova_state.epoch(row["written"]),
            key=uuid,
        )


@needs("databases")
def guests_of_strange_hosts(evidence):
    """By host, for the remedy is one for all of them."""
    known, found = evidence.expected["computes"], {}
    for row in evidence.databases["instances"]:
        if row["host"] and row["host"] not in known:
            found.setdefault(row["host"], []).append(called(row))
    for host, names in found.items():
        where = "which is not in the inventory"
        remedy = (
            f"name {host} in the inventory, or move its guests away first: "
            f"`openstack server list --all-projects --host {word(host)}`"
        )
        if host in evidence.expected["retired"]:
            where = "which is retired in the inventory"
            remedy = f"deploy {host}, which moves them away, or says what keeps them"
        what = f"{counted(names)} on {host}, {where}: {some(names)}"
        yield finding("guest-on-unnamed-host", host, what, remedy, key=host)


def counted(names):
    return f"{len(names)} guests are" if len(names) > 1 else "1 guest is"


@needs("databases")
def guests_without_node(evidence):
    """Guests on a host and node that are together no compute node of Nova's."""
    rows, found = guest_rows.of(evidence), {}
    nodes = {(node["host"], node["hypervisor_hostname"]) for node in rows.nodes.values()}
    for row in rows.live.values():
        place = (row["host"], row["node"])
        if row["host"] and place not in nodes and not rows.is_fresh(row["written"]):
            found.setdefault(place, []).append(called(row))
    for (host, node), names in found.items():
        right = sorted(name for owner, name in nodes if owner == host)
        if right:
            remedy = (
                f"the node of {host} is {right[0]}; in the cell's database: `UPDATE instances SET "
                f"node = {literal(right[0])} WHERE host = {literal(host)} AND "
                f"node <=> {literal(node)} AND deleted = 0`"
            )
        else:
            remedy = (
                f"bring nova-compute on {host} back, or, if the host is gone, "
                "`openstack server evacuate UUID` or `openstack server delete UUID` for each"
            )
        yield finding(
            "guest-without-node",
            host,
            f"{counted(names)} on host {host}, node {node}, and no such compute node is in Nova: "
            f"{some(names)}",
            remedy,
            key=node,
        )


def literal(text):
    return "NULL" if text is None else "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


@needs("databases")
def unmapped_guests(evidence):
    rows = guest_rows.of(evidence)
    for row in evidence.databases["unmapped_instances"]:
        if rows.is_fresh(row["created_at"]):
            continue
        uuid, host = row["uuid"], row["host"] or NOWHERE
        name = called(rows.live[uuid]) if uuid in rows.live else uuid
        if row["mapping"] is None:
            what = "has no mapping to a cell"
            remedy = "`nova-manage cell_v2 map_instances --reset --cell_uuid UUID_OF_THE_CELL`"
        else:
            is_in_cell0 = row.get("cell") is not None
            what = f"is mapped to {'cell0, and is in cell1' if is_in_cell0 else 'no cell'}"
            remedy = (
                f"in the API database: `UPDATE instance_mappings SET cell_id = {cell(evidence)} "
                f"WHERE id = {row['mapping']} AND cell_id <=> {row.get('cell') or 'NULL'}`"
            )
        yield finding(
            "guest-unmapped",
            host,
            f"guest {name} {what}",
            remedy.replace("UUID_OF_THE_CELL", cell(evidence, "uuid")),
            since=nova_state.epoch(row["created_at"]),
            key=uuid,
        )


def cell(evidence, key="id"):
    """The one cell with guests; where there are several, a person has to say which."""
    found = [row for row in evidence.databases["cell_mappings"] if row["uuid"] != nova_state.CELL0]
    return str(found[0][key]) if len(found) == 1 else "CELL"


@needs("databases")
def unset_machine_types(evidence):
    """By host. Nova writes the type down when libvirt gets the guest, or when nova-compute starts.

    Guests that have never been on a hypervisor have none, nor have those of other drivers.
    """
    rows, found = guest_rows.of(evidence), {}
    drivers = {node["host"]: node["hypervisor_type"] for node in rows.nodes.values()}
    for each in evidence.databases["machine_types"]:
        row = rows.live.get(each["uuid"])
        if row is None or row["vm_state"] == BUILDING or rows.busy(each["uuid"]):
            continue
        if drivers.get(row["host"], LIBVIRT[0]) in LIBVIRT:
            found.setdefault(row["host"], []).append(called(row))
    for host, names in found.items():
        if host:
            remedy = f"`systemctl restart nova-compute` on {host} writes it down"
        else:
            remedy = (
                "`nova-manage libvirt update_machine_type UUID TYPE` for each, before unshelving"
            )
        have = "has" if len(names) == 1 else "have"
        yield finding(
            "machine-type-unset",
            host or NOWHERE,
            f"{len(names)} guest{'s' * (len(names) > 1)} on {host or NOWHERE} {have} no machine "
            f"type written down: {some(names)}",
            remedy,
            key=host or NOWHERE,
        )


@needs("databases")
def moves_not_recorded(evidence):
    rows = guest_rows.of(evidence)
    for uuid, migration in unrecorded(rows).items():
        row, source, dest = rows.live[uuid], migration["source_compute"], migration["dest_compute"]
        yield finding(
            "move-not-recorded",
            source,
            f"guest {called(row)} is on {source} in Nova, but its {migration['migration_type']} "
            f"{migration['id']} to {dest} is {migration['status']}",
            f"where `virsh list --all --uuid` on {dest} names it and on {source} does not, in the "
            f"cell's database: `UPDATE instances SET host = {literal(dest)}, node = "
            f"{literal(migration['dest_node'])}, task_state = NULL WHERE uuid = '{uuid}' "
            f"AND host = {literal(source)} AND deleted = 0`; never clear the task alone: Nova on "
            f"{source} would stop the guest",
            since=nova_state.epoch(migration["written"]),
            key=uuid,
        )


def unrecorded(rows):
    """The newest migration, by guest, that has ended well, of those that are still at its source.

    A guest that has started anew since, at unshelving for one, may rightly be there again.
    """
    found = {}
    for uuid, migration in rows.last.items():
        row = rows.live.get(uuid)
        source, dest = migration["source_compute"], migration["dest_compute"]
        if row is None or migration["status"] not in ENDED_WELL or not dest or source == dest:
            continue
        if row["host"] != source or uuid in rows.moving or rows.is_fresh(migration["written"]):
            continue
        if nova_state.epoch(row["launched_at"]) <= nova_state.epoch(migration["written"]):
            found[uuid] = migration
    return found


DETECTORS = (
    stuck_guests,
    left_build_requests,
    guests_in_error,
    guests_of_strange_hosts,
    guests_without_node,
    unmapped_guests,
    unset_machine_types,
    moves_not_recorded,
)
