"""Whether anybody stands behind a service that Nova has a record of."""

import nova_state
from finding import GRACE
from names import counted
from nova_tables import FINISHED

TOPICS = {"nova-compute": "compute", "nova-conductor": "conductor", "nova-scheduler": "scheduler"}
"""The topic on whose queues each daemon listens (nova/compute/rpcapi.py and the like)."""


def queue_of(row):
    return f"{TOPICS[row['binary']]}.{row['host']}"


def seen(row):
    """When a service last sent a heartbeat; one that never did counts from its making, as in Nova
    (servicegroup/drivers/db.py)."""
    return nova_state.epoch(row["last_seen_up"] or row["created_at"])


class Standing:
    """What the records say of those who run a service."""

    def __init__(self, evidence):
        self.now, self.down_time = evidence.now, evidence.expected["down_time"]
        self.queues = evidence.broker
        self.guests = {}
        for guest in evidence.databases["instances"]:
            self.guests[guest["host"]] = self.guests.get(guest["host"], 0) + 1
        self.moving = set()
        for row in evidence.databases["migrations"]:
            if row["status"] not in FINISHED:
                self.moving |= {row["source_compute"], row["dest_compute"]}

    def silence(self, row):
        """Seconds since the last heartbeat of a service."""
        return self.now - seen(row)

    def is_up(self, row):
        return self.silence(row) <= self.down_time

    def consumers(self, row):
        """How many listen on a service's own queue; None where the broker has not said."""
        if self.queues is None:
            return None
        return self.queues.get(queue_of(row), {"consumers": 0})["consumers"]

    def at_queue(self, row):
        """In words who listens on a service's own queue, and what waits there."""
        if self.queues is None:
            return ""
        found = self.queues.get(queue_of(row), {"messages": 0, "consumers": 0})
        count, messages = found["consumers"], found["messages"]
        listening = (
            "nobody listens" if not count else "1 listens" if count == 1 else f"{count} listen"
        )
        waiting = f", and {counted(messages, 'message', 'wait')}" if messages else ""
        return f"on queue {queue_of(row)} {listening}{waiting}"

    def is_gone(self, row):
        """Whether it is shown that nobody runs a service, and that nothing depends on it.

        That a queue is not in the list says something only of a list that has Nova's queues in it.
        """
        if self.silence(row) < max(GRACE, self.down_time) or self.consumers(row) != 0:
            return False
        speaks = self.queues.get("conductor", {"consumers": 0})["consumers"] > 0
        in_use = row["binary"] == "nova-compute" and (
            row["host"] in self.guests or row["host"] in self.moving
        )
        return speaks and not in_use


class Processes:
    """What the hosts have said of Nova's processes on them."""

    def __init__(self, evidence):
        self.names = evidence.expected["names"]
        self.hosts = evidence.hosts or {}

    def looked(self, host):
        """Whether the host that Nova calls so has said which processes it has."""
        return self.hosts.get(self.names.get(host), {}).get("processes") is not None

    def of(self, row):
        """As of host_evidence.py; one that does not run has no pid."""
        host = self.hosts[self.names[row["host"]]]
        unit = {"unit": row["binary"], "pid": None, "since": None}
        return host["processes"].get(row["binary"]) or unit

    def age(self, row):
        """For how long a service's process had run when its host answered, by the host's clock;
        None where it did not run."""
        since = self.of(row)["since"]
        return None if since is None else self.hosts[self.names[row["host"]]]["time"] - since
