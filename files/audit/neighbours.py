"""What Neutron and Keystone have about the hosts and the API of this cloud."""

import calendar
import re
import time

from finding import finding, needs
from names import age, by_short_name, grouped, short

SUBSTITUTED = re.compile(r"[%$]\((?:tenant|project|user)_id\)s")


@needs("network")
def network_agents(evidence):
    """Agents that are dead, and that report under a name which Nova does not use.

    A network node need not be in this inventory: an agent that lives is nobody's stranger.
    """
    names = evidence.expected["names"]
    alike, agents = by_short_name(names), evidence.network["agents"]
    there = {(row["agent_type"], row["host"]) for row in agents}
    for row in agents:
        host, kind = row["host"], row["agent_type"]
        twin = None if host in names else alike.get(short(host))
        text, command = f"{kind} on {host}", f"`openstack network agent delete {row['id']}`"
        seen = moment(row["heartbeat_timestamp"])
        silence = f"last heartbeat {age(evidence.now - seen)} ago" if seen else "no heartbeat"
        if not row["alive"] and host in evidence.expected["dead"]:
            continue  # as the inventory says; it goes when the compute is retired
        if not row["alive"] and host in names:
            found = (
                "agent-dead",
                f"{text} is dead: {silence}",
                (
                    f"`systemctl restart {row['binary']}` on {host}, or, if it is not to run "
                    f"there, {command}"
                ),
            )
        elif not row["alive"]:
            who = f"the inventory calls it {twin}" if twin else "the inventory does not name it"
            found = (
                "agent-of-a-stranger",
                f"{text} is dead, {silence}; {who}",
                (f"start it, or, if that host is gone for good, {command}"),
            )
        elif twin in evidence.expected["computes"] and (kind, twin) not in there:
            found = (
                "agent-renamed",
                (f"{text} is that of compute {twin}, under a name that Nova does not use"),
                f"[DEFAULT] host = {twin} in Neutron's configuration on {twin}, then {command}",
            )
        else:
            continue
        yield finding(
            found[0], host, *found[1:], since=None if row["alive"] else seen, key=row["id"]
        )


def moment(text):
    """The epoch of Neutron's `2026-11-22 23:20:33`, in UTC, or of Keystone's with a T and a Z."""
    try:
        return float(
            calendar.timegm(time.strptime(text[:19].replace("T", " "), "%Y-%m-%d %H:%M:%S"))
        )
    except (TypeError, ValueError):
        return None


@needs("identity")
def compute_endpoints(evidence):
    """The endpoints of Nova's API in this region against those of the settings."""
    region, wanted = evidence.expected["region"], evidence.expected["endpoints"]
    mine = [
        row
        for row in evidence.identity["endpoints"]
        if row["type"] == "compute" and row.get("region_id", row.get("region")) == region
    ]
    there = grouped(mine, "interface")
    for (interface,), rows in there.items():
        for row in rows:
            # Keystone fills in the project of whoever asks.
            url = wanted.get(interface)
            if url and not pattern(url).fullmatch(row["url"]):
                yield finding(
                    "endpoint-elsewhere",
                    row["url"],
                    f"the {interface} endpoint of compute in {region} ({row['id']}) is "
                    f"{row['url']}; the settings have {url}",
                    f"`openstack endpoint set --url '{url}' {row['id']}`, or `endpoints` in "
                    "group_data",
                    key=row["id"],
                )
        if len(rows) > 1:
            urls = ", ".join(sorted(f"{row['url']} ({row['id']})" for row in rows))
            yield finding(
                "endpoint-doubled",
                interface,
                f"compute has {len(rows)} {interface} endpoints in {region}: {urls}",
                "`openstack endpoint delete ID` for those that are not the settings'",
                key=f"{region}/{interface}",
            )
    for interface, url in wanted.items():
        if url and (interface,) not in there:
            yield finding(
                "endpoint-missing",
                interface,
                f"compute has no {interface} endpoint in {region}",
                f"`openstack endpoint create --region {region} compute {interface} '{url}'`",
                key=f"{region}/{interface}",
            )


def pattern(url):
    return re.compile("[^/]+".join(map(re.escape, SUBSTITUTED.split(url))))


DETECTORS = (network_agents, compute_endpoints)
