"""See which guests are on computes that are dead, and do one step to have them elsewhere.

Request: as for drains.py, with "hosts" those that are dead, "down_time": s after which Nova calls a
         service down, "addresses": bool, whether those of the guests and Neutron's agents are asked
Answer:  {"computes": {host: "up"|"down"} of those that Nova has,
          "services": {host: {"id", "forced_down", "beat": its last heartbeat|null, "age": s|null}},
          "guests": [as of drains.py, with "image": id|null,
                     "addresses": [{"address", "network": id|null}]],
          "moves", "targets": as of drains.py, "domains": {},
          "agents": {host: [kinds of Neutron's agents there that live]}, "error": text|null}
With "step": {"kind": "force_down", "host"}, {"kind": "evacuate", "guest", "anew": bool, whether a
disk of it may be made anew, or is not there alone} or {"kind": "stop", "guest"}, of one that was
evacuated, in the request that one is done, if all is still as it has to be.
Answer:  {"refused": Nova's words|null, "late": why it is no longer what is to be done|null}

Nova's scheduler chooses where a guest goes. Nova itself refuses to evacuate one whose compute it
calls up (nova/compute/api.py, evacuate), and here one is not evacuated that is not forced down: its
nova-compute takes away what was evacuated when it starts, before it can count again.
"""

import time

import cloud_session
import drain_targets
import drains
import newest_moves
import nova_state
import rest
import sql
from nova_tables import FINISHED

HOST, TASK = drains.HOST, drains.TASK
MORE = ("image", "addresses")
SERVICES = "uuid, host, last_seen_up, forced_down"
TYPE, KIND = "OS-EXT-IPS:type", "provider:network_type"
OVERLAYS = ("vxlan", "geneve", "gre", "local")
"""Networks whose addresses each project chooses: outside of them other hosts may have the same."""
AT_ONCE = 50
"""Networks named in one question: a line of it has to fit where proxies take 8 KiB."""
EVACUATION = "evacuation"


class Reader(drains.Reader):
    """What Nova says, each guest asked for once."""

    def services(self):
        path = "/os-services?binary=nova-compute"
        listed = self.compute.listed(path, "services", "host")
        mine = [service for service in listed if service["host"] in self.hosts]
        self.compute.require(path, mine, ("id", "state", "status"))
        lost = set(self.hosts) - {service["host"] for service in mine}
        if lost:
            text = "Nova's database has a nova-compute on {}, its API lists none there"
            raise rest.Failed(text.format(", ".join(sorted(lost))))
        return {service["host"]: service for service in listed}


def rows(request):
    """Nova's row of each nova-compute of the hosts, in which its heartbeat is."""

    def look(connection, asked):
        where = " WHERE deleted = 0 AND `binary` = 'nova-compute'"
        cell = asked["names"]["cell1"]
        return nova_state.read_table(connection, cell, "services", SERVICES, where)

    found, error, _ = nova_state.look(request, look)
    if found is None or error:
        raise rest.Failed(f"Nova's databases could not be read: {error}")
    return {row["host"]: row for row in found if row["host"] in request["hosts"]}


def described_service(row):
    beat = row["last_seen_up"]
    return {
        "id": row["uuid"],
        "forced_down": bool(row["forced_down"]),
        "beat": str(beat) if beat else None,
        "age": max(0.0, time.time() - nova_state.epoch(beat)) if beat else None,
    }


def image_of(guest):
    """Nova names none of a guest whose disk is a volume (nova/compute/api.py)."""
    return (guest["image"] or {}).get("id")


def is_made_anew(guest):
    """Whether a disk of it is on its compute: of its image, or one that is beside that."""
    return bool(image_of(guest) or guest["flavor"]["ephemeral"])


def described_guest(guest, addresses):
    return {
        **drains.described_guest(guest),
        "image": image_of(guest),
        "addresses": addresses,
    }


class Network:
    """Neutron, and where guests on the hosts would answer: a question for each host."""

    def __init__(self, cloud, hosts):
        self.api = cloud.api("network", {})
        self.ports = {}
        for host in hosts:
            fields = ("device_id", "network_id", "fixed_ips")
            path = f"/v2.0/ports?binding%3Ahost_id={rest.quoted(host)}"
            path += "".join(f"&fields={field}" for field in fields)
            for port in self.api.listed(path, "ports", *fields):
                self.ports.setdefault(port["device_id"], []).append(port)
        ports = (port for several in self.ports.values() for port in several)
        self.overlays = self.among(sorted({port["network_id"] for port in ports}))

    def among(self, networks):
        """Those of NETWORKS whose addresses mean something else outside of them."""
        found = set()
        for at in range(0, len(networks), AT_ONCE):
            words = "".join(f"&id={rest.quoted(uuid)}" for uuid in networks[at : at + AT_ONCE])
            path = f"/v2.0/networks?fields=id&fields={rest.quoted(KIND)}{words}"
            listed = self.api.listed(path, "networks", "id")
            found.update(one["id"] for one in listed if one.get(KIND) in OVERLAYS)
        return found

    def addresses_of(self, guest):
        found = [
            {
                **{"address": each["ip_address"], "network": port["network_id"]},
                "direct": port["network_id"] not in self.overlays,
            }
            for port in self.ports.get(guest["id"], ())
            for each in port["fixed_ips"] or ()
        ]
        for each in (one for several in guest["addresses"].values() for one in several):
            if each.get(TYPE) == "floating":
                found.append({"address": each["addr"], "network": None, "direct": True})
        return found


def living_agents(network, hosts):
    listed = network.api.listed("/v2.0/agents", "agents", "host", "agent_type", "alive")
    return {
        host: sorted(one["agent_type"] for one in listed if one["host"] == host and one["alive"])
        for host in hosts
    }


def under_way(move):
    return move["status"] not in FINISHED


def read(request):
    cloud = cloud_session.Cloud(request)
    services = rows(request)
    hosts = [host for host in request["hosts"] if host in services]
    asked = {**request, "hosts": hosts}
    reader = Reader(cloud, hosts)
    # However long ago the last one was, after it a guest may run where Nova does not have it.
    moves = newest_moves.found(reader.compute, hosts, asked, since=0)
    # After the moves: one that has ended meanwhile has its guest where it says.
    for host in hosts:
        reader.list_guests(host)
    here = set(reader.guests)
    listed = reader.services()
    moved = {uuid for uuid in request["moved"] if reader.guest(uuid)}
    told = {
        uuid: move
        for uuid, move in moves.items()
        if uuid in here or uuid in moved or (under_way(move) and reader.guest(uuid))
    }
    wanted = [reader.guests[uuid] for uuid in here if uuid not in set(request["placed"])]
    shown = sorted({*here, *moved, *told})
    reader.compute.require("/servers", [reader.guests[uuid] for uuid in shown], MORE)
    network = Network(cloud, hosts) if request["addresses"] else None

    def addresses(uuid):
        return network.addresses_of(reader.guests[uuid]) if network and uuid in here else []

    return {
        "computes": {host: listed[host]["state"] for host in hosts if host in listed},
        "services": {host: described_service(services[host]) for host in hosts},
        "guests": [described_guest(reader.guests[uuid], addresses(uuid)) for uuid in shown],
        "moves": [
            drains.described_move(reader, told[uuid], uuid in moved) for uuid in sorted(told)
        ],
        "targets": drain_targets.found(reader, wanted, listed, asked, dead=True),
        "domains": {},
        "agents": living_agents(network, request["hosts"]) if network else {},
        "error": None,
    }


# --- one step -------------------------------------------------------------------------------------


def silent(row, request):
    """The service of ROW, whose nova-compute has to be silent: where it runs guests may run."""
    service = described_service(row)
    if service["age"] is not None and service["age"] <= request["down_time"]:
        text = "the last heartbeat of its nova-compute is {:.0f} s old"
        raise drains.NotNow(text.format(service["age"]))
    return service


def force_down(compute, request):
    """Have Nova call the nova-compute of a host down, if its heartbeat still is that old."""
    host = request["step"]["host"]
    row = rows(request).get(host)
    if row is None:
        raise drains.NotNow(f"Nova has no nova-compute on {host}")
    service = silent(row, request)
    if service["forced_down"]:
        return
    path = "/os-services/" + rest.quoted(service["id"])
    try:
        compute.call("PUT", path, {"forced_down": True})
    except rest.ErrorStatus:
        raise
    except rest.Failed:
        again = rows(request).get(host)
        if again is None or not again["forced_down"]:
            raise


def evacuate(compute, request):
    wanted = request["step"]
    guest = drains.read_guest(compute, wanted["guest"])
    if guest is None:
        raise drains.NotNow("Nova no longer has it")
    drains.idle_here(guest, request["hosts"], *drain_targets.EVACUATED)
    if is_made_anew(guest) and not wanted["anew"]:
        raise drains.NotNow("a disk of it was only on {}".format(guest[HOST]))
    row = rows(request).get(guest[HOST])
    # It may have got its power back since the run has begun: forced down it stays all the same.
    if row is None or not silent(row, request)["forced_down"]:
        raise drains.NotNow("the nova-compute of {} is not forced down".format(guest[HOST]))
    path = "/os-migrations?instance_uuid={}&limit=1000".format(rest.quoted(guest["id"]))
    listed = compute.listed(path, "migrations", *newest_moves.MOVE)
    if any(under_way(move) and move["migration_type"] == EVACUATION for move in listed):
        raise drains.NotNow("an evacuation of it is under way")
    drains.act(compute, guest["id"], {"evacuate": {}})


def stop(compute, request):
    """Stop a guest that its evacuation, which is over, has started."""
    guest = drains.read_guest(compute, request["step"]["guest"])
    if guest is None:
        raise drains.NotNow("Nova no longer has it")
    move = drains.newest_move(compute, guest["id"])
    is_his = move["migration_type"] == EVACUATION and move["source_compute"] in request["hosts"]
    if not is_his or under_way(move) or move["dest_compute"] != guest[HOST]:
        raise drains.NotNow("that it was evacuated is not the last that has happened to it")
    drains.idle_here(guest, [move["dest_compute"]], "active")
    drains.act(compute, guest["id"], {"os-stop": None})


STEPS = {"force_down": force_down, "evacuate": evacuate, "stop": stop}


def step(request):
    compute = cloud_session.Cloud(request).compute
    return drains.taken(lambda: STEPS[request["step"]["kind"]](compute, request))


def answer(request):
    """An error of reading is told, not raised: in a plan there may be nothing to ask yet."""
    try:
        return step(request) if "step" in request else read(request)
    except (rest.Failed, sql.NoAnswerError, sql.NotInstalledError) as error:
        if "step" in request:
            raise SystemExit(str(error)) from None
        return {"error": str(error)}
