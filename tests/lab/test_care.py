"""The timers of the primary controller do what they are for, and let a deploy pass."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .conftest import ROOT, on, run

Deployed = subprocess.CompletedProcess[str]
LOCK = "/run/pyinfra-nova/lock"
STATE = "/var/lib/pyinfra-nova/care"
OLDER = (
    "for table in instances instance_system_metadata instance_extra block_device_mapping; do"
    ' mysql -e "UPDATE nova.$table SET deleted_at = NOW() - INTERVAL 60 DAY WHERE deleted <> 0";'
    " done"
)


def count(table: str, where: str = "1") -> int:
    answer = on("controller", f"mysql -N -e 'SELECT COUNT(*) FROM nova.{table} WHERE {where}'")
    return int(answer.stdout.split()[-1])


def done(job: str) -> dict[str, Any]:
    """Have a job done now, long after the last deploy, and say what it has left."""
    on("controller", f"touch -d '1 hour ago' {LOCK}; systemctl start nova-care-{job}")
    return left_by(job)


def left_by(job: str) -> dict[str, Any]:
    text = on("controller", f"cat {STATE}/{job}.json").stdout
    return dict(json.loads(text[text.index("{") :]))


@pytest.fixture
def deleted_guest(deployed: Deployed) -> None:
    """One that was deleted two months ago."""
    boot = (
        "openstack flavor show m1.care >/dev/null 2>&1 ||"
        " openstack flavor create --vcpus 1 --ram 128 --disk 0 m1.care;"
        " openstack server create --flavor m1.care --image tiny --nic none --wait"
        " --os-compute-api-version 2.37 care &&"
        " openstack server delete --wait care; openstack flavor delete m1.care"
    )
    assert on("controller", boot).returncode == 0
    on("controller", OLDER)


def test_old_rows_are_archived_and_older_ones_purged(deleted_guest: None) -> None:
    old = count("instances", "deleted <> 0")
    assert old >= 1
    found = done("archive")
    assert found["outcome"] == "done" and found["rows"] >= old, found
    assert count("instances", "deleted <> 0 AND deleted_at < NOW() - INTERVAL 30 DAY") == 0
    assert count("shadow_instances") >= old
    assert done("archive")["rows"] == 0
    assert done("purge")["rows"] == 0  # sixty days are not ninety
    for table in ("shadow_instances", "shadow_instance_extra"):
        on("controller", f"mysql -e 'UPDATE nova.{table} SET deleted_at = NOW() - INTERVAL 99 DAY'")
    found = done("purge")
    assert found["outcome"] == "done" and found["rows"] >= old, found
    assert count("shadow_instances") == 0


def test_a_deploy_is_never_disturbed_and_the_journal_says_why(deployed: Deployed) -> None:
    hold = f"flock --shared {LOCK} systemctl start nova-care-archive"
    assert on("controller", hold).returncode == 0
    text = "a deploy changes this host at this moment: flock "
    assert left_by("archive")["said"].startswith(text)
    on("controller", f"touch {LOCK}; systemctl start nova-care-archive")
    assert left_by("archive")["outcome"] == "put off"
    said = on("controller", "journalctl -u nova-care-archive -n 5 --output cat").stdout
    assert "archive: put off: 0 in" in said


def test_a_database_that_is_gone_fails_the_job_and_verify_says_it(deployed: Deployed) -> None:
    try:
        on("controller", "systemctl stop mariadb")
        assert done("purge")["outcome"] == "failed"
    finally:
        on("controller", "systemctl start mariadb")
    verified = run("./run", "verify", "-k", "care")
    assert verified.returncode == 1
    assert "controller: purge has failed: " in verified.stdout
    assert done("purge")["outcome"] == "done"
    assert run("./run", "verify", "-k", "care").returncode == 0


@pytest.fixture(scope="module")
def promtool(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Prometheus' own checker, out of Debian's package; nothing is installed."""
    folder = tmp_path_factory.mktemp("prometheus")
    subprocess.run(["apt-get", "-q", "update"], check=False, capture_output=True)
    subprocess.run(["apt-get", "-q", "download", "prometheus"], cwd=folder, check=True)
    (package,) = folder.glob("*.deb")
    subprocess.run(["dpkg", "-x", str(package), str(folder / "root")], check=True)
    return str(folder / "root/usr/bin/promtool")


@pytest.fixture
def node_exporter(deployed: Deployed) -> Iterator[str]:
    folder = "/var/lib/prometheus/node-exporter"
    on("controller", f"mkdir -p {folder}")
    yield folder
    on("controller", "rm -r /var/lib/prometheus")


def test_prometheus_reads_the_metrics_and_the_rules(
    node_exporter: str, promtool: str, tmp_path: Path
) -> None:
    done("audit")
    assert done("metrics")["outcome"] == "done"
    page = on("controller", f"cat {node_exporter}/nova.prom").stdout
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=page, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    for host in ("compute1", "compute2"):
        assert f'nova_service_enabled{{binary="nova-compute",host="{host}"}} 1' in page
    assert 'nova_care_failed{job="audit"} 0' in page
    rules = ROOT / "monitoring"
    for words in (("check", "rules", "nova-alerts.yml"), ("test", "rules", "nova-alerts-test.yml")):
        said = subprocess.run([promtool, *words], cwd=rules, capture_output=True, check=False)
        assert said.returncode == 0, said.stdout + said.stderr


def test_what_is_left_out_is_taken_away_and_comes_back(deployed: Deployed) -> None:
    """The names of the timers that wait, as systemd lists them."""
    data = ROOT / "group_data" / "all.py"
    before = data.read_text()
    timers = (
        "systemctl list-timers --all --output json 'nova-care-*' | grep -o 'nova-care-[a-z]*.timer'"
    )
    try:
        data.write_text(
            before.replace('    "purge": {"days": 90, "at": "04:10"},', '    "purge": None,')
        )
        assert run(".venv/bin/pyinfra", "inventory.py", "deploy.py", "-y").returncode == 0
        assert "purge" not in on("controller", timers).stdout
        assert on("controller", "ls /etc/systemd/system/nova-care-purge.*").returncode != 0
        assert run("./run", "plan").returncode == 0
    finally:
        data.write_text(before)
    assert run(".venv/bin/pyinfra", "inventory.py", "deploy.py", "-y").returncode == 0
    assert "nova-care-purge.timer" in on("controller", timers).stdout
    assert run("./run", "plan").returncode == 0
