"""files/libvirt_tls.py: real processes and real sockets, and stand-ins for what speaks to libvirt.

That libvirt and QEMU do re-read when they are told to, the lab's tests show.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import guest_screens
import libvirt_tls
import pytest

from .systemd_stand_in import Systemd

SOCKET, SERVICE = "libvirtd-tls.socket", "libvirtd.service"
STANDS_IN = """#!/bin/sh
echo "$(basename "$0") $*" >>"{folder}/told"
cat "{folder}/$(basename "$0").says" 2>/dev/null
[ ! -e "{folder}/$(basename "$0").fails" ] || {{ echo "it is away" >&2; exit 1; }}
"""
SLEEP = ("-c", "import time; time.sleep(600)")
TLS = "127.0.0.1:0,tls-creds=vnc-tls-creds0,audiodev=audio1"


class Compute:
    """A compute whose libvirt is a process that does nothing, and so are its guests."""

    def __init__(self, folder: Path, systemd: Systemd, listener: socket.socket) -> None:
        self.folder, self.systemd = folder, systemd
        self.processes: list[subprocess.Popen[bytes]] = []
        self.port = listener.getsockname()[1]
        for name in ("proc", "notes", "bin"):
            (folder / name).mkdir()
        for name in ("virsh", "virt-admin"):
            (folder / "bin" / name).write_text(STANDS_IN.format(folder=folder))
            (folder / "bin" / name).chmod(0o755)
        (folder / "virsh.says").write_text('{"return":{},"id":"libvirt-9"}\n')
        for name in ("qemu.conf", "cacert.pem", "server-cert.pem", "mark"):
            self.write(name, at=-60)
        self.libvirtd = self.started("libvirtd", *SLEEP)
        self.says()

    def write(self, name: str, at: float = 5) -> None:
        """Write a file AT so many seconds from now."""
        path = self.folder / name
        path.write_text(name)
        os.utime(path, (time.time() + at,) * 2)

    def started(self, *words: str) -> int:
        process = subprocess.Popen(words, executable=sys.executable)
        self.processes.append(process)
        return process.pid

    def guest(self, name: str, uuid: str, screen: str) -> int:
        more = ("-name", f"guest={name},debug-threads=on", "-uuid", uuid, "-vnc", screen)
        pid = self.started("/usr/bin/qemu-system-x86_64", *SLEEP, *more)
        (self.folder / "proc" / str(pid)).symlink_to(f"/proc/{pid}")
        return pid

    def says(self, socket: str = "active", pid: int | None = None, **of_the_socket: str) -> None:
        self.systemd.says(SOCKET, ActiveState=socket, DropInPaths=f"{self.folder}/mark")
        if of_the_socket:
            self.systemd.says(SOCKET, ActiveState=socket, **of_the_socket)
        self.systemd.says(SERVICE, MainPID=str(self.libvirtd if pid is None else pid))

    def answer(self, **request: Any) -> dict[str, Any]:
        folder = self.folder
        asked = {
            "wanted": True,
            "socket": SOCKET,
            "mark": f"{folder}/mark",
            "address": "127.0.0.1",
            "port": self.port,
            "services": [{"name": SERVICE, "reads": [f"{folder}/qemu.conf"], "dropin": None}],
            "daemon": "libvirtd",
            "libvirt": [f"{folder}/cacert.pem"],
            "screens": [f"{folder}/server-cert.pem"],
            **request,
        }
        return dict(libvirt_tls.answer(asked))

    def differing(self, **request: Any) -> dict[str, Any]:
        return {key: value for key, value in self.answer(**request).items() if value}

    @property
    def told(self) -> list[str]:
        path = self.folder / "told"
        lines = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return lines


@pytest.fixture
def compute(tmp_path: Path, systemd: Systemd, monkeypatch: pytest.MonkeyPatch) -> Iterator[Compute]:
    folder = tmp_path / "compute"
    folder.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = Compute(folder, systemd, listener)
        monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
        monkeypatch.setattr(guest_screens, "PROC", str(folder / "proc"))
        monkeypatch.setattr(libvirt_tls, "NOTES", str(folder / "notes"))
        yield made
        for process in made.processes:
            process.kill()
            process.wait()


def restart(reason: str, *, running: bool = True) -> dict[str, Any]:
    return {"restart": [{"name": SERVICE, "reason": reason, "running": running}]}


def test_nothing_differs_where_libvirt_listens_and_has_read_everything(compute: Compute) -> None:
    compute.guest("instance-1", "uuid-1", TLS)
    assert compute.differing() == {}


# --- the socket -----------------------------------------------------------------------------------


def test_a_socket_that_is_not_there_comes_with_a_restart_of_its_service(compute: Compute) -> None:
    compute.says(socket="inactive")
    assert compute.differing() == restart(f"{SOCKET} is inactive")
    compute.says(socket="inactive", pid=0)
    assert compute.differing() == restart(f"{SOCKET} is inactive", running=False)


def test_a_socket_that_is_not_enabled_would_be_gone_after_a_boot(compute: Compute) -> None:
    compute.says(UnitFileState="disabled", DropInPaths=f"{compute.folder}/mark")
    assert compute.differing() == {"enable": True}


def test_a_socket_at_another_address_or_at_all_is_stopped_first(compute: Compute) -> None:
    moved = compute.differing(address="127.0.0.2")
    assert moved == {"stop": True, **restart(f"{SOCKET} listens at 127.0.0.1")}
    with socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True) as everywhere:
        port = everywhere.getsockname()[1]
        found = compute.differing(port=port)
    assert found == {"stop": True, **restart(f"{SOCKET} listens at [::]")}


def test_what_systemd_has_not_read_it_is_told_to_read(compute: Compute) -> None:
    compute.says(DropInPaths="/somebody/elses.conf")
    assert compute.differing() == {"daemon_reload": True}
    compute.says()
    compute.write("dropin")
    service = {"name": SERVICE, "reads": [], "dropin": f"{compute.folder}/dropin"}
    assert compute.differing(services=[service]) == {"daemon_reload": True}


def test_libvirt_is_restarted_for_options_that_it_has_not_read(compute: Compute) -> None:
    compute.write("qemu.conf")
    path = f"{compute.folder}/qemu.conf"
    assert compute.differing() == restart(f"{path} is newer than the process")
    compute.says(pid=0)  # it has ended because nobody used it, and will read them
    assert compute.differing() == {}


def test_of_many_daemons_the_one_that_reads_the_options_is_restarted(compute: Compute) -> None:
    compute.systemd.says("virtqemud.service", MainPID=str(compute.libvirtd))
    compute.write("qemu.conf")
    services = [
        {"name": SERVICE, "reads": [], "dropin": None},
        {"name": "virtqemud.service", "reads": [f"{compute.folder}/qemu.conf"], "dropin": None},
    ]
    (row,) = compute.differing(services=services)["restart"]
    assert row["name"] == "virtqemud.service"


# --- no longer wanted -----------------------------------------------------------------------------


def test_where_the_socket_is_not_ours_it_is_let_be(compute: Compute) -> None:
    (compute.folder / "mark").unlink()
    compute.write("qemu.conf")
    assert compute.differing(wanted=False) == {}


def test_a_socket_of_ours_goes_and_its_service_lets_go_of_it(compute: Compute) -> None:
    """systemd forgets first that the service wants the socket, or a restart would start it."""
    going = {"daemon_reload": True, "disable": True, "stop": True}
    again = restart("TLS is not wanted any more")
    assert compute.differing(wanted=False) == {**going, **again}
    compute.says(socket="inactive")  # as after a run that was cut off
    assert compute.differing(wanted=False) == {**going, **again}


# --- certificates ---------------------------------------------------------------------------------


def test_new_certificates_are_read_by_all_without_a_restart_and_once(compute: Compute) -> None:
    compute.guest("instance-1", "uuid-1", TLS)
    compute.guest("instance-2", "uuid-2", "127.0.0.1:1")
    compute.write("cacert.pem", at=0)
    compute.write("server-cert.pem", at=0)
    time.sleep(0.01)
    assert compute.answer()["reread"] == ["libvirtd", "guest instance-1"]
    compute.answer(verb="reread")
    assert compute.told == [
        "virt-admin --quiet --connect libvirtd:///system server-update-tls libvirtd",
        "virsh --quiet --connect qemu:///system qemu-monitor-command --domain uuid-1 "
        '{"execute": "display-reload", "arguments": {"type": "vnc", "tls-certs": true}}',
    ]
    assert compute.answer()["reread"] == []
    compute.answer(verb="reread")
    assert compute.told == []


def test_a_file_that_was_written_while_it_was_read_is_read_once_more(compute: Compute) -> None:
    compute.write("cacert.pem", at=0.5)
    compute.answer(verb="reread")
    assert compute.answer()["reread"] == ["libvirtd"]


def test_who_starts_afterwards_has_read_them_and_is_told_nothing(compute: Compute) -> None:
    compute.write("server-cert.pem", at=-1)
    time.sleep(0.02)
    compute.guest("instance-1", "uuid-1", TLS)
    assert compute.answer()["reread"] == []


def test_libvirt_reads_them_when_it_is_restarted_anyway(compute: Compute) -> None:
    compute.write("qemu.conf")
    compute.write("cacert.pem")
    assert compute.answer()["reread"] == []


def test_who_could_not_read_them_is_named_with_the_cause_and_asked_again(compute: Compute) -> None:
    compute.guest("instance-1", "uuid-1", TLS)
    compute.write("cacert.pem", at=0)
    compute.write("server-cert.pem", at=0)
    (compute.folder / "virt-admin.fails").touch()
    (compute.folder / "virsh.says").write_text(
        '{"id":"libvirt-7","error":{"class":"GenericError","desc":"Unable to access credentials"}}'
    )
    with pytest.raises(SystemExit) as caught:
        compute.answer(verb="reread")
    assert str(caught.value).splitlines() == [
        "libvirtd has not read its certificates again: virt-admin: it is away",
        "guest instance-1 has not read its certificates again: its QEMU says: Unable to access "
        "credentials",
    ]
    assert compute.answer()["reread"] == ["libvirtd", "guest instance-1"]


def test_notes_about_processes_that_have_ended_go(compute: Compute) -> None:
    pid = compute.guest("instance-1", "uuid-1", TLS)
    compute.write("server-cert.pem", at=0)
    compute.answer(verb="reread")
    assert [path.name for path in (compute.folder / "notes").iterdir()] == [f"tls-{pid}"]
    compute.processes[-1].kill()
    compute.processes[-1].wait()
    compute.answer(verb="reread")
    assert list((compute.folder / "notes").iterdir()) == []


# --- guests ---------------------------------------------------------------------------------------


def test_guests_without_tls_are_named_and_those_without_a_screen_are_not(compute: Compute) -> None:
    compute.guest("instance-1", "uuid-1", TLS)
    compute.guest("instance-2", "uuid-2", "0.0.0.0:4,audiodev=audio1")
    pid = compute.started("qemu-system-x86_64", *SLEEP, "-name", "guest=a,,b", "-uuid", "uuid-3")
    (compute.folder / "proc" / str(pid)).symlink_to(f"/proc/{pid}")
    pid = compute.started("qemu-img", *SLEEP, "-vnc", "127.0.0.1:1", "-uuid", "no-guest")
    (compute.folder / "proc" / str(pid)).symlink_to(f"/proc/{pid}")
    found = [(guest.name, guest.uuid, guest.screen) for guest in guest_screens.guests()]
    assert found == [
        ("a,b", "uuid-3", None),
        ("instance-1", "uuid-1", "tls"),
        ("instance-2", "uuid-2", "plain"),
    ]
    assert compute.answer()["plain"] == guest_screens.plain() == ["instance-2"]


def test_guests_are_counted_by_what_their_screens_speak(compute: Compute) -> None:
    for number in range(guest_screens.FEW + 2):
        compute.guest(f"instance-{number}", f"uuid-{number}", "0.0.0.0:4,audiodev=audio1")
    compute.guest("instance-x", "uuid-x", TLS)
    told = guest_screens.answer({"guests": True})["screens"]
    names = [f"instance-{number}" for number in range(guest_screens.FEW)]
    assert told["plain"] == {"count": guest_screens.FEW + 2, "few": names}
    assert told["tls"] == {"count": 1, "few": ["instance-x"]}
