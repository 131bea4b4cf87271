"""The cloud in figures, of the evidence that an audit has gathered: for a page that people read.

Answer: {"services": [{"binary", "host", "age": s|null, "enabled": bool, "reason": text,
                       "forced_down": bool, "version",
                       "runs": whether its host says that its process runs|null}],
         "computes": [{"host", "address", "hypervisor", "guests": {state: number},
                       "capacity": {class: {"total", "used"}}|null}],
         "guests": {state: number}, "busy": number, "unplaced": number}
`total` is what Placement gives away: without what is reserved, times the ratio. Where Placement did
not answer, `capacity` is null.
"""

import nova_state
from standing import Processes

DAEMONS = ("nova-compute", "nova-conductor", "nova-scheduler")


def of(evidence):
    """The figures; None where the databases did not answer."""
    rows = evidence.databases
    if rows is None:
        return None
    guests, processes = by_host(rows["instances"]), Processes(evidence)
    return {
        "services": [
            service(row, evidence.now, processes) for row in rows["services"] if is_daemon(row)
        ],
        "computes": list(computes(rows, guests, evidence.placement)),
        "guests": counted(rows["instances"]),
        "busy": sum(1 for row in rows["instances"] if row["task_state"]),
        "unplaced": sum(1 for row in rows["instances"] if not row["host"]),
    }


def is_daemon(row):
    return row["binary"] in DAEMONS


def service(row, now, processes):
    seen = nova_state.epoch(row["last_seen_up"])
    return {
        "binary": row["binary"],
        "host": row["host"],
        "age": max(now - seen, 0.0) if seen else None,
        "enabled": not row["disabled"],
        "reason": row["disabled_reason"] or "",
        "forced_down": bool(row["forced_down"]),
        "version": row["version"],
        "runs": runs(row, processes),
    }


def runs(row, processes):
    if not processes.looked(row["host"]):
        return None
    return processes.of(row)["pid"] is not None


def by_host(instances):
    found = {}
    for row in instances:
        found.setdefault(row["host"], []).append(row)
    return found


def counted(instances):
    found = {}
    for row in instances:
        state = row["vm_state"] or "unknown"
        found[state] = found.get(state, 0) + 1
    return found


def computes(rows, guests, placement):
    capacity = capacities(placement) if placement else None
    for node in sorted(rows["compute_nodes"], key=lambda row: (row["host"] or "", row["id"])):
        yield {
            "host": node["host"],
            "address": node["host_ip"],
            "hypervisor": hypervisor(node),
            "guests": counted(guests.get(node["host"], ())),
            "capacity": capacity.get(node["hypervisor_hostname"], {}) if capacity else None,
        }


def hypervisor(node):
    """Its kind and version, which Nova keeps as one number (virt/libvirt, versionutils)."""
    number = node["hypervisor_version"] or 0
    version = f"{number // 1000000}.{number // 1000 % 1000}.{number % 1000}"
    return "{} {}".format(node["hypervisor_type"], version)


def capacities(placement):
    """By the name of a root provider: each class with what it and its children have, and give."""
    parents = {each["uuid"]: each["parent"] for each in placement["providers"]}
    names = {each["uuid"]: each["name"] for each in placement["providers"]}

    def root(uuid):
        while parents.get(uuid):
            uuid = parents[uuid]
        return names.get(uuid)

    found = {}
    for uuid, classes in placement["inventories"].items():
        for name, (total, reserved, ratio) in classes.items():
            each = found.setdefault(root(uuid), {}).setdefault(name, {"total": 0, "used": 0})
            each["total"] += int((total - reserved) * ratio)
    for allocation in placement["allocations"]:
        for name, used in allocation["resources"].items():
            classes = found.setdefault(root(allocation["provider"]), {})
            classes.setdefault(name, {"total": 0, "used": 0})["used"] += used
    return found
