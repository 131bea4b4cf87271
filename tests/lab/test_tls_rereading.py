"""What Nova builds on reads new certificates, and no connection ends for it."""

from __future__ import annotations

import subprocess

import pytest

from lab import state
from lab.settings import read_settings

from .conftest import ENCRYPTED, ROOT, on, run
from .test_tls import MARIADB, processes, shown_at

pytestmark = ENCRYPTED
Deployed = subprocess.CompletedProcess[str]
IS_UWSGI = read_settings(ROOT / "inventory.py").has_wsgi_modules
GLANCE = "glance-api" if IS_UWSGI else "glance-tls"
SHOWN_BY_LAB = {
    "mariadb": ("/etc/mysql/ssl/public/mysql.crt", MARIADB),
    "rabbitmq-server": ("/etc/rabbitmq/ssl/public/rabbitmq.crt", 5671),
    "keystone": ("/etc/keystone/ssl/public/keystone.crt", 5000),
    "placement-api": ("/etc/placement/ssl/public/placement.crt", 8778),
    GLANCE: ("/etc/glance/ssl/public/glance.crt", 9292),
}
"""Of what the lab has beside Nova: the file, and the port that shows it."""


@pytest.mark.rotated("encrypted")
def test_the_labs_servers_read_new_certificates_and_none_ends_for_it(
    deployed: Deployed,
) -> None:
    assert deployed.returncode == 0
    running = processes(SHOWN_BY_LAB)
    at_ports = {port: shown_at(port) for _, port in SHOWN_BY_LAB.values()}
    assert all(at_ports.values())
    gone = " ".join(path for path, _ in SHOWN_BY_LAB.values())
    assert on("controller", f"rm {gone}").returncode == 0
    state.PREPARED.unlink()  # what is wanted is the same, and so `up` would not look
    result = run("./run", "lab", "up")
    assert result.returncode == 0
    assert "PRIVATE" not in result.stdout
    assert processes(SHOWN_BY_LAB) == running
    now = {port: shown_at(port) for port in at_ports}
    assert None not in now.values()
    assert [port for port in now if now[port] == at_ports[port]] == []
    assert run("./run", "plan").returncode == 0
