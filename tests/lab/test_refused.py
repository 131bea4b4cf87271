"""What a host may not be like: said in a line before anything is changed, or no matter at all."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from .conftest import on, run
from .test_main_job import PYINFRA

pytestmark = pytest.mark.rotated("faults")
Deployed = subprocess.CompletedProcess[str]
STATUS = "/var/lib/dpkg/status"
KEY = "/etc/ssh/ssh_host_ed25519_key.pub"


def deploy() -> subprocess.CompletedProcess[str]:
    return run(PYINFRA, "inventory.py", "deploy.py", "-y")


@pytest.fixture
def older_nova(deployed: Deployed) -> Iterator[None]:
    """Nova's packages on compute1 as dpkg would know those of the release before."""
    older = f"sed -i '/^Package: nova-common$/,/^$/s/^Version: .*/Version: 3:25.3.0-1/' {STATUS}"
    assert on("compute1", f"cp -a {STATUS} {STATUS}.kept && {older}").returncode == 0
    yield
    assert on("compute1", f"mv {STATUS}.kept {STATUS}").returncode == 0
    assert run("./run", "plan").returncode == 0


def test_another_release_than_the_installed_one(older_nova: None) -> None:
    on("controller", "touch /etc/nova/nova.conf")
    for result in (run("./run", "plan"), deploy()):
        assert result.returncode == 1
        assert "compute1: Nova: nova-common 25.3.0 (yoga) is installed" in result.stdout
        assert "Starting operation" not in result.stdout and "Traceback" not in result.stdout
    assert deploy_after_mending() == 0


def deploy_after_mending() -> int:
    on("compute1", f"cp -a {STATUS}.kept {STATUS}")
    return deploy().returncode


@pytest.fixture
def empty_host_key(deployed: Deployed) -> Iterator[None]:
    assert on("compute2", f"cp -a {KEY} {KEY}.kept && : >{KEY}").returncode == 0
    yield
    assert on("compute2", f"mv {KEY}.kept {KEY}").returncode == 0
    assert run("./run", "plan").returncode == 0


def test_an_empty_ssh_host_key(empty_host_key: None) -> None:
    result = run("./run", "plan")
    assert result.returncode == 1
    assert f"compute2: SSH host key: {KEY} holds no public key; make it again" in result.stdout
    assert "Traceback" not in result.stdout


def test_no_other_user_holds_up_a_deploy(deployed: Deployed) -> None:
    """Nor does the lock of an earlier version, which everybody could hold."""
    old = "/run/pyinfra-nova.lock"
    hold = f"systemd-run --quiet --unit holder -p User=nobody flock {old} sleep 600"
    assert on("compute1", f"touch {old} && chmod 644 {old} && {hold}").returncode == 0
    on("compute1", "touch /etc/nova/nova.conf")
    try:
        assert deploy().returncode == 0
        assert on("compute1", "stat -c %a:%U /run/pyinfra-nova").stdout.split()[-1] == "700:root"
        assert (
            on("compute1", "stat -c %a:%U /run/pyinfra-nova/lock").stdout.split()[-1] == "600:root"
        )
        taken = "runuser -u nobody -- flock --nonblock /run/pyinfra-nova/lock true"
        assert on("compute1", taken).returncode != 0
    finally:
        on("compute1", f"systemctl stop holder; rm -f {old}")
    assert run("./run", "plan").returncode == 0
