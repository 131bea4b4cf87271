"""Which certificate a port serves, asked of servers that really speak TLS."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import served_certificates
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate

from pyinfra_nova.certificates.issued import wanted
from pyinfra_nova.certificates.purposes import PURPOSES
from pyinfra_nova.nova_conf.certificate_files import MARKER

Serve = Callable[[socket.socket], None]


class Pair:
    """A certificate of the project's own in files, and a server that asks for one, too."""

    def __init__(self, folder: Path, purpose: str) -> None:
        now = dt.datetime.now(dt.timezone.utc)
        names = ["compute1", "127.0.0.1"]
        made = wanted("s" * 32, PURPOSES[purpose], "compute1", names, None, now, 90, 30)
        self.certificate, key = folder / f"{purpose}.pem", folder / f"{purpose}.key"
        self.certificate.write_text(f"{MARKER}\n{made.certificate_pem}")
        key.write_text(made.key_pem)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.certificate, key)
        self.context.verify_mode = ssl.CERT_REQUIRED
        self.context.load_verify_locations(self.certificate)

    def handshake(self, stream: socket.socket) -> None:
        with pytest.raises(OSError):  # the client has no certificate
            self.context.wrap_socket(stream, server_side=True).recv(1)


@contextmanager
def serving(serve: Serve) -> Iterator[int]:
    """The port of a server that does SERVE with one client."""

    def run() -> None:
        stream, _ = listener.accept()
        with stream:
            serve(stream)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=run)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(10)
        assert not thread.is_alive()


def screen(pair: Pair, *kinds: int, types: bytes = b"\x13") -> Serve:
    """A VNC server as QEMU has it (ui/vnc.c, ui/vnc-auth-vencrypt.c)."""

    def serve(stream: socket.socket) -> None:
        stream.sendall(b"RFB 003.008\n")
        assert stream.recv(12) == b"RFB 003.008\n"
        stream.sendall(bytes([len(types)]) + types)
        if stream.recv(1) != b"\x13":
            return
        stream.sendall(b"\0\2")
        assert stream.recv(2) == b"\0\2"
        stream.sendall(b"\0" + bytes([len(kinds)]) + struct.pack(f">{len(kinds)}I", *kinds))
        if not (chosen := stream.recv(4)):
            return
        assert struct.unpack(">I", chosen)[0] in kinds
        stream.sendall(b"\1")
        pair.handshake(stream)

    return serve


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path, "screen")


def test_a_port_shows_its_certificate_to_whoever_has_none(pair: Pair) -> None:
    with serving(pair.handshake) as port:
        served = served_certificates.of_port("127.0.0.1", port)
    assert served == served_certificates.of_file(pair.certificate)


def test_a_certificate_is_another_ones_digest(pair: Pair, tmp_path: Path) -> None:
    other = Pair(tmp_path, "libvirt")
    with serving(other.handshake) as port:
        served = served_certificates.of_port("127.0.0.1", port)
    assert served == served_certificates.of_file(other.certificate)
    assert served != served_certificates.of_file(pair.certificate)
    der = load_pem_x509_certificate(other.certificate.read_bytes()).public_bytes(Encoding.DER)
    assert served == served_certificates.digest(der)


def test_a_screen_shows_its_certificate_once_tls_is_agreed_on(pair: Pair) -> None:
    with serving(screen(pair, 257, 260)) as port:  # TLS without certificates first
        served = served_certificates.of_screen("127.0.0.1", port)
    assert served == served_certificates.of_file(pair.certificate)


def test_a_screen_without_tls_is_plain_and_so_is_one_without_certificates(pair: Pair) -> None:
    for server in (screen(pair, types=b"\1"), screen(pair, 257)):
        with serving(server) as port, pytest.raises(served_certificates.PlainError):
            served_certificates.of_screen("127.0.0.1", port)


def test_what_is_no_screen_or_hangs_up_is_an_error_of_its_own(pair: Pair) -> None:
    for words in (b"HTTP/1.1 400\r\n", b"RFB 003.0", b""):
        with serving(lambda stream, words=words: stream.sendall(words)) as port:  # type: ignore[misc]
            with pytest.raises(OSError) as caught:
                served_certificates.of_screen("127.0.0.1", port)
            assert not isinstance(caught.value, served_certificates.PlainError)


def test_a_file_without_a_certificate_has_none(pair: Pair, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text(MARKER)
    assert served_certificates.of_file(tmp_path / "empty") is None
    assert served_certificates.of_file(tmp_path / "nowhere") is None


def test_a_connection_that_was_ended_before_tls_shows_nothing() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as stream,
    ):
        there, _ = server.accept()
        there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        there.close()  # with a reset, as of a server that is being started anew
        with pytest.raises(ConnectionResetError):
            stream.recv(1)
        with pytest.raises(ConnectionResetError, match="ended before TLS"):
            served_certificates.chain_of_stream(stream)
