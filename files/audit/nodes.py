"""Cells, and the computes in them: which host is mapped to which, and the nodes that it has."""

import nova_state
from finding import GRACE, finding, needs
from names import grouped, marked_deleted, word

CELL1 = "cell1"


class Computes:
    """Nova's records of computes, by their hosts."""

    def __init__(self, evidence):
        databases = evidence.databases
        self.expected = evidence.expected["computes"]
        self.services = {
            row["host"]: row for row in databases["services"] if row["binary"] == "nova-compute"
        }
        self.nodes = {
            host: rows for (host,), rows in grouped(databases["compute_nodes"], "host").items()
        }
        self.mapped = {row["host"] for row in databases["host_mappings"]}
        others = {
            row["id"]
            for row in databases["cell_mappings"]
            if row["uuid"] != nova_state.CELL0 and row["name"] != CELL1
        }
        self.elsewhere = {
            row["host"] for row in databases["host_mappings"] if row["cell_id"] in others
        }
        """Hosts of other cells, whose databases nobody reads here; those cells are findings."""

    def is_gone(self, host):
        """Whether neither the inventory nor a service of Nova's has the host; what else there is of
        one that has a service goes with that."""
        known = host in self.expected or host in self.services
        return not known and host not in self.elsewhere


def is_young(row, now):
    """Whether a row was made so lately that what belongs to it may still be on its way."""
    return now - nova_state.epoch(row["created_at"]) < GRACE


@needs("databases")
def nodes_without_hosts(evidence):
    """Compute nodes of hosts that nobody has, and of hosts that have lost their service."""
    computes = Computes(evidence)
    for host, rows in computes.nodes.items():
        names = ", ".join(sorted(row["hypervisor_hostname"] for row in rows))
        if computes.is_gone(host):
            yield finding(
                "node-of-a-stranger",
                host,
                f"compute node {names} of {host} is in Nova; neither the inventory nor a service "
                f"has that host",
                f"name {host} in the inventory, or, if it is gone for good, "
                + "in the cell's database "
                + marked_deleted("compute_nodes", [row["uuid"] for row in rows]),
                since=max(nova_state.epoch(row["written"]) for row in rows) or None,
                key="node",
            )
        elif host not in computes.services:
            yield finding(
                "node-without-service",
                host,
                f"compute node {names} of {host} is in Nova, its service nova-compute is not",
                f"`systemctl restart nova-compute` on {host}, which registers it again",
                key="node",
            )


@needs("databases")
def doubled_nodes(evidence):
    """More than one node of a host, which libvirt never has, and one name for those of several."""
    rows = [row for row in evidence.databases["compute_nodes"] if kind_of(row) != "ironic"]
    settled = [row for row in rows if not is_young(row, evidence.now)]
    for (host,), same in grouped(settled, "host").items():
        if len(same) > 1:
            yield finding(
                "nodes-doubled",
                host,
                f"{host} has {len(same)} compute nodes: {named(same, 'hypervisor_hostname')}",
                f"`systemctl restart nova-compute` on {host}: it removes those that its libvirt "
                "does not have",
                since=max(nova_state.epoch(row["created_at"]) for row in same) or None,
                key="nodes",
            )
    for (name,), same in grouped(settled, "hypervisor_hostname").items():
        hosts = sorted({row["host"] for row in same if row["host"]})
        if len(hosts) > 1:
            yield finding(
                "hypervisor-name-doubled",
                name,
                f"compute nodes of {' and '.join(hosts)} have the same name, {name}: "
                f"{named(same, 'host')}",
                "delete the service of the host that is no more; of two that are, give one another "
                "host name before it has guests",
                since=max(nova_state.epoch(row["created_at"]) for row in same) or None,
                key="name",
            )


def kind_of(row):
    return (row["hypervisor_type"] or "").lower()


def named(rows, key):
    return ", ".join(sorted(f"{row[key]} ({row['uuid']})" for row in rows))


@needs("databases")
def computes_without_nodes(evidence):
    """A compute that reports, and whose node never came."""
    computes, down_time = Computes(evidence), evidence.expected["down_time"]
    for host, row in computes.services.items():
        reports = evidence.now - nova_state.epoch(row["last_seen_up"]) <= down_time
        if host not in computes.expected or host in computes.nodes or not reports:
            continue
        if not is_young(row, evidence.now):
            yield finding(
                "node-missing",
                host,
                f"nova-compute on {host} reports, but has no compute node",
                f"`systemctl restart nova-compute` on {host}; its log says why it has none",
                key="node",
            )


@needs("databases")
def mappings(evidence):
    """Computes that are not mapped, and mappings of computes that are not there."""
    computes = Computes(evidence)
    for host in computes.expected:
        rows = [*computes.nodes.get(host, ()), *filter(None, [computes.services.get(host)])]
        if host in computes.mapped or host not in computes.nodes:
            continue
        if any(is_young(row, evidence.now) for row in rows):
            continue
        # A discovery leaves out nodes that are flagged as mapped already.
        flagged = any(node["mapped"] for node in computes.nodes[host])
        more = " --by-service" if flagged else ""
        yield finding(
            "compute-unmapped",
            host,
            f"{host} has a compute node, but is mapped to no cell",
            f"`nova-manage cell_v2 discover_hosts{more}` on the primary controller",
            key="mapping",
            repair={"action": "map-hosts", "host": host, "by_service": flagged},
        )
    cells = {row["id"]: row["uuid"] for row in evidence.databases["cell_mappings"]}
    ours = {row["id"] for row in evidence.databases["cell_mappings"] if row["name"] == CELL1}
    for row in evidence.databases["host_mappings"]:
        host, cell = row["host"], cells.get(row["cell_id"])
        if host in computes.expected and host in computes.nodes and row["cell_id"] not in ours:
            yield astray(host, cell)
            continue
        command = f"`nova-manage cell_v2 delete_host --cell_uuid {cell} --host {word(host)}`"
        if computes.is_gone(host):
            yield finding(
                "mapping-of-a-stranger",
                host,
                f"{host} is mapped to cell {cell}; neither the inventory nor a service has it",
                f"name {host} in the inventory, or, if it is gone for good, {command}",
                key="mapping",
            )
        elif host in computes.elsewhere and host not in computes.expected:
            continue
        elif host not in computes.nodes and host not in computes.services:
            yield finding(
                "mapping-without-compute",
                host,
                f"{host} is mapped to cell {cell}, but has neither a service nor a compute node",
                f"deploy {host}, or take it out of the inventory and {command}",
                key="mapping",
            )


def astray(host, cell):
    return finding(
        "compute-unmapped",
        host,
        f"{host} has its compute node in {CELL1}, and is mapped to cell {cell}",
        f"`nova-manage cell_v2 delete_host --cell_uuid {cell} --host {word(host)}`, then "
        "`nova-manage cell_v2 discover_hosts --by-service` on the primary controller",
        key="mapping",
    )


@needs("databases")
def cells(evidence):
    """There are two cells: the one for guests and cell0, for those that found no host."""
    found = evidence.databases["cell_mappings"]
    of_guests = [row for row in found if row["uuid"] != nova_state.CELL0]
    in_use = {row["cell_id"] for row in evidence.databases["host_mappings"]}
    mine = [row for row in of_guests if row["name"] == CELL1]
    _, *spare = sorted(mine, key=lambda row: (row["id"] not in in_use, row["id"])) or [None]
    for row in of_guests:
        where, uuid = row["name"] or row["uuid"], row["uuid"]
        hosts = "hosts are mapped to it" if row["id"] in in_use else "no host is mapped to it"
        remedy = f"`nova-manage cell_v2 delete_cell --cell_uuid {uuid}`"
        if row["id"] in in_use:
            remedy = f"if its hosts are gone for good, `nova-manage cell_v2 delete_host`, {remedy}"
        if row["name"] != CELL1:
            what = f"cell {row['name']} ({uuid}) is in Nova, not in the settings; {hosts}"
            yield finding("cell-of-a-stranger", where, what, remedy, key=uuid)
        elif row in spare:
            what = f"{len(mine)} cells are called {CELL1}; of {uuid}: {hosts}"
            yield finding("cell-doubled", where, what, remedy, key=uuid)
        if row["disabled"]:
            yield finding(
                "cell-disabled",
                where,
                f"cell {row['name']} ({uuid}) is disabled",
                "deploy, which enables it",
                key=uuid,
            )
    names = {"cell0" if row["uuid"] == nova_state.CELL0 else row["name"] for row in found}
    for name in {"cell0", CELL1} - names:
        yield finding(
            "cell-missing", name, f"there is no {name}", "deploy the controllers", key=name
        )


DETECTORS = (
    nodes_without_hosts,
    doubled_nodes,
    computes_without_nodes,
    mappings,
    cells,
)
