"""files/hugepages.py: what guests use stays, is said with the remedy, and goes once it is free."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import hugepages
import mount_users
import pytest
from typing_extensions import override

from .hugepages_stand_in import DAEMON, MOUNT, Host, lent
from .test_script_hugepages import BIG, SMALL, asked, converge, pages

FREE = "/sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages"
UNIT = f"/etc/systemd/system/{MOUNT}"
STAYS = "/dev/hugepages1G stays mounted, in use by {}: move or stop these guests, then deploy again"


class Busy(Host):
    """A host whose kernel refuses to unmount what a process uses."""

    @override
    def systemctl(self, verb: str, *words: str) -> None:
        if verb == "disable" and self.guests():
            self.enabled.discard(words[-1])
            raise SystemExit("systemctl ended with 1: umount: /dev/hugepages1G: target is busy.")
        super().systemctl(verb, *words)
        self.mounted("0:43" if MOUNT in self.started else None)

    def mounted(self, device: str | None) -> None:
        rows = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
        if device:
            rows += (
                f"99 22 {device} / /dev/hugepages1G rw - hugetlbfs hugetlbfs rw,pagesize=1024M\n"
            )
        self.put("/proc/self/mountinfo", rows)

    def process(self, pid: int, device: str = "00:01", comm: str = "qemu-system-x86") -> Path:
        """A process that has a file of DEVICE mapped, in a mount namespace of its own."""
        self.put(f"/proc/{pid}/comm", f"{comm}\n")
        line = f"7f5480000000-7f54c0000000 rw-s 00000000 {device} 41 /libvirt/qemu/ram (deleted)\n"
        self.put(f"/proc/{pid}/maps", line)
        folder = self.root / f"proc/{pid}"
        (folder / "fd").mkdir(exist_ok=True)
        return folder

    def guest(self, pid: int = 4711) -> None:
        self.process(pid, "00:2b")

    def guests(self) -> list[Path]:
        return [path for path in self.root.glob("proc/[0-9]*") if " 00:2b " in maps(path)]

    def moved(self) -> None:
        """The guests are elsewhere."""
        for guest in self.guests():
            (guest / "maps").write_text("")


def maps(process: Path) -> str:
    return (process / "maps").read_text()


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Busy:
    host = Busy(tmp_path)
    lent(host, monkeypatch)
    converge(pages(BIG, 2))
    host.put(FREE, "2\n")
    host.commands.clear()
    return host


def deployed() -> dict[str, Any]:
    """A plan, then what it says is done; the plan after it."""
    planned = asked()
    assert asked(apply=True)["changes"] == planned["changes"]
    return {"planned": planned, "after": asked()}


def test_a_mount_that_a_guest_uses_stays_and_is_said_until_the_guest_is_gone(host: Busy) -> None:
    host.guest()
    found = deployed()
    said = STAYS.format("qemu-system-x86 (4711)")
    assert found["planned"]["remarks"] == [said] == found["after"]["remarks"]
    assert not [text for text in found["planned"]["changes"] if "mount" in text or DAEMON in text]
    assert found["after"]["changes"] == []
    assert host.text(UNIT) and MOUNT in host.enabled and MOUNT in host.started

    host.moved()
    found = deployed()
    assert found["planned"] == {
        "error": None,
        "changes": [
            f"unmount {MOUNT}",
            f"restart {DAEMON}, which looks for mounts when it starts",
            f"remove {UNIT}",
            "have systemd forget them",
        ],
        "remarks": [],
    }
    assert found["after"] == {"error": None, "changes": [], "remarks": []}
    assert not (host.root / UNIT[1:]).exists()


def test_what_else_is_not_wanted_goes_although_a_mount_is_in_use(host: Busy) -> None:
    host.guest()
    deployed()
    assert not (host.root / hugepages.GRUB[1:]).exists()
    assert "hugepagesz" not in host.text(hugepages.GRUB_CFG)


@pytest.mark.parametrize("when", ["before the attempt", "during the attempt"])
def test_a_guest_that_starts_in_between_ends_no_run(
    host: Busy, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = asked()["changes"]
    assert f"unmount {MOUNT}" in planned
    if when == "before the attempt":
        unmount = hugepages.unmount

        def attempted(path: str) -> None:
            host.guest()
            unmount(path)

        monkeypatch.setattr(hugepages, "unmount", attempted)
    else:
        run = host.run

        def late(*command: str) -> str:
            if command[:2] == ("systemctl", "disable"):
                host.guest()
            return run(*command)

        monkeypatch.setattr(hugepages, "run", late)
    answer = asked(apply=True)
    assert answer["remarks"] == [STAYS.format("qemu-system-x86 (4711)")]
    assert host.text(UNIT) and MOUNT in host.started
    host.moved()
    assert f"unmount {MOUNT}" in converge()


def test_an_unmounting_that_fails_for_another_reason_ends_the_run(
    host: Busy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*command: str) -> str:
        if command[:2] == ("systemctl", "disable"):
            raise SystemExit("systemctl ended with 1: Access denied")
        return host.run(*command)

    monkeypatch.setattr(hugepages, "run", broken)
    with pytest.raises(SystemExit, match="Access denied"):
        asked(apply=True)


@pytest.mark.parametrize("link", ["fd/7", "cwd", "root"])
def test_an_open_file_and_a_shell_in_it_keep_a_mount_too(host: Busy, link: str) -> None:
    (host.process(5, comm="bash") / link).symlink_to("/dev/hugepages1G/libvirt")
    assert mount_users.named("/dev/hugepages1G", str(host.root)) == "bash (5)"
    assert mount_users.named("/dev/hugepages1", str(host.root)) == ""


def test_what_others_use_and_processes_that_end_keep_nothing(host: Busy) -> None:
    host.process(5)
    (host.process(6) / "cwd").symlink_to("/dev/hugepages1Gigantic")
    host.put("/proc/7/comm", "gone\n")
    assert mount_users.named("/dev/hugepages1G", str(host.root)) == ""


def test_of_many_guests_a_few_are_named(host: Busy) -> None:
    for pid in range(10, 18):
        host.guest(pid)
    assert mount_users.named("/dev/hugepages1G", str(host.root)).endswith(
        "qemu-system-x86 (14) and 3 more"
    )


def test_this_process_is_found_at_what_it_has_mapped_and_open(tmp_path: Path) -> None:
    """Against the kernel's own files, which no stand-in writes."""
    with open("/proc/meminfo"):  # noqa: PTH123 - it is kept open
        assert mount_users.uses("/proc/self", "/proc", set())
    assert not mount_users.uses("/proc/self", str(tmp_path), set())
    device = Path("/proc").stat().st_dev
    assert (os.major(device), os.minor(device)) in mount_users.devices("/proc")
    program = Path(sys.executable).resolve().stat().st_dev
    mapped = {line.split(None, 4)[3] for line in Path("/proc/self/maps").read_text().splitlines()}
    if f"{os.major(program):02x}:{os.minor(program):02x}" in mapped:  # not of btrfs and overlayfs
        numbers = {(os.major(program), os.minor(program))}
        assert mount_users.uses("/proc/self", "/nowhere", numbers)


def test_pages_in_use_beyond_the_count_are_the_kernels_to_take_back(host: Busy) -> None:
    """They are surplus then: there is nothing that another deploy could do."""
    converge(pages(2048, 512))
    host.put(SMALL, "12\n")
    host.put(SMALL.replace("nr_", "surplus_"), "12\n")
    assert "set huge pages of 2M to 0 (was 512)" not in asked()["changes"]
    assert not [text for text in asked()["changes"] if text.startswith("set ")]
