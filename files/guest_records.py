"""One guest as Nova's API has it, and what is asked of Nova for it."""

import rest

HOST, STATE = "OS-EXT-SRV-ATTR:host", "OS-EXT-STS:vm_state"
TASK, POWER = "OS-EXT-STS:task_state", "OS-EXT-STS:power_state"
GUEST = ("id", "name", "flavor", HOST, STATE, TASK, POWER)


class NotNow(Exception):  # noqa: N818 - it is what was read
    """The guest is no longer as it was when this step was decided."""


def read_guest(compute, uuid):
    """The guest; None only where Nova itself says that there is none."""
    try:
        return compute.one("/servers/" + rest.quoted(uuid), "server", *GUEST)
    except rest.ErrorStatus as error:
        # A proxy's 404, or that of another service at this address, has no such word in it.
        if error.status == 404 and "itemNotFound" in error.answer.json():
            return None
        raise


def act(compute, uuid, body):
    compute.call("POST", "/servers/{}/action".format(rest.quoted(uuid)), body)
