"""Audit the cloud from its primary controller: what its records say, against each other.

Request: {"database", "names": as for nova_state.py, "api": as for compute_api.py,
          "broker": {"hosts", "port", "user", "password", "virtual_host"},
          "queues": {name: {"messages", "consumers"}}|absent, "placement_database": name|null,
          "expected": {"services": {binary: [hosts]}, "computes": {host: address},
                       "names": {host in Nova: name in the inventory}, "region", "down_time": s,
                       "endpoints": {interface: url},
                       "ssh": {"names": [of computes in known_hosts], "from": [patterns]}},
          "hosts": {name: as of host_evidence.py, or {"error": text}}|null}
Answer:  {"findings": [as of finding.py], "skipped": {detector: [sources]},
          "silent": {source: reason}, "seconds": {source: s}, "at": epoch}
"""

import access
import allocations
import disks
import domains
import evidence
import expiry
import finding
import guests
import heartbeats
import neighbours
import nodes
import providers
import queues
import records

DETECTORS = (
    *records.DETECTORS,
    *nodes.DETECTORS,
    *providers.DETECTORS,
    *heartbeats.DETECTORS,
    *queues.DETECTORS,
    *neighbours.DETECTORS,
    *access.DETECTORS,
    *expiry.DETECTORS,
    *guests.DETECTORS,
    *allocations.DETECTORS,
    *domains.DETECTORS,
    *disks.DETECTORS,
)


def answer(request):
    seen = evidence.gathered(request)
    found, skipped = finding.judged(seen, DETECTORS)
    return {
        "findings": sorted(found, key=lambda each: (each["where"], each["kind"], each["key"])),
        "skipped": skipped,
        "silent": seen.silent,
        "seconds": seen.seconds,
        "at": seen.now,
    }
