"""files/host_proof.py: libvirt and guests' screens show the certificates that their files have."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import guest_screens
import host_proof
import pytest

from .test_served_certificates import Pair, screen, serving

Ports = list[tuple[str, int]]


@pytest.fixture
def pairs(tmp_path: Path) -> tuple[Pair, Pair]:
    return Pair(tmp_path, "libvirt"), Pair(tmp_path, "screen")


@pytest.fixture
def screens(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ports]:
    """Guests whose screens are at these ports, and one whose screen speaks no TLS."""
    ports: Ports = []

    def guests() -> list[SimpleNamespace]:
        known = {"pid": os.getpid(), "name": "instance-1", "screen": "tls"}
        found = [SimpleNamespace(**known, port=port) for port in ports]
        return [*found, SimpleNamespace(pid=1, name="old", screen="plain", port=("127.0.0.1", 1))]

    monkeypatch.setattr(guest_screens, "guests", guests)
    yield ports


def faults(
    libvirt: int, certificate: Path, screen: Path | None = None, who: str = "libvirt"
) -> list[str]:
    served: dict[str, Any] = {"ports": [], "screens": [str(screen)] if screen else None}
    row = {"who": who, "address": "127.0.0.1", "port": libvirt}
    served["ports"].append({**row, "files": ["/nowhere/api.crt", str(certificate)]})
    return [f"{each['what']}: {each['problem']}" for each in host_proof.served_faults(served)]


def test_who_shows_the_certificate_of_its_file_is_no_fault(
    pairs: tuple[Pair, Pair], screens: Ports
) -> None:
    libvirt, guest = pairs
    with serving(libvirt.handshake) as port, serving(screen(guest, 260)) as at:
        screens.append(("127.0.0.1", at))
        assert faults(port, libvirt.certificate, guest.certificate) == []


def test_who_has_not_read_the_certificate_of_its_file_is_named(
    pairs: tuple[Pair, Pair], screens: Ports
) -> None:
    libvirt, guest = pairs
    with serving(libvirt.handshake) as port, serving(screen(guest, 260)) as at:
        screens.append(("127.0.0.1", at))
        assert faults(port, guest.certificate, libvirt.certificate) == [
            f"libvirt: 127.0.0.1:{port} shows another certificate than {guest.certificate} has",
            f"guest instance-1: its screen shows another certificate than {libvirt.certificate} "
            "has",
        ]


def test_who_speaks_no_tls_where_it_should_is_named_with_the_cause(
    pairs: tuple[Pair, Pair], screens: Ports
) -> None:
    libvirt, guest = pairs
    with socket.create_server(("127.0.0.1", 0)) as unused:
        nobody = unused.getsockname()[1]
    with serving(screen(guest, types=b"\1")) as at:
        screens.append(("127.0.0.1", at))
        assert faults(nobody, libvirt.certificate, guest.certificate) == [
            f"libvirt: 127.0.0.1:{nobody} speaks no TLS: [Errno 111] Connection refused",
            "guest instance-1: its screen shows no certificate: it speaks no TLS",
        ]


def test_an_api_that_shows_another_certificate_is_named_and_one_that_is_silent_is_not(
    pairs: tuple[Pair, Pair], screens: Ports
) -> None:
    """Whether it answers is asked at its URL."""
    libvirt, other = pairs
    with serving(libvirt.handshake) as port:
        assert faults(port, other.certificate, who="the compute API") == [
            f"the compute API: 127.0.0.1:{port} shows another certificate than "
            f"{other.certificate} has"
        ]
    with serving(libvirt.handshake) as port:
        row = {"who": "the compute API", "address": "127.0.0.1", "port": port}
        asked = {"ports": [{**row, "files": [str(other.certificate)]}], "screens": None}
        assert [each["passing"] for each in host_proof.served_faults(asked)] == [True]
    with serving(lambda stream: stream.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")) as port:
        assert faults(port, other.certificate, who="the compute API") == []


def test_where_there_are_no_consoles_no_screen_is_asked(
    pairs: tuple[Pair, Pair], screens: Ports
) -> None:
    screens.append(("127.0.0.1", 1))
    with serving(pairs[0].handshake) as port:
        assert faults(port, pairs[0].certificate) == []


@pytest.mark.parametrize(
    ("display", "port"),
    [
        ("10.0.0.31:7", ("10.0.0.31", 5907)),
        ("0.0.0.0:0", ("127.0.0.1", 5900)),
        (":1", ("127.0.0.1", 5901)),
        ("[::]:2", ("::1", 5902)),
        ("unix:/run/guest.sock", None),
        ("none", None),
    ],
)
def test_a_screen_is_asked_where_it_listens(display: str, port: object) -> None:
    assert guest_screens.port_of(display) == port
