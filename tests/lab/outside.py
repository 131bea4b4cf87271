"""A person outside of the cloud: asks Nova for a guest and uses its screen, over the network."""

from __future__ import annotations

import json
import os
import socket
import ssl
import struct
import sys
import time
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

from .conftest import MINUTE, ROOT, SECRETS

sys.path.append(str(ROOT / "files/common"))
import websocket

ADDRESS = "10.0.0.11"
"""Of the controller: its name is known on the lab's hosts alone."""
NOVA = "compute 2.60"


def context(authorities: str) -> ssl.SSLContext:
    """As a browser: whoever has no certificate of AUTHORITIES for its name is not spoken to."""
    return ssl.create_default_context(cadata=authorities)


class Cloud:
    """The cloud as its administrator sees it, whose token crosses the network each time.

    Attributes:
        authorities: in PEM; None where everything is plain text.
        token: what Keystone has given.
    """

    def __init__(self, authorities: str | None) -> None:
        self.authorities = authorities
        self.token = ""
        self.scheme = "https" if authorities else "http"
        headers, _ = self.ask("POST", 5000, "/v3/auth/tokens", {"auth": self._login()})
        self.token = headers["X-Subject-Token"]

    def _login(self) -> dict[str, Any]:
        domain = {"name": "Default"}
        password = yaml.safe_load(SECRETS.read_text())["admin_password"]
        user = {"name": "admin", "domain": domain, "password": password}
        return {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"name": "admin", "domain": domain}},
        }

    def ask(
        self, method: str, port: int, path: str, body: object = None
    ) -> tuple[Mapping[str, str], Any]:
        url = f"{self.scheme}://{ADDRESS}:{port}{path}"
        headers = {"Content-Type": "application/json", "OpenStack-API-Version": NOVA}
        if self.token:
            headers["X-Auth-Token"] = self.token
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310
        how = context(self.authorities) if self.authorities else None
        directly = urllib.request.ProxyHandler({})
        opener = urllib.request.build_opener(directly, urllib.request.HTTPSHandler(context=how))
        with opener.open(request, timeout=MINUTE) as answer:
            text = answer.read()
            return answer.headers, json.loads(text) if text else None

    def nova(self, method: str, path: str, body: object = None) -> Any:
        return self.ask(method, 8774, f"/v2.1{path}", body)[1]

    def boot(self, name: str, flavor: str, image: str) -> str:
        """The id of a new guest without a network, once it runs; FLAVOR and IMAGE are ids."""
        wanted = {"name": name, "flavorRef": flavor, "imageRef": image, "networks": "none"}
        server = str(self.nova("POST", "/servers", {"server": wanted})["server"]["id"])
        deadline = time.monotonic() + 2 * MINUTE
        while (status := self.nova("GET", f"/servers/{server}")["server"]["status"]) == "BUILD":
            assert time.monotonic() < deadline, f"{name} is still being built"
            time.sleep(1)
        assert status == "ACTIVE"
        return server

    def console(self, server: str) -> str:
        """Where a guest's screen is; who has this address sees it."""
        wanted = {"remote_console": {"protocol": "vnc", "type": "novnc"}}
        answer = self.nova("POST", f"/servers/{server}/remote-consoles", wanted)
        return str(answer["remote_console"]["url"])

    def delete(self, server: str) -> None:
        self.nova("DELETE", f"/servers/{server}")


def token_of(url: str) -> str:
    """Who has it sees the screen."""
    path: str = websocket.console_path(url)
    return parse_qs(urlsplit(path).query)["token"][0]


def key_event(key: int, *, down: bool) -> bytes:
    """A key as it is sent to a screen (RFC 6143, 7.5.4)."""
    return struct.pack(">BBxxI", 4, down, key)


def changes(pixels: bytes) -> int:
    """How often a pixel is another one than that before it."""
    return sum(pixels[at : at + 4] != pixels[at + 4 : at + 8] for at in range(0, len(pixels), 4))


class Screen:
    """A guest's screen behind the page of its console: raw pixels of four bytes each."""

    def __init__(self, url: str, authorities: str | None) -> None:
        parts = urlsplit(url)
        self.stream = socket.create_connection((ADDRESS, parts.port or 80), timeout=MINUTE)
        if parts.scheme == "https":
            assert authorities
            self.stream = context(authorities).wrap_socket(
                self.stream, server_hostname=parts.hostname
            )
        words = (
            f"GET {websocket.console_path(url)} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            f"Origin: {parts.scheme}://{parts.netloc}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {websocket.KEY}\r\n"
            "Sec-WebSocket-Protocol: binary\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        self.stream.sendall(words.encode())
        self.reader = self.stream.makefile("rb")
        self.rest = b""
        assert b" 101 " in self.reader.readline()
        while self.reader.readline().strip():
            pass
        self.read(12)
        self.send(b"RFB 003.008\n")
        assert 1 in self.read(self.read(1)[0])  # no password: who has the address may see it
        self.send(b"\1")
        assert self.read(4) == bytes(4)
        self.send(b"\1")
        self.width, self.height = struct.unpack(">HH", self.read(20)[:4])
        self.read(int.from_bytes(self.read(4), "big"))
        self.send(struct.pack(">BxHi", 2, 1, 0))  # raw, so that what is shown is what is sent

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, *_: object) -> None:
        self.reader.close()
        self.stream.close()

    def frame(self) -> bytes:
        """What the server says next (RFC 6455, 5.2)."""
        head = self.reader.read(2)
        assert len(head) == 2 and head[0] & 0xF != 8, "the proxy hangs up"
        size = head[1] & 0x7F
        if size > 125:
            size = int.from_bytes(self.reader.read(2 if size == 126 else 8), "big")
        return self.reader.read(size)

    def read(self, size: int) -> bytes:
        while len(self.rest) < size:
            self.rest += self.frame()
        found, self.rest = self.rest[:size], self.rest[size:]
        return found

    def send(self, data: bytes) -> None:
        websocket.sent(self.stream, data)

    def press(self, key: int) -> None:
        self.send(key_event(key, down=True) + key_event(key, down=False))

    def pixels(self) -> bytes:
        """All that the screen shows now, a rectangle after the other."""
        self.send(struct.pack(">BBHHHH", 3, 0, 0, 0, self.width, self.height))
        while (kind := self.read(1)[0]) != 0:
            assert kind == 2, kind  # the bell
        found = b""
        for _ in range(struct.unpack(">xH", self.read(3))[0]):
            _, _, width, height, encoding = struct.unpack(">HHHHi", self.read(12))
            assert encoding == 0
            found += self.read(width * height * 4)
        return found

    def shown(self, size: int = 512) -> bytes:
        """SIZE bytes of what is on the screen of which both halves are like no others."""
        half, deadline = size // 2, time.monotonic() + 2 * MINUTE
        while True:
            pixels = self.pixels()
            for at in range(0, len(pixels) - size, half):
                part = pixels[at : at + size]
                if min(changes(part[:half]), changes(part[half:])) > 8:
                    return part
            assert time.monotonic() < deadline, "nothing is written on the screen"
            time.sleep(1)


def a_key() -> int:
    """One that is on no keyboard (Unicode's private area, by X11's number for it)."""
    return 0x1000000 + 0xE000 + int.from_bytes(os.urandom(2), "big") % 0x1900
