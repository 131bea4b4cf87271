"""Folders of guests and images that nobody owns, on the disks of the hosts.

A folder may be on a file system of several hosts. Then it belongs to a guest wherever that one is,
and is named once.
"""

import domains
import guest_rows
from finding import GRACE, finding, needs
from names import word

UNUSED = 86400 + 3600
"""Seconds. Nova removes an image that no guest of the host has used for a day, at one of its looks
every 40 minutes (nova/conf/imagecache.py: remove_unused_original_minimum_age_seconds,
manager_interval); while one uses it, each look sets its time anew."""
UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")


def size(count):
    amount, unit = float(count), 0
    while amount >= 1024 and unit < len(UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{amount:.1f} {UNITS[unit]}" if unit else f"{count} bytes"


def each_file(evidence, kind):
    """Host, its answer, and each entry of KIND; what is on a shared file system only once."""
    named, shared = guest_rows.of(evidence).named, set()
    for name, answer in sorted(evidence.hosts.items()):
        for entry in answer.get(kind) or ():
            if answer.get("shared") and entry["name"] in shared:
                continue
            if answer.get("shared"):
                shared.add(entry["name"])
            yield named.get(name, name), answer, entry


@needs("databases", "hosts", "strangers")
def folders_without_owner(evidence):
    rows, places = guest_rows.of(evidence), domains.places(evidence)
    for host, answer, folder in each_file(evidence, "folders"):
        why = ownerless(rows, host, answer, folder)
        if (
            why is None
            or in_use(places, host, answer, folder)
            or folder["written"] > answer["time"] - GRACE
        ):
            continue
        path = f"{answer['instances']}/{folder['name']}"
        yield finding(
            "guest-folder-without-owner",
            host,
            f"folder {path} on {host} holds {size(folder['bytes'])}, and its guest {why}",
            f"when nobody needs what is in it, `rm -r {path}` on {host}",
            since=folder["written"],
            key=folder["name"],
        )


def in_use(places, host, answer, folder):
    """Whether a domain may have its disks in a folder: then that domain is what is to be told of.

    Where libvirt has not listed its domains nobody knows.
    """
    there = places.get(folder["name"], {})
    return answer.get("domains") is None or host in there or (answer["shared"] and bool(there))


def ownerless(rows, host, answer, folder):
    """What Nova says of the guest of a folder that is not its; None of one that is or may be."""
    uuid, kind = folder["name"][:36], folder["name"][36:]
    row = rows.live.get(uuid)
    if row is None:
        fate, since = rows.fate(uuid)
        if fate == "here" or rows.is_fresh(since):
            return None
        return "is deleted" if fate == "deleted" else "is in none of Nova's databases"
    if rows.busy(uuid) or host in rows.left.get(uuid, ()):
        return None
    if kind:
        return f"is {row['vm_state']} on {row['host']}, with no resize or deletion under way"
    if row["host"] != host and not (answer["shared"] and row["host"]):
        return f"is {row['vm_state']} on {row['host'] or 'no host'}"
    return None


@needs("databases", "hosts")
def unused_bases(evidence):
    """Cached images that are the backing file of no disk of a guest.

    Where a disk could not be read, nobody knows which image it is made of.
    """
    backing = {id(answer): set(answer.get("backing") or ()) for answer in evidence.hosts.values()}
    for host, answer, base in each_file(evidence, "bases"):
        path = f"{answer['instances']}/_base/{base['name']}"
        idle = answer["time"] - base["written"]
        if answer["unread"] or path in backing[id(answer)] or idle < UNUSED:
            continue
        yield finding(
            "base-image-unused",
            host,
            f"image {path} on {host} holds {size(base['bytes'])}, no disk is made of it, and Nova "
            f"has not touched it for {int(idle // 3600)} hours",
            f"`rm {word(path)}` on {host}, after a look at its log for 'image cache': nova-compute "
            "removes such images after a day unless remove_unused_base_images is off",
            since=base["written"],
            key=base["name"],
        )


DETECTORS = (folders_without_owner, unused_bases)
