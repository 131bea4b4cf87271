"""Migrations of guests that do not end: nobody is at them any more, or nobody can confirm them."""

import guest_rows
import nova_state
from finding import finding, needs
from guest_rows import ERROR, UNCONFIRMED, called
from guests import HOUR, NOWHERE, minutes

UNWRITTEN = HOUR
LIVE, RESIZED = "live-migration", "resized"
UNDER_WAY = ("preparing", "running", "post-migrating")


@needs("databases")
def stuck_migrations(evidence):
    """Migrations that have not ended and of which nobody has written anything for an hour.

    Nova moves guests off a host one after the other (max_concurrent_live_migrations): those that
    are queued wait for that one as long as it goes on.
    """
    rows = guest_rows.of(evidence)
    dead = dead_hosts(evidence)
    at_work = {
        row["source_compute"]
        for row in rows.migrations.values()
        if row["status"] in UNDER_WAY
        and evidence.now - nova_state.epoch(row["written"]) < UNWRITTEN
    }
    for row in rows.migrations.values():
        since = nova_state.epoch(row["written"])
        waited = evidence.now - since
        if row["status"] in (UNCONFIRMED, *guest_rows.FINISHED) or waited < UNWRITTEN:
            continue
        if row["status"] == "queued" and row["source_compute"] in at_work:
            continue
        guest, kind = row["instance_uuid"], row["migration_type"]
        where, to = row["source_compute"] or NOWHERE, row["dest_compute"] or "a host not chosen yet"
        if kind == LIVE and where in dead:
            remedy = ended_without_its_source(row, rows.live.get(guest), where)
        else:
            remedy = abort(row, where)
        yield finding(
            "migration-stuck",
            where,
            f"the {kind} of guest {guest} from {where} to {to} has been {row['status']} for "
            f"{minutes(waited)} without a word",
            remedy,
            since=since,
            key=row["uuid"] or row["id"],
        )


def dead_hosts(evidence):
    """Computes that the inventory calls dead, or that somebody has told Nova are down."""
    forced = {
        row["host"]
        for row in evidence.databases["services"]
        if row["binary"] == "nova-compute" and row["forced_down"]
    }
    return forced | set(evidence.expected["dead"])


def abort(row, where):
    guest = row["instance_uuid"]
    if row["migration_type"] == LIVE and row["status"] in ("queued", "running"):
        # 2.65: a queued one, too.
        return (
            f"`openstack --os-compute-api-version 2.65 server migration abort {guest} {row['id']}`"
        )
    return (
        f"see the log of nova-compute on {row['dest_compute'] or where} and on {where}; when "
        f"nobody is at it any more, {in_error(row)}"
    )


def in_error(row):
    return (
        "in the cell's database: `UPDATE migrations SET status = 'error' "
        f"WHERE id = {row['id']} AND status = '{row['status']}'`"
    )


def ended_without_its_source(row, guest, where):
    """What ends a live migration whose source is dead. An abort waits there in the queue of
    nova-compute (nova/compute/rpcapi.py, live_migration_abort); when it starts, it ends by itself
    what was `running` (nova/compute/manager.py, _reset_live_migration)."""
    steps = [f"{where} is dead, and who would abort it is nova-compute there"]
    if row["status"] == "running":
        steps.append(f"bring {where} back, which ends it; where it never comes, {in_error(row)}")
    else:
        steps.append(in_error(row))
    if guest is not None and guest["task_state"]:
        state = "active" if guest["vm_state"] == "active" else ERROR
        steps.append(f"then `openstack server set --state {state} {row['instance_uuid']}`")
    if guest is not None and guest["host"] == where:
        evacuates = "a deploy evacuates it, unless it runs elsewhere"
        steps.append(f'with "dead": True for {where} in the inventory {evacuates}')
    return "; ".join(steps)


# --- what nobody can confirm ----------------------------------------------------------------------


@needs("databases")
def unconfirmable_moves(evidence):
    """Cold migrations and resizes that are `finished`, and that Nova lets nobody confirm or revert.

    That it does for a guest that is `resized` alone (nova/compute/api.py, confirm_resize), which
    a reset of its state takes it out of. A guest has one such move: any later one shows that it
    had been taken out before, and then Nova may confirm or revert that one by this record
    (nova/db/main/api.py, migration_get_by_instance_and_status: the first of that status).
    """
    rows = guest_rows.of(evidence)
    for row in rows.migrations.values():
        guest = rows.live.get(row["instance_uuid"])
        if row["status"] != UNCONFIRMED or guest is None or guest["task_state"]:
            continue
        newest = rows.last[guest["uuid"]]
        is_followed = newest["id"] > row["id"]
        if guest["vm_state"] == RESIZED and not is_followed:
            continue
        if rows.is_fresh(row["written"]) or rows.is_fresh(guest["written"]):
            continue
        yield unconfirmable(row, guest, newest if is_followed else None, rows.many_cells)


def unconfirmable(row, guest, newer, many_cells):
    """The record may say how to bring a guest in ERROR back, and of a move to another cell what
    is there is not known. `error` is what Nova writes itself where resize_confirm_window is set
    (nova/compute/manager.py, _poll_unconfirmed_resizes)."""
    where, is_broken = row["source_compute"] or NOWHERE, guest["vm_state"] == ERROR
    after = f", and its {newer['migration_type']} {newer['id']} came after it" if newer else ""
    repair = {"action": "end-migration", "migration": row["id"], "guest": guest["uuid"]}
    repair["followed"] = newer is not None
    return finding(
        "move-unconfirmable",
        where,
        f"the {row['migration_type']} {row['id']} of guest {called(guest)} from {where} to "
        f"{row['dest_compute']} waits to be confirmed, and nobody can: the guest is "
        f"{guest['vm_state']}{after}",
        ("bring the guest out of its ERROR, then " if is_broken else "")
        + f"{in_error(row)}, as Nova does with resize_confirm_window; then audit again for what "
        f"the move has left on {where}",
        since=nova_state.epoch(row["written"]),
        key=row["uuid"] or row["id"],
        repair=None if is_broken or many_cells else repair,
    )


DETECTORS = (stuck_migrations, unconfirmable_moves)
