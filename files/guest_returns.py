"""See which guests have left a compute by a move since some moment, and are still where they went.

Request: {"auth_url", "region", "interface", "places", "admin": as for cloud_objects.py,
          "host": of nova-compute, "since": seconds since 1970 by the clock of this host}
Answer:  {"guests": [as of drains.py], "error": text|null}

Of a guest its newest move that touches the compute counts. A resize was its owner's wish, and an
evacuation is of a compute that was lost: neither is undone.
"""

import cloud_session
import drains
import newest_moves
import rest

MOVES = (drains.LIVE, "migration")
MADE = ("completed", "confirmed", "done")


def has_left(move, host, since):
    kept = move["old_instance_type_id"] == move["new_instance_type_id"]
    kind, status = move["migration_type"], move["status"]
    # A live one in error has been made where its guest is on its target (arrivals.py).
    ended = status in MADE or (kind, status) == (drains.LIVE, "error")
    made = kind in MOVES and ended and kept
    return (
        made and move["source_compute"] == host and newest_moves.moment(move["created_at"]) >= since
    )


def found(request):
    host = request["host"]
    reader = drains.Reader(cloud_session.Cloud(request), [host])
    moves = newest_moves.found(reader.compute, [host], request, request["since"])
    guests = []
    for uuid, move in sorted(moves.items()):
        if has_left(move, host, request["since"]):
            guest = reader.guest(uuid)
            if guest and guest[drains.HOST] == move["dest_compute"]:
                guests.append(drains.described_guest(guest))
    return guests


def answer(request):
    try:
        return {"guests": found(request), "error": None}
    except rest.Failed as error:
        return {"guests": [], "error": str(error)}
