"""A cloud at work is a healthy one: an audit invents nothing while guests come, move and go."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from .conftest import MINUTE, ROOT, on, run

Deployed = subprocess.CompletedProcess[str]
PAUSE = 5
GUEST, FLAVOR = "audited-meanwhile", "m1.audited"
BOOT = (
    f"openstack flavor create --vcpus 1 --ram 128 --disk 0 {FLAVOR} >/dev/null;"
    f" openstack server create --flavor {FLAVOR} --image tiny --nic none --wait"
    f" --os-compute-api-version 2.37 {GUEST} >/dev/null"
)
GONE = f"openstack server delete --wait {GUEST}; openstack flavor delete {FLAVOR}"
ACTIVE = (
    f"for i in $(seq 90); do [ $(openstack server show -f value -c status {GUEST}) = ACTIVE ] &&"
    " exit 0; sleep 2; done; exit 1"
)
MOVES = (
    f"openstack server migrate --wait {GUEST}",
    "sleep 130",  # one that waits for its confirmation for longer than what has just changed
    f"openstack server resize confirm {GUEST}",
    f"({ACTIVE})",
    f"openstack --os-compute-api-version 2.30 server migrate --live-migration --wait {GUEST}",
    f"openstack --os-compute-api-version 2.30 server migrate --live-migration --wait {GUEST}",
    f"openstack server migrate --wait {GUEST}",
    f"openstack server resize revert {GUEST}",
    f"({ACTIVE})",
    f"openstack server stop {GUEST}",
    f"openstack server shelve {GUEST}",
    "sleep 130",
    f"openstack server unshelve {GUEST}",
    f"({ACTIVE})",
    f"openstack server suspend {GUEST}",
    "sleep 20",
    f"openstack server resume {GUEST}",
    f"({ACTIVE})",
)


class Audits(threading.Thread):
    """Audits one after the other until they are told to end.

    Attributes:
        wrong: the whole answer of each that did not end with 0.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.enough = threading.Event()
        self.number = 0
        self.wrong: list[dict[str, Any]] = []

    def run(self) -> None:
        while not self.enough.wait(PAUSE):
            done = subprocess.run(
                ["./run", "audit", "--json"], cwd=ROOT, capture_output=True, text=True, check=False
            )
            self.number += 1
            if done.returncode:
                found = json.loads(done.stdout or "{}")
                self.wrong.append({**found, "code": done.returncode, "said": done.stderr})


@contextmanager
def audited() -> Iterator[Audits]:
    audits = Audits()
    audits.start()
    try:
        yield audits
    finally:
        audits.enough.set()
        audits.join(5 * MINUTE)


@pytest.mark.rotated
def test_nothing_is_found_while_the_exercise_is_walked_through(deployed: Deployed) -> None:
    with audited() as audits:
        walked = run("./run", "workshop")
    assert walked.returncode == 0
    assert audits.number >= 5
    assert audits.wrong == []


@pytest.mark.rotated
def test_nothing_is_found_while_a_guest_moves_in_every_way(deployed: Deployed) -> None:
    assert deployed.returncode == 0
    try:
        with audited() as audits:
            assert on("controller", BOOT).returncode == 0
            for move in MOVES:
                assert on("controller", move).returncode == 0, move
            assert on("controller", GONE).returncode == 0
        assert audits.number >= 5
        assert audits.wrong == []
    finally:
        on("controller", GONE)
