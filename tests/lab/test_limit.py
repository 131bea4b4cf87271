"""Runs on some of the hosts: they touch those, discover what is new, and refuse what would harm."""

from __future__ import annotations

import json
import subprocess

from .conftest import ROOT, on, run
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
    result = deploy("--limit", "compute1")
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


def test_computes_alone_are_refused_while_their_broker_would_not_let_them_in(
    deployed: Deployed,
) -> None:
    on("controller", "rabbitmqctl -q change_password openstack 'another one'")
    result = deploy("--limit", "computes")
    assert result.returncode == 1
    assert "RabbitMQ at controller:5672" in result.stdout
    assert "Traceback" not in result.stdout


def test_the_controller_alone_changes_no_password_that_computes_use(deployed: Deployed) -> None:
    """Goes on from the test before: the password in the data is not the one in use."""
    result = deploy("--limit", "controllers")
    assert result.returncode == 1
    assert "would cut those hosts off" in result.stdout
    assert "compute1, compute2" in result.stdout
    assert deploy().returncode == 0
    assert run("./run", "plan").returncode == 0
