"""Placement's providers and aggregates, held against Nova's compute nodes and aggregates."""

from finding import finding, needs
from names import counted, short, word
from nodes import Computes, is_young

OF_COMPUTES = {"VCPU", "PCPU", "MEMORY_MB"}
"""What no provider has inventory of but a compute; others, say a shared disk, are not Nova's."""


class Tree:
    """Placement's providers: root providers, and which of them are compute nodes."""

    def __init__(self, evidence):
        placement, databases = evidence.placement, evidence.databases
        self.roots = {row["uuid"]: row for row in placement["providers"] if not row["parent"]}
        self.inventories = placement["inventories"]
        self.nodes = {row["uuid"]: row for row in databases["compute_nodes"]}
        self.consumers = {}
        for row in placement["allocations"]:
            self.consumers.setdefault(row["provider"], set()).add(row["consumer"])

    def is_of_a_compute(self, uuid):
        found = set(self.inventories.get(uuid, ()))
        return not found or bool(found & OF_COMPUTES)


@needs("databases", "placement")
def providers_without_nodes(evidence):
    """Root providers that are no compute node of Nova's."""
    tree = Tree(evidence)
    services = [row for row in evidence.databases["services"] if row["binary"] == "nova-compute"]
    left_alone = {short(row["host"]) for row in services if is_young(row, evidence.now)}
    left_alone.update(short(host) for host in Computes(evidence).elsewhere)
    alike = {short(host): host for host in evidence.expected["computes"]}
    for uuid, row in tree.roots.items():
        name = row["name"]
        if uuid in tree.nodes or short(name) in left_alone or not tree.is_of_a_compute(uuid):
            continue
        what = f"provider {name} ({uuid}) is in Placement, but no compute node in Nova"
        twin = alike.get(short(name))
        if twin:
            what += f"; while it has that name, {twin} can make none of its own"
        held = tree.consumers.get(uuid, ())
        remedy = f"`openstack resource provider delete {uuid}`"
        if held:
            what += f"; {counted(len(held), 'consumer', 'hold')} allocations of it"
            remedy += ", once nobody has allocations of it any more"
        yield finding("provider-without-node", name, what, remedy, key=uuid)


@needs("databases", "placement")
def nodes_without_providers(evidence):
    """Compute nodes to which Placement can send no guest."""
    tree, expected = Tree(evidence), evidence.expected["computes"]
    for uuid, row in tree.nodes.items():
        host = row["host"]
        if host not in expected or is_young(row, evidence.now):
            continue
        if uuid not in tree.roots:
            yield finding(
                "node-without-provider",
                host,
                f"compute node {row['hypervisor_hostname']} ({uuid}) of {host} has no provider in "
                "Placement",
                f"`systemctl restart nova-compute` on {host}; its log says what keeps it from "
                "making one",
                key=uuid,
            )


@needs("databases")
def strangers_in_aggregates(evidence):
    """Members that are no computes; those that have a service go with it."""
    computes = Computes(evidence)
    names = {row["id"]: row["name"] for row in evidence.databases["aggregates"]}
    for row in evidence.databases["aggregate_hosts"]:
        host, aggregate = row["host"], names.get(row["aggregate_id"], row["aggregate_id"])
        if computes.is_gone(host):
            yield finding(
                "aggregate-member-of-a-stranger",
                host,
                f"{host} is in aggregate {aggregate}; neither the inventory nor Nova has such a "
                "compute",
                f"`openstack aggregate remove host {word(aggregate)} {word(host)}`",
                key=aggregate,
            )


@needs("databases", "placement")
def unlike_aggregates(evidence):
    """Aggregates whose members are others in Placement, by which the scheduler chooses hosts."""
    databases, placement = evidence.databases, evidence.placement
    aggregates = {row["id"]: row for row in databases["aggregates"] if row["uuid"]}
    by_uuid = {row["uuid"]: row for row in aggregates.values()}
    by_host = {
        row["host"]: row["uuid"]
        for row in databases["compute_nodes"]
        if not is_young(row, evidence.now)
    }
    hosts = {uuid: host for host, uuid in by_host.items()}
    roots = {row["uuid"] for row in placement["providers"]}
    wanted, lacking = set(), {}
    for row in databases["aggregate_hosts"]:
        uuid, aggregate = by_host.get(row["host"]), aggregates.get(row["aggregate_id"])
        if uuid is None or aggregate is None:
            continue
        wanted.add((uuid, aggregate["uuid"]))
        there = aggregate["uuid"] in placement["aggregates"].get(uuid, ())
        if uuid in roots and not there and not is_young(row, evidence.now):
            lacking.setdefault(aggregate["uuid"], []).append(row["host"])
    for uuid, members in lacking.items():
        name = by_uuid[uuid]["name"]
        yield finding(
            "aggregate-not-in-placement",
            name,
            f"aggregate {name} ({uuid}) lacks {', '.join(sorted(members))} in Placement",
            "`nova-manage placement sync_aggregates` on the primary controller",
            key=uuid,
            repair={"action": "sync-aggregates", "aggregate": uuid, "hosts": sorted(members)},
        )
    for provider, found in placement["aggregates"].items():
        for uuid in found:
            if provider in hosts and uuid in by_uuid and (provider, uuid) not in wanted:
                yield too_much(hosts[provider], provider, by_uuid[uuid], found)


def too_much(host, provider, aggregate, found):
    """A member that Placement has beyond Nova's; no command of Nova's takes one out."""
    uuid = aggregate["uuid"]
    kept = "".join(f" --aggregate {each}" for each in sorted(found) if each != uuid)
    return finding(
        "aggregate-member-in-placement-only",
        host,
        f"{host} is in aggregate {aggregate['name']} ({uuid}) in Placement, not in Nova",
        "`openstack resource provider aggregate set --generation $(openstack resource provider "
        f"show -f value -c generation {provider}){kept} {provider}`",
        key=uuid,
    )


DETECTORS = (
    providers_without_nodes,
    nodes_without_providers,
    strangers_in_aggregates,
    unlike_aggregates,
)
