"""Computes that come back, planned and deployed against hosts that only answer."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pyinfra_nova.commands.plan import pending

from .test_plan import operations, pyinfra, secrets_file  # noqa: F401
from .test_retirements import asked

ONE, TWO = "11111111-0000-4000-8000-000000000000", "22222222-0000-4000-8000-000000000000"
GUEST = "457eb676-33da-42ec-9a8c-000000000001"
NODES = {
    "nodes": [
        {"uuid": ONE, "host": "compute1", "name": "compute1"},
        {"uuid": TWO, "host": "compute2", "name": "compute2"},
    ],
    "services": {"compute1": 68, "compute2": 68},
}
LATER = {"error": "1045: Access denied", "early": True}
KEEP = "Compute services | Keep who the compute is"
STOPPED = {"running": False, "domains": {}, "folders": []}
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def deploy(monkeypatch: pytest.MonkeyPatch, secrets_file: Path) -> Run:  # noqa: F811
    """A run of hosts with what is said of them, on Zed, or with EPOXY on 2025.1."""

    def run(
        *words: str, presence: Any, nova: Any = NODES, late: Any = (), epoxy: bool = False
    ) -> subprocess.CompletedProcess[str]:
        monkeypatch.setenv("FAKE_PRESENCE", json.dumps(presence))
        monkeypatch.setenv("FAKE_NOVA", json.dumps(nova))
        monkeypatch.setenv("FAKE_LATE", json.dumps(late or {}))
        if epoxy:
            monkeypatch.setenv("FAKE_EPOXY", "1")
            words = (*words, "--data", "release=2025.1")
        return pyinfra("coming_back", secrets_file, *words)

    return run


def refused(process: subprocess.CompletedProcess[str]) -> str:
    """What the preflight says; it was the last thing that was asked of any host."""
    assert process.returncode == 1
    assert "the preflight failed; nothing was changed:" in process.stderr
    assert "Traceback" not in process.stderr
    assert asked(process.stderr, r"\w+ write|nova_state read|packages|systemctl") == []
    assert asked(process.stderr, "host_report read") == ["controller", "compute1", "compute2"]
    return process.stderr


def test_the_plan_says_that_a_lost_identity_is_put_back(deploy: Run) -> None:
    process = deploy("--dry", "--json", presence={"identities": []}, epoxy=True)
    planned = operations(process)
    assert f"put back /var/lib/nova/compute_id: Nova has this host as {ONE}" in process.stderr
    names = [operation["name"] for operation in planned]
    assert names.index(KEEP) < names.index(
        "Compute services | Enable and start the compute's units"
    )
    assert pending({"plan": planned})[KEEP] == ["@fake/compute1"]


def test_it_is_written_on_its_host_alone(deploy: Run) -> None:
    process = deploy("-y", "--debug", presence={"identities": []}, epoxy=True)
    assert asked(process.stderr, "compute_identity write") == ["compute1"]
    assert asked(process.stderr, "nova_computes read") == []


def test_zed_needs_none_and_nothing_more_is_asked(deploy: Run) -> None:
    process = deploy("-y", "--debug", presence={"identities": []})
    assert process.returncode == 0
    assert KEEP not in process.stderr
    assert asked(process.stderr, "compute_identity write|nova_computes read") == []


def test_a_copied_disk_ends_the_run_before_any_change(deploy: Run) -> None:
    files = [{"path": "/var/lib/nova/compute_id", "uuid": TWO, "problem": None}]
    said = refused(deploy("-y", "--debug", presence={"identities": files}, epoxy=True))
    assert (
        f"compute1: identity: /var/lib/nova/compute_id has the identity of compute2 ({TWO})" in said
    )
    assert f"remove the file here, and the deploy puts {ONE} back" in said


@pytest.mark.parametrize("epoxy", [False, True])
def test_a_reinstalled_host_with_guests_ends_the_run_before_any_change(
    deploy: Run, epoxy: bool
) -> None:
    nova = {**NODES, "guests": {"compute1": [GUEST]}}
    said = refused(deploy("-y", "--debug", presence=STOPPED, nova=nova, epoxy=epoxy))
    assert f"compute1: identity: Nova has 1 guest ({GUEST}) here" in said


def test_a_renamed_host_ends_the_run_before_any_change(deploy: Run) -> None:
    nova = {"nodes": [{"uuid": ONE, "host": "compute9", "name": "compute9"}]}
    said = refused(deploy("-y", "--debug", presence={"host": "compute9"}, nova=nova))
    assert "compute1: identity: Nova has this host as compute9" in said


def test_a_database_that_gives_no_answer_ends_the_run(deploy: Run) -> None:
    nova = {"error": "controller:3306: 2013: Lost connection", "early": False}
    said = refused(deploy("-y", "--debug", presence={}, nova=nova))
    assert "controller: identity: what Nova has of them is not known: controller:3306" in said


def test_what_could_not_be_seen_yet_is_asked_once_before_the_computes_start(deploy: Run) -> None:
    late = {**NODES, "guests": {}, "error": None, "early": False}
    process = deploy("-y", "--debug", presence={}, nova=LATER, late=late)
    assert process.returncode == 0
    assert asked(process.stderr, "nova_computes read") == ["controller"]


def test_and_ends_the_run_before_it_starts_what_is_wrong(deploy: Run) -> None:
    late = {**NODES, "guests": {"compute1": [GUEST]}, "error": None, "early": False}
    process = deploy("-y", "--debug", presence=STOPPED, nova=LATER, late=late)
    assert "Traceback" not in process.stderr
    assert f"Nova has 1 guest ({GUEST}) here" in process.stderr
