"""The audit finds what is planted, mends what is safe to mend, and invents nothing."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import on, run
from .planted import DELETED, GUESTS, OLD, PLANTS, PREFIX, Plant, sql
from .test_cut_off import all_packets_lost

Deployed = subprocess.CompletedProcess[str]
HOSTS = ("controller", "compute1", "compute2")
FLAVOR = f"{PREFIX}flavor"
CREATE = (
    f"openstack server create --flavor {FLAVOR} --image tiny --nic none"
    " --os-compute-api-version 2.37"
)
# A project may have ten guests.
BOOT = (
    f"openstack flavor create --vcpus 1 --ram 128 --disk 0 {FLAVOR} >/dev/null;"
    f" {CREATE} --wait {PREFIX}{DELETED} >/dev/null &&"
    f" openstack server delete --wait {PREFIX}{DELETED} || exit 1;"
    f" for name in {' '.join(GUESTS)}; do {CREATE} {PREFIX}$name >/dev/null || exit 1; done;"
    " for i in $(seq 60); do"
    f" [ $(openstack server list --name {PREFIX} --status ACTIVE -f value -c ID | wc -l)"
    f" = {len(GUESTS)} ] && exit 0; sleep 2; done; exit 1"
)
AGED = "; ".join(
    (
        sql(f"UPDATE nova.instances SET created_at = {OLD}, updated_at = {OLD}"),
        sql(f"UPDATE placement.allocations SET created_at = {OLD}, updated_at = {OLD}"),
    )
)
GONE = (
    f"for id in $(openstack server list --name {PREFIX} -f value -c ID); do"
    " openstack server delete --force --wait $id || openstack server delete --wait $id; done;"
    f" openstack flavor delete {FLAVOR}"
)


def audit(*words: str) -> tuple[int, dict[str, Any], str]:
    done = subprocess.run(
        ["./run", "audit", "--json", *words], capture_output=True, text=True, check=False
    )
    print(done.stderr, done.stdout)
    return done.returncode, json.loads(done.stdout), done.stderr


def kinds(found: dict[str, Any]) -> dict[str, list[str]]:
    by_kind: dict[str, list[str]] = {}
    for finding in found["findings"]:
        by_kind.setdefault(finding["kind"], []).append(finding["where"])
    return by_kind


@pytest.fixture
def guests(deployed: Deployed) -> Iterator[None]:
    try:
        assert on("controller", BOOT).returncode == 0
        on("controller", AGED)
        yield
    finally:
        on("controller", GONE)


def vanish() -> None:
    """Have libvirt forget a guest, which Nova takes for running; its files stay."""
    host, name = on("controller", "cat /root/vanished").stdout.split()[-2:]
    on(host, f"virsh destroy {name}; virsh undefine {name}")


def plant(plants: tuple[Plant, ...]) -> None:
    """Make all of them, host by host; each in a shell of its own."""
    for host in HOSTS:
        mine = [each for each in plants if each.host == host]
        script = "\n".join(f"( {each.plant}\n) || echo 'failed: {each.kind}'" for each in mine)
        assert "failed: " not in on(host, script).stdout


def undo(plants: tuple[Plant, ...]) -> None:
    """Take all of them back, the last first."""
    for host in HOSTS:
        mine = [each for each in reversed(plants) if each.host == host]
        on(host, "\n".join(f"( {each.undo}\n)" for each in mine))


def test_a_cloud_that_works_has_no_findings(deployed: Deployed) -> None:
    code, found, said = audit()
    assert (code, found["findings"], found["silent"], found["skipped"]) == (0, [], {}, {}), said


def test_what_is_planted_is_found_what_is_safe_is_mended_and_the_rest_is_told(
    guests: None,
) -> None:
    try:
        plant(PLANTS)
        vanish()
        code, found, _ = audit()
        by_kind = kinds(found)
        assert code == 2
        assert [p.kind for p in PLANTS if p.kind not in by_kind] == []
        wrong = [p.kind for p in PLANTS if p.where and p.where not in by_kind[p.kind]]
        assert wrong == []
        for finding in found["findings"]:
            assert finding["effect"] and finding["remedy"], finding
        code, found, said = audit("--repair", "-y")
        left = kinds(found)
        assert [p.kind for p in PLANTS if p.repaired and p.kind in left] == [], said
        assert [p.kind for p in PLANTS if not p.repaired and p.kind not in left] == []
    finally:
        undo(PLANTS)
        on("controller", GONE)
    clean_within(180)


def clean_within(seconds: float) -> None:
    """Nothing is found any more: of deleted guests and killed services, after a moment."""
    deadline = time.monotonic() + seconds
    while True:
        code, found, _ = audit()
        if code == 0 or time.monotonic() > deadline:
            assert found["findings"] == []
            return
        time.sleep(10)


DEAF = "kill -STOP $(systemctl show -p MainPID --value nova-compute)"
HEARS = "kill -CONT $(systemctl show -p MainPID --value nova-compute)"


@pytest.mark.rotated("faults")
def test_a_service_that_is_active_and_deaf_is_found_and_one_that_is_down(
    deployed: Deployed,
) -> None:
    try:
        on("compute1", DEAF)
        on("controller", "systemctl stop nova-scheduler")
        time.sleep(75)  # service_down_time is 60
        _, found, _ = audit()
        by_kind = kinds(found)
        assert by_kind["service-deaf"] == ["compute1"]
        assert by_kind["service-down"] == ["controller"]
    finally:
        on("compute1", HEARS)
        on("controller", "systemctl start nova-scheduler")
    clean_within(90)


def test_a_host_that_does_not_answer_is_named_and_nothing_is_concluded_from_it(
    deployed: Deployed,
) -> None:
    with all_packets_lost("compute2"):
        code, found, _ = audit()
    assert code == 1
    assert list(found["unreachable"]) == ["compute2"]
    assert found["findings"] == []


def test_the_cloud_is_shown_on_a_screen_and_as_a_page(deployed: Deployed) -> None:
    shown = run("./run", "status")
    assert shown.returncode == 0
    assert "Findings: none" in shown.stdout
    for host in ("compute1", "compute2"):
        assert host in shown.stdout
