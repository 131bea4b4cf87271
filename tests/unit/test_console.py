"""The noVNC handshake, against a small server that speaks as websockify does."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from pyinfra_nova.proof.console import greet, websocket_path
from pyinfra_nova.session import host_script

from .tls_stand_in import TRUSTED, context, pages


def agreed(stream: socket.socket, is_good: bool) -> None:
    """What a proxy does after its greeting: it asks the compute, and says how that has ended."""
    assert stream.recv(18, socket.MSG_WAITALL)[6:] == b"RFB 003.008\n"
    stream.sendall(b"\x82\x02\1\1")
    assert stream.recv(7, socket.MSG_WAITALL)[6:] == b"\1"
    # As Nova's does once it has agreed: an empty frame, before what the compute says.
    stream.sendall(b"\x82\0\x82\x04\0\0\0\0" if is_good else b"\x82\x0b\0\0\0\1\0\0\0\3bad")


@pytest.fixture
def proxy() -> Iterator[tuple[str, list[bytes]]]:
    """A proxy that lets token `right` in and closes on any other."""
    server = socket.create_server(("127.0.0.1", 0))
    seen: list[bytes] = []

    def serve() -> None:
        stream, _ = server.accept()
        with stream:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += stream.recv(4096)
            seen.append(head)
            stream.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")
            if b"token=right" in head:
                stream.sendall(b"\x82\x0cRFB 003.008\n")
                agreed(stream, b"token=right_but" not in head)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}/vnc_auto.html", seen
    thread.join(5)
    server.close()


def test_the_path_of_the_websocket_is_in_the_url() -> None:
    assert websocket_path("http://c:6080/vnc_auto.html?path=%3Ftoken%3Dabc") == "/?token=abc"
    assert websocket_path("http://c:6080/vnc_lite.html?token=abc") == "/?token=abc"


def test_a_guest_greets(proxy: tuple[str, list[bytes]]) -> None:
    url, seen = proxy
    greeting = greet(f"{url}?path=%3Ftoken%3Dright")
    assert (greeting.first_words, greeting.refusal) == ("RFB 003.008\n", "")
    assert b"Origin: http://127.0.0.1:" in seen[0]


def test_a_proxy_that_does_not_agree_with_the_compute_greets_all_the_same(
    proxy: tuple[str, list[bytes]],
) -> None:
    greeting = greet(f"{proxy[0]}?path=%3Ftoken%3Dright_but")
    assert greeting.first_words == "RFB 003.008\n"
    assert greeting.refusal == "it is refused: bad"


def test_a_wrong_token_hears_nothing(proxy: tuple[str, list[bytes]]) -> None:
    url, _ = proxy
    assert greet(f"{url}?path=%3Ftoken%3Dwrong").first_words == ""


def test_a_proxy_may_have_a_certificate_of_the_site_s_own() -> None:
    """From here as from a browser that has been told to trust its authority."""
    with pages(context()) as (port, asked):
        url = f"https://localhost:{port}/vnc_auto.html?path=%3Ftoken%3Dright"
        with pytest.raises(OSError, match="certificate verify failed"):
            greet(url)
        host_script.trust(TRUSTED)
        try:
            assert greet(url).first_words == "RFB 003.008\n"
        finally:
            host_script.trust(None)
    assert asked == ["/?token=right"]
