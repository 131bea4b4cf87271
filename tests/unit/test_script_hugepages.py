"""files/hugepages.py on a tree of files that stands in for a host's /proc, /sys and /etc."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hugepages
import pytest

MEMORY = 8 << 20
"""8 GiB, in KiB."""


class Host:
    """The files of a host, and the commands that were run there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.commands: list[str] = []
        self.put("/proc/meminfo", f"MemTotal: {MEMORY} kB\nHugepagesize:    2048 kB\n")
        self.put("/proc/cmdline", "quiet\n")
        for base in ("kernel/mm", "devices/system/node/node0"):
            for kilobytes in (2048, 1048576):
                self.put(f"/sys/{base}/hugepages/hugepages-{kilobytes}kB/nr_hugepages", "0\n")
        for folder in ("/etc/sysctl.d", "/etc/default/grub.d", "/etc/systemd/system"):
            (root / folder[1:]).mkdir(parents=True)

    def put(self, path: str, text: str) -> None:
        file = self.root / path[1:]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def text(self, path: str) -> str:
        return (self.root / path[1:]).read_text()

    def run(self, *command: str) -> None:
        self.commands.append(" ".join(command))


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    host = Host(tmp_path)
    monkeypatch.setattr(hugepages, "ROOT", str(tmp_path))
    monkeypatch.setattr(hugepages, "run", host.run)
    return host


def pages(kilobytes: int, count: int, node: int | None = None) -> dict[str, Any]:
    return {"kilobytes": kilobytes, "count": count, "node": node}


def asked(*wanted: dict[str, Any], apply: bool = False) -> dict[str, Any]:
    return dict(hugepages.answer({"pages": list(wanted), "apply": apply}))


def converge(*wanted: dict[str, Any]) -> list[str]:
    planned = asked(*wanted)["changes"]
    assert asked(*wanted, apply=True)["changes"] == planned
    assert asked(*wanted)["changes"] == []
    return list(planned)


SMALL, BIG = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", 1048576


def test_pages_of_the_kernels_own_size_are_set_now_and_by_sysctl(host: Host) -> None:
    assert converge(pages(2048, 512)) == [
        f"write {hugepages.SYSCTL}",
        "set huge pages of 2M to 512 (was 0)",
    ]
    assert host.text(SMALL) == "512"
    assert "vm.nr_hugepages = 512\n" in host.text(hugepages.SYSCTL)
    assert asked(pages(2048, 512))["remarks"] == []
    assert host.commands == []


def test_other_pages_are_an_argument_of_the_kernel_and_a_mount(host: Host) -> None:
    converge(pages(BIG, 2))
    assert "hugepagesz=1G hugepages=2" in host.text(hugepages.GRUB)
    unit = host.text("/etc/systemd/system/dev-hugepages1G.mount")
    assert "Where=/dev/hugepages1G\n" in unit and "Options=pagesize=1G\n" in unit
    assert host.commands == [
        "update-grub",
        "systemctl daemon-reload",
        "systemctl enable --now dev-hugepages1G.mount",
        "systemctl try-restart libvirtd.service virtqemud.service",
    ]


def test_a_reboot_that_is_needed_is_said_until_it_was_made(host: Host) -> None:
    words = "hugepagesz=2M hugepages=0:64"
    (text,) = asked(pages(2048, 64, node=0))["remarks"]
    assert text == f"a reboot is needed for the kernel to be started with {words}"
    host.put("/proc/cmdline", f"quiet {words}\n")
    assert asked(pages(2048, 64, node=0))["remarks"] == []


def test_without_grub_the_arguments_are_left_to_the_operator(host: Host) -> None:
    (host.root / "etc/default/grub.d").rmdir()
    (text,) = asked(pages(BIG, 1))["remarks"]
    assert text == (
        "put this on the kernel's command line for the next boot: hugepagesz=1G hugepages=1"
    )
    asked(pages(BIG, 1), apply=True)
    assert "update-grub" not in host.commands


def test_what_somebody_set_by_hand_is_repaired(host: Host) -> None:
    converge(pages(2048, 512))
    host.put(SMALL, "3\n")
    assert converge(pages(2048, 512)) == ["set huge pages of 2M to 512 (was 3)"]


def test_a_count_of_none_takes_everything_back(host: Host) -> None:
    converge(pages(2048, 512), pages(BIG, 1))
    host.commands.clear()
    converge(pages(2048, 0), pages(BIG, 0))
    assert not [path for path in (host.root / "etc").rglob("*") if path.is_file()]
    assert "systemctl disable --now dev-hugepages1G.mount" in host.commands


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (pages(65536, 1), "this host has no huge pages of 64M"),
        (pages(2048, 1, node=3), "this host has no huge pages of 2M of NUMA node 3"),
        (pages(BIG, 8), "8192 MiB of huge pages are more than nine tenths of this host's 8192 MiB"),
    ],
)
def test_what_a_host_cannot_have_is_refused(host: Host, wanted: dict[str, Any], said: str) -> None:
    assert asked(wanted)["error"] == said
    with pytest.raises(SystemExit, match=said):
        asked(wanted, apply=True)
    assert host.commands == []
