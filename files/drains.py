"""See which guests are on computes that are to have none, and do one step for one of them.

Request: {"auth_url", "region", "interface", "places", "admin": as for cloud_objects.py,
          "nova": {"network": how Nova itself logs in for Neutron, and at which "auth_url"},
          "database", "names": as for nova_state.py,
          "hosts": [hosts of nova-compute that are to have no guests],
          "closing", "opening": [hosts that take no guests, or do, by the time these are moved],
          "domains": [uuids that libvirt still has on these],
          "placed": [uuids of guests of which it is known where they could go],
          "moved": [uuids of guests of which it is asked why their last move has failed],
          "only": [uuids of the guests that it is about; left out, all are], may be left out}
Answer:  {"computes": {host: "up"|"down"},
          "closed": {host: why it takes no new guests|null where it takes some},
          "now": seconds since 1970 by the clock of this host,
          "guests": [{"uuid", "name", "host", "state", "task", "power", "fault",
                      "ephemeral": whether it has a second disk on its compute}],
          "moves": [{"id", "guest", "kind", "status", "source", "target", "age", "same_flavor",
                     "total", "remaining": MiB|null, "cause",
                     "twice": whether it is in error, its guest on the target in ERROR, and that
                     because Neutron was told of the arrival twice at once (arrivals.py),
                     "holds": whether its guest is well there, and it still has an allocation}],
          "targets": as of drain_targets.py,
          "domains": {uuid: host in Nova|"no compute"|null where Nova has no such guest},
          "error": text|null}
With "step": {"kind": "live"|"cold"|"confirm"|"abort"|"force_complete"|"set_active"|"free", "guest",
"move": id|null, "to": host|null where the scheduler chooses} in the request that one is done, if
the guest, read again, is still as it has to be for it. Whoever has one set active has asked libvirt
on both sides where it runs.
Answer:  {"refused": Nova's words|null, "late": why it is no longer what is to be done|null}

`guests` are those of the hosts, and elsewhere those with a move that has not ended, that were moved
and are in ERROR, or of whose move there is more to be done; `moves` is the newest of each.
Microversion 2.75 has all of it: 2.23 figures of live migrations, 2.25 block migration as the disks
need it, 2.59 pages of migrations, 2.65 the abort of one that waits.
"""

import time

import arrivals
import cloud_session
import drain_targets
import newest_moves
import rest
import sql
from guest_records import GUEST, HOST, POWER, STATE, TASK, NotNow, act, read_guest
from nova_tables import FINISHED

BADLY = ("cancelled", "error", "failed")
NOWHERE = "no compute"
LIVE = "live-migration"
COPYING = ("queued", "preparing", "running", "post-migrating")
"""What a live migration has figures in (nova/api/openstack/compute/server_migrations.py)."""
ENDING = ("confirming", "reverting")
"""A resize that has waited for somebody, perhaps for days, and is now being ended."""
ACTIONS = ("live-migration", "migrate", "evacuate")
"""nova/compute/instance_actions.py."""
MIB = 1 << 20


# --- what there is --------------------------------------------------------------------------------


class Reader:
    """What Nova says, each guest asked for once."""

    def __init__(self, cloud, hosts):
        self.cloud = cloud
        self.compute = cloud.compute
        self.hosts = hosts
        self.guests = {}
        self.gone = set()

    def list_guests(self, host):
        """Those of HOST, soft-deleted ones included, which have their disks there."""
        path = f"/servers/detail?all_tenants=1&soft_deleted=True&host={rest.quoted(host)}"
        for guest in self.compute.listed(path, "servers", *GUEST):
            if guest[HOST] == host:
                self.guests[guest["id"]] = guest
            elif guest[HOST]:
                # One whose filter was passed over may have left out others, too.
                text = "GET {}{} answers 200, but with a guest of {}"
                raise rest.BadAnswer(text.format(self.compute.url, path, guest[HOST]))

    def list_broken(self, moved):
        """Those of MOVED that are in ERROR, wherever they are; one question for all of them."""
        if moved:
            path = "/servers/detail?all_tenants=1&status=ERROR"
            found = self.compute.listed(path, "servers", *GUEST)
            self.guests.update({guest["id"]: guest for guest in found if guest["id"] in moved})

    def guest(self, uuid):
        """The guest as it is; None where Nova says that there is none."""
        if uuid not in self.guests and uuid not in self.gone:
            found = read_guest(self.compute, uuid)
            if found is None:
                self.gone.add(uuid)
            else:
                self.guests[uuid] = found
        return self.guests.get(uuid)

    def services(self):
        """All services of nova-compute, by host; those of the hosts have answered.

        Asked for after the guests: a list of guests leaves those of a cell that does not answer
        out without a word (api-guide, down_cells), a list of services has no more than their host.
        """
        path = "/os-services?binary=nova-compute"
        listed = self.compute.listed(path, "services", "host")
        mine = [service for service in listed if service["host"] in self.hosts]
        self.compute.require(path, mine, ("id", "state", "status", "disabled_reason"))
        lost = set(self.hosts) - {service["host"] for service in mine}
        if lost:
            raise rest.Failed("Nova has no nova-compute on " + ", ".join(sorted(lost)))
        return {service["host"]: service for service in listed}


def described_guest(guest):
    return {
        "uuid": guest["id"],
        "name": guest["name"],
        "host": guest[HOST],
        "state": guest[STATE],
        "task": guest[TASK],
        "power": guest[POWER],
        "fault": (guest.get("fault") or {}).get("message"),
        "ephemeral": bool(guest["flavor"]["ephemeral"]),
    }


def described_move(reader, move, explained):
    """A move with its figures, if there are some; where it has failed and is EXPLAINED, why."""
    total, remaining = figures(reader.compute, move)
    failed = explained and move["status"] in BADLY
    return {
        "id": move["id"],
        "guest": move["instance_uuid"],
        "kind": move["migration_type"],
        "status": move["status"],
        "source": move["source_compute"],
        "target": move["dest_compute"],
        "age": max(0.0, time.time() - newest_moves.moment(asked_for(move))),
        "same_flavor": move["old_instance_type_id"] == move["new_instance_type_id"],
        "total": total,
        "remaining": remaining,
        "cause": cause(reader.compute, move["instance_uuid"]) if failed else None,
    }


def asked_for(move):
    """When Nova was told of what a move is at: to begin it, or to end it."""
    ended = move.get("updated_at") if move["status"] in ENDING else None
    return ended or move["created_at"]


def figures(compute, move):
    if move["migration_type"] != LIVE or move["status"] not in COPYING:
        return None, None
    path = "/servers/{}/migrations/{}".format(rest.quoted(move["instance_uuid"]), move["id"])
    names = ("memory_total_bytes", "memory_remaining_bytes")
    # 404: it has ended, or its guest is gone, since it was listed.
    found = compute.one(path, "migration", *names, allowed=(404,))
    known = [None if found is None or found[name] is None else found[name] // MIB for name in names]
    return known[0], known[1]


def cause(compute, uuid):
    """The last words of the guest's newest move.

    Nova shows no fault of a guest that is not in ERROR (api/openstack/compute/views/servers.py).
    """
    path = "/servers/{}/os-instance-actions".format(rest.quoted(uuid))
    found = compute.get(path, "instanceActions", allowed=(404,)) or {"instanceActions": []}
    compute.require(path, found["instanceActions"], ("action", "request_id", "message"))
    newest = next((a for a in found["instanceActions"] if a["action"] in ACTIONS), None)
    if newest is None or newest["message"] != "Error":
        return None
    path += "/" + rest.quoted(newest["request_id"])
    found = compute.one(path, "instanceAction", "events", allowed=(404,))
    for event in reversed((found or {}).get("events", ())):
        if event.get("result") == "Error" and event.get("traceback"):
            lines = event["traceback"].strip().splitlines()
            return (lines or [None])[-1]
    return None


def read(request):
    hosts = request["hosts"]
    cloud = cloud_session.Cloud(request)
    reader = Reader(cloud, hosts)
    moves = newest_moves.found(reader.compute, hosts, request)
    # After the moves: one that has ended meanwhile has its guest where it says.
    for host in hosts:
        reader.list_guests(host)
    here = set(reader.guests)
    only = request.get("only")
    if only is not None:
        moves = {uuid: move for uuid, move in moves.items() if uuid in only}
    ended = arrivals.ended_in_error(moves, hosts)
    reader.list_broken({*request["moved"], *(uuid for uuid in ended if uuid not in here)})
    twice, holds = told_twice(reader, ended), still_hold(reader, ended)
    broken = set(reader.guests) & {*here, *request["moved"], *twice, *holds}
    services = reader.services()
    if only is not None:
        here, broken = here.intersection(only), broken.intersection(only)
    # A move of a guest that is gone is over, whatever its record says.
    open_ones = [m for m in moves.values() if m["status"] not in FINISHED]
    told = {m["instance_uuid"]: m for m in open_ones if reader.guest(m["instance_uuid"])}
    told.update((uuid, moves[uuid]) for uuid in {*here, *twice, *holds} if uuid in moves)
    placed = set(request["placed"])
    wanted = [guest for uuid, guest in reader.guests.items() if uuid in here and uuid not in placed]
    found = {uuid: reader.guest(uuid) for uuid in request["domains"]}
    domains = {uuid: guest and (guest[HOST] or NOWHERE) for uuid, guest in found.items()}
    somewhere = {uuid for uuid, guest in found.items() if guest and guest[HOST]}
    shown = {*here, *broken, *told, *somewhere}
    return {
        "computes": {host: services[host]["state"] for host in hosts},
        "closed": {host: closed_for(services[host]) for host in hosts},
        "now": time.time(),
        "guests": [described_guest(reader.guests[uuid]) for uuid in sorted(shown)],
        "moves": [
            {
                **described_move(reader, told[uuid], uuid in request["moved"]),
                **{"twice": uuid in twice, "holds": uuid in holds},
            }
            for uuid in sorted(told)
        ],
        "targets": drain_targets.found(reader, wanted, services, request),
        "domains": domains,
        "error": None,
    }


def told_twice(reader, moves):
    """Which of the guests with MOVES that are in ERROR are on their targets, and so for that."""
    known = {uuid: reader.guests[uuid] for uuid in moves if uuid in reader.guests}
    return {
        uuid
        for uuid, guest in known.items()
        if is_there(guest, moves[uuid])
        and arrivals.told_twice(guest, moves[uuid])
        and is_newest(reader, moves[uuid])
    }


def still_hold(reader, moves):
    """Which of the guests with MOVES are well on their targets, while these hold their sources."""
    found = set()
    for uuid, move in moves.items():
        known = reader.guests.get(uuid)
        if known and (known[STATE] == arrivals.ERROR or not is_there(known, move)):
            continue
        if arrivals.held_by(reader.cloud, move)["allocations"]:
            guest = reader.guest(uuid)
            if guest and is_there(guest, move) and is_newest(reader, move):
                found.add(uuid)
    return found


def is_newest(reader, move):
    """Whether its guest has not moved again since, between other computes than those asked for."""
    newest = newest_moves.of_guest(reader.compute, move["instance_uuid"])
    return newest is not None and newest["id"] == move["id"]


def is_there(guest, move):
    return guest[HOST] == move["dest_compute"]


def closed_for(service):
    if service["status"] == "enabled":
        return None
    return service["disabled_reason"] or ""


# --- one step -------------------------------------------------------------------------------------


def newest_move(compute, uuid):
    found = newest_moves.of_guest(compute, uuid)
    if found is None:
        raise NotNow("Nova has no migration of it")
    return found


def idle_here(guest, hosts, *states):
    if guest[HOST] not in hosts:
        raise NotNow("it is on {} by now".format(guest[HOST]))
    if guest[TASK] or guest[STATE] not in states:
        raise NotNow("it is {} by now".format(guest[TASK] or guest[STATE]))


def live(cloud, guest, step, hosts):
    idle_here(guest, hosts, "active", "paused")
    how = {"host": step.get("to"), "block_migration": "auto"}
    act(cloud.compute, guest["id"], {"os-migrateLive": how})


def cold(cloud, guest, step, hosts):
    idle_here(guest, hosts, "stopped")
    act(cloud.compute, guest["id"], {"migrate": {"host": step.get("to")}})


def confirm(cloud, guest, step, hosts):
    """What somebody has resized is his to confirm; a move of the same flavor is an operator's."""
    move = newest_move(cloud.compute, guest["id"])
    kept = move["old_instance_type_id"] == move["new_instance_type_id"]
    if guest[TASK] or guest[STATE] != "resized" or move["status"] != "finished":
        raise NotNow("it does not wait to be confirmed")
    if move["migration_type"] != "migration" or not kept or move["source_compute"] not in hosts:
        raise NotNow("that is its owner's to confirm")
    act(cloud.compute, guest["id"], {"confirmResize": None})


def running_move(compute, guest, step, hosts):
    """The path of the live migration that the step is about."""
    move = newest_move(compute, guest["id"])
    if move["id"] != step["move"] or move["status"] in FINISHED or move["migration_type"] != LIVE:
        raise NotNow("its live migration has ended")
    if move["source_compute"] not in hosts:
        raise NotNow("its live migration is not from here")
    return "/servers/{}/migrations/{}".format(rest.quoted(guest["id"]), move["id"])


def abort(cloud, guest, step, hosts):
    cloud.compute.call("DELETE", running_move(cloud.compute, guest, step, hosts))


def force_complete(cloud, guest, step, hosts):
    path = running_move(cloud.compute, guest, step, hosts) + "/action"
    cloud.compute.call("POST", path, {"force_complete": None})


STEPS = {
    "live": live,
    "cold": cold,
    "confirm": confirm,
    "abort": abort,
    "force_complete": force_complete,
    "set_active": arrivals.set_active,
    "free": arrivals.free,
}
NOS = (400, 403, 404, 409)
"""With which Nova says that it will not do it; any other error says nothing of the guest."""


def step(request):
    wanted = request["step"]
    cloud = cloud_session.Cloud(request)
    guest = read_guest(cloud.compute, wanted["guest"])
    if guest is None:
        return {"refused": None, "late": "Nova no longer has it"}
    return taken(lambda: STEPS[wanted["kind"]](cloud, guest, wanted, request["hosts"]))


def taken(act):
    """What came of a step: Nova's no, or why it is no longer to be done."""
    try:
        act()
    except NotNow as reason:
        return {"refused": None, "late": str(reason)}
    except rest.ErrorStatus as error:
        if error.status not in NOS:
            raise
        return {"refused": str(error), "late": None}
    return {"refused": None, "late": None}


def answer(request):
    """An error of reading is told, not raised: in a plan there may be nothing to ask yet."""
    try:
        return step(request) if "step" in request else read(request)
    except (rest.Failed, sql.NoAnswerError, sql.NotInstalledError) as error:
        if "step" in request:
            raise SystemExit(str(error)) from None
        return {"error": str(error)}
