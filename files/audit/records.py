"""Records of hosts and services: those that nobody stands behind any more, or twice."""

import nova_state
from finding import finding, needs

DAEMONS = ("nova-compute", "nova-conductor", "nova-scheduler")


@needs("databases")
def services_of_strangers(evidence):
    """Services in Nova of hosts that the inventory does not have for them."""
    known = evidence.expected["services"]
    for row in evidence.databases["services"]:
        binary, host = row["binary"], row["host"]
        if binary in DAEMONS and host not in known.get(binary, ()):
            yield finding(
                "service-of-a-stranger",
                host,
                f"service {binary} on {host} is in Nova, not in the inventory",
                f"name {host} in the inventory, or, if it is gone for good, "
                f"`openstack compute service delete {row['uuid']}`",
                since=nova_state.epoch(row["last_seen_up"]) or None,
                key=binary,
                repair={"action": "delete-service", "service": row["uuid"], "binary": binary},
            )


DETECTORS = (services_of_strangers,)
