"""All of an audit: it finds nothing in a healthy cloud, and looks nobody up by looking through."""

from __future__ import annotations

import time

import allocations
import cloud_audit
import disks
import domains
import finding
import guests
import migrations

from .audited_cloud import Cloud as WholeCloud
from .audited_guests import HOSTS, WEB, Cloud

GUESTS = 10_000
SECONDS = 3
"""Of this machine's CPU; it takes less than half of one where nobody else is at work."""


def test_ten_thousand_guests_that_are_all_found_faulty() -> None:
    cloud = Cloud()
    for number in range(GUESTS):
        cloud.add(f"guest{number}", HOSTS[number % 2], vm_state="stopped")
        cloud.moves(status="failed")
    seen = cloud.evidence()
    detectors = (
        *guests.DETECTORS,
        *migrations.DETECTORS,
        *allocations.DETECTORS,
        *domains.DETECTORS,
        *disks.DETECTORS,
    )
    began = time.process_time()
    found = [each for detector in detectors for each in detector(seen)]
    assert time.process_time() - began < SECONDS
    assert {each["kind"] for each in found} == {"guest-running-unasked"}
    assert len({each["key"] for each in found}) == GUESTS
    assert WEB not in {each["key"].rsplit("/", 1)[1] for each in found}


def test_all_detectors_together_find_nothing_in_a_healthy_cloud() -> None:
    assert finding.judged(WholeCloud().with_its_guest(), cloud_audit.DETECTORS) == ([], {})
