"""Broken clouds that look deployed: the verification has to name what is wrong with each."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from .conftest import on, run
from .test_main_job import PYINFRA

Deployed = subprocess.CompletedProcess[str]
DROP_IN = "/etc/systemd/system/nova-conductor.service.d"


@pytest.fixture
def mended(deployed: Deployed) -> Iterator[None]:
    """Whatever a test broke, the next deploy puts right."""
    yield
    on("controller", f"rm -rf {DROP_IN} && systemctl daemon-reload")
    assert run(PYINFRA, "inventory.py", "deploy.py", "-y").returncode == 0
    assert run("./run", "plan").returncode == 0


def verify() -> str:
    """The output of a verification that has to fail; guests take too long for a broken cloud."""
    result = run("./run", "verify", "--deselect", "tests/verify/test_guests.py")
    assert result.returncode == 1
    return result.stdout


@pytest.mark.rotated("faults")
def test_a_crash_looping_conductor(mended: None) -> None:
    on(
        "controller",
        f"mkdir -p {DROP_IN} && printf '[Service]\\nExecStart=\\nExecStart=/nonexistent\\n"
        f"Restart=always\\nRestartSec=1\\n' >{DROP_IN}/broken.conf"
        " && systemctl daemon-reload && systemctl --no-block restart nova-conductor",
    )
    assert "nova-conductor" in verify()


@pytest.mark.rotated("faults")
def test_a_console_proxy_that_ends_without_an_error(mended: None) -> None:
    on(
        "controller",
        "sed -i s/novnc/spicehtml5/ /etc/default/nova-consoleproxy"
        " && systemctl restart nova-novncproxy",
    )
    assert on("controller", "systemctl is-failed nova-novncproxy").returncode == 1
    assert "nova-novncproxy" in verify()


@pytest.mark.rotated("faults")
def test_an_api_that_answers_500(mended: None) -> None:
    on(
        "controller",
        "sed -i 's#@controller:3306/#@127.0.0.9:1/#' /etc/nova/nova.conf"
        " && systemctl restart nova-api",
    )
    output = verify()
    assert "500" in output and "nova.conf" in output


@pytest.mark.rotated("faults")
def test_a_hypervisor_registered_with_a_wrong_address(mended: None) -> None:
    on(
        "compute1",
        "sed -i 's/^my_ip = .*/my_ip = 127.0.0.1/' /etc/nova/nova.conf"
        " && systemctl restart nova-compute && sleep 20",
    )
    output = verify()
    assert "compute1" in output and "127.0.0.1" in output
