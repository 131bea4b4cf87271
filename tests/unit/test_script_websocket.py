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
        self.exchange: list[tuple[bytes, bytes]] = []
        """What the client says after the greeting, and what it is answered, in frames."""

    def serve(self) -> None:
        stream, _ = self.server.accept()
        with stream:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += stream.recv(4096)
            self.told = head.decode()
            stream.sendall(self.answer + self.words)
            for said, answer in self.exchange:
                frame = stream.recv(6 + len(said), socket.MSG_WAITALL)
                assert frame[:2] == bytes([0x82, 0x80 | len(said)])
                assert bytes(a ^ b for a, b in zip(frame[6:], frame[2:6] * 3, strict=False)) == said
                stream.sendall(answer)
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


# --- a guest's screen -----------------------------------------------------------------------------

VERSION = b"RFB 003.008\n"


def framed(*words: bytes) -> bytes:
    return b"".join(bytes([0x82, len(each)]) + each for each in words)


def fault(proxy: Proxy, *exchange: tuple[bytes, bytes]) -> str:
    proxy.exchange = list(exchange)
    status, words, found = websocket.screen(URL, websocket.console_path(URL), at=proxy.at)
    assert (status, words) == ("HTTP/1.1 101 Switching Protocols", "RFB 003.008\n")
    return str(found)


@pytest.mark.parametrize("types", [(b"\1\1",), (b"\2", b"\2\1")], ids=["at once", "in pieces"])
def test_a_screen_is_shown_once_proxy_and_compute_agree(
    proxy: Proxy, types: tuple[bytes, ...]
) -> None:
    assert fault(proxy, (VERSION, framed(*types)), (b"\1", framed(bytes(4)))) == ""


def test_a_proxy_that_greets_but_does_not_agree_with_the_compute_shows_nothing(
    proxy: Proxy,
) -> None:
    """So it speaks when the compute's certificate is of somebody else (rfb.py, _fail)."""
    words = b"Unable to negotiate security with server"
    said = framed(bytes([0, 0, 0, 1]), len(words).to_bytes(4, "big") + words)
    found = fault(proxy, (VERSION, framed(b"\1\1")), (b"\1", said))
    assert found == "it is refused: Unable to negotiate security with server"


def test_a_proxy_that_the_compute_refuses_says_why(proxy: Proxy) -> None:
    found = fault(proxy, (VERSION, framed(b"\0", b"\0\0\0\4busy")))
    assert found == "it is refused: busy"


def test_a_screen_that_asks_for_a_password_is_shown_to_nobody(proxy: Proxy) -> None:
    assert fault(proxy, (VERSION, framed(b"\1\2"))) == "it asks for a password"


def test_an_empty_frame_of_the_proxy_s_is_no_end(proxy: Proxy) -> None:
    """It sends one when it has agreed with the compute (websocketproxy.py, finish_up)."""
    assert fault(proxy, (VERSION, framed(b"\1\1")), (b"\1", framed(b"", bytes(4)))) == ""


def test_a_frame_that_closes_is_an_end_whatever_it_holds(proxy: Proxy) -> None:
    found = fault(proxy, (VERSION, framed(b"\1\1")), (b"\1", b"\x88\x04" + bytes(4)))
    assert found == "the proxy and the compute do not agree: it hangs up"


def test_a_proxy_that_hangs_up_after_its_greeting_is_a_fault(proxy: Proxy) -> None:
    found = fault(proxy, (VERSION, framed(b"\1\1")), (b"\1", b""))
    assert found == "the proxy and the compute do not agree: it hangs up"
