"""Repairs by the APIs of Nova and Placement: stale services, allocations that nobody uses.

delete-service:     {"service": uuid, "binary"}
delete-allocation:  {"consumer": uuid, "providers": [uuids]|absent: all that it has something of}
"""

import provider_allocations
import rest
import standing
from finding import GRACE
from repair_steps import Refused

# --- services -------------------------------------------------------------------------------------


def delete_service(session, each, held):
    """Delete a service that no process stands behind, and see whether its provider has gone too.

    Nova passes over a provider that it cannot delete, and answers 204 all the same
    (nova/scheduler/client/report.py delete_resource_provider).
    """
    uuid, binary = each["repair"]["service"], each["repair"]["binary"]
    rows = session.seen.databases["services"]
    row = next((row for row in rows if (row["uuid"], row["binary"]) == (uuid, binary)), None)
    if row is None:
        raise Refused(f"cell1 has no service {binary} with the identifier {uuid}")
    host = row["host"]
    nobody_runs(session, row)
    is_down(session, uuid, binary, host)
    nodes = session.seen.databases["compute_nodes"] if binary == "nova-compute" else ()
    nodes = [node["uuid"] for node in nodes if node["host"] == host]
    session.compute.call("DELETE", f"/os-services/{rest.quoted(uuid)}")
    said = f"deleted {binary} on {host}"
    try:
        left = [uuid for uuid in nodes if provider_allocations.is_provider(session.placement, uuid)]
    except rest.Failed as error:
        session.trouble = str(error)
        return f"{said}; whether its resource provider has gone nobody could say: {error}"
    if left:
        said += (
            f"; Nova has left its resource provider {', '.join(left)} in Placement: see who has a "
            f"part of it (`openstack resource provider show --allocations {left[0]}`), then "
            f"`openstack resource provider delete {left[0]}`"
        )
    return said


def nobody_runs(session, row):
    """Raise Refused unless neither a heartbeat nor the broker knows of a process."""
    binary, host = row["binary"], row["host"]
    if host in session.seen.expected["services"].get(binary, ()):
        raise Refused(f"the inventory has {binary} on {host}")
    if binary not in standing.TOPICS:
        raise Refused(f"nobody knows on which queue {binary} listens")
    age = session.seen.now - standing.seen(row)
    if age < max(GRACE, session.seen.expected["down_time"]):
        raise Refused(
            f"{binary} on {host} sent a heartbeat {age:.0f} s ago: stop it there first, or its "
            "record comes back"
        )
    if "broker" in session.seen.silent:
        why = session.seen.silent["broker"]
        raise Refused(f"nobody could say whether {binary} on {host} still listens: {why}")
    queue = standing.queue_of(row)
    if session.seen.broker.get(queue, {}).get("consumers"):
        raise Refused(f"somebody listens on {queue}: {binary} still runs there, stop it first")


def is_down(session, uuid, binary, host):
    """Raise Refused unless Nova itself has this service, and says that it is down."""
    path = f"/os-services?host={rest.quoted(host)}&binary={rest.quoted(binary)}"
    found = session.compute.listed(path, "services", "id", "host", "binary", "state")
    mine = next((each for each in found if each["id"] == uuid), None)
    if mine is None:
        raise Refused(f"Nova lists no {binary} on {host} with the identifier {uuid}")
    if mine["state"] != "down":
        raise Refused(f"Nova says that {binary} on {host} is {mine['state']}")


# --- allocations ----------------------------------------------------------------------------------


def allocations(session, repair):
    return provider_allocations.held(session.placement, repair["consumer"])


def delete_allocation(session, each, held):
    """Take providers out of what a consumer has, unless that has changed since HELD was read."""
    consumer, had = each["repair"]["consumer"], held["allocations"]
    taken = each["repair"].get("providers") or list(had)
    known = {
        row["provider"]: row["resources"]
        for row in session.seen.placement["allocations"]
        if row["consumer"] == consumer
    }
    if known != {provider: part["resources"] for provider, part in had.items()}:
        raise Refused(f"what {consumer} has in Placement has just changed")
    if not had or not had.keys() >= set(taken):
        raise Refused(f"{consumer} has nothing there any more")
    provider_allocations.take_out(session.placement, consumer, held, taken)
    return f"took what {consumer} had of {', '.join(taken)} out of Placement"
