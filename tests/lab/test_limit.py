"""Runs on some of the hosts: they touch those, discover what is new, and refuse what would harm."""

from __future__ import annotations

import json
import subprocess

import pytest

from . import traces
from .conftest import BROKER_PORT, ROOT, on, run
from .test_drift import sql
from .test_main_job import PYINFRA

Deployed = subprocess.CompletedProcess[str]
NOVA_CONF = "/etc/nova/nova.conf"


def deploy(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run(PYINFRA, "inventory.py", "deploy.py", "-y", *arguments)


def hosts_pending() -> set[str]:
    """The hosts on which a deploy would change something."""
    planned = subprocess.run(
        ("./run", "plan", "--json"), cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False
    )
    return {host for hosts in json.loads(planned.stdout)["pending"].values() for host in hosts}


def test_one_compute_is_put_right_and_no_other_host_is_touched(deployed: Deployed) -> None:
    for host in ("controller", "compute1", "compute2"):
        on(host, f"echo >>{NOVA_CONF}")
    before = traces.everything()
    result = deploy("--limit", "compute1")
    touched = traces.differences(before, traces.everything())
    assert touched == [f"compute1:{NOVA_CONF}", "compute1:unit nova-compute"]
    assert result.returncode == 0
    assert "controller is left out" in result.stdout
    assert on("compute1", f"tail -c 1 {NOVA_CONF} | od -c | grep -c '\\\\n'").returncode == 0
    assert hosts_pending() == {"controller", "compute2"}
    assert deploy().returncode == 0


def test_a_new_compute_is_discovered_by_the_controller_that_was_left_out(
    deployed: Deployed,
) -> None:
    on("controller", sql("DELETE FROM nova_api.host_mappings WHERE host = 'compute2'"))
    result = deploy("--limit", "compute2")
    assert result.returncode == 0
    assert "map compute2 to cell1" in result.stdout
    assert run("./run", "plan").returncode == 0


@pytest.mark.rotated("sites")
def test_no_half_of_the_hosts_is_run_with_a_password_that_is_not_in_use(
    deployed: Deployed,
) -> None:
    on("controller", "rabbitmqctl -q change_password openstack 'another one'")
    computes = deploy("--limit", "computes")
    assert computes.returncode == 1
    assert f"RabbitMQ at controller:{BROKER_PORT}" in computes.stdout
    assert "Traceback" not in computes.stdout
    controllers = deploy("--limit", "controllers")
    assert controllers.returncode == 1
    assert "would cut those hosts off" in controllers.stdout
    assert "compute1, compute2" in controllers.stdout
    assert deploy().returncode == 0
    assert run("./run", "plan").returncode == 0
