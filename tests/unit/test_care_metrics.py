"""files/care/cloud_metrics.py and monitoring/: figures as Prometheus reads them, and alerts."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import cloud_metrics
import pytest

MONITORING = Path(__file__).resolve().parents[2] / "monitoring"
NOW = 1_800_000_000.0
SAMPLE = re.compile(r"([a-z_]+)(?:\{(.*)\})? (\S+)")


def ago(seconds: float) -> datetime:
    return datetime.fromtimestamp(NOW - seconds, tz=timezone.utc).replace(tzinfo=None)


def rows(**changes: Any) -> dict[str, Any]:
    service = {"binary": "nova-compute", "host": "compute1", "last_seen_up": ago(7)}
    node = {"host": "compute1", "vcpus": 4, "vcpus_used": 1, "memory_mb": 2, "memory_mb_used": 1}
    found: dict[str, Any] = {
        "services": [{**service, "disabled": 0, "forced_down": 0, "version": 64}],
        "nodes": [{**node, "local_gb": 10, "local_gb_used": 3}],
        "guests": [{"host": "compute1", "vm_state": "active", "number": 2}],
        "busy": [{"number": 1, "oldest": ago(30)}],
        "builds": [{"number": 0}],
        "deleted": [{"number": 12}],
    }
    return {**found, **changes}


LEFT = {
    "findings": {
        "findings": [{"kind": "deaf-service"}, {"kind": "deaf-service"}, {"kind": "old-rows"}],
        "at": NOW - 60,
        "silent": {"hosts": "no"},
    },
    "archive": {"began": NOW - 9, "ended": NOW - 5, "outcome": "failed", "rows": 3, "said": "no"},
    "purge": {"began": NOW - 9, "ended": NOW - 5, "outcome": "put off", "rows": 0, "done": 7.0},
}


def page(**changes: Any) -> str:
    jobs = ["archive", "purge"]
    return str(cloud_metrics.page_of(rows(**changes), jobs, LEFT.get, NOW))


def samples(text: str) -> dict[str, float]:
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            match = SAMPLE.fullmatch(line)
            assert match, line
            found[match[1] + (f"{{{match[2]}}}" if match[2] else "")] = float(match[3])
    return found


def test_every_figure_has_its_base_unit() -> None:
    found = samples(page())
    compute = 'host="compute1"'
    service = f'binary="nova-compute",{compute}'
    assert found[f"nova_service_heartbeat_age_seconds{{{service}}}"] == 7
    assert found[f"nova_service_enabled{{{service}}}"] == 1
    assert found[f"nova_service_version{{{service}}}"] == 64
    assert found[f'nova_guests{{{compute},state="active"}}'] == 2
    assert found["nova_guests_busy_oldest_seconds"] == 30
    assert found["nova_deleted_guests"] == 12
    assert found[f"nova_compute_memory_bytes{{{compute}}}"] == 2 * 1024**2
    assert found[f"nova_compute_disk_used_bytes{{{compute}}}"] == 3 * 1024**3
    assert found[f"nova_compute_cpus_used{{{compute}}}"] == 1
    assert found["nova_metrics_timestamp_seconds"] == NOW


def test_what_the_audit_and_the_jobs_have_left_is_counted() -> None:
    found = samples(page())
    assert found['nova_audit_findings{kind="deaf-service"}'] == 2
    assert found['nova_audit_findings{kind="old-rows"}'] == 1
    assert found["nova_audit_silent_sources"] == 0  # a timer sees no other host
    assert found['nova_care_failed{job="archive"}'] == 1
    assert found['nova_care_duration_seconds{job="archive"}'] == 4
    assert found['nova_care_timestamp_seconds{job="purge"}'] == NOW - 5
    assert found['nova_care_done_timestamp_seconds{job="purge"}'] == 7
    assert 'nova_care_done_timestamp_seconds{job="archive"}' not in found


def test_a_disabled_service_and_an_idle_cloud_are_told() -> None:
    service = {**rows()["services"][0], "disabled": 1, "forced_down": 1}
    found = samples(page(services=[service], busy=[{"number": 0, "oldest": None}]))
    assert found['nova_service_enabled{binary="nova-compute",host="compute1"}'] == 0
    assert found['nova_service_forced_down{binary="nova-compute",host="compute1"}'] == 1
    assert found["nova_guests_busy_oldest_seconds"] == 0


def test_any_name_is_a_label() -> None:
    text = page(guests=[{"host": 'a"b\\c\nd', "vm_state": None, "number": 1}])
    assert r'nova_guests{host="a\"b\\c\nd",state=""} 1' in text.splitlines()


def test_what_nova_has_twice_is_one_sample_else_node_exporter_takes_no_page_at_all() -> None:
    service, node = rows()["services"][0], rows()["nodes"][0]
    old = {**service, "last_seen_up": ago(9000), "disabled": 1}
    text = page(services=[service, old], nodes=[node, node])
    names = [line.rpartition(" ")[0] for line in text.splitlines() if line[0] != "#"]
    assert len(names) == len(set(names))
    found = samples(text)
    labels = '{binary="nova-compute",host="compute1"}'
    assert found["nova_service_heartbeat_age_seconds" + labels] == 7
    assert found["nova_service_enabled" + labels] == 1
    assert found['nova_compute_cpus{host="compute1"}'] == 8


def promtool(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    program = shutil.which("promtool")
    if not program:
        pytest.skip(
            "Debian's package prometheus is not installed; tests/lab/test_care.py brings it"
        )
    return subprocess.run(
        [program, *arguments], input=given, capture_output=True, text=True, check=False
    )


def test_prometheus_takes_the_page_without_a_remark() -> None:
    done = promtool("check", "metrics", given=page())
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_prometheus_takes_the_rules_and_they_alert_when_they_should() -> None:
    done = promtool("check", "rules", str(MONITORING / "nova-alerts.yml"))
    assert done.returncode == 0, done.stdout + done.stderr
    done = promtool("test", "rules", str(MONITORING / "nova-alerts-test.yml"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_figure_that_a_rule_or_the_dashboard_asks_for_is_there() -> None:
    there = {re.split(r"[{ ]", line)[0] for line in page().splitlines() if line[:1] != "#"}
    for name in ("nova-alerts.yml", "nova-dashboard.json"):
        asked = set(re.findall(r"\bnova_[a-z_]+", (MONITORING / name).read_text()))
        assert asked <= there, name
