"""files/common/websocket.py: a console's first words, from a proxy that stands for another."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
import websocket

from pyinfra_nova.proof import console

URL = "https://cloud.example/vnc_auto.html?path=%3Ftoken%3Dright"


class Proxy:
    """A proxy's port, what it was told, and what it answers before it waits or goes."""

    def __init__(self, server: socket.socket) -> None:
        self.at = f"http://127.0.0.1:{server.getsockname()[1]}"
        self.server = server
        self.told = ""
        self.answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
        self.words = b"\x82\x0cRFB 003.008\n"
        self.is_over = threading.Event()
        self.waits = False

    def serve(self) -> None:
        stream, _ = self.server.accept()
        with stream:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += stream.recv(4096)
            self.told = head.decode()
            stream.sendall(self.answer + self.words)
            if self.waits:
                self.is_over.wait(10)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = Proxy(server)
        thread = threading.Thread(target=found.serve, daemon=True)
        thread.start()
        yield found
        found.is_over.set()
        thread.join(5)


def greeted(proxy: Proxy) -> tuple[str, str]:
    found: tuple[str, str] = websocket.handshake(URL, websocket.console_path(URL), at=proxy.at)
    return found


def test_the_proxy_is_told_where_browsers_would_ask(proxy: Proxy) -> None:
    """It compares where they come from with the URL that Nova gives out (console/websocketproxy.py,
    verify_origin_proto)."""
    assert greeted(proxy) == ("HTTP/1.1 101 Switching Protocols", "RFB 003.008\n")
    assert proxy.told.startswith("GET /?token=right HTTP/1.1\r\n")
    assert "\r\nHost: cloud.example\r\n" in proxy.told
    assert "\r\nOrigin: https://cloud.example\r\n" in proxy.told


@pytest.mark.parametrize("words", [b"", b"\x82"])
def test_a_proxy_that_gets_no_word_of_the_compute_gives_none(proxy: Proxy, words: bytes) -> None:
    proxy.words = words
    assert greeted(proxy)[1] == ""


def test_a_compute_that_is_silent_has_said_nothing(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "TIMEOUT", 0.2)
    proxy.words, proxy.waits = b"", True
    assert greeted(proxy) == ("HTTP/1.1 101 Switching Protocols", "")


def test_a_proxy_that_is_silent_is_an_error(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "TIMEOUT", 0.2)
    proxy.answer, proxy.words, proxy.waits = b"", b"", True
    with pytest.raises(OSError, match="timed out"):
        greeted(proxy)


def test_a_proxy_that_lets_nobody_in_says_so(proxy: Proxy) -> None:
    proxy.answer, proxy.words = b"HTTP/1.1 403 Forbidden\r\n\r\n", b""
    assert greeted(proxy) == ("HTTP/1.1 403 Forbidden", "")


def test_a_long_first_frame_is_read_whole(proxy: Proxy) -> None:
    proxy.words = b"\x82\x7e\x01\x00" + b"x" * 256
    assert greeted(proxy)[1] == "x" * 256


@pytest.mark.parametrize(
    "url",
    [
        "http://c:6080/vnc_auto.html?path=%3Ftoken%3Dabc",
        "http://c:6080/vnc_lite.html?token=abc",
        "http://c:6080/vnc_lite.html?path=websockify%3Ftoken%3Dabc",
        "http://c:6080/vnc_lite.html",
    ],
)
def test_the_path_is_the_one_that_the_operators_machine_finds(url: str) -> None:
    """pyinfra_nova/proof/console.py asks from there, for the proxy that browsers reach."""
    assert websocket.console_path(url) == console.websocket_path(url)
