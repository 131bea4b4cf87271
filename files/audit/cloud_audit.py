"""Audit the cloud from its primary controller: what its records say, against each other.

Request: {"database", "names": as for nova_state.py, "api": as for compute_api.py,
          "broker": {"hosts", "port", "user", "password", "virtual_host"},
          "queues": {name: {"messages", "consumers"}}|absent, "placement_database": name|null,
          "expected": {"services": {binary: [hosts]}, "computes": {host: address},
                       "names": {host in Nova: name in the inventory}, "region", "down_time": s,
                       "endpoints": {interface: url}},
          "hosts": {name: as of host_evidence.py, or {"error": text}}|null}
Answer:  {"findings": [as of finding.py], "skipped": {detector: [sources]},
          "silent": {source: reason}, "seconds": {source: s}, "at": epoch}
"""

import evidence
import finding
import records

DETECTORS = (*records.DETECTORS,)


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
