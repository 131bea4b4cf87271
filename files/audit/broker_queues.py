"""The queues of the broker: how many messages wait in each, and how many listen there.

Request: {"broker": {"virtual_host", ...}, "queues": as of the answer|absent,
          "queues_error": why the node of the broker that was asked gave none|absent}
Answer:  {"queues": {name: {"messages", "consumers"}}} or {"error": text}
"""

import json
import re
import subprocess

TIMEOUT = 30
STOPPED = re.compile(r"RabbitMQ on (?P<host>\S+) does not run")
"""What is said where epmd says so, or does not run either: both end with the node."""
NODE = re.compile(r"\bon node '?[^@\s]+@([\w-]+(?:\.[\w-]+)*)")
NO_NODE = re.compile(r"epmd reports:? node '[^']+' not running|unable to connect to epmd")
"""How rabbitmqctl tells of it (rabbit_nodes_common.erl)."""
COLUMNS = ("name", "messages", "consumers")


class NoQueuesError(Exception):
    """The broker of this host did not list its queues."""


class NoNodeError(NoQueuesError):
    """This host is no node of a broker."""


def read(request):
    """By the name of a queue its messages and consumers, all of the virtual host, in one question.

    Only a node of the broker itself lists its queues; where this host is none, whoever asks brings
    the list along, in `queues` of the request.
    """
    broker = request["broker"]
    if request.get("queues_error"):
        raise NoQueuesError(request["queues_error"])
    if request.get("queues") is not None:
        return request["queues"]
    command = ["rabbitmqctl", "--silent", "--formatter", "json", "list_queues"]
    command += ["--vhost", broker["virtual_host"], *COLUMNS]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
    except FileNotFoundError as error:
        raise NoNodeError(f"rabbitmqctl: {error}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoQueuesError(f"rabbitmqctl: {error}") from None
    if done.returncode:
        raise NoQueuesError(words_of(done.stderr, done.returncode))
    try:
        rows = json.loads(done.stdout)
        return {row["name"]: {key: int(row[key]) for key in COLUMNS[1:]} for row in rows}
    except (ValueError, KeyError, TypeError) as error:
        raise NoQueuesError(f"rabbitmqctl answers no list of queues: {error}") from None


def words_of(said, code):
    """What rabbitmqctl has SAID, without its guesses, its advice and the digest of its cookie."""
    node = NODE.search(said)
    if node and NO_NODE.search(said):
        return f"RabbitMQ on {node[1]} does not run"
    lines = [line.strip().lstrip("* ") for line in said.splitlines() if line.strip()]
    first = lines[0].partition(". Please see diagnostics")[0] if lines else "it says nothing"
    _, _, told = said.partition("attempted to contact")
    told = re.split(r"Current node details|suggestion", told)[0]
    details = [line.strip()[2:] for line in told.splitlines() if line.strip().startswith("* ")]
    text = "; ".join([first, *details])
    return f"rabbitmqctl ended with {code}: {text if len(text) < 300 else text[:297] + '...'}"


def answer(request):
    try:
        return {"queues": read(request)}
    except NoQueuesError as error:
        return {"error": str(error)}
