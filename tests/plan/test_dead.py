"""A compute that has no power, planned and deployed against hosts that only answer."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pyinfra_nova.commands.plan import pending

from .test_drains import TARGET
from .test_plan import operations, pyinfra, secrets_file
from .test_retirements import WHOLE

__all__ = ["secrets_file"]
EVACUATE = "Hypervisors | Evacuate dead computes"
SILENT = {
    "signs": {},
    "asked": {"@fake/compute2": ["ping", "connection"]},
    "unasked": [],
}


def guest(uuid: str, **more: Any) -> dict[str, Any]:
    found = {"uuid": uuid, "name": f"web-{uuid}", "host": "compute2", "state": "active"}
    return {**found, "task": None, "power": 1, "fault": None, "image": None, **more}


RUNS, LOCAL = guest("g1"), guest("g2", image="i1")


def look(*guests: dict[str, Any], forced: bool = True, **more: Any) -> dict[str, Any]:
    service = {"id": "s2", "forced_down": forced, "beat": "then", "age": 600.0}
    targets = {each["uuid"]: {**TARGET, "hosts": ["compute1"]} for each in guests}
    return {
        **{"error": None, "computes": {"compute2": "down"}, "agents": {"compute2": []}},
        **{"services": {"compute2": service}, "guests": guests, "targets": targets, **more},
    }


@pytest.fixture
def has(monkeypatch: pytest.MonkeyPatch) -> Any:
    def say(*looks: dict[str, Any], **more: Any) -> None:
        monkeypatch.setenv("FAKE_DEAD", json.dumps(looks or [look()]))
        for name, value in more.items():
            monkeypatch.setenv(f"FAKE_{name.upper()}", json.dumps(value))

    return say


def asked(said: str, words: str) -> list[str]:
    """The hosts to which a command with WORDS went, in order."""
    commands = said.split("[fake] simulating command on @fake/")[1:]
    return [c.partition(":")[0] for c in commands if re.search(rf" ({words})\b", c)]


def test_the_plan_says_guest_by_guest_what_becomes_of_it(secrets_file: Path, has: Any) -> None:
    seen: dict[str, Any] = {"closed": {}, "unseen": [], "forced": {}}
    has(look(RUNS, LOCAL, forced=False), seen=seen)
    process = pyinfra("dead", secrets_file, "--dry", "--json")
    assert pending({"plan": operations(process)}) == {
        "Hypervisors | Close computes": ["@fake/controller"],
        EVACUATE: ["@fake/controller"],
    }
    for text in (
        "@fake/compute2  dead  ok  no sign of life",
        "close @fake/compute2 to new guests, dead in the inventory (was open)",
        "@fake/compute2 is dead: have Nova call its nova-compute down",
        "evacuate guest web-g1 (g1) of compute2 to compute1",
        "guest web-g2 (g2) on compute2 stays: its disk was only on compute2",
    ):
        assert text in process.stderr, text


def test_what_is_given_up_is_said_of_each(secrets_file: Path, has: Any) -> None:
    has(look(LOCAL), more={"state": "drained", "dead": True, "disks_lost": True})
    process = pyinfra("dead", secrets_file, "--dry", "--json")
    said = "evacuate guest web-g2 (g2) of compute2, its disk made anew from its image i1, to compu"
    assert said in process.stderr


def test_nobody_connects_to_it_and_the_others_are_asked_once_each(
    secrets_file: Path, has: Any
) -> None:
    has()
    process = pyinfra("dead", secrets_file, "-y", "--debug")
    assert process.returncode == 0, process.stderr
    assert asked(process.stderr, "signs_of_life read") == ["controller", "compute1"]
    assert asked(process.stderr, "evacuations read") == ["controller", "controller"]
    assert "[@fake/compute2]" not in process.stderr
    process = pyinfra("dead", secrets_file, "--dry", "--json")
    assert pending({"plan": operations(process)}) == {}


@pytest.mark.parametrize("arguments", [("--dry", "--json"), ("-y",)])
@pytest.mark.parametrize(
    ("signs", "seen", "said"),
    [
        (
            {**SILENT, "signs": {"@fake/compute2": ["10.0.0.32 refuses a connection to port 22"]}},
            look(RUNS),
            "10.0.0.32 refuses a connection to port 22, asked by @fake/controller",
        ),
        (SILENT, look(RUNS, agents={"compute2": ["L3 agent"]}), "Neutron hears its L3 agent"),
        (SILENT, look(RUNS, computes={"compute2": "up"}), "Nova calls its nova-compute up"),
        (
            {**SILENT, "asked": {}, "unasked": ["ping is not installed"]},
            look(RUNS),
            "nobody could look whether it lives",
        ),
    ],
)
def test_what_answers_is_named_before_anything_is_changed(
    secrets_file: Path,
    has: Any,
    signs: dict[str, Any],
    seen: dict[str, Any],
    said: str,
    arguments: tuple[str, ...],
) -> None:
    has(seen, signs=[signs])
    process = pyinfra("dead", secrets_file, *arguments)
    assert process.returncode == 1
    assert "the preflight failed; nothing was changed" in process.stderr
    assert said in process.stderr
    assert "Traceback" not in process.stderr


def test_before_nova_answers_what_the_network_says_has_to_do(secrets_file: Path, has: Any) -> None:
    has({"error": "PyMySQL is not installed"}, seen={"unseen": ["compute2"], "forced": {}})
    process = pyinfra("dead", secrets_file, "--dry", "--json")
    assert process.returncode == 0, process.stderr
    assert EVACUATE not in pending({"plan": operations(process)})


def test_where_nova_does_not_answer_no_guest_is_touched(secrets_file: Path, has: Any) -> None:
    has({"error": "GET http://x does not answer: timed out"})
    process = pyinfra("dead", secrets_file, "--dry", "--json")
    assert process.returncode == 1
    assert "GET http://x does not answer: timed out" in process.stderr
    assert "Traceback" not in process.stderr


def evacuated(status: str) -> dict[str, Any]:
    """How g1 fares."""
    move = {"id": 7, "guest": "g1", "kind": "evacuation", "status": status, "source": "compute2"}
    move |= {"target": "compute1", "age": 5.0, "same_flavor": True, "cause": None}
    return {**move, "total": None, "remaining": None}


def test_a_deploy_forces_it_down_and_evacuates_then_looks_again(
    secrets_file: Path, has: Any
) -> None:
    before, gone = look(RUNS, forced=False), look({**RUNS, "host": "compute1"})
    # Preflight, plan, run, right before, then what is decided, and what has come of it.
    has(*[before] * 4, look(RUNS), {**gone, "moves": [evacuated("done")]})
    process = pyinfra("dead", secrets_file, "-y", "--debug")
    assert process.returncode == 0, process.stderr
    assert asked(process.stderr, "evacuations (?:force|evacuate)") == ["controller"] * 2
    assert asked(process.stderr, "signs_of_life read") == ["controller", "compute1"] * 2
    assert "no guest is left on @fake/compute2" in process.stderr


def test_a_deploy_stops_before_the_first_guest_if_it_has_come_to_life(
    secrets_file: Path, has: Any
) -> None:
    alive = {**SILENT, "signs": {"@fake/compute2": ["10.0.0.32 replies to a ping"]}}
    has(look(RUNS, forced=False), signs=[SILENT, alive])
    process = pyinfra("dead", secrets_file, "-y", "--debug")
    assert process.returncode == 1
    assert "@fake/compute2 is not dead: 10.0.0.32 replies to a ping" in process.stderr
    assert asked(process.stderr, "evacuations (?:force|evacuate)") == []


def test_a_guest_whose_disk_only_it_had_ends_a_deploy_with_what_to_do(
    secrets_file: Path, has: Any
) -> None:
    has(look(LOCAL))
    process = pyinfra("dead", secrets_file, "-y", "-vvv")
    assert process.returncode == 1
    assert "web-g2 (g2) on compute2 stays: its disk was only on compute2" in process.stderr
    assert "Traceback" not in process.stderr


# --- runs that name hosts -------------------------------------------------------------------------


def test_a_run_on_other_hosts_does_nothing_about_it(secrets_file: Path, has: Any) -> None:
    has(look(RUNS))
    process = pyinfra("dead", secrets_file, "--dry", "--json", "--limit", "@fake/controller")
    assert process.returncode == 0, process.stderr
    assert EVACUATE not in [operation["name"] for operation in operations(process)]


def test_a_run_that_names_it_names_a_host_to_work_on_too(secrets_file: Path, has: Any) -> None:
    has(look(RUNS))
    limit = ("--limit", "@fake/compute2")
    process = pyinfra("dead", secrets_file, "--dry", "--json", *limit)
    assert process.returncode == 1
    assert "@fake/compute2 is dead in the inventory, so in this run there is no" in process.stderr
    process = pyinfra("dead", secrets_file, "--dry", "--json", *limit, "--limit", "@fake/compute1")
    assert pending({"plan": operations(process)}) == {EVACUATE: ["@fake/controller"]}


# --- retired, and back ----------------------------------------------------------------------------


def test_a_retired_one_goes_without_its_own_part(secrets_file: Path, has: Any) -> None:
    records = {"left": {"compute2": {**WHOLE, "agents": []}}, "error": None, "early": False}
    retired = {"state": "retired", "dead": True}
    has(look(), records=[records], more=retired)
    process = pyinfra("dead", secrets_file, "--dry", "--json")
    done = pending({"plan": operations(process)})
    assert done["Retirement | Delete what is left of retired computes"] == ["@fake/controller"]
    assert not any("Stop nova-compute" in name for name in done)
    assert "@fake/compute2 goes: service nova-compute (s2)" in process.stderr
    alive = {**SILENT, "signs": {"@fake/compute2": ["10.0.0.32 replies to a ping"]}}
    has(look(), records=[records], more=retired, signs=[SILENT, alive])
    process = pyinfra("dead", secrets_file, "-y", "--debug")
    assert process.returncode == 1
    assert "@fake/compute2 is not dead: 10.0.0.32 replies to a ping" in process.stderr
    assert asked(process.stderr, "retirements retire") == []


def test_one_that_was_dead_is_to_count_again(
    secrets_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_FORCED", '{"compute2": 2}')
    process = pyinfra("back", secrets_file, "--dry", "--json")
    assert pending({"plan": operations(process)}) == {
        "Hypervisors | Let computes count again": ["@fake/controller"]
    }
    said = "compute2 was forced down: let it count again, once its nova-compute has taken away"
    assert said in process.stderr
    process = pyinfra("back", secrets_file, "-y", "--debug")
    assert process.returncode == 0, process.stderr
    commands = r"forced_down lift|units read|site_proof read"
    order = re.findall(rf" ({commands})\b", process.stderr)
    assert order.index("forced_down lift") > order.index("units read")
