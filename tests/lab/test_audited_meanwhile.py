"""A cloud at work is a healthy one: an audit invents nothing while guests come, move and go."""

from __future__ import annotations

import subprocess

import pytest

from .audits import Audits, audited
from .conftest import on

Deployed = subprocess.CompletedProcess[str]
GUEST, FLAVOR = "audited-meanwhile", "m1.audited"
BOOT = (
    f"openstack flavor create --vcpus 1 --ram 128 --disk 0 {FLAVOR} >/dev/null;"
    f" openstack server create --flavor {FLAVOR} --image tiny --nic none --wait"
    f" --os-compute-api-version 2.37 {GUEST} >/dev/null"
)
GONE = f"openstack server delete --wait {GUEST}; openstack flavor delete {FLAVOR}"


def until(status: str) -> str:
    """What waits for the guest to be in STATUS; most requests are answered before they are done."""
    shown = f"$(openstack server show -f value -c status {GUEST})"
    return f"(for i in $(seq 90); do [ {shown} = {status} ] && exit 0; sleep 2; done; exit 1)"


MOVES = (
    f"openstack server migrate --wait {GUEST}",
    "sleep 130",  # one that waits for its confirmation for longer than what has just changed
    f"openstack server resize confirm {GUEST}",
    until("ACTIVE"),
    f"openstack --os-compute-api-version 2.30 server migrate --live-migration --wait {GUEST}",
    f"openstack --os-compute-api-version 2.30 server migrate --live-migration --wait {GUEST}",
    f"openstack server migrate --wait {GUEST}",
    f"openstack server resize revert {GUEST}",
    until("ACTIVE"),
    f"openstack server stop {GUEST}",
    until("SHUTOFF"),
    f"openstack server shelve {GUEST}",
    until("SHELVED_OFFLOADED"),
    "sleep 130",
    f"openstack server unshelve {GUEST}",
    until("ACTIVE"),
    f"openstack server suspend {GUEST}",
    until("SUSPENDED"),
    "sleep 20",
    f"openstack server resume {GUEST}",
    until("ACTIVE"),
)


@pytest.mark.slow
def test_nothing_is_found_while_a_guest_moves_in_every_way(deployed: Deployed) -> None:
    assert deployed.returncode == 0
    try:
        with audited(Audits()) as audits:
            assert on("controller", BOOT).returncode == 0
            for move in MOVES:
                assert on("controller", move).returncode == 0, move
            assert on("controller", GONE).returncode == 0
        assert audits.number >= 5
        assert audits.wrong == []
    finally:
        on("controller", GONE)
