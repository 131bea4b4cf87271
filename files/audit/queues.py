"""Queues of the broker that nobody reads, and those that two read who should be one."""

import re

from finding import GRACE, finding, needs
from names import counted, word
from standing import TOPICS, Processes, Standing, queue_of

PASSING = re.compile(r"^reply_|_fanout(_|$)")
"""Queues of processes: who has ended reads his no more, and they expire by themselves
(oslo.messaging's rabbit_transient_queues_ttl, half an hour)."""
NOTIFICATIONS = re.compile(r"^(versioned_)?notifications\.\w+$")
MANY = 1000
"""Messages that may wait in a queue of another service, of which Nova knows nothing."""


@needs("databases", "broker")
def crowded_queues(evidence):
    """A compute's own queue has one reader; calls go now to the one and now to the other of two."""
    standing, processes = Standing(evidence), Processes(evidence)
    here = word(evidence.expected["virtual_host"])
    for row in evidence.databases["services"]:
        host = row["host"]
        if row["binary"] != "nova-compute" or host not in evidence.expected["computes"]:
            continue
        count = standing.consumers(row)
        born = processes.age(row) if processes.looked(host) else None
        # The broker drops the readers of a host that lost its power some time later.
        if count > 1 and not (born is not None and born < GRACE):
            yield finding(
                "compute-doubled",
                host,
                f"{count} listen on queue {queue_of(row)}: another nova-compute says that it is "
                f"{host}",
                f"`rabbitmqctl list_consumers --vhost {here} queue_name channel_pid` and "
                "`rabbitmqctl list_connections pid peer_host` say from where; give that one "
                "another [DEFAULT] host",
                key="queue",
            )


def host_of(queue):
    """The topic of Nova's that a queue is of, and the host; None for a queue of another service."""
    topic, _, host = queue.partition(".")
    binary = next((name for name, of in TOPICS.items() if of == topic.partition("-alt")[0]), None)
    return binary, host


@needs("broker")
def unread_queues(evidence):
    """Queues in which messages wait, and from which nobody takes them."""
    known = {
        (binary, host)
        for binary, hosts in evidence.expected["services"].items()
        for host in (*hosts, "")
    }
    here = evidence.expected["virtual_host"]
    for name, queue in evidence.broker.items():
        if not queue["messages"] or queue["consumers"] or PASSING.search(name):
            continue
        binary, host = host_of(name)
        text = (
            f"{counted(queue['messages'], 'message', 'wait')} in queue {name}, and nobody listens"
        )
        if binary:
            # One of the inventory that does not listen is deaf, down, or starts at this moment.
            if (binary, host) not in known:
                yield unread(name, text, f"start {binary}, or, where it is gone for good, ", here)
        elif NOTIFICATIONS.match(name):
            remedy = "no `driver` at [oslo_messaging_notifications], if nothing reads them; then "
            yield unread(name, text, remedy, here)
        elif queue["messages"] >= MANY:
            remedy = "start the service that reads it, or, if there is none, "
            yield unread(name, text, remedy, here)


def unread(name, text, remedy, virtual_host):
    command = f"rabbitmqctl delete_queue --vhost {word(virtual_host)} --if-unused {word(name)}"
    return finding("queue-unread", name, text, f"{remedy}`{command}`", key="queue")


DETECTORS = (crowded_queues, unread_queues)
