"""What a compute tells of its guests: from libvirt's program, and from the files themselves."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Any

import host_guests
import pytest

from .audited_guests import named

LIST = """{web} instance-00000001
{db} instance-00000002
{own} the admin's own

"""
STATES = """Domain: 'instance-00000001'
  state.state=1
  state.reason=1

Domain: 'instance-00000002'
  state.state=5
  state.reason=2

Domain: 'the admin's own'
  state.state=3
  state.reason=5

Domain: 'just come'
  state.state=1
  state.reason=1

"""
NAMES = {name: named(name) for name in ("web", "db", "own")}


@pytest.fixture
def libvirt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program `virsh` that answers as libvirt 9.0 does, and notes how often it was run."""
    (tmp_path / "list").write_text(LIST.format(**NAMES))
    (tmp_path / "domstats").write_text(STATES)
    program = tmp_path / "bin" / "virsh"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\necho "$*" >>{tmp_path}/runs\nshift 3\n'
        f'[ -e {tmp_path}/"$1" ] && exec cat {tmp_path}/"$1"\n'
        "echo error: failed to connect to the hypervisor >&2\nexit 1\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    for name in ("RUNS", "LOGS", "DEFINED"):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(host_guests, name, str(tmp_path / name))
    return tmp_path


def asked(instances: Path, compute: bool = True) -> dict[str, Any]:
    request = {"compute": compute, "libvirt": "qemu:///system", "instances": str(instances)}
    found: dict[str, Any] = host_guests.read(request)
    return found


def touched(path: Path, time: float) -> None:
    path.touch()
    os.utime(path, (time, time))


def test_domains_come_with_their_state_and_when_it_began(libvirt: Path) -> None:
    touched(libvirt / "RUNS" / "instance-00000001.pid", 1000)
    touched(libvirt / "LOGS" / "instance-00000001.log", 5000)
    touched(libvirt / "LOGS" / "instance-00000002.log", 2000)
    mark = 'xmlns:nova="http://openstack.org/xmlns/libvirt/nova/1.1"'
    (libvirt / "DEFINED" / "instance-00000001.xml").write_text(f"<domain><nova:instance {mark}/>")
    (libvirt / "RUNS" / "the admin's own.xml").write_text("<domain><name>nova</name></domain>")
    web, db, own = asked(libvirt)["domains"]
    begun = {"state": "running", "reason": 1, "since": 1000.0, "of_nova": True}
    assert web == {"uuid": named("web"), "name": "instance-00000001", **begun}
    assert (db["state"], db["since"], db["of_nova"]) == ("shut off", 2000.0, None)
    assert own == {
        "uuid": named("own"),
        "name": "the admin's own",
        "state": "paused",
        "reason": 5,
        "since": None,
        "of_nova": False,
    }


def test_two_commands_list_all_of_them(libvirt: Path) -> None:
    asked(libvirt)
    assert (libvirt / "runs").read_text().splitlines() == [
        "--quiet --connect qemu:///system list --all --uuid --name",
        "--quiet --connect qemu:///system domstats --raw --state",
    ]


def test_a_libvirt_that_is_silent_is_not_one_without_domains(libvirt: Path) -> None:
    (libvirt / "domstats").unlink()
    found = asked(libvirt)
    assert found["domains"] is None
    said = "virsh domstats: error: failed to connect to the hypervisor"
    assert found["domains_error"] == said


def test_a_host_that_is_no_compute_is_not_asked(libvirt: Path) -> None:
    found = asked(libvirt, compute=False)
    assert (found["domains"], found["domains_error"], found["folders"]) == (None, None, [])
    assert not (libvirt / "runs").exists()


# --- files ----------------------------------------------------------------------------------------


def qcow2(path: Path, backing: str | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    words = (backing or "").encode()
    header = struct.pack(">4sIQI", b"QFI\xfb", 3, 104 if words else 0, len(words))
    path.write_bytes(header.ljust(104, b"\0") + words)


def test_folders_of_guests_with_all_that_is_in_them(libvirt: Path) -> None:
    instances = libvirt / "instances"
    for name in (named("web"), named("db") + "_resize", "locks", "_base", "x" + named("web")):
        (instances / name / "deeper").mkdir(parents=True)
        (instances / name / "deeper" / "disk").write_bytes(b"x" * 50000)
    touched(instances / named("web") / "console.log", 4e9)
    web, db = sorted(asked(instances)["folders"], key=lambda each: len(each["name"]))
    assert (web["name"], web["written"]) == (named("web"), 4e9)
    assert 50000 <= web["bytes"] < 100000
    assert db["name"] == named("db") + "_resize"


def test_a_sparse_disk_takes_what_it_takes(libvirt: Path) -> None:
    path = libvirt / "instances" / named("web") / "disk"
    path.parent.mkdir(parents=True)
    path.touch()
    os.truncate(path, 10**10)
    [found] = asked(libvirt / "instances")["folders"]
    assert found["bytes"] < 10**6


def test_the_images_that_disks_are_made_of(libvirt: Path) -> None:
    instances = libvirt / "instances"
    qcow2(instances / named("web") / "disk", f"{instances}/_base/one")
    qcow2(instances / named("web") / "disk.eph0", "../_base/two")
    qcow2(instances / (named("db") + "_resize") / "disk", f"{instances}/_base/three")
    qcow2(instances / named("db") / "disk", None)
    (instances / named("db") / "raw").write_bytes(b"QFI")
    found = asked(instances)
    assert found["backing"] == [f"{instances}/_base/{name}" for name in ("one", "three", "two")]
    assert found["unread"] == []


def test_a_header_as_qemu_img_7_2_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    header = bytes.fromhex("514649fb0000000300000000000002100000000600000010")
    path.write_bytes(header.ljust(0x210, b"\0") + b"base.q" + b"\0" * 99)
    assert host_guests.backing_file(str(path)) == "base.q"


def test_a_backing_file_that_is_no_plain_path_is_not_guessed_at(libvirt: Path) -> None:
    instances = libvirt / "instances"
    qcow2(instances / named("web") / "disk", 'json:{"driver":"qcow2"}')
    assert asked(instances)["unread"] == [f"{instances}/{named('web')}/disk"]


def test_a_disk_that_cannot_be_read_is_named(
    libvirt: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instances = libvirt / "instances"
    qcow2(instances / named("web") / "disk", None)

    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(host_guests, "backing_file", refuse)
    assert asked(instances)["unread"] == [f"{instances}/{named('web')}/disk"]


def test_images_in_the_cache(libvirt: Path) -> None:
    base = libvirt / "instances" / "_base"
    base.mkdir(parents=True)
    touched(base / "da39a3", 3000)
    [found] = asked(libvirt / "instances")["bases"]
    assert found == {"name": "da39a3", "bytes": 0, "written": 3000.0}


def test_a_compute_without_any_guest_yet(libvirt: Path) -> None:
    found = asked(libvirt / "missing")
    assert (found["folders"], found["bases"], found["backing"]) == ([], [], [])
    assert found["instances"] == str(libvirt / "missing")


def test_what_other_hosts_may_have_too_is_told_by_its_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not host_guests.is_shared("/proc")
    kinds = ("nfs4", "ceph", "fuse.glusterfs", "ext4", "xfs", "fuse.lxcfs", "overlay")
    shared = [kind for kind in kinds if host_guests.NETWORKED.fullmatch(kind)]
    assert shared == ["nfs4", "ceph", "fuse.glusterfs"]
