"""Who holds resources in Placement, against the guests that Nova has and the hosts they are on."""

import json
import re

import guest_rows
from finding import finding, needs
from guest_rows import BUILDING, ERROR, OFFLOADED, called

CPUS = ("VCPU", "PCPU")
OF_A_COMPUTE = (*CPUS, "MEMORY_MB")
"""What only a compute gives; disk may be a shared storage's, ports' bandwidth a network agent's."""
OF_NOVA = (*OF_A_COMPUTE, "DISK_GB", "VGPU", "MEM_ENCRYPTION_CONTEXT")
"""Other services have consumers, too; one that holds none of these is none of Nova's."""
OVERRIDE = re.compile(r"resources[a-zA-Z0-9_-]{0,64}:(.+)")
"""An extra spec that asks for an amount itself (nova/scheduler/utils.py, XS_KEYPAT)."""
SHOW = "openstack resource provider allocation show"
DELETE = "openstack resource provider allocation delete"


class Held:
    """All that one consumer holds.

    Attributes:
        by_root: what it holds of each provider with all its children, by the root's uuid.
        total: the sum by class of resource.
        written: the epoch of the last change; None where the API does not tell it.
    """

    def __init__(self):
        self.by_root, self.total, self.written = {}, {}, None

    def add(self, root, each):
        here = self.by_root.setdefault(root, {})
        for name, amount in each["resources"].items():
            here[name] = here.get(name, 0) + amount
            self.total[name] = self.total.get(name, 0) + amount
        if each["written"] is not None:
            self.written = max(each["written"], self.written or 0)

    @property
    def computes(self):
        """The roots that give it CPUs or memory; all of them where it holds neither."""
        found = [root for root, held in self.by_root.items() if held.keys() & set(OF_A_COMPUTE)]
        return sorted(found or self.by_root)


class Holders:
    """
    Attributes:
        held: what each consumer holds, by its uuid.
        names: the name of each provider, by its uuid.
    """

    def __init__(self, placement):
        self.names = {each["uuid"]: each["name"] for each in placement["providers"]}
        parents = {each["uuid"]: each["parent"] for each in placement["providers"]}
        self.held = {}
        for each in placement["allocations"]:
            held = self.held.setdefault(each["consumer"], Held())
            held.add(root_of(each["provider"], parents), each)

    def where(self, held):
        return ", ".join(self.names.get(root, root) for root in held.computes)


def root_of(provider, parents):
    seen = set()
    while parents.get(provider) and provider not in seen:
        seen.add(provider)
        provider = parents[provider]
    return provider


def of(evidence):
    if getattr(evidence, "holders", None) is None:
        evidence.holders = Holders(evidence.placement)
    return evidence.holders


def amounts(resources):
    return ", ".join(f"{name} {amount}" for name, amount in sorted(resources.items()))


@needs("databases", "placement", "strangers")
def allocations_without_guest(evidence):
    rows, holders = guest_rows.of(evidence), of(evidence)
    for consumer, held in holders.held.items():
        fate, since = rows.fate(consumer)
        if fate == "here" or rows.is_fresh(since) or rows.is_fresh(held.written):
            continue
        if fate == "unknown" and not held.total.keys() & set(OF_NOVA):
            continue
        yield of_nobody(rows, consumer, fate, since, holders.where(held), amounts(held.total))


def of_nobody(rows, consumer, fate, since, where, what):
    if fate == "unknown":
        return finding(
            "allocation-of-nobody",
            where,
            f"{consumer} holds {what} on {where} and is in none of Nova's databases: a guest whose "
            "row is archived, or a consumer of another service",
            f"`{SHOW} {consumer}`; if it is nobody's, `{DELETE} {consumer}`",
            key=consumer,
        )
    if fate == "deleted":
        return finding(
            "allocation-of-deleted-guest",
            where,
            f"guest {consumer} is deleted, and still holds {what} on {where}",
            f"`{DELETE} {consumer}`",
            since=since,
            key=consumer,
            repair=repair(consumer, "guest-deleted"),
        )
    row = rows.migrations.get(consumer) or rows.strangers["migrations"][consumer]
    guest = rows.live.get(row["instance_uuid"])
    # Nova counts a failed migration until somebody has brought the guest out of its ERROR.
    in_doubt = fate == "failed" and guest is not None and guest["vm_state"] == ERROR
    return finding(
        "allocation-of-finished-migration",
        where,
        f"migration {consumer} of guest {row['instance_uuid']} is {row['status']}, and still holds "
        f"{what} on {where}" + (", while the guest is in ERROR" if in_doubt else ""),
        ("bring the guest out of its ERROR, then " if in_doubt else "") + f"`{DELETE} {consumer}`",
        since=since,
        key=consumer,
        repair=None if in_doubt else repair(consumer, "migration-finished"),
    )


def repair(consumer, why):
    return {"action": "delete-allocation", "consumer": consumer, "why": why}


@needs("databases", "placement")
def guests_and_their_allocations(evidence):
    """Of each guest at rest: whether it holds what it should, where it should."""
    rows, holders = guest_rows.of(evidence), of(evidence)
    flavors = {row["uuid"]: row for row in evidence.databases["flavors"]}
    volumes = {row["instance_uuid"] for row in evidence.databases["volume_roots"]}
    nodes = {(node["host"], node["hypervisor_hostname"]): uuid for uuid, node in rows.nodes.items()}
    for uuid, row in {**rows.failed, **rows.live}.items():
        held = holders.held.get(uuid)
        if uuid in rows.failed and held is None:
            continue
        if row["vm_state"] == BUILDING or rows.busy(uuid) or (held and rows.is_fresh(held.written)):
            continue
        if held is None:
            if row["host"] and (row["launched_at"] or row["vm_state"] != ERROR):
                yield without(row)
        elif not row["host"]:
            if row["vm_state"] in (ERROR, OFFLOADED):
                yield on_no_host(holders, row, held)
        else:
            node = nodes.get((row["host"], row["node"]))
            roots = [root for root in held.computes if not has_left(rows, uuid, root)]
            yield from misplaced(holders, row, held, roots, node)
            if len(held.computes) == 1:
                wanted = expected(row, flavors.get(uuid), uuid in volumes)
                yield from unlike(holders, row, held, wanted)


def has_left(rows, uuid, root):
    """Whether an evacuation took the guest from this compute, which will give back what it has."""
    hosts = rows.left.get(uuid)
    return bool(hosts) and root in rows.nodes and rows.nodes[root]["host"] in hosts


def without(row):
    return finding(
        "guest-without-allocation",
        row["host"],
        f"guest {called(row)} runs on {row['host']} and holds nothing in Placement",
        f"`nova-manage placement heal_allocations --instance {row['uuid']}`",
        key=row["uuid"],
    )


def on_no_host(holders, row, held):
    where = holders.where(held)
    return finding(
        "allocation-of-hostless-guest",
        where,
        f"guest {called(row)} is {row['vm_state']} and on no host, and still holds "
        f"{amounts(held.total)} on {where}",
        f"`{DELETE} {row['uuid']}`",
        since=held.written,
        key=row["uuid"],
    )


def misplaced(holders, row, held, roots, node):
    """A guest that holds CPUs or memory of two computes, or of one on which it is not."""
    uuid, host = row["uuid"], row["host"]
    if not held.total.keys() & set(OF_A_COMPUTE):
        return
    if len(roots) > 1:
        others = [root for root in roots if root != node]
        names = ", ".join(holders.names.get(root, root) for root in others)
        yield finding(
            "doubled-allocation",
            holders.names.get(others[0], others[0]),
            f"guest {called(row)} is on {host} and holds "
            + " and ".join(
                f"{amounts(held.by_root[root])} on {holders.names.get(root, root)}"
                for root in roots
            )
            + ", with no migration under way",
            f"when {names} does not run it, {unset(others, uuid)}",
            since=held.written,
            key=uuid,
        )
    elif node and roots and roots[0] != node:
        name = holders.names.get(roots[0], roots[0])
        yield finding(
            "allocation-on-another-host",
            name,
            f"guest {called(row)} is on {host}, and what it holds is on {name}: "
            f"{amounts(held.by_root[roots[0]])}",
            f"when {name} does not run it, `{DELETE} {uuid}` and "
            f"`nova-manage placement heal_allocations --instance {uuid}`",
            since=held.written,
            key=uuid,
        )


def unset(providers, consumer):
    """A guest may hold something of a child of these, too; then Placement says so by `show`."""
    words = "openstack --os-placement-api-version 1.12 resource provider allocation unset"
    named = " ".join(f"--provider {each}" for each in providers)
    return f"`{words} {named} {consumer}`"


def expected(row, flavor, on_volume):
    """What a guest of this flavor holds, by class: the amounts that are right; None if unknown.

    As Nova reckons it (nova/scheduler/utils.py, ResourceRequest.from_request_spec). Pinned CPUs
    are PCPU, by the flavor's word or the image's, so both kinds are added up.
    """
    swap, specs = 0, {}
    if flavor is not None:
        if flavor["swap"] is None or flavor["extra_specs"] is None:
            return None  # one that Nova keeps elsewhere
        swap, specs = int(flavor["swap"]), json.loads(flavor["extra_specs"]) or {}
    asked = {}
    for key, amount in specs.items():
        found = OVERRIDE.fullmatch(key)
        if found and not str(amount).isdigit():
            return None
        if found:
            asked[found[1]] = asked.get(found[1], 0) + int(amount)
    cpus, memory = row["vcpus"], row["memory_mb"]
    disk = row["ephemeral_gb"] + -(-swap // 1024)
    right = {
        "CPUs": {cpus, cpus + 1}
        if specs.get("hw:emulator_threads_policy") == "isolate"
        else {cpus},
        "MEMORY_MB": {memory},
        # A guest of old may hold the size of a root disk that is a volume.
        "DISK_GB": {disk, disk + row["root_gb"]} if on_volume else {disk + row["root_gb"]},
    }
    if asked.keys() & set(CPUS):
        right["CPUs"] = {sum(asked.get(name, 0) for name in CPUS)}
    for name in ("MEMORY_MB", "DISK_GB"):
        if name in asked:
            right[name] = {asked[name]}
    return right


def unlike(holders, row, held, wanted):
    if wanted is None:
        return
    has = {name: held.total.get(name, 0) for name in ("MEMORY_MB", "DISK_GB")}
    has["CPUs"] = sum(held.total.get(name, 0) for name in CPUS)
    wrong = [
        f"{has[name]} {name} instead of {max(right)}"
        for name, right in sorted(wanted.items())
        if has[name] not in right
    ]
    if wrong:
        uuid, where = row["uuid"], holders.where(held)
        yield finding(
            "allocation-unlike-flavor",
            where,
            f"guest {called(row)} holds {', '.join(wrong)} on {where}",
            f"`nova-manage placement heal_allocations --force --instance {uuid}`",
            since=held.written,
            key=uuid,
        )


DETECTORS = (allocations_without_guest, guests_and_their_allocations)
