"""The first words of a WebSocket (RFC 6455), as a browser speaks them: no more is needed to see
whether one is served, and what stands behind it."""

import base64
import socket
import ssl
import urllib.parse

import trust

TIMEOUT = 20
VNC = "RFB 003."
VERSION = b"RFB 003.008\n"
NO_PASSWORD = 1
KEY = base64.b64encode(b"pyinfra-nova asks").decode()
"""What a client of a WebSocket sends; no secret (RFC 6455, section 1.3)."""


def connected(parts):
    secure = parts.scheme == "https"
    address = (parts.hostname, parts.port or (443 if secure else 80))
    stream = socket.create_connection(address, timeout=TIMEOUT)
    if not secure:
        return stream
    return trust.secured(stream, *address, how=trust.context() or ssl.create_default_context())


CLOSE = 0x8
"""What a frame is for that ends the connection (section 5.5.1)."""


def payload(reader):
    """What the server's next frame holds, None at the end; none of theirs is masked (section 5.2).

    Nova's proxy sends an empty one when it has agreed (console/websocketproxy.py, finish_up).
    """
    head = reader.read(2)
    if len(head) < 2 or head[0] & 0xF == CLOSE:
        return None
    size = head[1] & 0x7F
    if size == 126:
        size = int.from_bytes(reader.read(2), "big")
    return reader.read(size)


def sent(stream, data):
    """A client's frame has a mask (section 5.3), here one that changes nothing."""
    stream.sendall(bytes([0x82, 0x80 | len(data)]) + bytes(4) + data)


class Frames:
    """What comes in frames, however it is cut up."""

    def __init__(self, reader):
        self.reader, self.rest = reader, b""

    def read(self, size):
        while len(self.rest) < size:
            more = payload(self.reader)
            if more is None:
                raise OSError("it hangs up")
            self.rest += more
        found, self.rest = self.rest[:size], self.rest[size:]
        return found

    def text(self):
        size = int.from_bytes(self.read(4), "big")
        return self.read(min(size, 200)).decode(errors="replace")


def refusal(stream, reader):
    """What a VNC server that has greeted says to one who wants no password, or "" (RFC 6143, 7.1).

    Of a browser nothing is asked: who may see a screen, its token says.
    """
    frames = Frames(reader)
    try:
        sent(stream, VERSION)
        count = frames.read(1)[0]
        if not count:
            return f"it is refused: {frames.text()}"
        if NO_PASSWORD not in frames.read(count):
            return "it asks for a password"
        sent(stream, bytes([NO_PASSWORD]))
        if any(frames.read(4)):
            return f"it is refused: {frames.text()}"
    except OSError as error:
        return f"the proxy and the compute do not agree: {error}"
    return ""


def handshake(url, path="/websockify", at=None):
    """The status line with which a server answers who wants a WebSocket, and its first words.

    Where it is asked AT another address it is told URL all the same, as by a proxy before it. Only
    then is its first word waited for: of other servers it would be the client's.
    """
    return _asked(url, path, at)[:2]


def screen(url, path, at):
    """As `handshake`, of a guest's screen, and what keeps it from being shown, or "".

    The proxy of the consoles greets before it has agreed with the compute on anything: on TLS, and
    on whose certificates are good (nova/console/securityproxy/rfb.py, connect).
    """
    return _asked(url, path, at, agreed=True)


def _asked(url, path, at, agreed=False):
    parts = urllib.parse.urlsplit(url)
    words = (
        f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        f"Origin: {parts.scheme}://{parts.netloc}\r\n"
        f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\n"
        "Sec-WebSocket-Protocol: binary\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    with connected(urllib.parse.urlsplit(at) if at else parts) as stream:
        stream.sendall(words.encode())
        with stream.makefile("rb") as reader:
            status = reader.readline(200).decode(errors="replace").strip()
            if not at or " 101 " not in status + " ":
                return status, "", ""
            try:
                while reader.readline(1000).strip():
                    pass
                words = (payload(reader) or b"").decode(errors="replace")
            except OSError:  # it has answered, but not what stands behind it
                return status, "", ""
            fault = refusal(stream, reader) if agreed and words.startswith(VNC) else ""
            return status, words, fault


def console_path(url):
    """The path that noVNC's page opens for a console's URL, with the token in it."""
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)
    path = query.get("path", [""])[0]
    return "/" + path.lstrip("/") if path else "/?token=" + query.get("token", [""])[0]
