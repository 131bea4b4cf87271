"""Which migrations of guests from or to some computes matter: those that go on, or ended lately.

A host's whole history would make each look dearer with the age of its cloud. `changes-since` leaves
those out that were only begun (nova/db/main/api.py: updated_at), and `status` is one at a time; so
which go on is asked of the database, and all else of the API.
"""

import calendar
import time

import nova_state
import rest
import sql
from nova_tables import FINISHED_SQL

MOVE = (
    *("id", "instance_uuid", "migration_type", "status", "source_compute", "dest_compute"),
    *("created_at", "old_instance_type_id", "new_instance_type_id"),
)
LATELY = 86400
"""Seconds for which one that has ended matters, to who has waited for it or asks why it failed."""


def found(compute, hosts, request, since=None):
    """The newest move of each guest that has one from or to HOSTS which goes on, or has changed
    SINCE then, in seconds since 1970, or lately."""
    since = time.time() - LATELY if since is None else since
    unended = guests_under_way(hosts, request)
    newest = {}
    for host in hosts:
        path = f"/os-migrations?host={rest.quoted(host)}&changes-since={stamp(since)}&limit=1000"
        for move in compute.listed(path, "migrations", *MOVE):
            known = newest.get(move["instance_uuid"])
            if known is None or known["id"] < move["id"]:
                newest[move["instance_uuid"]] = move
    for uuid in unended:
        if uuid not in newest or moment(newest[uuid]["created_at"]) < since:
            # A dead process may have left it so, and the guest has been elsewhere since.
            move = of_guest(compute, uuid)
            if move and {move["source_compute"], move["dest_compute"]}.intersection(hosts):
                newest[uuid] = move
    return newest


def guests_under_way(hosts, request):
    """The guests with a move from or to HOSTS of which the record says that it has not ended."""
    words = sql.text_list(hosts)
    where = (
        f" WHERE deleted = 0 AND status NOT IN {FINISHED_SQL}"
        f" AND (source_compute IN {words} OR dest_compute IN {words})"
    )

    def look(connection, asked):
        name = asked["names"]["cell1"]
        return nova_state.read_table(connection, name, "migrations", "instance_uuid", where)

    # Where Nova's account has drifted root has looked in its place.
    rows, error, _ = nova_state.look(request, look)
    if rows is None:
        raise rest.Failed(str(error))
    return sorted({row["instance_uuid"] for row in rows})


def of_guest(compute, uuid):
    """The newest move of a guest, or None; the API has it first (compute/migrations.py)."""
    path = f"/os-migrations?instance_uuid={rest.quoted(uuid)}&limit=1"
    listed = compute.get(path, "migrations")["migrations"]
    compute.require(path, listed, MOVE)
    return listed[0] if listed else None


def stamp(seconds):
    return rest.quoted(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds)))


def moment(text):
    """A time of Nova's in seconds since 1970: it has no zone but is UTC, and may have fractions."""
    try:
        return calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S"))
    except (TypeError, ValueError):
        raise rest.BadAnswer(f"Nova says {text!r} where a time is to be") from None
