"""A guest is pinged all the time: how many of its answers are lost, and for how long."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

EVERY = 0.2
"""Seconds from one ping to the next."""
ECHO, REPLY = 8, 0
HEAD = struct.Struct("!BBHHH")


@dataclass
class Pings:
    """What became of the pings to one address.

    Attributes:
        sent: how many there were.
        answered: the numbers of those that were answered.
    """

    sent: int = 0
    answered: set[int] = field(default_factory=set)

    @property
    def lost(self) -> int:
        return self.sent - len(self.answered)

    @property
    def longest(self) -> float:
        """Seconds of the longest silence."""
        most = now = 0
        for number in range(self.sent):
            now = 0 if number in self.answered else now + 1
            most = max(most, now)
        return most * EVERY

    def __str__(self) -> str:
        return f"{self.lost} of {self.sent} pings lost, the longest silence {self.longest:.1f} s"


def echo(identity: int, number: int) -> bytes:
    """An ICMP echo request with its checksum (RFC 792)."""
    total = sum(struct.unpack("!4H", HEAD.pack(ECHO, 0, 0, identity, number)))
    total = (total & 0xFFFF) + (total >> 16)
    return HEAD.pack(ECHO, 0, ~total & 0xFFFF, identity, number)


def answered(packet: bytes, identity: int) -> int | None:
    """The number of the request of ours to which PACKET, with its IP header, is the answer."""
    start = (packet[0] & 0xF) * 4
    kind, _, _, whose, number = HEAD.unpack_from(packet, start)
    return number if (kind, whose) == (REPLY, identity) else None


@contextmanager
def pinged(address: str) -> Iterator[Pings]:
    """ADDRESS is pinged meanwhile; needs root, as for a ping it is sent by hand."""
    found, over, identity = Pings(), threading.Event(), os.getpid() & 0xFFFF
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    raw.connect((address, 0))  # so only what comes from there is read

    def listen(until: float) -> None:
        while (left := until - time.monotonic()) > 0:
            raw.settimeout(left)
            # An answer that does not come, or a router's word that nobody is there.
            with suppress(OSError):
                number = answered(raw.recv(2048), identity)
                if number is not None:
                    found.answered.add(number)

    def ping() -> None:
        while not over.is_set():
            with suppress(OSError):
                raw.send(echo(identity, found.sent))
            found.sent += 1
            listen(time.monotonic() + EVERY)
        listen(time.monotonic() + 1)

    thread = threading.Thread(target=ping, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()
        raw.close()
