"""python -m pyinfra_nova.maintain: words, refusals, plan, and a whole call over fake hosts."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gevent
import pytest
from pyinfra.api import output
from pyinfra.api.inventory import Inventory

from pyinfra_nova.commands import maintain
from pyinfra_nova.maintenance import cloud
from pyinfra_nova.maintenance.reason import MaintenanceError, Work, refused

from .site_data import AWKWARD, GROUPS, HOSTS, site

ROOT = Path(__file__).resolve().parents[2]
BEGUN = "2026-11-27T22:41:58Z"
NOW = 1_795_819_318.5
REASON = f"maintenance since {BEGUN}: reboot"
HOST: dict[str, Any] = {
    **{"boot": "boot-1", "starting": False, "rebooted": False, "done": []},
    **{"upgrades": None, "wants_reboot": None},
}


def nova(closed: str | None = None, *guests: str, **more: Any) -> dict[str, Any]:
    """What Nova says; its guests are on compute1."""
    names = ("compute1", "compute2", "compute3")
    return {
        "error": None,
        "now": NOW,
        "computes": dict.fromkeys(names, "up"),
        "closed": dict.fromkeys(names, closed),
        "guests": [guest(name) for name in guests],
        "targets": dict.fromkeys(guests, target("compute2")),
        **more,
    }


def guest(name: str, host: str = "compute1") -> dict[str, Any]:
    found = {"uuid": name, "name": f"web-{name}", "host": host, "state": "active"}
    return {**found, "task": None, "power": 1, "fault": None}


@dataclass
class Done:
    code: int
    out: str
    err: str
    typed: list[list[str]] = field(default_factory=list)


Run = Callable[..., Done]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """The command, in this process, without a terminal; what it types is kept, and ends with 0."""
    secrets = tmp_path / "secrets.yml"
    secrets.write_text(json.dumps(AWKWARD))
    secrets.chmod(0o600)
    monkeypatch.setenv("PYINFRA_NOVA_SECRETS", str(secrets))
    monkeypatch.setenv("MAINTAINED_ANSWERS", str(tmp_path / "answers.json"))
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(output, "_echo", output._echo)  # as it was, afterwards
    monkeypatch.setattr(sys, "stdin", (tmp_path / "input").open("w+"))
    monkeypatch.setattr(gevent, "sleep", lambda _: None)

    def command(told: dict[str, Any], *words: str, codes: Sequence[int] = ()) -> Done:
        (tmp_path / "answers.json").write_text(json.dumps({"drains": [nova()], **told}))
        done, left = Done(1, "", ""), list(codes)

        def typed(said: Sequence[str]) -> int:
            done.typed.append(list(said))
            return left.pop(0) if left else 0

        monkeypatch.setattr(cloud, "typed", typed)
        done.code = maintain.main(["tests/unit/maintained_hosts.py", *words])
        done.out, done.err = capfd.readouterr()
        return done

    return command


def test_without_anything_to_do_it_is_an_error_that_names_the_three(
    run: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    for words in (["@fake/compute1"], ["@fake/compute1", "--return"]):
        with pytest.raises(SystemExit) as ended:
            run({}, *words)
        assert ended.value.code == 1
        said = capfd.readouterr().err
        assert said.endswith("error: say what is to be done: --packages, --command, --reboot\n")


@pytest.mark.parametrize(
    "word",
    [
        "--batch=0",
        "--batch=-1",
        "--wait=x",
        "--wait=1" + "0" * 400,
        "--command= ",
        "--frob",
        "--command=\udcff",
    ],
)
def test_words_that_mean_nothing_are_an_error(run: Run, word: str) -> None:
    with pytest.raises(SystemExit) as ended:
        run({}, "@fake/compute1", "--reboot", word)
    assert ended.value.code == 1


def test_a_number_that_is_none_is_said_with_its_range(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        maintain.arguments(["x", "compute1", "--reboot", "--batch", "0"])
    assert "--batch: '0' is no whole number from 1 to 1000000000" in capfd.readouterr().err


def test_help_names_what_it_does(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        maintain.arguments(["--help"])
    said = capfd.readouterr().out
    for word in ("--packages", "--command CMD", "--reboot", "--return", "--batch N", "--dry"):
        assert word in said
    assert "INVENTORY" not in said


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["@fake/compute9"], "HOST @fake/compute9: no host matches it; did you mean '@fake/comp"),
        (["@fake/controller"], "@fake/controller is a controller: its services would go"),
        (["@fake/compute3"], "@fake/compute3 is 'retired' in the inventory"),
        (["computes"], "@fake/compute3 is 'retired' in the inventory"),
        (["*"], "@fake/controller is a controller"),
    ],
)
def test_what_is_no_compute_to_be_maintained_is_refused_before_the_first_connection(
    run: Run, names: list[str], said: str
) -> None:
    done = run({}, *names, "--reboot", "-y")
    assert (done.code, done.typed) == (1, [])
    assert said in done.err
    assert "Traceback" not in done.err


def test_a_host_whose_name_is_also_a_group_of_others_is_refused() -> None:
    """--limit takes the group, and would drain those."""
    inventory = Inventory(
        (["compute1", "compute2"], {}), computes=(["compute1", "compute2"], {}),
        compute1=(["compute2"], {}), compute2=(["compute2"], {}),
    )  # fmt: skip
    with pytest.raises(MaintenanceError, match="compute1 is also a group, with compute2 in it"):
        maintain.named_hosts(inventory, ["computes"])
    assert maintain.named_hosts(inventory, ["compute2"]) == ["compute2"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"hosts": {"state": "drained", "dead": True}}, "c2 is 'dead' in the inventory"),
        ({"groups": {"database": ["compute2"]}}, "is no compute alone: Nova's database is there"),
        (
            {"groups": {"database": ["compute2"], "messaging": ["compute2"]}},
            "Nova's database and messaging are there, too, and would go with it",
        ),
        ({}, None),
    ],
)
def test_what_nova_stands_on_and_what_has_no_power_is_refused(
    more: dict[str, Any], said: str | None
) -> None:
    hosts = {**HOSTS, "compute2": {**HOSTS["compute2"], **more.get("hosts", {})}}
    found = site(groups={**GROUPS, **more.get("groups", {})}, hosts=hosts)
    wrong = refused(found.host("compute2"), "c2")
    assert wrong is None if said is None else said in str(wrong)


def test_names_groups_and_patterns_are_those_of_limit(run: Run) -> None:
    done = run(
        {"hosts": [HOST]}, "@fake/compute2", "east", "@fake/compute[12]", "--reboot", "--dry"
    )
    lines = [line for line in done.out.splitlines() if not line.startswith(" ")]
    assert lines == ["@fake/compute1:", "@fake/compute2:"]


def test_a_dry_call_says_each_step_and_the_guests_and_types_nothing(run: Run) -> None:
    told = {"drains": [nova(), nova(), nova(None, "g1")], "hosts": [HOST]}
    done = run(told, "@fake/compute1", "--command", "date", "--return", "--dry")
    assert (done.code, done.typed) == (0, []), done.err
    assert done.out.splitlines() == [
        "@fake/compute1:",
        "  drain: close @fake/compute1 to new guests, "
        f"maintenance since {BEGUN}: command {Work(command='date').mark}",
        "  drain: move guest web-g1 (g1) of compute1 alive, to compute2",
        "  command: run on @fake/compute1: date",
        "  open: deploy @fake/compute1, proven and open",
        "  return: move back to @fake/compute1 the guests that have left it",
    ]


def test_without_a_terminal_and_without_y_nothing_is_done(run: Run) -> None:
    done = run({"hosts": [HOST]}, "@fake/compute1", "--reboot")
    assert (done.code, done.typed) == (1, [])
    assert "nothing was done: there is nobody to ask here; -y does it without" in done.err


LIMIT = ["tests/unit/maintained_hosts.py", "deploy.py", "-y", "--limit", "@fake/compute1"]


def test_it_types_the_deploy_with_the_state_and_without(run: Run) -> None:
    drained, rebooted = nova(REASON), {**HOST, "boot": "boot-2", "rebooted": True}
    told = {"drains": [nova(), nova(), nova(), drained], "hosts": [HOST, HOST, HOST, rebooted]}
    done = run(told, "@fake/compute1", "--reboot", "-y")
    assert done.code == 0, done.err
    assert done.typed == [
        [*LIMIT, "--data", "state=drained", "--data", f"state_reason={REASON}"],
        LIMIT,
    ]
    assert f"--data 'state_reason={REASON}'" in done.err
    said = [line for line in done.err.splitlines() if line.startswith("==> @fake/compute1: ")]
    assert [line.split(" in ")[0].removeprefix("==> @fake/compute1: ") for line in said] == [
        *("drain", "drain: done", "reboot", "reboot: done", "open", "open: done"),
    ]
    assert "@fake/compute1  done drain, reboot, open" in done.out


UNKNOWN = "00000000-0000-4000-8000-000000000001"


@pytest.mark.parametrize("runs", [True, False])
def test_a_domain_that_nova_does_not_know_is_not_rebooted_while_it_runs(
    run: Run, runs: bool
) -> None:
    drained = nova(REASON, domains={UNKNOWN: None})
    told: dict[str, Any] = {"domains": [UNKNOWN], "running": [UNKNOWN] if runs else []}
    again = {**HOST, "boot": "boot-2", "rebooted": True}
    told |= {"drains": [nova(REASON), drained], "hosts": [HOST, HOST, HOST, again]}
    done = run(told, "@fake/compute1", "--reboot", "-y")
    if runs:
        assert done.code == 1
        assert "@fake/compute1 is not empty, so nothing is done there:" in done.err
        assert f"libvirt on compute1 runs {UNKNOWN}, of which Nova knows nothing" in done.err
        assert f"virsh shutdown {UNKNOWN}" in done.err
    else:
        assert done.code == 0, done.err


def test_a_host_that_does_not_come_back_ends_it(run: Run) -> None:
    told = {"drains": [nova(), nova(), nova(), nova(REASON)], "hosts": [HOST]}
    done = run(told, "@fake/compute1", "@fake/compute2", "--reboot", "-y", "--wait", "1")
    assert done.code == 1
    assert len(done.typed) == 1
    assert "@fake/compute1 is not back after 1 s: it has not gone down" in done.err
    assert "@fake/compute1  failed at reboot; done drain" in done.out
    assert "@fake/compute2  not begun with" in done.out


def test_a_drain_that_fails_ends_it(run: Run) -> None:
    told = {"drains": [nova(), nova(), nova(None, "g1")], "hosts": [HOST]}
    done = run(told, "@fake/compute1", "--reboot", "-y", codes=[1])
    assert (done.code, len(done.typed)) == (1, 1)
    assert "@fake/compute1: not drained, as said above; nothing was done there" in done.err


WORK = Work(command="date")
MINE = f"maintenance since {BEGUN}: {WORK.text}"


def test_a_command_is_shown_with_its_host_and_its_failure_is_the_end(run: Run) -> None:
    told = {
        "drains": [nova(MINE)],
        "hosts": [HOST],
        "command": {"success": False, "stdout": "half", "stderr": "it has ended with exit code 3"},
    }
    done = run(told, "@fake/compute1", "--command", "date", "-y")
    assert done.code == 1
    assert "@fake/compute1: drain: skipped, closed since" in done.err
    assert "@fake/compute1: command: it has ended with exit code 3" in done.err
    assert done.typed == []


def test_guests_go_back_to_the_host_by_name(run: Run) -> None:
    away = guest("g1", "compute2")
    back = {**nova(None), "guests": [away], "targets": {"g1": target("compute1", "compute3")}}
    told = {
        "drains": [nova(MINE), nova(MINE), nova(MINE), back, nova()],
        "hosts": [{**HOST, "done": [WORK.mark]}],
        "away": {"guests": [away], "error": None},
    }
    done = run(told, "@fake/compute1", "--command", "date", "--return", "-y")
    assert done.code == 0, done.err
    assert (
        "==> [@fake/controller] move guest web-g1 (g1) of compute2 alive, to compute1" in done.err
    )
    assert "the guests are back on compute1" in done.err


MOVE: dict[str, Any] = {
    **{"id": 7, "guest": "g1", "kind": "live-migration", "status": "error", "age": 60.0},
    **{"same_flavor": True, "total": None, "remaining": None, "cause": None},
}
FAULT = "Failed to activate binding for port p1 on host"
HAS_IT = {"uuids": ["g1"], "awake": ["g1"]}


def arrived(source: str, to: str, **more: Any) -> dict[str, Any]:
    """Nova, which has a guest in ERROR that has come to its target."""
    broken = {**guest("g1", to), "state": "error", "fault": f"{FAULT} {to}"}
    move = {**MOVE, "source": source, "target": to, "twice": True}
    return {**nova(MINE), "guests": [broken], "targets": {}, "moves": [move], **more}


def test_a_guest_that_a_killed_drain_has_left_in_error_elsewhere_is_drained_for(run: Run) -> None:
    told = {
        "drains": [nova(MINE), arrived("compute1", "compute2")],
        "hosts": [HOST],
        "libvirts": {"compute2": HAS_IT},
    }
    done = run(told, "@fake/compute1", "--command", "date", "--dry")
    assert done.code == 0, done.err
    assert "guest web-g1 (g1) is in ERROR, though it runs on compute2: set it active" in done.out
    # Libvirt on compute2 does not have it: nobody can do anything, so nothing is waited for.
    told["libvirts"] = {}
    done = run(told, "@fake/compute1", "--command", "date", "--dry")
    assert "drain: skip @fake/compute1, closed since" in done.out


def test_a_guest_that_comes_back_so_is_set_active_there(run: Run) -> None:
    well = {**nova(None), "guests": [guest("g1")], "targets": {}}
    told = {
        "drains": [nova(MINE), nova(MINE), nova(MINE), arrived("compute2", "compute1"), well],
        "hosts": [{**HOST, "done": [WORK.mark]}],
        "away": {"guests": [guest("g1", "compute2")], "error": None},
        "libvirts": {"compute1": HAS_IT},
    }
    done = run(told, "@fake/compute1", "--command", "date", "--return", "-y")
    assert done.code == 0, done.err
    assert "guest web-g1 (g1) is in ERROR, though it runs on compute1: set it active" in done.err
    assert "the guests are back on compute1" in done.err


def target(*hosts: str) -> dict[str, Any]:
    return {"hosts": hosts, "needs": {}, "free": {}, "why": "", "bound": None}


def test_a_guest_that_does_not_go_back_is_named_at_the_end(run: Run) -> None:
    away = guest("g1", "compute2")
    full = {**nova(None), "guests": [away], "targets": {"g1": target("compute3")}}
    told = {
        "drains": [nova(MINE), nova(MINE), nova(MINE), full],
        "hosts": [{**HOST, "done": [WORK.mark]}],
        "away": {"guests": [away], "error": None},
    }
    done = run(told, "@fake/compute1", "--command", "date", "--return", "-y")
    assert done.code == 1
    assert done.out.splitlines()[-2:] == [
        "not all guests are back on compute1",
        "guest web-g1 (g1) on compute2 can go nowhere: Placement, its server group or its zone "
        "keeps it from compute1",
    ]


def test_an_upgrade_to_another_release_of_nova_is_refused_before_a_guest_moves(run: Run) -> None:
    told = {"hosts": [{**HOST, "upgrades": ["nova-common"], "nova": "31.0.0"}]}
    done = run(told, "@fake/compute1", "--packages", "--reboot", "-y")
    assert (done.code, done.typed) == (1, [])
    assert "@fake/compute1: an upgrade would bring Nova 31.0.0, but release in" in done.err
    assert "@fake/compute1  failed at the beginning" in done.out


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"drains": [{"error": "GET http://x does not answer: timed out"}]}, "does not answer"),
        ({"drains": [""]}, "controller gives no answer"),
        ({"drains": [nova("a fan")]}, "@fake/compute1 was closed by somebody (a fan)"),
    ],
)
def test_what_nova_does_not_say_is_no_reason_to_begin(
    run: Run, told: dict[str, Any], said: str
) -> None:
    done = run(told, "@fake/compute1", "--reboot", "-y")
    assert (done.code, done.typed) == (1, [])
    assert said in done.err
    assert "Traceback" not in done.err
