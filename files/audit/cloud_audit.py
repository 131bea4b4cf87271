"""Audit the cloud from its primary controller: what its records say, against each other.

Request: {"database", "names": as for nova_state.py, "api": as for compute_api.py,
          "broker": {"hosts", "port", "user", "password", "virtual_host",
                     "here": whether this host is one of them},
          "queues", "queues_error": as of broker_queues.py|absent,
          "placement": as of placement_records.py|absent, "placement_database": name|null,
          "expected": {"services": {binary: [hosts]}, "computes": {host: address},
                       "retired": [hosts of what were computes],
                       "dead": [hosts of computes, and of such as were, that have no power],
                       "names": {host in Nova: name in the inventory}, "region", "down_time": s,
                       "endpoints": {interface: url},
                       "tls": {"mode", "renew_days"}|absent,
                       "ssh": {"names": [of computes in known_hosts], "from": [patterns]}},
          "hosts": {name: as of host_evidence.py, or {"error": text}}|null,
          "hosts_took": seconds since the first of them was asked|absent}
Answer:  {"findings": [as of finding.py], "skipped": {detector: [sources]},
          "silent": {source: reason}, "seconds": {source: s}, "figures": of figures.py, "at": epoch}
A cloud at work is never still: where something is found, the records are read once more, and only
what is found in them both times is said. Of services that nobody hears there has to be a heartbeat
in between: one that is just being restarted sends its first when it listens already. What explains
others comes first, and they are held back; see causes.py.
"""

import time

import access
import allocations
import causes
import disks
import domains
import encryption
import evidence
import expiry
import figures
import finding
import guests
import heartbeats
import migrations
import neighbours
import nodes
import providers
import queues
import records
import server_settings

DETECTORS = (
    *causes.DETECTORS,
    *records.DETECTORS,
    *nodes.DETECTORS,
    *providers.DETECTORS,
    *heartbeats.DETECTORS,
    *queues.DETECTORS,
    *neighbours.DETECTORS,
    *access.DETECTORS,
    *expiry.DETECTORS,
    *encryption.DETECTORS,
    *server_settings.DETECTORS,
    *guests.DETECTORS,
    *migrations.DETECTORS,
    *allocations.DETECTORS,
    *domains.DETECTORS,
    *disks.DETECTORS,
)

PAUSE, LATE = 1.0, 2.0
"""Seconds between the two looks, and by which a heartbeat may be late."""


DEAF = "service-deaf"
OF_QUEUES = {DEAF, "compute-doubled", "queue-unread"}


def judged(seen):
    return finding.judged(seen, DETECTORS)


def looked_twice(request):
    """The evidence of the last look, what is found in both, and which detectors were not run."""
    seen = evidence.gathered(request)
    found, skipped = judged(seen)
    if not found:
        return seen, found, skipped
    kinds = {each["kind"] for each in found}
    # Those alone whose heartbeats come; the others are silent, too.
    deaf = DEAF in kinds and finding.judged(seen, (heartbeats.deaf_services,))[0]
    time.sleep(request["expected"].get("report_interval", 10) + LATE if deaf else PAUSE)
    sources = (*evidence.RECORDS, "broker") if kinds & OF_QUEUES else evidence.RECORDS
    seen = evidence.again(request, seen, sources)
    first = {each["key"] for each in found}
    found, skipped = judged(seen)
    return seen, [each for each in found if each["key"] in first], skipped


def answer(request):
    seen, found, skipped = looked_twice(request)
    return {
        "findings": causes.sorted_out(found, request, seen.silent),
        "skipped": skipped,
        "silent": seen.silent,
        "seconds": seen.seconds,
        "figures": figures.of(seen),
        "at": seen.now,
    }
