"""Records of services: those that nobody stands behind any more, or twice, or in another cell."""

from finding import finding, needs
from names import age, by_short_name, counted, grouped, marked_deleted, short
from standing import TOPICS, Standing, queue_of, seen


@needs("databases")
def services_of_strangers(evidence):
    """Services in Nova of hosts that the inventory does not have for them."""
    standing, belongings = Standing(evidence), Belongings(evidence)
    there = grouped(evidence.databases["services"], "binary", "host")
    for binary, hosts in evidence.expected["services"].items():
        known, alike = set(hosts), by_short_name(hosts)
        for row in evidence.databases["services"]:
            if row["binary"] != binary or row["host"] in known:
                continue
            twin = alike.get(short(row["host"]))
            if twin is None:
                retired = row["host"] in evidence.expected["retired"]
                yield stranger(row, standing, belongings, retired)
            else:
                yield renamed(row, twin, (binary, twin) in there, standing)


def stranger(row, standing, belongings, retired):
    binary, host = row["binary"], row["host"]
    where = "and retired" if retired else "not"
    what = f"service {binary} on {host} is in Nova, {where} in the inventory; " + said(
        row, standing
    )
    if binary == "nova-compute":
        what += belongings.said(host)
    remedy = f"name {host} in the inventory, or, if it is gone for good, " + removal(row, standing)
    if retired:
        remedy = f"deploy {host}, which retires it, or says what keeps it"
    return finding(
        "service-of-a-stranger",
        host,
        what,
        remedy,
        since=seen(row) or None,
        key=binary,
        repair=repair(row) if standing.is_gone(row) and not retired else None,
    )


def renamed(row, twin, is_there, standing):
    """A record under a name that differs from the inventory's in domain or case alone.

    MariaDB takes names that differ in case for the same, and Nova's deletion of a service takes
    along the compute nodes of that name: such a one is not deleted without a person.
    """
    binary, host = row["binary"], row["host"]
    also = ", which has one, too" if is_there else ""
    same = host.lower() == twin.lower()
    if same and is_there:
        remedy = "in the cell's database " + marked_deleted("services", [row["uuid"]])
    elif is_there:
        remedy = removal(row, standing)
    else:
        remedy = f"`nova_host` = {host} for that host in the inventory, if it is to keep this name"
    safe = is_there and not same and standing.is_gone(row)
    return finding(
        "service-renamed",
        host,
        f"service {binary} is in Nova on {host}; the inventory calls that host {twin}{also}; "
        + said(row, standing),
        remedy,
        since=seen(row) or None,
        key=binary,
        repair=repair(row) if safe else None,
    )


def said(row, standing):
    """What is known of who runs a service."""
    parts = (f"its last heartbeat is {age(standing.silence(row))} old", standing.at_queue(row))
    return ", ".join(filter(None, parts))


def removal(row, standing):
    command = f"`openstack compute service delete {row['uuid']}`"
    if standing.is_up(row) or standing.consumers(row):
        return f"stop {row['binary']} there, then {command}"
    return command


def repair(row):
    return {
        "action": "delete-service",
        "service": row["uuid"],
        "binary": row["binary"],
        "host": row["host"],
        "queue": queue_of(row),
    }


class Belongings:
    """What else there is of a host, which goes when its service nova-compute is deleted."""

    def __init__(self, evidence):
        databases = evidence.databases
        self.parts = {
            "cell mapping": grouped(databases["host_mappings"], "host"),
            "compute node": grouped(databases["compute_nodes"], "host"),
            "aggregate membership": grouped(databases["aggregate_hosts"], "host"),
        }
        self.guests = grouped(databases["instances"], "host")

    def said(self, host):
        own = (host,)
        found = [counted(len(rows[own]), part) for part, rows in self.parts.items() if own in rows]
        text = f"; with it {' and '.join(found)}" if found else ""
        if own in self.guests:
            text += f"; {counted(len(self.guests[own]), 'guest')} on it"
        return text


@needs("databases")
def doubled_services(evidence):
    """A binary of a host of the inventory with more than one record."""
    known = {binary: set(hosts) for binary, hosts in evidence.expected["services"].items()}
    for (binary, host), rows in grouped(evidence.databases["services"], "binary", "host").items():
        if len(rows) < 2 or host not in known.get(binary, ()):
            continue
        *older, newest = sorted(rows, key=seen)
        uuids = ", ".join(row["uuid"] for row in older)
        yield finding(
            "service-doubled",
            host,
            f"service {binary} on {host} is {len(rows)} times in Nova; the last heartbeat went to "
            f"{newest['uuid']}, the others are {uuids}",
            "no deletion by the API, which would take the cell mapping and the compute nodes of "
            f"{host} along; in the cell's database "
            + marked_deleted("services", [row["uuid"] for row in older]),
            key=binary,
        )


@needs("databases")
def missing_services(evidence):
    """What the inventory has and what never registered."""
    rows = evidence.databases["services"]
    there = grouped(rows, "binary", "host")
    for binary, hosts in evidence.expected["services"].items():
        known, alike = set(hosts), by_short_name(hosts)
        # What has registered under a name that differs a little is a finding already.
        renamed = {
            alike.get(short(row["host"]))
            for row in rows
            if row["binary"] == binary and row["host"] not in known
        }
        for host in hosts:
            if (binary, host) not in there and host not in renamed:
                yield finding(
                    "service-missing",
                    host,
                    f"service {binary} on {host} is in the inventory, not in Nova",
                    f"deploy {host}, or `systemctl restart {binary}` on it, which registers; or "
                    f"take {host} out of the inventory",
                    key=binary,
                )


@needs("databases")
def services_in_cell0(evidence):
    """cell0 has no services: who registers there was given its database for that of a cell."""
    for row in evidence.databases["cell0_services"]:
        if row["binary"] in TOPICS:
            yield finding(
                "service-in-cell0",
                row["host"],
                f"service {row['binary']} on {row['host']} is registered in cell0",
                f"deploy {row['host']}, whose nova.conf has had cell0's database at [database] "
                "connection; then, in the database of cell0, "
                + marked_deleted("services", [row["uuid"]]),
                key=f"{row['binary']}/{row['uuid']}",
            )


DETECTORS = (services_of_strangers, doubled_services, missing_services, services_in_cell0)
