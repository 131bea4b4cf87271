"""See in Nova's databases, on the broker and through the APIs that every service does its work.

Request: {"database", "names": as for nova_state.py, "known": {binary: [hosts]},
          "services": {binary: {host: age of its process in seconds|null}},
          "computes": {host: its address},
          "retired": [hosts of what were computes, or have no power]|absent,
          "joining": bool, "margin": s, "delay": s, "down_time": s, "wait": s,
          "broker": {"hosts", "port", "user", "password", "virtual_host"}|null,
          "queues": {name: most consumers|null}, "api": as for compute_api.py|null}
Answer:  {"missing": {host: [what its services have not shown]}, "unmapped": [hosts],
          "flagged": bool, "strangers": [texts],
          "closed": {host: why it takes no new guests}, "unseen": [hosts that are not registered],
          "joining": [hosts that an earlier run was proving, if these are asked for],
          "forced": {host that is forced down: how many guests were evacuated from it, which it has
                     not yet taken away},
          "api": as of compute_api.py|null, "error": text|null, "early": bool}
`error` and `early` are as in nova_state.py; with an error nothing else has been shown.
Two queries for the services and nodes and one for the mappings, whatever the number of hosts.
A heartbeat counts when the process that runs now has sent it: one that is younger than the process.
Both ages are taken on their own clock; `margin` is by how much the controllers' clocks may differ,
`delay` how long the age of a process may have been on its way here, during which it grew.
"""

import struct
import time

import compute_api
import messaging
import nova_state

POLL = 1.0
SERVICES = "host, `binary`, last_seen_up, forced_down, disabled, disabled_reason"
NODES = "host, hypervisor_hostname, host_ip, mapped, COALESCE(updated_at, created_at) AS written"
NOT_DELETED = " WHERE deleted = 0"
DAEMONS = NOT_DELETED + " AND `binary` IN ('nova-compute', 'nova-conductor', 'nova-scheduler')"
LEFT = "source_compute AS host, COUNT(*) AS guests"
EVACUATED = (
    NOT_DELETED + " AND migration_type = 'evacuation'"
    " AND status IN ('accepted', 'pre-migrating', 'done') GROUP BY source_compute"
)
"""What nova-compute still has to take away when it starts (nova/compute/manager.py,
_destroy_evacuated_instances)."""
RECENT = 3600
"""Seconds that a process may have run for its node to be judged; its heartbeats tell more then, and
the clock that the node was written by may have been set since."""
JOINING = " WHERE name = 'pyinfra-nova-joining'"
"""The aggregate of computes that are being proven (smoke_guests.py)."""
BY_ITSELF = "AUTO:"
"""How Nova begins the reason for which it disables a compute itself (virt/libvirt/driver.py)."""


class Rows:
    """What the databases say now, by host."""

    def __init__(self, connection, names):
        self.read_at = time.time()
        cell1, api = names["cell1"], names["api"]
        services = nova_state.read_if_there(connection, cell1, "services", SERVICES, DAEMONS)
        self.services = {(row["binary"], row["host"]): row for row in services}
        self.nodes = {}
        for row in nova_state.read_if_there(connection, cell1, "compute_nodes", NODES, NOT_DELETED):
            self.nodes.setdefault(row["host"], []).append(row)
        mappings = nova_state.read_if_there(connection, api, "host_mappings", "host")
        self.mapped = {row["host"] for row in mappings}
        self.evacuated = {}
        if any(row["forced_down"] for row in services):
            found = nova_state.read_if_there(connection, cell1, "migrations", LEFT, EVACUATED)
            self.evacuated = {row["host"]: row["guests"] for row in found}


def heartbeat_problem(row, born, now, request):
    """Why a service does not count as up; BORN is when its process started, by this clock."""
    if row is None:
        return "has not registered"
    if row["forced_down"]:
        command = "openstack compute service set --up {host} {binary}".format(**row)
        return f"is forced down; where that is over: `{command}`"
    seen = nova_state.epoch(row["last_seen_up"])
    if born is not None and seen < born + request["margin"]:
        return f"has sent no heartbeat since its process started {now - born:.0f} s ago"
    if not seen:
        return "has never sent a heartbeat"
    if now - seen > request["down_time"]:
        return f"has sent its last heartbeat {now - seen:.0f} s ago"
    if row["disabled"] and (row["disabled_reason"] or "").startswith(BY_ITSELF):
        return "has disabled itself: " + row["disabled_reason"]
    return None


def node_problem(nodes, born, now, address, request):
    """Why a compute's node does not count as its own, written by the process that runs now."""
    if not nodes:
        return "is up but has no compute node yet"
    if len(nodes) > 1:
        names = ", ".join(sorted(node["hypervisor_hostname"] for node in nodes))
        return f"has {len(nodes)} compute nodes: {names}"
    node = nodes[0]
    if node["host_ip"] != address:
        return "has a compute node with address {} instead of {}".format(node["host_ip"], address)
    # Written once when a process starts, then when something changes: what is uncertain is on its
    # side, for it is not written again by waiting.
    earliest = request["margin"] + request["delay"]
    is_recent = born is not None and now - born < RECENT
    if is_recent and nova_state.epoch(node["written"]) < born - earliest:
        return "has not written its resources since its process started"
    return None


def missing(rows, begun, request):
    """By host, what each expected service has not shown."""
    found = {}
    for binary, hosts in request["services"].items():
        for host, age in hosts.items():
            born = None if age is None else begun - age
            problem = heartbeat_problem(
                rows.services.get((binary, host)), born, rows.read_at, request
            )
            if not problem and binary == "nova-compute":
                address = request["computes"][host]
                nodes = rows.nodes.get(host)
                problem = node_problem(nodes, born, rows.read_at, address, request)
            if problem:
                found.setdefault(host, []).append(f"{binary} {problem}")
    return found


def strangers(rows, request):
    """What Nova has of hosts that nobody named."""
    known = {binary: set(hosts) for binary, hosts in request["known"].items()}
    found = [
        f"service {binary} on {host}"
        for binary, host in sorted(rows.services)
        if host not in known.get(binary, ())
    ]
    computes = known.get("nova-compute", set())
    found += [f"compute node of {host}" for host in sorted(rows.nodes) if host not in computes]
    found += [f"cell mapping of {host}" for host in sorted(rows.mapped) if host not in computes]
    return found


def consumers(request):
    """How many consumers each queue has; None for one that is not there."""
    broker, said = request["broker"], None
    for host in broker["hosts"]:
        try:
            return messaging.consumers({**broker, "host": host}, request["queues"]), None
        except (OSError, ValueError, struct.error, IndexError) as error:
            said = f"RabbitMQ at {host}:{broker['port']}: {error}"
    return {}, said


def unheard(counts, request):
    """By host, on which of its queues nobody listens."""
    found = {}
    for queue in request["queues"]:
        if not counts.get(queue):
            text = f"nobody listens on queue {queue}: no call to it is answered"
            found.setdefault(queue.partition(".")[2], []).append(text)
    return found


def doubled(counts, request):
    """By host, on which of its queues there are more than can be of it."""
    found = {}
    for queue, most in request["queues"].items():
        count, host = counts.get(queue) or 0, queue.partition(".")[2]
        if most is not None and count > most:
            text = f"{count} listen on queue {queue}: another nova-compute says that it is {host}"
            found.setdefault(host, []).append(text)
    return found


def crowds(counts, request):
    """By host, what is wrong with the number of those who listen on its queues."""
    found = unheard(counts, request)
    for host, texts in doubled(counts, request).items():
        found.setdefault(host, []).extend(texts)
    return found


def explained(found, request):
    """What is missing, and that two take a compute's records from each other, where it is so."""
    if found["missing"] and request.get("broker") and not found["error"]:
        counts, _ = consumers(request)
        for host, texts in doubled(counts, request).items():
            said = found["missing"].get(host, [])
            found["missing"][host] = [*said, *(text for text in texts if text not in said)]
    return found


def closed(rows, request):
    """The computes that the scheduler sends no new guests, and why; of those in the request."""
    hosts = (*request["computes"], *request.get("retired", ()))
    found = {host: rows.services.get(("nova-compute", host)) for host in hosts}
    return {
        "closed": {
            host: row["disabled_reason"] or ""
            for host, row in found.items()
            if row and row["disabled"]
        },
        "unseen": [host for host, row in found.items() if row is None],
        "forced": {
            host: rows.evacuated.get(host, 0)
            for host, row in found.items()
            if row and row["forced_down"]
        },
    }


def joining(connection, request):
    """The hosts in the aggregate of those that an earlier run was proving."""
    if not request.get("joining"):
        return []
    api = request["names"]["api"]
    found = nova_state.read_if_there(connection, api, "aggregates", "id", JOINING)
    if not found:
        return []
    ids = [row["id"] for row in found]
    where = " WHERE aggregate_id IN ({})".format(", ".join(str(int(each)) for each in ids))
    rows = nova_state.read_if_there(connection, api, "aggregate_hosts", "host", where)
    return sorted({row["host"] for row in rows})


def look(connection, begun, request):
    rows = Rows(connection, request["names"])
    lacking, error = missing(rows, begun, request), None
    if request["broker"] and not lacking:
        counts, error = consumers(request)
        lacking = {} if error else crowds(counts, request)
    nodes = [node for host in request["computes"] for node in rows.nodes.get(host, ())]
    return {
        "missing": lacking,
        "unmapped": [host for host in request["computes"] if host not in rows.mapped],
        "flagged": any(node["mapped"] and node["host"] not in rows.mapped for node in nodes),
        "strangers": strangers(rows, request),
        **closed(rows, request),
        "joining": joining(connection, request),
        "error": error,
    }


def wait(connection, request):
    begun = time.time()
    deadline = time.monotonic() + request["wait"]
    while True:
        found = look(connection, begun, request)
        if not (found["missing"] or found["error"]) or time.monotonic() > deadline:
            return explained(found, request)
        time.sleep(POLL)


def answer(request):
    """An error is told, not raised: in a plan there may be nothing to ask yet."""
    found, error, early = nova_state.look(request, wait)
    if found is None:
        unmapped = list(request["computes"])
        found = {"missing": {}, "unmapped": unmapped, "flagged": False, "strangers": []}
        found.update(closed={}, forced={}, joining=[])
        found.update(unseen=[*unmapped, *request.get("retired", ())])
    found["error"] = str(error) if error else found["error"]
    asks = request["api"] and not found["error"]
    return {**found, "early": early, "api": compute_api.answer(request["api"]) if asks else None}
