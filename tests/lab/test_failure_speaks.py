"""What a deploy says when a part of the cloud goes away under it: unit or server, cause, remedy."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Iterator

import pytest

from lab import machines

from .conftest import BROKER_PORT, SEED, on, run
from .test_interrupted import deploy_while, killed_when
from .test_main_job import PYINFRA

Deployed = subprocess.CompletedProcess[str]
STAGE = "Starting operation: Controller services | Enable and start"
BEFORE = "Starting operation: Cells | "
"""What stops now is gone when the units are started."""
EARLY = "Starting operation: Packages | "


@pytest.fixture
def mended(deployed: Deployed) -> Iterator[None]:
    """The next deploy finishes what the broken one began."""
    on("controller", "touch /etc/nova/nova.conf")
    yield
    on("controller", "systemctl start mariadb rabbitmq-server")
    assert run(PYINFRA, "inventory.py", "deploy.py", "-y").returncode == 0
    assert run("./run", "plan").returncode == 0


def test_a_killed_run_is_finished_by_the_next(mended: None) -> None:
    """Somewhere in the middle, another place each day; from bare hosts in test_interrupted.py."""
    on("compute1", "touch /etc/nova/nova.conf")
    chance = random.Random(SEED)
    deploy = (PYINFRA, "inventory.py", "deploy.py", "-y")
    killed_when(chance.randrange(1, 12), chance.uniform(0, 2), *deploy)


@pytest.mark.rotated("faults")
def test_a_database_that_stops_midway(mended: None) -> None:
    result = deploy_while(STAGE, lambda: on("controller", "systemctl stop mariadb"))
    assert result.returncode == 1
    assert "nova-" in result.stdout and "Traceback" not in result.stdout
    assert "controller:3306" in result.stdout or "MySQL" in result.stdout


@pytest.mark.rotated("faults")
def test_a_broker_that_stops_midway_is_named_within_the_deadline(mended: None) -> None:
    begun = time.monotonic()
    result = deploy_while(BEFORE, lambda: on("controller", "systemctl stop rabbitmq-server"))
    assert time.monotonic() - begun < 240
    assert result.returncode == 1
    conductor = (
        f"nova-conductor is active (running), but not connected to RabbitMQ at port {BROKER_PORT}"
    )
    assert f"{conductor}. /var/log/nova/nova-conductor.log: " in result.stdout
    assert "Traceback" not in result.stdout


@pytest.mark.rotated("faults")
def test_a_broker_that_stops_before_its_user_is_looked_at(mended: None) -> None:
    result = deploy_while(EARLY, lambda: on("controller", "systemctl stop rabbitmq-server"))
    assert result.returncode == 1
    assert f"RabbitMQ does not answer at 10.0.0.11:{BROKER_PORT}" in result.stdout
    assert "rabbitmqctl" not in result.stdout and "Traceback" not in result.stdout


@pytest.mark.rotated("faults")
def test_a_broker_that_is_away_from_the_start(mended: None) -> None:
    on("controller", "systemctl stop rabbitmq-server")
    result = run(PYINFRA, "inventory.py", "deploy.py", "-y")
    assert result.returncode == 1
    assert f"RabbitMQ at controller:{BROKER_PORT}" in result.stdout
    assert "Starting operation" not in result.stdout


@pytest.mark.rotated("faults")
def test_a_compute_that_loses_its_power_midway(mended: None) -> None:
    on("compute2", "touch /etc/nova/nova.conf")
    begun = time.monotonic()
    result = deploy_while(STAGE, lambda: machines.kill("compute2"))
    assert time.monotonic() - begun < 180
    assert result.returncode == 1
    assert "compute2" in result.stdout and "Traceback" not in result.stdout
    assert run("./run", "lab", "up").returncode == 0
