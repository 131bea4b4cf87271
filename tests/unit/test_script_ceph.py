"""lab/files/ceph.py: what it finds missing, with a `ceph` that knows its users and pools."""

from __future__ import annotations

import importlib.util
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "lab" / "files" / "ceph.py"
KEYS = {user: f"key of {user}" for user in ("mon.", "mgr.a", "osd.0", "client.cinder")}
ADDRESSES = "[v2:10.0.0.11:3300,v1:10.0.0.11:6789]"
REQUEST = {"name": "a", "pool": "volumes", "keys": KEYS, "listens": ADDRESSES}
# Of Ceph 16's `mon dump`, as far as it is read.
DUMP = """{"mons": [{"name": "a", "public_addrs": {"addrvec": [
    {"type": "v2", "addr": "10.0.0.11:3300", "nonce": 0},
    {"type": "v1", "addr": "10.0.0.11:6789", "nonce": 0}]}}]}"""
USER = """[client.cinder]
    key = key of client.cinder
    caps osd = "profile rbd pool=volumes"
    caps mgr = "profile rbd"
    caps mon = "profile rbd"
"""


class Ceph:
    """What `ceph` answers, by the words it is asked with."""

    def __init__(self) -> None:
        self.answers = {
            "mon stat": "e1",
            "auth get client.cinder": USER,
            "osd pool ls": ".mgr\nvolumes",
            "mon dump --format json": DUMP,
        }

    def __call__(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        found = self.answers.get(" ".join(words))
        assert found is not None or not check
        return subprocess.CompletedProcess(words, 0 if found else 1, found or "", "")


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The script, with a folder of Ceph's that is complete."""
    spec = importlib.util.spec_from_file_location("ceph_script", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "DATA", tmp_path)
    monkeypatch.setattr(module, "ceph", Ceph())
    for folder in ("mon/ceph-a", "mgr/ceph-a", "osd/ceph-0"):
        (tmp_path / folder).mkdir(parents=True)
    for path in ("mon/ceph-a/done", "osd/ceph-0/done"):
        (tmp_path / path).touch()
    (tmp_path / "mgr/ceph-a/keyring").write_text("[mgr.a]\n\tkey = key of mgr.a\n")
    yield module


def missing(script: ModuleType, **request: Any) -> list[str]:
    answer = script.answer({**REQUEST, "apply": False, **request})
    return list(answer["changes"])


def test_nothing_is_missing_whatever_order_a_user_s_rights_are_in(script: ModuleType) -> None:
    assert missing(script) == []


def test_a_monitor_that_was_not_finished_is_made_again_with_all_that_it_holds(
    script: ModuleType,
) -> None:
    (script.DATA / "mon/ceph-a/done").unlink()
    assert missing(script) == [
        "make Ceph's monitor",
        "set Ceph's users",
        "make Ceph's pool volumes",
    ]


def test_a_disk_that_was_not_finished_is_made_again(script: ModuleType) -> None:
    (script.DATA / "osd/ceph-0/done").unlink()
    assert missing(script) == ["make Ceph's disk, a file"]


def test_another_key_is_set_for_the_user_that_has_it(script: ModuleType) -> None:
    keys = {**KEYS, "client.cinder": "another key"}
    assert missing(script, keys=keys) == ["set Ceph's users client.cinder"]


def test_a_pool_that_is_gone_is_made(script: ModuleType) -> None:
    script.ceph.answers["osd pool ls"] = ".mgr"
    assert missing(script) == ["make Ceph's pool volumes"]


def test_a_monitor_that_also_speaks_the_protocol_without_encryption_is_told_not_to(
    script: ModuleType,
) -> None:
    secure = "[v2:10.0.0.11:3300]"
    assert missing(script, listens=secure) == [f"have Ceph's monitor listen at {secure}"]


def ran(script: ModuleType, monkeypatch: pytest.MonkeyPatch, *, starts: bool) -> list[str]:
    """The commands run outside `ceph`, with a monitor that answers once started, or never."""
    commands: list[str] = []
    known, script.ceph.answers = script.ceph.answers, {}

    def run(*command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        commands.append(" ".join(command))
        if starts and command[:2] == ("systemctl", "start"):
            script.ceph.answers = known
        return subprocess.CompletedProcess(command, 0 if starts else 1, "", "")

    monkeypatch.setattr(script, "run", run)
    return commands


def test_a_monitor_that_was_stopped_is_started_and_nothing_is_made_again(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = ran(script, monkeypatch, starts=True)
    assert missing(script, apply=True) == []
    assert "systemctl start ceph-mon@a.service" in commands


def test_a_monitor_that_does_not_answer_is_said_before_anything_is_changed(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = ran(script, monkeypatch, starts=False)
    with pytest.raises(SystemExit, match="does not answer: see journalctl"):
        missing(script, apply=True)
    assert {command.split()[0] for command in commands} == {"systemctl", "ceph"}


def test_each_user_may_do_what_it_is_there_for(script: ModuleType) -> None:
    text = script.keyring({**REQUEST, "keys": KEYS}, "client.cinder", "osd.0")
    assert '[client.cinder]\n\tkey = key of client.cinder\n\tcaps mon = "profile rbd"' in text
    assert 'caps osd = "profile rbd pool=volumes"' in text
    assert '[osd.0]\n\tkey = key of osd.0\n\tcaps mon = "allow profile osd"' in text
