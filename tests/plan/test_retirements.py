"""A compute that is to be none any more, planned and deployed against hosts that only answer."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pyinfra_nova.commands.plan import pending

from .test_drains import RUNS, TARGET
from .test_plan import KEYS, PASSWORD, operations, pyinfra

STOP = "Retirement | Stop nova-compute for good"
DELETE = "Retirement | Delete what is left of retired computes"
FORGET = "Retirement | Forget retired computes"
REFUSE = "Retirement | Have libvirt and guests refuse retired computes"
NOTHING: dict[str, Any] = {
    **{"guests": [], "moves": [], "service": None, "nodes": [], "cell": None, "aggregates": []},
    **{"providers": [], "agents": [], "queues": []},
}
WHOLE: dict[str, Any] = {
    **NOTHING,
    "service": "s2",
    "nodes": ["n2"],
    "cell": "c1",
    "aggregates": [{"id": 1, "name": "fast"}],
    "providers": [{"uuid": "n2", "name": "compute2"}],
    "agents": [
        {"id": "a1", "kind": "DHCP agent", "alive": False},
        {"id": "a2", "kind": "Open vSwitch agent", "alive": True},
    ],
    "queues": ["compute.compute2"],
}
RUNNING = {
    **{"name": "nova-compute", "state": "active (running), enabled"},
    **{"stop": True, "disable": True, "mask": True},
}
CLOSED = {"closed": {"compute2": "retired in the inventory"}, "unseen": []}
GONE = {"closed": {}, "unseen": ["compute2"]}
KNOWN = {"files": [{"path": "/etc/nova/known_hosts", "change": "content", "diff": ""}]}


@pytest.fixture(scope="module")
def secrets_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the secret of which the key is made that moves guests."""
    path = tmp_path_factory.mktemp("secrets") / "secrets.yml"
    keys = (*KEYS, "migration_secret", "tls_secret")
    path.write_text(json.dumps({key: f"{PASSWORD} {key}" for key in keys}))
    path.chmod(0o600)
    return path


@pytest.fixture
def has(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What each look finds of compute2; without a look nothing of it."""

    def say(*looks: dict[str, Any], seen: dict[str, Any] = CLOSED, **more: Any) -> None:
        known = [
            look if "error" in look else {"left": {"compute2": look}, "error": None, "early": False}
            for look in looks or (NOTHING,)
        ]
        monkeypatch.setenv("FAKE_RECORDS", json.dumps(known))
        monkeypatch.setenv("FAKE_SEEN", json.dumps(seen))
        for name, value in more.items():
            monkeypatch.setenv(f"FAKE_{name.upper()}", json.dumps(value))

    return say


def asked(said: str, words: str) -> list[str]:
    """The hosts to which a command with WORDS went, in order."""
    commands = said.split("[fake] simulating command on @fake/")[1:]
    return [c.partition(":")[0] for c in commands if re.search(rf" ({words})\b", c)]


def retirement(said: str) -> list[tuple[str, str]]:
    words = r"retirements retire|systemctl (?:stop|disable|mask)|unit_stops prove"
    commands = said.split("[fake] simulating command on @fake/")[1:]
    found = ((c.partition(":")[0], re.search(words, c)) for c in commands)
    return [(name, match[0]) for name, match in found if match]


def test_the_plan_says_record_by_record_what_goes(secrets_file: Path, has: Any) -> None:
    has(WHOLE, units=[RUNNING], files=KNOWN)
    process = pyinfra("retiring", secrets_file, "--dry", "--json")
    assert pending({"plan": operations(process)}) == {
        "Configuration | Write configuration files": ["@fake/compute1"],
        STOP: ["@fake/compute2"],
        DELETE: ["@fake/controller"],
        FORGET: ["@fake/compute1"],
    }
    for text in (
        "stop nova-compute (active (running), enabled)",
        "disable nova-compute (active (running), enabled)",
        "mask nova-compute (active (running), enabled)",
        "@fake/compute2 goes: its place in aggregate fast",
        "@fake/compute2 goes: service nova-compute (s2)",
        "@fake/compute2 goes: compute node n2",
        "@fake/compute2 goes: resource provider compute2 (n2) with its allocations",
        "@fake/compute2 goes: its mapping to a cell",
        "@fake/compute2 goes: queue compute.compute2",
        "@fake/compute2 goes: Neutron's dead DHCP agent (a1)",
        "@fake/compute2: Neutron's Open vSwitch agent there lives, and stays",
    ):
        assert text in process.stderr, text


def test_it_is_told_to_whom_its_guests_may_go_while_nova_has_it(
    secrets_file: Path, has: Any
) -> None:
    has(WHOLE, mine=KNOWN)
    process = pyinfra("retiring", secrets_file, "--dry", "--json")
    assert pending({"plan": operations(process)}) == {
        "Configuration | Write configuration files": ["@fake/compute2"],
        DELETE: ["@fake/controller"],
    }
    has(seen=GONE, mine=KNOWN)
    process = pyinfra("retiring", secrets_file, "--dry", "--json")
    assert pending({"plan": operations(process)}) == {}


def test_first_it_is_closed_and_drained(secrets_file: Path, has: Any) -> None:
    guests = [
        {
            **{"error": None, "computes": {"compute2": "up"}},
            "guests": [{**RUNS, "host": "compute2"}],
            "targets": {"g1": {**TARGET, "hosts": ["compute1"]}},
        }
    ]
    open_one: dict[str, Any] = {"closed": {}, "unseen": []}
    has({**WHOLE, "guests": ["g1"]}, seen=open_one, guests=guests, units=[RUNNING])
    process = pyinfra("retiring", secrets_file, "--dry", "--json")
    assert list(pending({"plan": operations(process)})) == [
        "Hypervisors | Close computes",
        "Hypervisors | Drain computes",
        STOP,
        DELETE,
    ]
    assert "close @fake/compute2 to new guests, retired in the inventory" in process.stderr
    assert "move guest web-g1 (g1) of compute2 alive, to compute1" in process.stderr


def test_a_deploy_stops_then_deletes(secrets_file: Path, has: Any) -> None:
    has(WHOLE, units=[RUNNING])
    process = pyinfra("retiring", secrets_file, "-y", "--debug")
    assert process.returncode == 0, process.stderr
    assert retirement(process.stderr) == [
        ("compute2", "systemctl stop"),
        ("compute2", "systemctl disable"),
        ("compute2", "systemctl mask"),
        ("compute2", "unit_stops prove"),
        ("controller", "retirements retire"),
    ]


TLS = ("--data", 'tls={"mode": "internal"}')


def test_with_encryption_libvirt_and_guests_are_told_to_refuse_it_once_it_has_gone(
    secrets_file: Path, has: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    has(WHOLE, files=KNOWN)
    behind = {"daemon_reload": False, "enable": False, "disable": False, "stop": False}
    behind |= {"restart": [], "reread": ["libvirtd", "guest i-1"], "plain": []}  # type: ignore[dict-item]
    monkeypatch.setenv("FAKE_TLS", json.dumps(behind))
    process = pyinfra("retiring", secrets_file, "-y", "--debug", *TLS)
    assert process.returncode == 0, process.stderr
    commands = process.stderr.split("[fake] simulating command on @fake/")[1:]
    words = r"retirements retire|libvirt_tls reread|config_files write"
    said = [(c.partition(":")[0], m[0]) for c in commands if (m := re.search(words, c))]
    gone = said.index(("controller", "retirements retire"))
    assert said[gone:].index(("compute1", "libvirt_tls reread")) > 0
    assert REFUSE in process.stderr


def test_a_guest_that_has_come_meanwhile_keeps_all_of_it(secrets_file: Path, has: Any) -> None:
    guest = {**WHOLE, "service": None, "guests": ["g7"]}
    has(WHOLE, guest, units=[RUNNING])
    process = pyinfra("retiring", secrets_file, "-y", "-vvv", "--debug")
    assert process.returncode == 1
    assert "@fake/compute2 is not retired: guest g7 is on it" in process.stderr
    assert retirement(process.stderr) == []
    assert "Traceback" not in process.stderr


def test_a_guest_that_stays_keeps_all_of_it(secrets_file: Path, has: Any) -> None:
    sleeps = {**RUNS, "host": "compute2", "state": "suspended"}
    guests = [{"error": None, "computes": {"compute2": "up"}, "guests": [sleeps]}]
    has({**WHOLE, "guests": ["g1"]}, guests=guests, units=[RUNNING])
    process = pyinfra("retiring", secrets_file, "-y", "-vvv", "--debug")
    assert process.returncode == 1
    assert "web-g1 (g1) on compute2 is SUSPENDED" in process.stderr
    assert retirement(process.stderr) == []


def test_no_answer_deletes_nothing(secrets_file: Path, has: Any) -> None:
    silence = {"left": {}, "error": "GET http://x does not answer: timed out", "early": False}
    has(WHOLE, silence)
    process = pyinfra("retiring", secrets_file, "--dry", "--json")
    assert process.returncode == 1
    assert "GET http://x does not answer: timed out" in process.stderr
    assert "Traceback" not in process.stderr
    has(WHOLE, silence, units=[RUNNING])
    process = pyinfra("retiring", secrets_file, "-y", "-vvv", "--debug")
    assert process.returncode == 1
    assert retirement(process.stderr) == []


def test_once_it_has_gone_a_plan_is_empty_and_costs_the_controller_two_questions(
    secrets_file: Path, has: Any
) -> None:
    has(seen=GONE)
    process = pyinfra("retiring", secrets_file, "--dry", "--json")
    assert pending({"plan": operations(process)}) == {}
    process = pyinfra("retiring", secrets_file, "-y", "--debug")
    assert process.returncode == 0, process.stderr
    assert asked(process.stderr, "retirements read") == ["controller"] * 2
    assert asked(process.stderr, "drains read|domain_uuids read") == []
    commands = process.stderr.split("[fake] simulating command on @fake/compute2:")[1:]
    mine = {match[1] for c in commands if (match := re.search(r" (\w+) read\b", c))}
    assert sorted(mine) == ["host_report", "unit_stops"]


def test_a_site_that_is_still_to_be_made_has_nothing_left_of_it(secrets_file: Path) -> None:
    process = pyinfra("retiring_fresh", secrets_file, "--dry", "--json")
    changed = pending({"plan": operations(process)})
    assert {name for name, hosts in changed.items() if "@fake/compute2" in hosts} == set()
    assert DELETE not in changed
    assert "compute2" not in "".join(re.findall(r".*\bmap .* to cell1.*", process.stderr))


def test_without_one_nothing_is_asked(secrets_file: Path) -> None:
    process = pyinfra("converged", secrets_file, "-y", "--debug")
    assert process.returncode == 0
    assert asked(process.stderr, "retirements read|unit_stops read") == []
    assert "Retirement" not in process.stderr


def test_what_is_left_half_way_is_gone_on_with(secrets_file: Path, has: Any) -> None:
    """The service has gone, and with it what drains ask; Placement still has its provider."""
    has({**NOTHING, "providers": WHOLE["providers"]}, seen=GONE)
    process = pyinfra("retiring", secrets_file, "-y", "--debug")
    assert process.returncode == 0, process.stderr
    assert asked(process.stderr, "drains read") == []
    assert retirement(process.stderr) == [("controller", "retirements retire")]


def test_only_a_purge_takes_packages_and_configuration(secrets_file: Path, has: Any) -> None:
    has(seen=GONE, more={"purge": True})
    process = pyinfra("retiring", secrets_file, "--dry", "--json")
    assert pending({"plan": operations(process)}) == {
        "Retirement | Remove Nova's packages": ["@fake/compute2"]
    }
    assert "remove: nova-common, nova-compute, nova-compute-kvm" in process.stderr


NOVAS = ["nova-common", "nova-compute", "nova-compute-kvm", "python3-nova"]


@pytest.mark.parametrize(
    ("going", "said"),
    [
        (
            [*NOVAS, "ceilometer-agent-compute"],
            "ceilometer-agent-compute would be removed: remove these first",
        ),
        # It was a controller, and may still answer for somebody.
        ([*NOVAS, "nova-api"], "with Nova's packages nova-api would be removed: remove these"),
        ([], "it is not said what would be removed with nova-compute, nova-compute-kvm"),
    ],
)
def test_a_purge_takes_nothing_that_others_need(
    secrets_file: Path, has: Any, going: list[str], said: str
) -> None:
    has(seen=GONE, more={"purge": True}, going=going)
    process = pyinfra("retiring", secrets_file, "--dry", "--json")
    assert process.returncode == 1
    assert said in process.stderr
    process = pyinfra("retiring", secrets_file, "-y", "--debug")
    assert process.returncode == 1
    assert asked(process.stderr, "remove_packages_apt") == []


def test_a_purge_is_over_once_all_has_gone(secrets_file: Path, has: Any) -> None:
    has(seen=GONE, more={"purge": True, "uninstalled": True})
    process = pyinfra("retiring", secrets_file, "--dry", "--json")
    assert pending({"plan": operations(process)}) == {}


def test_a_run_on_others_retires_nothing_and_one_on_it_alone_does(
    secrets_file: Path, has: Any
) -> None:
    has(WHOLE, units=[RUNNING])
    process = pyinfra("retiring", secrets_file, "--dry", "--json", "--limit", "@fake/compute1")
    assert pending({"plan": operations(process)}) == {}
    process = pyinfra("retiring", secrets_file, "--dry", "--json", "--limit", "@fake/compute2")
    assert pending({"plan": operations(process)}) == {
        STOP: ["@fake/compute2"],
        DELETE: ["@fake/controller"],
    }
