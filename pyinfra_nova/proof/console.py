"""The first words of a noVNC console: a WebSocket through the proxy, then the VNC server.

Asked from the operator's machine, at the proxy that browsers reach. On hosts, which have nothing of
this package, ``files/common/websocket.py`` speaks the same.
"""

from __future__ import annotations

import base64
import os
import socket
import ssl
from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import parse_qs, urlsplit

from pyinfra_nova.session.host_script import trusted

TIMEOUT = 20.0


@dataclass(frozen=True)
class Greeting:
    """What a proxy answered: its status line, and what came over the WebSocket after it.

    Attributes:
        refusal: what keeps the screen from being shown all the same, or "": the proxy greets before
            it has agreed with the compute on TLS.
    """

    status: str
    first_words: str
    refusal: str = ""


def websocket_path(console_url: str) -> str:
    """The path that noVNC's page opens for a console URL, with the token in it."""
    query = parse_qs(urlsplit(console_url).query)
    path = query.get("path", [""])[0]
    return "/" + path.lstrip("/") if path else f"/?token={query.get('token', [''])[0]}"


def _context() -> ssl.SSLContext:
    """This machine's authorities are good beside the site's own: a proxy may be for the world."""
    context = ssl.create_default_context()
    if pem := trusted():
        context.load_verify_locations(cadata=pem.encode("ascii", "replace").decode())
    return context


def greet(console_url: str) -> Greeting:
    """Open the console as a browser would and read the start of the RFB protocol.

    Raises:
        OSError: nobody listens at the URL, or the connection broke.
    """
    parts = urlsplit(console_url)
    secure = parts.scheme == "https"
    host, port = parts.hostname or "", parts.port or (443 if secure else 80)
    request = (
        f"GET {websocket_path(console_url)} HTTP/1.1\r\n"
        f"Host: {host}:{port}\r\n"
        f"Origin: {parts.scheme}://{host}:{port}\r\n"
        "Upgrade: websocket\r\n"
        "Connection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}\r\n"
        "Sec-WebSocket-Protocol: binary\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n"
    )
    # Resolved here because gevent's create_connection, which pyinfra puts in the place of the
    # standard one, does not ask socket.getaddrinfo, where a caller may know more names than DNS.
    address = str(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][4][0])
    with socket.create_connection((address, port), timeout=TIMEOUT) as plain:
        stream = _context().wrap_socket(plain, server_hostname=host) if secure else plain
        stream.sendall(request.encode())
        reader = stream.makefile("rb")
        status = reader.readline().decode(errors="replace").strip()
        while reader.readline().strip():
            pass
        if " 101 " not in f"{status} ":
            return Greeting(status, "")
        words = (_payload(reader) or b"").decode(errors="replace")
        refusal = _refusal(stream, reader) if words.startswith("RFB 003.") else ""
        return Greeting(status, words, refusal)


def _sent(stream: socket.socket, data: bytes) -> None:
    """A client's frame has a mask (section 5.3), here one that changes nothing."""
    stream.sendall(bytes([0x82, 0x80 | len(data)]) + bytes(4) + data)


def _refusal(stream: socket.socket, reader: BinaryIO) -> str:
    """What a VNC server says to one who wants no password, or "" (RFC 6143, 7.1)."""
    rest = b""

    def read(size: int) -> bytes:
        nonlocal rest
        while len(rest) < size:
            if (more := _payload(reader)) is None:
                raise ConnectionError("it hangs up")
            rest += more
        found, rest = rest[:size], rest[size:]
        return found

    try:
        _sent(stream, b"RFB 003.008\n")
        count = read(1)[0]
        if count and 1 not in read(count):
            return "it asks for a password"
        if count:
            _sent(stream, b"\1")
            if not any(read(4)):
                return ""
        return f"it is refused: {read(int.from_bytes(read(4), 'big')).decode(errors='replace')}"
    except OSError as error:
        return f"the proxy and the compute do not agree: {error}"


CLOSE = 0x8
"""What a frame is for that ends the connection (RFC 6455, section 5.5.1)."""


def _payload(reader: BinaryIO) -> bytes | None:
    """The payload of a server's next frame (section 5.2), None at the end; servers do not mask it.

    Nova's proxy sends an empty one when it has agreed (console/websocketproxy.py, finish_up).
    """
    head = reader.read(2)
    if len(head) < 2 or head[0] & 0xF == CLOSE:
        return None
    size = head[1] & 0x7F
    if size == 126:
        size = int.from_bytes(reader.read(2), "big")
    return reader.read(size)
