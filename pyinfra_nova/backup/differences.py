"""How Nova, as it was, and the hypervisors, as they are, differ after a restore."""

from __future__ import annotations

from collections.abc import Mapping

from pyinfra_nova.audit.report import Audit, Finding

Replaced = Mapping[str, str]
"""Of guests, by uuid, what the replaced database of the cell says: "here" or "deleted"."""
Heading = tuple[str, str]
"""What differs, of one and of many."""

YOUNGER = (
    "guest that is younger than the backup",
    "guests that are younger than the backup",
)
ENDED = (
    "guest that was made and deleted since the backup, and is still there",
    "guests that were made and deleted since the backup, and are still there",
)
FORGOTTEN = (
    "guest that Nova has made and that is in no database",
    "guests that Nova has made and that are in no database",
)
OF_NOBODY = (
    "domain that neither the backup nor what it has replaced knows",
    "domains that neither the backup nor what it has replaced knows",
)
UNTOLD = ("domain that the backup does not know", "domains that the backup does not know")
DELETED = ("guest that was deleted since", "guests that were deleted since")
LOST = ("guest whose domain is lost", "guests whose domains are lost")
DELETED_OR_LOST = (
    "guest that was deleted since, or is lost",
    "guests that were deleted since, or are lost",
)
OTHERS: Mapping[str, Heading] = {
    "domain-of-deleted-guest": (
        "guest that Nova calls deleted, and that is there",
        "guests that Nova calls deleted, and that are there",
    ),
    "domain-on-another-host": ("guest that was moved since", "guests that were moved since"),
    "domain-on-two-hosts": ("guest that is on two hosts", "guests that are on two hosts"),
    "guest-running-unasked": ("guest that was started since", "guests that were started since"),
    "guest-not-running": ("guest that was stopped since", "guests that were stopped since"),
    "move-not-recorded": (
        "guest that was moved since, by Nova's own records",
        "guests that were moved since, by Nova's own records",
    ),
}
"""What needs no look at what was replaced."""
UNKNOWN, VANISHED = ("guest-forgotten", "domain-unknown-to-nova"), "guest-without-domain"
KINDS = frozenset({*OTHERS, *UNKNOWN, VANISHED})
OWN = "restore-unfinished"
"""What an audit finds of every restore that is not over."""


def uuid_of(finding: Finding) -> str:
    return finding.key.rpartition("/")[2]


def unclear(audit: Audit) -> list[str]:
    """The guests of which only the replaced databases can tell what they were."""
    return sorted({uuid_of(f) for f in audit.findings if f.kind in (*UNKNOWN, VANISHED)})


def of(audit: Audit, replaced: Replaced | None, kept: str) -> dict[Heading, list[str]]:
    """By what it means, what differs, each with what to do.

    Args:
        replaced: None where nobody has said it.
        kept: the name under which the cell's replaced database is kept.
    """
    found: dict[Heading, list[str]] = {}
    for each in audit.findings:
        if each.kind in UNKNOWN:
            heading, remedy = _unknown(each, replaced, kept)
        elif each.kind == VANISHED:
            heading, remedy = _vanished(each, replaced)
        elif each.kind in OTHERS:
            heading, remedy = OTHERS[each.kind], each.remedy
        else:
            continue
        found.setdefault(heading, []).append(f"{each.what}; {remedy}")
    return found


def _unknown(finding: Finding, replaced: Replaced | None, kept: str) -> tuple[Heading, str]:
    uuid = uuid_of(finding)
    state = (replaced or {}).get(uuid)
    if state == "here":
        return YOUNGER, (
            f"save what is in it: its row is in {kept}.instances until `./run restore --finish`, "
            f"and `virsh dumpxml {uuid}` on {finding.where} names its disks"
        )
    if state == "deleted":
        return ENDED, finding.remedy
    if finding.kind == "guest-forgotten":
        return FORGOTTEN, finding.remedy
    return (UNTOLD if replaced is None else OF_NOBODY), finding.remedy


def _vanished(finding: Finding, replaced: Replaced | None) -> tuple[Heading, str]:
    uuid = uuid_of(finding)
    state = (replaced or {}).get(uuid)
    delete = f"`openstack server delete {uuid}` deletes it again"
    anew = f"`openstack server reboot --hard {uuid}` makes it anew of the disks that are left"
    if state == "deleted":
        return DELETED, f"{delete}, as somebody wanted; {anew}"
    if state == "here":
        return LOST, anew
    return DELETED_OR_LOST, f"{delete}, if that was wanted; {anew}"
