"""Every command line of this machine and of the hosts on it, by the kernel's own record.

Lab hosts share this machine's kernel, whose audit keeps a record of each execve with all arguments,
before the program has done anything: a process that lives a millisecond is seen like any other.
Looking at /proc, be it after an event of the kernel's process connector, comes too late for those.
Only a process that was there before, and becomes another program without a fork, is passed over.
"""

from __future__ import annotations

import os
import re
import select
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

# linux/netlink.h, linux/audit.h; the numbers of execve and execveat are x86's.
NETLINK_AUDIT, SO_RCVBUFFORCE = 9, 33
REQUEST, ACKNOWLEDGE, ERROR = 1, 4, 2
GET, SET, ADD_RULE, DELETE_RULE, EXECVE = 1000, 1001, 1011, 1012, 1309
STATUS = (
    *("mask", "enabled", "failure", "pid", "rate_limit", "backlog_limit", "lost", "backlog"),
    *("features", "backlog_wait_time", "backlog_wait_time_actual"),
)
ENABLED, PID, BACKLOG_LIMIT = 0x1, 0x4, 0x10
ON_EXIT, ALWAYS = 4, 2
CALLS = (59, 322)
HEADER = struct.Struct("=IHHII")
WAITING = 65536
"""Records that the kernel keeps for us; the next process waits rather than go unseen."""
ARGUMENT = re.compile(rb' a(\d+)(?:\[(\d+)\])?=(?:"([^"]*)"|((?:[0-9A-F]{2})*))(?= |$)')


def _rule() -> bytes:
    """struct audit_rule_data: record these calls when they end."""
    mask = [0] * 64
    for call in CALLS:
        mask[call // 32] |= 1 << call % 32
    return struct.pack("=3I64I192II", ON_EXIT, ALWAYS, 0, *mask, *[0] * 192, 0)


class Audit:
    """A socket to the kernel's audit; whoever gives it its own PID gets the records there."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_AUDIT)
        self.socket.bind((0, 0))

    def _answers(self, kind: int, payload: bytes, flags: int) -> Iterator[tuple[int, bytes]]:
        request = HEADER.pack(HEADER.size + len(payload), kind, REQUEST | flags, 1, 0)
        self.socket.send(request + payload)
        while True:
            data = self.socket.recv(1 << 16)
            kind = HEADER.unpack(data[: HEADER.size])[1]
            yield kind, data[HEADER.size :]

    def ask(self, kind: int, payload: bytes) -> None:
        """Have something done.

        Raises:
            OSError: the kernel said no.
        """
        for answer, data in self._answers(kind, payload, ACKNOWLEDGE):
            if answer == ERROR:
                number = -struct.unpack("=i", data[:4])[0]
                if number:
                    raise OSError(number, os.strerror(number))
                return

    def status(self) -> dict[str, int]:
        data = next(data for kind, data in self._answers(GET, b"", 0) if kind == GET)
        return dict(zip(STATUS, struct.unpack(f"={len(STATUS)}I", data[:44]), strict=True))

    def set(self, mask: int, **values: int) -> None:
        words = [values.get(name, 0) for name in STATUS[1:]]
        self.ask(SET, struct.pack(f"={len(STATUS)}I", mask, *words))


class Execs:
    """What was executed: a list of words for each call."""

    def __init__(self) -> None:
        self.records: list[bytes] = []

    @property
    def lines(self) -> list[tuple[bytes, ...]]:
        """The argument lists, in the order of the calls."""
        return arguments(self.records)

    def text(self) -> str:
        """All of them, a word a line."""
        return "\n".join(word.decode(errors="replace") for line in self.lines for word in line)


def arguments(records: Sequence[bytes]) -> list[tuple[bytes, ...]]:
    """The argument lists in EXECVE records; what is long comes in several parts and records.

    A word with a space, a quote or a byte beyond ASCII is written in hexadecimal digits.
    """
    found: dict[bytes, dict[int, dict[int, bytes]]] = {}
    for record in records:
        serial, _, rest = record.partition(b"):")
        words = found.setdefault(serial, {})
        for number, part, plain, digits in ARGUMENT.findall(b" " + rest.strip(b" \0\n")):
            text = bytes.fromhex(digits.decode()) if digits else plain
            words.setdefault(int(number), {})[int(part or 0)] = text
    return [
        tuple(b"".join(parts[part] for part in sorted(parts)) for _, parts in sorted(words.items()))
        for words in found.values()
    ]


def _read(records: socket.socket, into: list[bytes], over: threading.Event) -> None:
    """Keep what comes; after the end, until nothing comes any more."""
    while select.select([records], [], [], 0.2)[0] or not over.is_set():
        try:
            data = records.recv(1 << 16, socket.MSG_DONTWAIT)
        except BlockingIOError:
            continue
        if HEADER.unpack(data[: HEADER.size])[1] == EXECVE:
            into.append(data[HEADER.size :])


@contextmanager
def execs() -> Iterator[Execs]:
    """Every exec of this machine meanwhile; afterwards its audit is as it was.

    Raises:
        RuntimeError: another program takes the records, or the kernel lost some.
    """
    control, records, seen = Audit(), Audit(), Execs()
    before = control.status()
    if before["pid"]:
        raise RuntimeError(f"process {before['pid']} (auditd?) takes the kernel's audit records")
    records.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
    over = threading.Event()
    reader = threading.Thread(target=_read, args=(records.socket, seen.records, over))
    # The kernel sends the records to the socket that says so.
    mine: dict[str, Any] = {"pid": os.getpid(), "enabled": 1, "backlog_limit": WAITING}
    records.set(PID | ENABLED | BACKLOG_LIMIT, **mine)
    reader.start()
    try:
        control.ask(ADD_RULE, _rule())
        try:
            yield seen
        finally:
            control.ask(DELETE_RULE, _rule())
    finally:
        lost = control.status()["lost"] - before["lost"]
        over.set()
        reader.join()
        records.set(PID, pid=0)
        control.set(
            ENABLED | BACKLOG_LIMIT,
            enabled=before["enabled"],
            backlog_limit=before["backlog_limit"],
        )
        for one in (control, records):
            one.socket.close()
    if lost:
        raise RuntimeError(f"the kernel lost {lost} of its audit records")
