"""Whatever crosses the lab's networks meanwhile is written down, and searched for what is known."""

from __future__ import annotations

import mmap
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from lab import machines
from lab.settings import Network

from .leaks import Search

DROPPED = re.compile(r"(\d+) packets? (captured|dropped by kernel)")
BUFFER = "65536"
"""KiB: a guest's memory comes faster than a busy machine writes."""
SETTLES = 3
"""Seconds until the kernel has handed over what it has seen; tcpdump drops the rest at its end."""
SHORTEST = 8
"""Bytes that are met nowhere by chance."""


def pieces(text: bytes) -> tuple[bytes, ...]:
    """Of which one is whole in some packet, wherever between two of them TEXT was cut."""
    middle = len(text) // 2
    return (text,) if middle < SHORTEST else (text[:middle], text[middle:])


def halves(secrets: Mapping[str, str]) -> dict[str, str]:
    """The secrets' pieces, in letters."""
    found: dict[str, str] = {}
    for name, value in secrets.items():
        middle = len(value) // 2
        parts = (value,) if middle < SHORTEST else (value[:middle], value[middle:])
        found |= {f"{name} ({number})": part for number, part in enumerate(parts)}
    return found


@dataclass(frozen=True)
class Capture:
    """What was seen.

    Attributes:
        files: of each of the lab's networks, by its key.
    """

    files: dict[str, Path]

    @property
    def size(self) -> int:
        return sum(path.stat().st_size for path in self.files.values())

    def has(self, text: bytes, network: str | None = None) -> bool:
        """Whether TEXT could be read, on NETWORK or on any."""
        files = [self.files[network]] if network else list(self.files.values())
        return any(_is_in(path, piece) for path in files for piece in pieces(text))

    def readable(self, said: Mapping[str, bytes]) -> set[str]:
        """What of SAID, a name and a text each, could be read."""
        return {name for name, text in said.items() if self.has(text)}

    def secrets(self, secrets: Mapping[str, str], folder: Path) -> list[str]:
        """The names of those of SECRETS that could be read, in whatever way they were written."""
        files = list(self.files.values())
        parts = halves(secrets)
        if not Search(parts, folder).in_files(files):
            return []
        return [
            name for name, part in parts.items() if Search({name: part}, folder).in_files(files)
        ]

    def remove(self) -> None:
        for path in self.files.values():
            path.unlink()


def _is_in(path: Path, piece: bytes) -> bool:
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as seen:
        return seen.find(piece) >= 0


@contextmanager
def _written(network: Network, path: Path) -> Iterator[None]:
    """Every frame that passes the bridge of NETWORK, from one host to another as well.

    The program is the one that every host of the lab has; the interface is this machine's.
    """
    root = f"/proc/{machines.init_of('controller')}/root"
    command = ("chroot", root, "tcpdump", "-i", network.bridge, "-s", "0", "-B", BUFFER)
    with (
        path.open("wb") as stream,
        subprocess.Popen(
            (*command, "-n", "-U", "-Z", "root", "-w", "-"),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        assert process.stderr
        said = ""
        try:
            while "listening on" not in said:
                line = process.stderr.readline()
                assert line, said
                said += line
            yield
        finally:
            process.send_signal(signal.SIGINT)
            said += process.stderr.read()
            print(said)
    counts = {what: int(number) for number, what in DROPPED.findall(said)}
    assert counts["dropped by kernel"] * 100 <= counts["captured"]


@contextmanager
def captured(networks: tuple[Network, ...], folder: Path) -> Iterator[Capture]:
    """What crosses NETWORKS meanwhile, to be read afterwards; the files are as large as that."""
    files = {network.key: folder / f"{network.key}.pcap" for network in networks}
    with ExitStack() as stack:
        for network in networks:
            stack.enter_context(_written(network, files[network.key]))
        yield Capture(files)
        time.sleep(SETTLES)
