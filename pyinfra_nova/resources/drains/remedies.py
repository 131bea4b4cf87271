"""What a guest that stays is said to need: its state, and the command of OpenStack's that helps."""

from __future__ import annotations

from pyinfra_nova.resources.drains.state import Guest

AGAIN = ", then deploy again"
REMEDIES = {
    "suspended": "is SUSPENDED: `openstack server resume {uuid}`" + AGAIN,
    "rescued": "is RESCUED: `openstack server unrescue {uuid}`" + AGAIN,
    # Of one that is shelved already, clients since that of 2025.1 offload nothing, without a word.
    "shelved": "is SHELVED, its disk still there: `openstack server unshelve --wait {uuid}`, and "
    "where it is to be shelved `openstack server shelve --offload {uuid}` after that{disk}" + AGAIN,
    "shelved_offloaded": "is about to leave: where it does not, `openstack server unshelve {uuid}`"
    + AGAIN,
    "soft-delete": "is deleted, and can still be restored: `openstack server restore {uuid}` or "
    "`openstack server delete --force {uuid}`" + AGAIN,
    "resized": "waits (VERIFY_RESIZE) for somebody to confirm what was changed: `openstack server "
    "resize confirm {uuid}` or `openstack server resize revert {uuid}`" + AGAIN,
    "error": "is in ERROR ({fault}): see `openstack server event list {uuid}`; once it is mended, "
    "`openstack server set --state active {uuid}`, or delete it" + AGAIN,
}
BEING_DELETED = (
    "is being deleted: where that does not end, `openstack server set --state error {uuid}` and "
    "`openstack server delete {uuid}`" + AGAIN
)
"""Nova passes over a second deletion as long as the task of the first is there (compute/api.py)."""
SECOND_DISK = " (its ephemeral disk is lost by that)"
"""Shelved, a guest has an image of its root disk alone."""
ENDS = "let it end; `./run audit` says what to do where nobody is at it any more"


def broken(guest: Guest) -> str:
    """Why GUEST, which has been moved, is not as it was, and where to look for what mends that."""
    return f"{_moved(guest)}: see `openstack server event list {guest.uuid}`"


def arrived_by_hand(guest: Guest) -> str:
    """The same of one of which Neutron was told twice at once that it had arrived."""
    mends = f"`openstack server set --state active {guest.uuid}`"
    return f"{_moved(guest)}: where it runs there, {mends}; then see `./run audit`"


def _moved(guest: Guest) -> str:
    return f"was moved there, and is in ERROR ({guest.fault or 'no reason given'})"
