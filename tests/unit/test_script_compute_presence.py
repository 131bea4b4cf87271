"""files/compute_presence.py: what a compute has of that by which Nova knows it, on real files."""

from __future__ import annotations

import os
import pwd
import socket
from pathlib import Path
from typing import Any

import compute_presence
import host_guests
import pytest

ONE, TWO = "457eb676-33da-42ec-9a8c-9293d545c337", "00000000-0000-4000-8000-000000000002"
ME = pwd.getpwuid(os.getuid()).pw_name
NOVA = '<nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/1.1"/>'


class Host:
    """Folders as a compute has them."""

    def __init__(self, folder: Path) -> None:
        self.etc, self.state = folder / "etc", folder / "state"
        self.defined, self.runs = folder / "defined", folder / "runs"
        self.instances = self.state / "instances"
        for path in (self.etc, self.instances, self.defined, self.runs):
            path.mkdir(parents=True)

    def read(self, **changes: Any) -> dict[str, Any]:
        files = [str(self.etc / name) for name in ("nova.conf", "nova-compute.conf")]
        request = {"user": ME, "files": files, "state": str(self.state), "units": ["nova-compute"]}
        found: dict[str, Any] = compute_presence.read(
            {**request, "instances": str(self.instances), **changes}
        )
        return found

    def identities(self) -> dict[str, Any]:
        return {
            str(Path(one["path"]).parent.name): one["uuid"] or one["problem"]
            for one in self.read()["identities"]
        }


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """One on which nova-compute does not run."""
    made = Host(tmp_path)
    monkeypatch.setattr(compute_presence, "DOMAINS", (str(made.defined), str(made.runs)))
    says(tmp_path, monkeypatch, "inactive")
    return made


def says(folder: Path, monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    """Systemd, of each unit of nova-compute that there may be."""
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    path = programs / "systemctl"
    path.write_text(f'#!/bin/sh\necho "$*" >{path}.words\nprintf "{state}\\n\\ninactive\\n"\n')
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")


def test_a_bare_host_has_nothing(host: Host) -> None:
    found = host.read(instances=str(host.state / "none"))
    assert found == {
        "name": found["name"],
        "host": None,
        "running": False,
        "identities": [],
        "domains": {},
        "folders": [],
        "unread": None,
    }


# --- the file -------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [ONE, f"{ONE}\n", f"  {ONE.upper()}\n", ONE.replace("-", "")])
def test_an_identity_is_read_as_nova_reads_it(host: Host, text: str) -> None:
    (host.state / "compute_id").write_text(text)
    assert host.identities() == {"state": ONE}


@pytest.mark.parametrize(
    "text", [b"", b"\n", b"compute1", ONE[:-1].encode(), b"\xff\xfe", b" " * 60]
)
def test_what_is_no_uuid_is_named(host: Host, text: bytes) -> None:
    (host.state / "compute_id").write_bytes(text)
    assert host.identities() == {"state": "holds no UUID"}


def test_each_folder_is_looked_into_once(host: Host) -> None:
    (host.etc / "compute_id").write_text(TWO)
    (host.state / "compute_id").write_text(ONE)
    assert host.identities() == {"etc": TWO, "state": ONE}


def test_a_folder_in_its_place_cannot_be_read(host: Host) -> None:
    (host.state / "compute_id").mkdir()
    assert host.identities() == {"state": "cannot be read: Is a directory"}


@pytest.mark.parametrize(
    ("mode", "owner", "group", "closed"),
    [
        (0o644, "root", "root", False),
        (0o600, "root", "root", True),
        (0o640, "root", "nova", False),
        (0o604, "root", "nova", True),
        (0o640, "root", "kvm", False),
        (0o400, "nova", "root", False),
        (0o044, "nova", "nova", True),
    ],
)
def test_nova_itself_has_to_be_able_to_read_it(
    monkeypatch: pytest.MonkeyPatch, mode: int, owner: str, group: str, closed: bool
) -> None:
    numbers = {"root": 0, "nova": 64060, "kvm": 104}
    account = pwd.struct_passwd(("nova", "x", 64060, 64060, "", "/var/lib/nova", "/bin/sh"))
    groups = [compute_presence.grp.struct_group(("kvm", "x", 104, ["nova"]))]
    monkeypatch.setattr(compute_presence.pwd, "getpwnam", lambda _: account)
    monkeypatch.setattr(compute_presence.grp, "getgrall", lambda: groups)
    status = os.stat_result((mode, 0, 0, 1, numbers[owner], numbers[group], 36, 0, 0, 0))
    assert compute_presence.is_closed_to("nova", status) is closed


def test_before_nova_is_installed_nobody_is_kept_out() -> None:
    status = os.stat_result((0o600, 0, 0, 1, 0, 0, 36, 0, 0, 0))
    assert not compute_presence.is_closed_to("no-such-user", status)


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("own", "canonical", "name"),
    [
        ("compute1", "compute1", "compute1"),
        ("compute1", "compute1.example.org", "compute1.example.org"),
        ("compute1", "localhost.localdomain", "compute1"),
        ("compute1", None, "compute1"),
        ("compute1.example.org", "other", "compute1.example.org"),
        ("localhost", "other", "localhost"),
    ],
)
def test_a_host_is_called_what_libvirt_calls_it(
    monkeypatch: pytest.MonkeyPatch, own: str, canonical: str | None, name: str
) -> None:
    def resolved(asked: str, port: None, *, flags: int) -> list[Any]:
        assert (asked, flags) == (own, socket.AI_CANONNAME)
        if canonical is None:
            raise socket.gaierror(-3, "Temporary failure in name resolution")
        return [(socket.AF_INET, 1, 6, canonical, ("10.0.0.31", 0))]

    monkeypatch.setattr(socket, "gethostname", lambda: own)
    monkeypatch.setattr(socket, "getaddrinfo", resolved)
    assert compute_presence.name_for_libvirt() == name


def test_novas_host_is_that_of_the_last_file(host: Host) -> None:
    (host.etc / "nova.conf").write_text("[api]\nhost = x\n[DEFAULT]\n#host = y\nhost = compute1\n")
    assert host.read()["host"] == "compute1"
    (host.etc / "nova-compute.conf").write_text('[DEFAULT]\nhost="compute9"\n[libvirt]\nhost=z\n')
    assert host.read()["host"] == "compute9"
    (host.etc / "nova-compute.conf").write_text("[DEFAULT]\nhost =\nmy_ip = 10.0.0.31\n")
    assert host.read()["host"] == "compute1"


# --- guests ---------------------------------------------------------------------------------------


def test_the_domains_are_those_that_libvirt_keeps(host: Host) -> None:
    define(host.defined / "instance-00000001.xml", ONE, NOVA)
    define(host.runs / "other.xml", TWO, "")
    (host.defined / "networks").mkdir()
    (host.defined / "broken.xml").write_text("<domain>")
    (host.defined / "note.txt").write_text(f"<uuid>{ONE}</uuid>")
    assert host.read()["domains"] == {ONE: True, TWO: False}


def test_novas_mark_is_that_by_which_the_audit_knows_it() -> None:
    assert compute_presence.OF_NOVA == host_guests.OF_NOVA
    assert compute_presence.DOMAINS == (host_guests.DEFINED, host_guests.RUNS)


def define(path: Path, uuid: str, metadata: str) -> None:
    text = f"<!-- x -->\n<domain type='qemu'>\n  <name>{path.stem}</name>\n  <uuid>{uuid}</uuid>\n"
    path.write_text(f"{text}  <metadata>{metadata}</metadata>\n</domain>\n")


def test_the_folders_of_guests_are_those_named_like_one(host: Host) -> None:
    for name in (ONE, f"{TWO}_resize", "_base", "locks"):
        (host.instances / name).mkdir()
    (host.instances / TWO).write_text("")
    assert host.read()["folders"] == [ONE]


def test_what_cannot_be_read_is_not_nothing(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> list[str]:
        raise PermissionError(13, "Permission denied", path)

    define(host.defined / "instance-00000001.xml", ONE, NOVA)
    monkeypatch.setattr(compute_presence.os, "listdir", refuse)
    found = host.read()
    assert (found["domains"], found["folders"]) == (None, None)
    assert found["unread"].startswith("[Errno 13] Permission denied: ")


def test_where_nova_compute_runs_no_guest_is_looked_for(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(tmp_path, monkeypatch, "active")
    found = host.read()
    assert found["running"] is True
    assert (found["domains"], found["folders"], found["unread"]) == (None, None, None)
    words = (tmp_path / "programs" / "systemctl.words").read_text()
    assert words == "show --property=ActiveState --value nova-compute\n"


@pytest.mark.parametrize("state", ["activating", "failed", "deactivating", ""])
def test_what_is_about_to_start_or_has_failed_does_not_run(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    says(tmp_path, monkeypatch, state)
    assert host.read()["running"] is False


def test_where_systemd_does_not_answer_it_is_not_taken_for_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert compute_presence.is_running(["nova-compute"])
