"""Computes that take new guests, and computes that take none."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from .conftest import inventory_with, on, run
from .test_main_job import PYINFRA

Deployed = subprocess.CompletedProcess[str]
REASON = "new memory"
BY_CONFIG = "New compute service disabled due to config option."
STRANGER = (
    "openstack flavor create --vcpus 1 --ram 128 --disk 0 refused >/dev/null;"
    " openstack --os-compute-api-version 2.74 server create --flavor refused --image tiny"
    " --nic none --host compute2 --wait refused; openstack server show -f value -c fault"
    " refused; openstack server delete --wait refused; openstack flavor delete refused"
)
"""A guest of somebody else's, sent to compute2."""
SERVICE = "openstack compute service list --long -f value --service nova-compute --host compute2"


def deploy(inventory: str = "inventory.py") -> subprocess.CompletedProcess[str]:
    return run(PYINFRA, inventory, "deploy.py", "-y")


def rows(statement: str) -> list[str]:
    found = on("controller", f'mysql --batch --skip-column-names -e "{statement}"')
    assert found.returncode == 0
    return found.stdout.splitlines()


def forget_compute2() -> str:
    """Have it join anew; the time at which it does."""
    on("compute2", "systemctl stop nova-compute")
    number = on("controller", f"{SERVICE} -c ID").stdout.split()[-1]
    assert on("controller", f"openstack compute service delete {number}").returncode == 0
    return rows("SELECT UTC_TIMESTAMP()")[-1]


@pytest.fixture
def closed(tmp_path: Path) -> str:
    """The lab's inventory, in which compute2 is closed."""
    return str(inventory_with(tmp_path, "compute2", state="closed", state_reason=REASON))


def test_a_closed_compute_gets_no_new_guests_until_it_is_opened(
    deployed: Deployed, closed: str
) -> None:
    words = f"close compute2 to new guests, {REASON} (was open)"
    try:
        assert words in run("./run", "-i", closed, "plan").stdout
        result = deploy(closed)
        assert result.returncode == 0
        assert words in result.stdout
        assert run("./run", "-i", closed, "plan").returncode == 0
        listed = on("controller", SERVICE).stdout
        assert "disabled" in listed and REASON in listed
        assert "No valid host was found" in on("controller", STRANGER).stdout
    finally:
        result = deploy()
    assert f"open compute2 to new guests (was closed: {REASON})" in result.stdout
    assert "enabled" in on("controller", SERVICE).stdout
    assert run("./run", "plan").returncode == 0


def test_a_compute_that_joins_is_closed_until_it_is_proven(deployed: Deployed) -> None:
    forget_compute2()
    result = deploy()
    assert result.returncode == 0
    assert "map compute2 to cell1" in result.stdout
    assert f"open compute2 to new guests (was closed: {BY_CONFIG})" in result.stdout
    assert "enabled" in on("controller", SERVICE).stdout
    assert run("./run", "plan").returncode == 0


# --- proven with a guest of its own ---------------------------------------------------------------

NETWORK = "joining"
PROVE = f"prove compute2 with a guest of image tiny on network {NETWORK}, then open to new guests"
NEVER = "this is never said"
LEFT = (
    "SELECT h.host FROM nova_api.aggregate_hosts h JOIN nova_api.aggregates a"
    " ON a.id = h.aggregate_id WHERE a.name = 'pyinfra-nova-joining'",
    "SELECT 'a trait' FROM placement.resource_provider_traits t JOIN placement.traits n"
    " ON n.id = t.trait_id WHERE n.name = 'CUSTOM_PYINFRA_NOVA_JOINING'",
    "SELECT 'a member' FROM placement.resource_provider_aggregates m"
    " JOIN placement.placement_aggregates p ON p.id = m.aggregate_id"
    " JOIN nova_api.aggregates a ON HEX(a.uuid) = HEX(p.uuid)"
    " WHERE a.name = 'pyinfra-nova-joining'",
    "SELECT display_name FROM nova.instances WHERE deleted = 0"
    " AND display_name LIKE 'pyinfra-nova-smoke-%'",
)
"""What there is of a proof, by where it is kept."""
HAD = (
    "SELECT CONCAT(display_name, ' ', COALESCE(launched_at, 'never')) FROM nova.instances"
    " WHERE host = 'compute2' AND created_at > '{}'"
)
READY = (
    "SELECT s.host FROM nova.services s JOIN nova.instances i ON i.host = s.host"
    " WHERE s.deleted = 0 AND s.disabled = 0 AND s.binary = 'nova-compute' AND s.host = 'compute2'"
    " AND i.deleted = 0 AND i.display_name = 'pyinfra-nova-smoke-compute2'"
)


def left() -> list[str]:
    return [row for statement in LEFT for row in rows(statement)]


def smoke(**more: object) -> tuple[str, str]:
    """What the command line says for a site that wants it."""
    return "--data", "smoke_guest=" + json.dumps(
        {"image": "tiny", "network": NETWORK, "ram": 128, **more}
    )


@pytest.fixture(scope="module")
def network(deployed: Deployed) -> Iterator[None]:
    """One of the administrator's; afterwards the site wants no such proof, and has none of it."""
    assert deployed.returncode == 0
    made = on(
        "controller",
        f"openstack network create {NETWORK} && openstack subnet create --network {NETWORK}"
        f" --subnet-range 10.98.0.0/24 --gateway none {NETWORK}",
    )
    assert made.returncode == 0
    yield
    assert deploy().returncode == 0
    on(
        "controller",
        f"openstack network delete {NETWORK}; openstack flavor delete pyinfra-nova-smoke;"
        " openstack aggregate delete pyinfra-nova-joining",
    )
    assert run("./run", "plan").returncode == 0


@pytest.mark.rotated("guests")
def test_a_compute_that_joins_is_proven_with_a_guest_of_its_own(network: None) -> None:
    began = forget_compute2()
    planned = run("./run", "plan", *smoke())
    assert planned.returncode == 2
    assert PROVE in planned.stdout
    result = run(PYINFRA, "inventory.py", "deploy.py", "-y", *smoke())
    assert result.returncode == 0
    assert "open compute2 to new guests: its own works" in result.stdout
    listed = on("controller", SERVICE).stdout
    assert "enabled" in listed and "not proven" not in listed
    had = rows(HAD.format(began))
    assert [name.split()[0] for name in had] == ["pyinfra-nova-smoke-compute2"]
    assert "never" not in had[0]
    assert left() == []
    volumes = on("controller", "openstack volume list --all-projects -f value -c Name")
    assert "pyinfra-nova-smoke" not in volumes.stdout
    assert "token=" not in result.stdout
    assert run("./run", "plan", *smoke()).returncode == 0


@pytest.mark.rotated("guests")
def test_one_whose_guest_does_not_work_stays_closed_and_takes_nobody_elses(network: None) -> None:
    began = forget_compute2()
    command = (PYINFRA, "inventory.py", "deploy.py", "-y", *smoke(expects=NEVER, timeout=180))
    with ThreadPoolExecutor(1) as pool:
        deploys = pool.submit(run, *command)
        while not deploys.done() and not rows(READY):
            time.sleep(1)
        # Now it is open, to its own guest alone.
        refused = on("controller", STRANGER).stdout
        was_open = not deploys.done()
        result = deploys.result()
    assert was_open and "No valid host was found" in refused
    assert result.returncode == 1
    cause = "not proven: its guest's console does not say that its network works"
    assert f"compute2 is closed: {cause}" in result.stdout
    listed = on("controller", SERVICE).stdout
    assert "disabled" in listed and cause in listed
    assert {name.split()[0] for name in rows(HAD.format(began))} <= {"pyinfra-nova-smoke-compute2"}
    assert left() == []
    # Switched off, it is opened by the proof of its services, as it would have been.
    result = deploy()
    assert result.returncode == 0
    assert f"open compute2 to new guests (was closed: {cause}" in result.stdout
    assert "enabled" in on("controller", SERVICE).stdout
