"""What a stand-in needs to speak HTTP over real sockets, and to fail at a chosen request."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar

from typing_extensions import override

Json = dict[str, Any]
Headers = Message
"""Of a request, whatever case its names are in."""

FAULTS = {
    "500": "answers 500: out of order",
    "503": "answers 503: no healthy upstream",
    "silence": "does not answer: Remote end closed connection without response",
    "reset": "does not answer",
    "half": "only half",
    "page": "answers 200",
    "hang": "does not answer: timed out",
}
"""The ways in which a request goes unanswered, and what has to be said of each."""


class ApiError(Exception):
    """An error status with the message in Nova's form."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers or {}


class Served:
    """A service: how it answers, what was asked of it, and at which request it fails.

    Attributes:
        fails_at: the number of that request, from 1; none is 0.
        subject: the token that each answer gives in its header, as a login's does.
        fault: how: a key of FAULTS, for which nothing is done, or "lost": done, but not answered.
    """

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[str] = []
        self.fails_at = 0
        self.subject = "t"
        self.fault = ""
        self.is_over = threading.Event()

    def answer(self, method: str, target: str, body: Any, headers: Headers) -> Any:
        """What is answered to a request.

        Raises:
            ApiError: with an error status.
        """
        raise NotImplementedError

    def fail(self, at: int, fault: str) -> None:
        """Fail at request AT from here on, and forget what was asked."""
        self.asked.clear()
        self.fails_at, self.fault = at, fault

    def changes(self) -> list[str]:
        """What was asked that changes something."""
        logins = ("POST /identity/v3/auth/tokens", "POST /v3/auth/tokens")
        return [line for line in self.asked if not line.startswith(("GET", *logins))]


def _handler(service: Served) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def respond(self) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            service.asked.append(f"{self.command} {self.path.partition('?')[0]}")
            self.more: Mapping[str, str] = {}
            fault = service.fault if len(service.asked) == service.fails_at else ""
            if fault in FAULTS:
                self.fail(fault)
                return
            status, found = self.outcome(data)
            if fault != "lost":
                self.say(status, json.dumps(found).encode())

        def outcome(self, data: bytes) -> tuple[int, Any]:
            is_file = self.headers.get("Content-Type") == "application/octet-stream"
            try:
                body = data if is_file else json.loads(data) if data else None
                found = service.answer(self.command, self.path, body, self.headers) or {}
                return 201 if self.path.endswith("/auth/tokens") else 200, found
            except ApiError as error:
                self.more = error.headers
                if self.path.startswith("/placement"):
                    return error.status, {"errors": [{"detail": error.message}]}
                # Keystone's errors are all called so; each of Nova's has a name of its own.
                words = {"code": error.status, "message": error.message}
                is_novas = self.path.startswith("/compute") and error.status == 404
                return error.status, {"itemNotFound" if is_novas else "error": words}
            except Exception as error:
                return 500, {"stand-in": {"message": repr(error)}}

        def fail(self, fault: str) -> None:
            if fault == "hang":
                service.is_over.wait(20)
            elif fault == "reset":
                # With linger and no time for it, close sends a reset (socket(7)).
                linger = b"\1\0\0\0\0\0\0\0"
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.rfile.close()
                self.connection.close()
            elif fault == "500":
                self.say(500, b'{"error": {"code": 500, "message": "out of order"}}')
            elif fault == "503":
                self.say(503, b"<html>no healthy upstream</html>")
            elif fault == "page":
                self.say(200, b"<html>Please log in</html>")
            elif fault == "half":
                self.say(200, b'{"half": ', 100)

        def say(self, status: int, text: bytes, length: int = 0) -> None:
            self.send_response(status)
            if service.subject:
                self.send_header("X-Subject-Token", service.subject)
            for name, value in self.more.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(length or len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = respond

        @override
        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has given up is no news."""


ServiceT = TypeVar("ServiceT", bound=Served)


@contextmanager
def running(service: ServiceT) -> Iterator[ServiceT]:
    """SERVICE, answering on a port of this machine."""
    server = _Server(("127.0.0.1", 0), _handler(service))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    service.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield service
    finally:
        service.is_over.set()
        server.shutdown()
        server.server_close()
