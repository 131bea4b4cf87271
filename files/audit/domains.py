"""The domains that libvirt has on each host, against the guests that Nova has there.

A host that gave no answer, or whose libvirt gave none, is not looked at: it is not without domains.
The hosts have answered a moment before the databases, so guests in the midst of something are left
alone; see `guest_rows.py`.
"""

import guest_rows
from finding import GRACE, finding, needs
from guest_rows import BUILDING, called
from guests import NOWHERE, unrecorded

ON, OFF = ("running", "paused"), ("shut off", "crashed")
PAUSED_FOR = {
    1: "",
    5: " after an I/O error, such as a full disk",
    6: " by its watchdog",
    10: " after it crashed",
    13: " by a migration that failed half-way",
}
"""Why a domain stays paused; other reasons pass (virDomainPausedReason of libvirt-domain.h)."""
UP = ("active", "rescued")
DOWN = ("stopped", "suspended", "shelved", "soft-delete")


def looked_at(evidence):
    """The answer of each host whose libvirt answered, by its name in Nova."""
    named = guest_rows.of(evidence).named
    return {
        named.get(name, name): answer
        for name, answer in evidence.hosts.items()
        if answer.get("domains") is not None
    }


def places(evidence):
    """Of each uuid the domains that have it, by host."""
    if getattr(evidence, "places", None) is None:
        evidence.places = {}
        for host, answer in looked_at(evidence).items():
            for domain in answer["domains"]:
                evidence.places.setdefault(domain["uuid"], {})[host] = domain
    return evidence.places


@needs("hosts")
def silent_libvirts(evidence):
    for name, answer in evidence.hosts.items():
        if answer.get("domains_error"):
            yield finding(
                "libvirt-silent",
                name,
                f"libvirt on {name} does not list its domains: {answer['domains_error']}",
                f"see `journalctl -u libvirtd -u virtqemud` on {name}",
                key="libvirt",
            )


@needs("databases", "hosts", "strangers")
def domains_without_guest(evidence):
    rows = guest_rows.of(evidence)
    for uuid, found in places(evidence).items():
        fate, since = rows.fate(uuid)
        for host, domain in found.items():
            if fate == "deleted" and not rows.is_fresh(since):
                yield of_deleted(host, domain, since)
            elif fate == "unknown":
                yield forgotten(host, domain) if domain.get("of_nova") else of_nobody(host, domain)


def forgotten(host, domain):
    """A guest of which Nova has no row: it is somebody's, whatever has become of the row."""
    uuid = domain["uuid"]
    return finding(
        "guest-forgotten",
        host,
        f"Nova has made domain {domain['name']} ({uuid}) on {host}, which is {domain['state']}, "
        "and has it in none of its databases",
        f"save what is in it: `virsh dumpxml {uuid}` on {host} names its owner and its disks, and "
        "databases that a restore has replaced keep its row until `./run restore --finish`; only "
        f"when that is done, {gone(uuid)}",
        since=domain["since"],
        key=uuid,
    )


def of_nobody(host, domain):
    uuid, made = domain["uuid"], domain.get("of_nova")
    nor = ", nor was it made by Nova" if made is False else ""
    return finding(
        "domain-unknown-to-nova",
        host,
        f"domain {domain['name']} ({uuid}) on {host} is {domain['state']} and is in none of Nova's "
        f"databases{nor}",
        f"`virsh dumpxml {uuid}` on {host} tells what it is, and whoever made it whether it is "
        f"needed; if nobody needs it, {gone(uuid)}",
        since=domain["since"],
        key=uuid,
    )


def of_deleted(host, domain, since):
    uuid = domain["uuid"]
    return finding(
        "domain-of-deleted-guest",
        host,
        f"guest {uuid} is deleted, and its domain {domain['name']} on {host} is {domain['state']}",
        f"nova-compute on {host} removes it within half an hour unless "
        f"running_deleted_instance_action says otherwise; by hand: {gone(uuid)}",
        since=since,
        key=uuid,
    )


def gone(uuid):
    return f"`virsh destroy {uuid}; virsh undefine --managed-save --nvram {uuid}` ends it for good"


@needs("databases", "hosts")
def misplaced_domains(evidence):
    """Domains on another host than the one on which Nova has the guest."""
    rows = guest_rows.of(evidence)
    known_moves = unrecorded(rows)
    for uuid, found in places(evidence).items():
        row = rows.live.get(uuid)
        if row is None or row["vm_state"] == BUILDING:
            continue
        move = known_moves.get(uuid)
        others = [
            host
            for host, domain in found.items()
            if host != row["host"]
            and not (move and host == move["dest_compute"])
            and not (domain["state"] in OFF and host in rows.left.get(uuid, ()))
        ]
        if others and not rows.busy(uuid):
            yield elsewhere(row, found, sorted(others)[0])


def elsewhere(row, found, other):
    uuid, host = row["uuid"], row["host"] or NOWHERE
    if row["host"] in found:
        states = f"{found[host]['state']} on {host} and {found[other]['state']} on {other}"
        return finding(
            "domain-on-two-hosts",
            other,
            f"guest {called(row)} is on {host} in Nova, and in libvirt it is {states}",
            f"on {other}, when {host} runs the right one: {gone(uuid)}",
            since=found[other]["since"],
            key=uuid,
        )
    return finding(
        "domain-on-another-host",
        other,
        f"guest {called(row)} is on {host} in Nova, and in libvirt it is {found[other]['state']} "
        f"on {other}",
        f"compare the disks on both hosts; if {other} has the right one, set host and node of the "
        f"guest in the cell's table instances; otherwise on {other}: {gone(uuid)}",
        since=found[other]["since"],
        key=uuid,
    )


@needs("databases", "hosts")
def guests_against_domains(evidence):
    """Guests whose domain is not there, or is not in the state in which Nova has it."""
    rows, hosts, found = guest_rows.of(evidence), looked_at(evidence), places(evidence)
    for uuid, row in rows.live.items():
        answer = hosts.get(row["host"])
        if answer is None or row["vm_state"] == BUILDING or rows.busy(uuid):
            continue
        domain = found.get(uuid, {}).get(row["host"])
        if domain is not None:
            yield from in_another_state(row, domain, answer)
        elif row["vm_state"] in (*UP, "paused") and uuid not in found:
            yield finding(
                "guest-without-domain",
                row["host"],
                f"guest {called(row)} is {row['vm_state']} in Nova, and libvirt on {row['host']} "
                "has no such domain",
                f"`openstack server reboot --hard {uuid}` makes it anew of the disks that are left"
                f"; `openstack server delete {uuid}` if it was deleted since a backup was restored",
                key=uuid,
            )


def in_another_state(row, domain, answer):
    state, vm_state, since = domain["state"], row["vm_state"], domain["since"]
    began = max(since or 0, answer.get("boot") or 0)
    if began > answer["time"] - GRACE:
        return  # nova-compute has yet to hear of it
    paused_for = PAUSED_FOR.get(domain["reason"]) if state == "paused" else None
    uuid, host = row["uuid"], row["host"]
    what = f"guest {called(row)} is {vm_state} in Nova, and its domain {domain['name']} on {host}"
    if vm_state in (*UP, "paused") and state in OFF:
        yield finding(
            "guest-not-running",
            host,
            f"{what} is {state}",
            f"`openstack server reboot --hard {uuid}` starts it, "
            f"`openstack server stop {uuid}` says that it is meant",
            since=since,
            key=uuid,
        )
    elif vm_state in UP and paused_for is not None:
        yield finding(
            "guest-not-running",
            host,
            f"{what} is paused{paused_for}",
            f"when the cause is gone, `virsh resume {uuid}` on {host}",
            key=uuid,
        )
    elif (vm_state in DOWN and state in ON) or (vm_state == "paused" and state == "running"):
        yield finding(
            "guest-running-unasked",
            host,
            f"{what} is {state}",
            f"`openstack server reboot --hard {uuid}` if it is to run; "
            f"otherwise `virsh shutdown {uuid}` on {host}",
            since=since,
            key=uuid,
        )


DETECTORS = (
    silent_libvirts,
    domains_without_guest,
    misplaced_domains,
    guests_against_domains,
)
