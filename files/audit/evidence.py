"""What an audit looks at, asked for in a constant number of questions, side by side.

Each source either answers whole or is silent, with the reason; nothing is concluded from silence.
"""

import concurrent.futures
import struct
import time

import broker_queues
import cloud_services
import endpoint_certificates
import nova_tables
import own_queues
import placement_records
import rest
import sql
import strangers


class NotAskedError(Exception):
    """Nobody could be asked, for a reason that is no fault of the cloud's."""


FAILURES = (
    NotAskedError,
    strangers.NotKnownError,
    broker_queues.NoQueuesError,
    sql.NoAnswerError,
    sql.NotInstalledError,
    rest.Failed,
    OSError,
    ValueError,
    struct.error,
    LookupError,
    TypeError,
    AttributeError,
)
FORM = (LookupError, TypeError, AttributeError)
"""What comes of an answer in another form than the service's: that of a proxy, say."""


class Evidence:
    """What the sources have answered.

    Attributes:
        expected: what the inventory says; see `cloud_audit.py`.
        now: the epoch at which the databases were read.
        databases, placement, broker, identity, network: of the modules that ask for them.
        hosts: of each host that answered, by its name in the inventory; see `host_evidence.py`.
        strangers: what Nova knows of uuids that the other sources speak of; see `strangers.py`.
        silent: the reason by source, for those that did not answer.
        seconds: how long each source took.
        asked_at: when each source had answered, by the clock of `now`.
        hosts_took: seconds for which the hosts were asked, all of which may have gone by since.
        listened: when the broker answered the look before; None in a first look.
    """

    def __init__(self, expected, now=None, **sources):
        self.expected = expected
        self.now = time.time() if now is None else now
        self.silent, self.seconds, self.asked_at = {}, {}, {}
        self.listened, self.hosts_took = None, 0.0
        self.databases = sources.get("databases")
        self.placement = sources.get("placement")
        self.broker = sources.get("broker")
        self.identity = sources.get("identity")
        self.network = sources.get("network")
        self.hosts = sources.get("hosts")
        self.strangers = sources.get("strangers")


def hosts_of(request):
    """What the hosts have said of themselves to whoever asks for this audit."""
    if request.get("hosts") is None:
        raise NotAskedError("an audit on the controller alone sees no other host")
    return {name: host for name, host in request["hosts"].items() if "error" not in host}


def queues_of(request, again=False):
    """All queues, by a node of the broker; where none is at hand Nova's own, by the broker.

    AGAIN, what was brought along is of a while ago.
    """
    brought = request.get("queues") is not None or request.get("queues_error")
    if brought and again:
        return own_queues.read(request)
    # rabbitmqctl on a host that is none of the site's broker would tell of another broker.
    if brought or request["broker"].get("here", True):
        try:
            return broker_queues.read(request)
        except broker_queues.NoNodeError:
            pass
    return own_queues.read(request)


def questions():
    return {
        "databases": nova_tables.read,
        "placement": placement_records.read,
        "broker": queues_of,
        "identity": endpoint_certificates.identity,
        "network": cloud_services.network,
        "hosts": hosts_of,
    }


RECORDS = ("databases", "placement")
"""The sources that are cheap to ask, and that say which of all things are in use."""


def gathered(request):
    """The evidence of all sources, each asked by a thread of its own."""
    evidence = Evidence(request["expected"])
    evidence.hosts_took = request.get("hosts_took", 0.0)
    return asked(evidence, request, questions())


def again(request, seen, sources=RECORDS):
    """The evidence SEEN with SOURCES asked once more, those that have answered."""
    evidence = Evidence(request["expected"])
    evidence.silent, evidence.seconds = dict(seen.silent), dict(seen.seconds)
    evidence.hosts_took = evidence.now - seen.now + seen.hosts_took
    evidence.asked_at, evidence.listened = dict(seen.asked_at), seen.asked_at.get("broker")
    repeated = {}
    for name, ask in {**questions(), "broker": lambda given: queues_of(given, True)}.items():
        setattr(evidence, name, getattr(seen, name))
        if name in sources and name not in seen.silent:
            repeated[name] = ask
    return asked(evidence, request, repeated)


def asked(evidence, request, questions):
    with concurrent.futures.ThreadPoolExecutor(max(len(questions), 1)) as pool:
        answers = {name: pool.submit(timed, ask, request) for name, ask in questions.items()}
        for name, answer in answers.items():
            found, error, seconds = answer.result()
            setattr(evidence, name, found)
            evidence.seconds[name] = seconds
            evidence.asked_at[name] = time.time()
            if error is not None:
                evidence.silent[name] = error
    asked_about_strangers(evidence, request)
    return evidence


def asked_about_strangers(evidence, request):
    """After all others: what they speak of may have come or gone since."""
    found, error, seconds = timed(lambda given: strangers.read(given, evidence), request)
    evidence.strangers, evidence.seconds["strangers"] = found, seconds
    evidence.silent.pop("strangers", None)
    if error is not None:
        evidence.silent["strangers"] = error


def words_of(problem):
    if isinstance(problem, FORM):
        return f"it answers in another form than is known: {problem!r}"
    return str(problem) or type(problem).__name__


def timed(ask, request):
    began = time.monotonic()
    try:
        found, error = ask(request), None
    except FAILURES as problem:
        found, error = None, words_of(problem)
    return found, error, round(time.monotonic() - began, 3)
