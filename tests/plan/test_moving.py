"""The order in which a site with guests comes to speak TLS, and stops."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pyinfra_nova.commands.plan import pending

from .test_plan import KEYS, operations, position, pyinfra

TLS = ("--data", 'tls={"mode": "internal"}')
OFF = ("--data", 'tls={"mode": "off"}')
MOVED = "Identity | Move the endpoints to what the APIs speak"
INSISTED = "Databases | Let the user in over TLS alone"
REMOVED = "Configuration | Remove certificates that nobody reads any more"


@pytest.fixture(scope="module")
def secrets_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("secrets") / "secrets.yml"
    path.write_text(
        json.dumps({**{key: f"{key} of a test" for key in KEYS}, "tls_secret": "t" * 32})
    )
    path.chmod(0o600)
    return path


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_MOVE", "plain")


@pytest.fixture
def encrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_MOVE", "tls")


@pytest.mark.usefixtures("plain")
def test_others_are_told_and_held_to_tls_only_once_the_apis_speak_it(secrets_file: Path) -> None:
    process = pyinfra("moving", secrets_file, "--dry", "--json", *TLS)
    changes = pending({"plan": operations(process)})
    assert changes[MOVED] == ["@fake/controller"]
    assert changes[INSISTED] == ["@fake/controller"]
    names = [operation["name"] for operation in operations(process)]
    answered = position(names, "The controllers answer")
    computes = position(names, "The computes are started")
    assert answered < names.index(MOVED) < computes
    assert answered < names.index(INSISTED) < computes
    assert "let database user nova in over TLS alone" in process.stderr
    assert "[vnc]" not in process.stderr
    assert "the screen of 7 guests speaks no TLS (instance-0 on @fake/compute1, " in process.stderr
    assert "and 2 more): the proxy speaks vencrypt and none to them; move them" in process.stderr
    assert REMOVED not in names


@pytest.mark.usefixtures("plain")
def test_the_timers_jobs_log_in_over_tls_before_they_are_held_to_it(secrets_file: Path) -> None:
    names = [
        each["name"]
        for each in operations(pyinfra("moving", secrets_file, "--dry", "--json", *TLS))
    ]
    # They may be on another host than the database: there is a barrier in between.
    answered = position(names, "The controllers answer")
    assert position(names, "Write timers and what they run") < answered < names.index(INSISTED)


@pytest.mark.usefixtures("encrypted")
def test_back_in_plain_text_the_server_insists_no_more_and_certificates_go_last(
    secrets_file: Path,
) -> None:
    process = pyinfra("moving", secrets_file, "--dry", "--json", *OFF)
    changes = pending({"plan": operations(process)})
    names = [operation["name"] for operation in operations(process)]
    assert "let database user nova in without TLS" in process.stderr
    assert changes["Databases | Create databases, user and grants"] == ["@fake/controller"]
    accounts = position(names, "Packages, configuration and accounts are there")
    assert position(names, "Create databases") < accounts
    assert position(names, "The controllers answer") < names.index(MOVED)
    assert position(names, "The hypervisors are proven") < names.index(REMOVED)
    # They believe servers by a file that goes.
    assert position(names, "Write timers and what they run") < names.index(REMOVED)
    assert "the screen of 7 guests speaks TLS" in process.stderr


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize(
    ("left", "goes"),
    [
        ("/usr/lib/python3/dist-packages/pyinfra_nova_tls.py", True),
        ("/usr/lib/python3/dist-packages/pyinfra_nova_tls-1.dist-info/METADATA", True),
        ("/etc/pyinfra-nova/tls/ca.pem", True),
        ("/etc/pyinfra-nova/tls/mine.pem", False),
    ],
)
def test_what_a_deploy_that_was_cut_off_has_left_of_tls_goes_with_the_next(
    secrets_file: Path, monkeypatch: pytest.MonkeyPatch, left: str, goes: bool
) -> None:
    monkeypatch.setenv("FAKE_LEFT", left)
    process = pyinfra("moving", secrets_file, "--dry", "--json", *OFF)
    assert (REMOVED in [each["name"] for each in operations(process)]) == goes


@pytest.mark.parametrize(("before", "mode"), [("plain", OFF), ("tls", TLS)])
def test_a_site_that_stays_what_it_is_has_no_operation_more(
    secrets_file: Path, monkeypatch: pytest.MonkeyPatch, before: str, mode: tuple[str, str]
) -> None:
    monkeypatch.setenv("FAKE_MOVE", before)
    process = pyinfra("moving", secrets_file, "--dry", "--json", *mode)
    plan = operations(process)
    names = [operation["name"] for operation in plan]
    assert MOVED not in names and REMOVED not in names
    changes = pending({"plan": plan})
    assert INSISTED not in changes and "without TLS" not in process.stderr
    assert "the proxy speaks" not in process.stderr


@pytest.mark.parametrize(
    ("before", "mode", "what"), [("plain", TLS, "no TLS"), ("tls", OFF, "nothing but TLS")]
)
def test_computes_do_not_move_before_the_proxy_that_shows_their_guests(
    secrets_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    before: str,
    mode: tuple[str, str],
    what: str,
) -> None:
    monkeypatch.setenv("FAKE_MOVE", before)
    process = pyinfra("moving", secrets_file, "-y", "--limit", "@fake/compute1", *mode)
    assert process.returncode == 1
    assert f"@fake/controller: consoles: the proxy there speaks {what} to guests' screens" in (
        process.stderr
    )
    assert "--limit controllers" in process.stderr
    assert "Starting operation" not in process.stderr and "Traceback" not in process.stderr


@pytest.mark.usefixtures("plain")
def test_controllers_alone_may_move_and_what_is_not_asked_keeps_plain_text(
    secrets_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_GUESTS", "0")
    process = pyinfra("moving", secrets_file, "--dry", "--json", "--limit", "controllers", *TLS)
    assert MOVED in pending({"plan": operations(process)})
    assert "those on @fake/compute1, @fake/compute2 are not known in this run" in process.stderr
