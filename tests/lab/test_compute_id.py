"""Computes that come back on 2025.1, where a file says who they are: lost, foreign, doubled."""

from __future__ import annotations

import subprocess
import time

import pytest

from .conftest import MINUTE, prepared_secrets, run
from .test_main_job import PYINFRA

pytestmark = pytest.mark.rotated("long", whole=True)
INVENTORY = "inventories/debian13/inventory.py"
FILE, BESIDE = "/var/lib/nova/compute_id", "/etc/nova/compute_id"
NODE = (
    "mysql --batch --skip-column-names --execute"
    " \"SELECT uuid FROM nova.compute_nodes WHERE deleted = 0 AND host = '{0}'\""
)


def on(host: str, command: str) -> subprocess.CompletedProcess[str]:
    return run("./run", "-i", INVENTORY, "ssh", host, command)


def deploy() -> subprocess.CompletedProcess[str]:
    return run(PYINFRA, INVENTORY, "deploy.py", "-y", timeout=30 * MINUTE)


def plan() -> subprocess.CompletedProcess[str]:
    return run("./run", "-i", INVENTORY, "plan")


def node(host: str) -> str:
    """What Nova has it as: one node."""
    return on("controller", NODE.format(host)).stdout.split()[-1]


def runs(host: str) -> bool:
    """Whether nova-compute there runs, and goes on running."""
    time.sleep(10)
    state = "systemctl show --property=ActiveState,NRestarts --value nova-compute"
    return on(host, state).stdout.split()[-2:] in (["0", "active"], ["active", "0"])


@pytest.fixture(scope="module", autouse=True)
def epoxy(request: pytest.FixtureRequest) -> None:
    """A lab of its own; the one of the other modules is made after it."""
    if request.config.getoption("--keep-lab"):
        pytest.skip("--keep-lab was given, and this needs a lab of its own")
    prepared_secrets()
    assert run("./run", "-i", INVENTORY, "lab", "down").returncode == 0
    assert run("./run", "-i", INVENTORY, "lab", "up", timeout=30 * MINUTE).returncode == 0
    assert deploy().returncode == 0


def test_a_kept_identity_is_right() -> None:
    assert on("compute1", f"cat {FILE}").stdout.split()[-1] == node("compute1")
    assert plan().returncode == 0


def test_a_lost_identity_is_put_back_before_nova_compute_starts() -> None:
    before = node("compute1")
    assert on("compute1", f"systemctl stop nova-compute && rm {FILE}").returncode == 0
    planned = plan()
    assert planned.returncode == 2
    assert f"put back {FILE}: Nova has this host as {before}" in planned.stdout
    assert deploy().returncode == 0
    written = on("compute1", f"stat --format '%U %G %a %s' {FILE}").stdout
    assert written.strip().splitlines()[-1] == "nova nova 644 36"
    assert on("compute1", f"cat {FILE}").stdout.split()[-1] == before
    assert node("compute1") == before
    assert runs("compute1")
    assert plan().returncode == 0


def test_a_foreign_identity_is_refused_also_where_nova_compute_still_runs() -> None:
    own, other = node("compute1"), node("compute2")
    assert on("compute1", f"printf %s {other} >{FILE}").returncode == 0
    result = deploy()
    assert result.returncode == 1
    assert f"compute1: identity: {FILE} has the identity of compute2 ({other})" in result.stdout
    assert f"remove the file here, and the deploy puts {own} back" in result.stdout
    assert on("compute1", f"cat {FILE}").stdout.split()[-1] == other
    assert on("compute1", f"rm {FILE}").returncode == 0
    assert deploy().returncode == 0
    assert on("compute1", f"cat {FILE}").stdout.split()[-1] == own
    assert on("compute1", "systemctl restart nova-compute").returncode == 0
    assert runs("compute1")
    assert plan().returncode == 0


def test_files_that_do_not_agree_and_one_that_is_none_are_refused() -> None:
    own, other = node("compute1"), node("compute2")
    assert on("compute1", f"printf %s {other} >{BESIDE}").returncode == 0
    result = deploy()
    assert result.returncode == 1
    assert f"its files do not agree ({BESIDE}: {other}, {FILE}: {own})" in result.stdout
    assert on("compute1", f"echo compute1 >{BESIDE}").returncode == 0
    result = deploy()
    assert result.returncode == 1
    assert f"compute1: identity: {BESIDE} holds no UUID" in result.stdout
    assert on("compute1", f"rm {BESIDE}").returncode == 0
    assert plan().returncode == 0
