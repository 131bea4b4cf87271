"""The exercise on a deployed lab: done, kept, gone on with, and nothing left of it."""

from __future__ import annotations

import json
import re
import subprocess
import time

import pytest

from lab.state import LAB

from .audits import Audits, audited
from .conftest import MINUTE, on, run

Deployed = subprocess.CompletedProcess[str]
MOST = 6 * MINUTE
NAME = "workshop"
CINDERS = re.compile("Volume|Gigabytes|Snapshot|Backup")
"""Limits that are there once the exercise has brought Cinder."""
LISTS = (
    "server list --all-projects",
    "server group list",
    "flavor list --all",
    "keypair list",
    "network list",
    "router list",
    "floating ip list",
    "security group list",
    "port list -c ID",
)


def listed() -> dict[str, list[dict[str, str]]]:
    """Every list of what the exercise makes, and the limits and usages of compute."""
    found = {}
    for words in (*LISTS, "limits show --absolute"):
        result = on("controller", f"openstack {words} -f json")
        if result.returncode == 0:
            rows, _ = json.JSONDecoder().raw_decode(result.stdout, result.stdout.index("["))
            found[words] = [row for row in rows if not CINDERS.search(str(row.get("Name")))]
    return found


def named(cloud: dict[str, list[dict[str, str]]]) -> list[str]:
    """What the exercise has left."""
    return [
        f"{words}: {row}"
        for words, rows in cloud.items()
        for row in rows
        if str(row.get("Name", "")).startswith(NAME)
    ]


def identities(cloud: dict[str, list[dict[str, str]]]) -> dict[str, list[str]]:
    return {words: sorted(map(str, rows)) for words, rows in cloud.items()}


def walked(*options: str) -> tuple[Deployed, float]:
    """A walk through the exercise, and its seconds."""
    begun = time.monotonic()
    result = run("./run", "workshop", *options)
    return result, time.monotonic() - begun


def set_computes(word: str) -> None:
    for host in ("compute1", "compute2"):
        on(host, f"systemctl {word} nova-compute")


def computes_are(wanted: str) -> bool:
    """Whether Nova comes to see both computes as WANTED; a silent one is down after a minute."""
    deadline = time.monotonic() + 3 * MINUTE
    while time.monotonic() < deadline:
        shown = on("controller", "openstack compute service list -f value -c Binary -c State")
        if shown.stdout.count(f"nova-compute {wanted}") == 2:
            return True
        time.sleep(5)
    return False


@pytest.fixture(scope="module")
def before(deployed: Deployed) -> dict[str, list[str]]:
    assert deployed.returncode == 0
    run("./run", "workshop", "--clean")
    return identities(listed())


@pytest.fixture(scope="module")
def audits() -> Audits:
    """Of the cloud while the exercise is walked through."""
    return Audits()


@pytest.fixture(scope="module")
def walk(before: dict[str, list[str]], audits: Audits) -> tuple[Deployed, float]:
    with audited(audits):
        return walked()


def test_the_exercise_succeeds_in_six_minutes(walk: tuple[Deployed, float]) -> None:
    result, seconds = walk
    assert result.returncode == 0
    assert seconds < MOST
    assert "limits and usages are as before" in result.stdout
    for seen in (
        "workshop-1 ACTIVE compute",
        "inet 10.98.0.",
        "guest ready: name=workshop-1",
        "the VNC server says RFB 003.",
    ):
        assert seen in result.stdout
    hosts = re.findall(r"workshop-\d (?:ACTIVE|BUILD) (compute\d)", result.stdout)
    assert sorted(hosts) == ["compute1", "compute2"]


def test_a_volume_takes_what_was_written_to_the_other_guest(walk: tuple[Deployed, float]) -> None:
    result, _ = walk
    assert result.stdout.count("    written on workshop-1") == 2
    assert "no service of type" not in result.stdout
    assert on("controller", "rbd ls volumes").stdout.strip() == ""


def test_no_audit_meanwhile_finds_anything(walk: tuple[Deployed, float], audits: Audits) -> None:
    assert audits.wrong == []
    assert audits.number >= 5


def test_nothing_is_left_and_everything_else_is_as_before(
    before: dict[str, list[str]], walk: tuple[Deployed, float]
) -> None:
    after = listed()
    assert named(after) == []
    assert identities(after) == before
    assert not (LAB / NAME).exists()
    assert on("controller", "ls workshop.pub").returncode != 0


@pytest.mark.slow
def test_what_was_kept_is_gone_on_with_and_then_removed(before: dict[str, list[str]]) -> None:
    assert walked("--keep")[0].returncode == 0
    assert (LAB / NAME).stat().st_mode & 0o777 == 0o600
    again, _ = walked("--keep")
    assert again.returncode == 0
    assert "workshop-2 is there already" in again.stdout
    result, _ = walked()
    assert result.returncode == 0
    assert identities(listed()) == before


@pytest.mark.slow
def test_a_failed_step_is_explained_and_the_next_walk_goes_on(
    before: dict[str, list[str]],
) -> None:
    set_computes("stop")
    try:
        assert computes_are("down")
        result, _ = walked()
    finally:
        set_computes("start")
    assert result.returncode == 1
    said = result.stdout[result.stdout.index("step guest failed") :]
    assert "No valid host was found" in said
    assert "nova-scheduler.log" in said
    assert "Traceback" not in result.stdout
    assert computes_are("up")
    assert walked()[0].returncode == 0
    assert identities(listed()) == before
