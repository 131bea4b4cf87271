"""The hosts of a site, asked side by side: each answers for itself, and who does not is named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pyinfra_nova.backup.cloud import Hosts
from pyinfra_nova.backup.host_stream import command_on
from pyinfra_nova.backup.seal import BackupError
from pyinfra_nova.session.loaded_site import loaded

from .site_data import AWKWARD

ROOT = Path(__file__).resolve().parents[2]
FAKE = "@fake/controller", "@fake/compute1"


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hosts]:
    secrets = tmp_path / "secrets.yml"
    secrets.write_text(json.dumps(AWKWARD))
    secrets.chmod(0o600)
    monkeypatch.setenv("PYINFRA_NOVA_SECRETS", str(secrets))
    monkeypatch.chdir(ROOT)
    found = Hosts(*loaded("tests/unit/restored_hosts.py"))
    with found.opened():
        yield found


def test_a_host_that_is_away_keeps_no_other_from_being_seen(hosts: Hosts) -> None:
    answers, problems = hosts.seen([*FAKE, "compute2"])
    assert {name: answer["compute_id"] for name, answer in answers.items()} == dict.fromkeys(
        FAKE, "c1"
    )
    [problem] = problems
    assert "compute2 cannot be reached" in problem


def test_a_restore_does_not_begin_without_it(hosts: Hosts) -> None:
    with pytest.raises(BackupError, match="compute2 cannot be reached"):
        hosts.look()


def test_what_is_told_is_answered_or_named_in_the_hosts_own_words(hosts: Hosts) -> None:
    told = hosts.tell("hold", {name: {"marker": "m", "log": True} for name in FAKE})
    assert [answer["log"] for answer in told.values()] == [True, True]
    with pytest.raises(BackupError, match=r"cannot be stopped: nova-compute\.service"):
        hosts.tell("stop", {FAKE[1]: {"units": ["nova-compute.service"]}})


def test_a_stream_goes_by_ssh_which_gives_up_on_a_host_that_is_lost() -> None:
    words = command_on("c", {"ssh_hostname": "10.0.0.1", "ssh_key": "/k", "_sudo": True}, "a 'b'")
    assert words[0] == "ssh"
    assert {"ServerAliveInterval=15", "IdentityFile=/k"} < set(words)
    assert words[words.index("--") + 1 :][:3] == ["10.0.0.1", "sudo", "--"]
    assert words[-3:] == ["sh", "-c", "'a '\"'\"'b'\"'\"''"]


def test_a_stream_of_this_machine_needs_no_ssh() -> None:
    assert command_on("@local", {}, "true") == ["sh", "-c", "true"]


def test_a_host_that_is_reached_otherwise_is_refused() -> None:
    with pytest.raises(BackupError, match="@docker/x: only hosts that are reached by SSH"):
        command_on("@docker/x", {}, "true")
