"""Nova's own queues, asked for by their names: of a broker that lists its queues for nobody here.

Request: {"database", "names": as for nova_state.py, "expected": {"services": {binary: [hosts]}},
          "broker": {"hosts", "port", "user", "password", "virtual_host"}}
As Nova's own user, over AMQP, on one connection. A queue that no service has a record of is not
asked for, so of it nothing is known.
"""

import contextlib
import struct

import messaging
import nova_state
import sql
from broker_queues import NoQueuesError
from standing import TOPICS, queue_of

NOTIFICATIONS = tuple(
    f"{topic}.{priority}"
    for topic in ("notifications", "versioned_notifications")
    for priority in ("info", "error")
)
"""Those that most often nobody reads (nova/conf/notifications.py)."""
SERVICES = "SELECT `binary`, host FROM {}.`services` WHERE deleted = 0"


def names(request):
    """The queues of all services that Nova or the inventory has."""
    with contextlib.closing(nova_state.connect(request)) as connection:
        statement = SERVICES.format(sql.quoted(request["names"]["cell1"]))
        rows = sql.rows(connection, "the services", statement)
    found = {queue_of(row) for row in rows if row["binary"] in TOPICS and row["host"]}
    for binary, hosts in request["expected"]["services"].items():
        found.update(queue_of({"binary": binary, "host": host}) for host in hosts)
    # A name of AMQP has 255 bytes at most.
    return sorted(name for name in {*found, *TOPICS.values()} if len(name.encode()) < 256)


def read(request):
    """By the name of a queue its messages and consumers, as of broker_queues.py."""
    broker, said = request["broker"], "no host of it is known"
    try:
        wanted = [*names(request), *NOTIFICATIONS]
    except (sql.NoAnswerError, sql.NotInstalledError) as error:
        raise NoQueuesError(f"nobody knows which queues to ask for: {error}") from None
    for host in broker["hosts"]:
        try:
            found = messaging.counts({**broker, "host": host}, wanted)
        except (OSError, ValueError, struct.error, IndexError) as error:
            said = f"RabbitMQ at {host}:{broker['port']}: {error or type(error).__name__}"
            continue
        return {
            name: {"messages": count[0], "consumers": count[1]}
            for name, count in found.items()
            if count is not None
        }
    raise NoQueuesError(said)
