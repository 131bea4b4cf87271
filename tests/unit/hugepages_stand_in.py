"""A tree of files that stands in for a host's /proc, /sys and /etc, for files/hugepages.py."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hugepages
import pytest

MEMORY = 8 << 20
"""8 GiB, in KiB."""

DAEMON = "libvirtd.service"
MOUNT = "dev-hugepages1G.mount"
KERNEL = "\tlinux\t/boot/vmlinuz-6.1 root=UUID=1 ro quiet"


class Killed(BaseException):
    """The script is no more."""


class Host:
    """The files of a host, its systemd and its GRUB, and the commands that were run there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.commands: list[str] = []
        self.actions = 0
        self.killed_after: int | None = None
        self.clock = 100
        self.started = {DAEMON: 50}
        """When each unit became active."""
        self.ended: dict[str, int] = {}
        """When each unit that was active ended."""
        self.enabled: set[str] = set()
        self.loaded: dict[str, str] = {}
        """The definitions that systemd has read."""
        self.put("/proc/meminfo", f"MemTotal: {MEMORY} kB\nHugepagesize:    2048 kB\n")
        self.put("/proc/cmdline", "quiet\n")
        for base in ("kernel/mm", "devices/system/node/node0", "devices/system/node/node1"):
            for kilobytes in (2048, 1048576):
                for name in ("nr_hugepages", "free_hugepages"):
                    self.put(f"/sys/{base}/hugepages/hugepages-{kilobytes}kB/{name}", "0\n")
        for folder in ("/etc/sysctl.d", "/etc/default/grub.d", "/etc/systemd/system"):
            (root / folder[1:]).mkdir(parents=True)
        self.put(hugepages.GRUB_CFG, f"menuentry 'Debian' {{\n{KERNEL}\n}}\n")

    def put(self, path: str, text: str) -> None:
        file = self.root / path[1:]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def text(self, path: str) -> str:
        return (self.root / path[1:]).read_text()

    def definitions(self) -> dict[str, str]:
        return {
            file.name: file.read_text() for file in self.root.glob("etc/systemd/system/*.mount")
        }

    def done(self) -> None:
        """One thing was done; the power may fail after each."""
        self.actions += 1
        if self.actions == self.killed_after:
            raise Killed

    def run(self, *command: str) -> str:
        if command[:2] == ("systemctl", "show"):
            _, _, asked, unit = command
            names = asked.removeprefix("--property=").split(",")
            lines = self.shown(unit).splitlines(keepends=True)
            return "".join(line for line in lines if line.partition("=")[0] in names)
        self.commands.append(" ".join(command))
        self.clock += 1
        if command == ("update-grub",):
            words = ""
            for file in sorted((self.root / "etc/default/grub.d").glob("*.cfg")):
                for line in re.findall(
                    r'GRUB_CMDLINE_LINUX="\$GRUB_CMDLINE_LINUX (.*)"', file.read_text()
                ):
                    words += f" {line}"
            self.put(hugepages.GRUB_CFG, f"menuentry 'Debian' {{\n{KERNEL}{words}\n}}\n")
        else:
            self.systemctl(*command[1:])
        self.done()
        return ""

    def systemctl(self, verb: str, *words: str) -> None:
        unit = words[-1] if words else ""
        if verb == "daemon-reload":
            self.loaded = self.definitions()
        elif verb == "try-restart":
            # systemd refuses the whole job for one unit that it does not know.
            assert set(words) <= {DAEMON}, f"Unit {unit} not found."
            if DAEMON in self.started:
                self.started[DAEMON] = self.clock
        elif verb == "enable":
            assert unit in self.loaded
            self.enabled.add(unit)
            self.started.setdefault(unit, self.clock)
        else:
            assert (verb, words[0]) == ("disable", "--now")
            self.enabled.discard(unit)
            if self.started.pop(unit, None) is not None:
                self.ended[unit] = self.clock

    def shown(self, unit: str) -> str:
        known = unit == DAEMON or unit in self.loaded
        stale = known and unit != DAEMON and self.loaded[unit] != self.definitions().get(unit)
        return (
            f"LoadState={'loaded' if known else 'not-found'}\n"
            f"ActiveState={'active' if unit in self.started else 'inactive'}\n"
            f"UnitFileState={'enabled' if unit in self.enabled else ''}\n"
            f"NeedDaemonReload={'yes' if stale else 'no'}\n"
            f"ActiveEnterTimestampMonotonic={self.started.get(unit, 0)}\n"
            f"InactiveEnterTimestampMonotonic={self.ended.get(unit, 0)}\n"
        )

    def state(self) -> dict[str, object]:
        """Everything that is in force, or will be after the next boot."""
        files = {
            str(file.relative_to(self.root)): file.read_text()
            for file in self.root.rglob("*")
            if file.is_file() and not file.name.endswith(".pyinfra-nova")
        }
        mounts = [unit for unit in self.started if unit != DAEMON]
        return {
            "files": files,
            "mounted": sorted(mounts),
            "enabled": sorted(self.enabled),
            "known": {unit: self.loaded[unit] for unit in mounts},
            "libvirt knows them": all(self.started[DAEMON] >= self.started[m] for m in mounts),
        }


def lent(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the script work on HOST; each write, removal and count is one action."""
    monkeypatch.setattr(hugepages, "ROOT", str(host.root))
    monkeypatch.setattr(hugepages, "run", host.run)
    for name in ("write", "remove", "set_count"):
        inner = getattr(ORIGINAL, name)

        def act(*words: Any, inner: Any = inner) -> None:
            inner(*words)
            host.done()

        monkeypatch.setattr(hugepages, name, act)


ORIGINAL = SimpleNamespace(
    write=hugepages.write, remove=hugepages.remove, set_count=hugepages.set_count
)
