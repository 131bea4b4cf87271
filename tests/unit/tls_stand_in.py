"""Servers that speak TLS, with certificates that are right, or wrong in one way each."""

from __future__ import annotations

import datetime as dt
import http.server
import json
import socketserver
import ssl
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from typing_extensions import override

from pyinfra_nova.certificates.authority import authority, key_pem, pem_of, subject
from pyinfra_nova.certificates.issued import wanted
from pyinfra_nova.certificates.purposes import PURPOSES

SECRET, FOREIGN = "a secret of more than twenty", "another one of more than twenty"
TRUSTED = "# Zertifikate für alle\n" + authority(SECRET, "services").pem
HERE = ("localhost", "127.0.0.1", "controller")
ELSEWHERE = ("elsewhere.example", "10.9.9.9")

Faults = dict[str, str]
FAULTS: Faults = {
    "expired": r"shows a certificate that has expired, by this host's clock of 20",
    "not yet valid": r"shows a certificate that is not valid yet, by this host's clock of 20",
    "foreign": "shows a certificate that no trusted authority has issued",
    "of another purpose's authority": "shows a certificate that no trusted authority has issued",
    "self-signed": "shows a certificate that is self-signed: no trusted authority has issued it",
    "another name": (
        r"shows a certificate for elsewhere\.example, 10\.9\.9\.9, and it was asked as 127\.0\.0\.1"
    ),
    "plain text": "speaks plain text where TLS was expected",
}
"""What a server may show, and what has to be said of it."""


@dataclass(frozen=True)
class Shown:
    """A certificate and its key, as a server reads them."""

    certificate: str
    key: str

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "both.pem"
            path.write_text(self.certificate + self.key)
            context.load_cert_chain(path)
        return context


def issued(
    secret: str = SECRET,
    names: Collection[str] = HERE,
    age: int = 1,
    purpose: str = "api",
) -> Shown:
    """What SECRET makes for a purpose, AGE days ago, for 90 days."""
    now = dt.datetime.now(dt.timezone.utc) - dt.timedelta(days=age)
    found = wanted(secret, PURPOSES[purpose], "controller", names, None, now, 90, 30)
    return Shown(found.certificate_pem, found.key_pem)


def self_signed() -> Shown:
    key, now = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.timezone.utc)
    names = x509.SubjectAlternativeName([x509.DNSName("controller")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject("itself"))
        .issuer_name(subject("itself"))
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    return Shown(pem_of(certificate), key_pem(key))


@cache
def context(what: str = "right") -> ssl.SSLContext | None:
    """How a server speaks that is wrong in this way; None for one in plain text."""
    if what == "plain text":
        return None
    makers: dict[str, Callable[[], Shown]] = {
        "right": issued,
        "expired": lambda: issued(age=91),
        "not yet valid": lambda: issued(age=-2),
        "foreign": lambda: issued(FOREIGN),
        "of another purpose's authority": lambda: issued(purpose="screen"),
        "self-signed": self_signed,
        "another name": lambda: issued(names=ELSEWHERE),
    }
    return makers[what]().context()


class Encrypted:
    """Before a handler of socketserver's: what it reads and writes is encrypted."""

    how: ssl.SSLContext | None = None
    request: Any

    def setup(self) -> None:
        if self.how is not None:
            self.request = self.how.wrap_socket(self.request, server_side=True)
        super().setup()  # type: ignore[misc]


class Pages(Encrypted, http.server.BaseHTTPRequestHandler):
    """Answers every GET with the versions of an API, or opens a WebSocket with a screen."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.headers.get("Upgrade"):
            self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x82\x0cRFB 003.008\n")
            return
        text = json.dumps({"versions": []}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    @override
    def log_message(self, format: str, *args: object) -> None:
        pass


class Quiet(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that does not go on is what these tests are about."""


@contextmanager
def listening(handler: type[socketserver.BaseRequestHandler], **more: Any) -> Iterator[int]:
    """The port at which HANDLER answers."""
    with Quiet(("127.0.0.1", 0), type("Bound", (handler,), more)) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


@contextmanager
def pages(how: ssl.SSLContext | None) -> Iterator[tuple[int, list[str]]]:
    asked: list[str] = []
    with listening(Pages, how=how, asked=asked) as port:
        yield port, asked
