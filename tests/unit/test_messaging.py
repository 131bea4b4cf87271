"""files/messaging.py and what follows from it: only the broker's own no changes a user."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Any

import messaging as script
import pytest
import trust
from pydantic import SecretStr
from pyinfra.api import OperationError

from pyinfra_nova.resources import messaging
from pyinfra_nova.session import steps
from tests.unit.site_data import site

Method = tuple[int, int, bytes]


def closing(code: int, text: str, kind: int = 10) -> Method:
    """A connection.close (10) or channel.close (20)."""
    words = text.encode()
    arguments = struct.pack(">HB", code, len(words)) + words + struct.pack(">HH", 0, 0)
    return kind, 50 if kind == 10 else 40, arguments


START, TUNE, OPEN = (10, 10, b""), (10, 30, b"\0" * 8), (10, 41, b"\0")
CHANNEL, DECLARED, SET = (20, 11, b"\0" * 4), (40, 11, b""), (60, 11, b"")
NO_QUEUE = closing(404, "NOT_FOUND - no queue", 20)
LOGIN_REFUSED = closing(403, "ACCESS_REFUSED - Login was refused using PLAIN")
FINE = (START, TUNE, OPEN, CHANNEL, DECLARED, CHANNEL, SET, CHANNEL, NO_QUEUE)


@contextmanager
def broker(*methods: Method, half: bool = False, hangs: bool = False) -> Iterator[int]:
    """The port of a broker that says METHODS, a channel each, then closes the line, or HANGS."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                stream, _ = server.accept()
                with stream:
                    stream.recv(65536)
                    for number, (kind, method, arguments) in enumerate(methods, start=1):
                        payload = struct.pack(">HH", kind, method) + arguments
                        data = script.frame(1, 0, payload)
                        stream.sendall(data[:9] if half and number == len(methods) else data)
                    if hangs:
                        over.wait(10)
                    else:
                        stream.shutdown(socket.SHUT_WR)
                        while stream.recv(65536):
                            pass

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        over.set()


def asked(port: int) -> dict[str, Any]:
    request = {"host": "127.0.0.1", "port": port, "user": "nova", "password": "s3cret"}
    return dict(script.answer({**request, "virtual_host": "/"}))


def test_a_user_who_may_do_everything_is_told_so() -> None:
    with broker(*FINE) as port:
        found = asked(port)
    assert found["opened"] and not found["denied"] and found["error"] is None
    assert not found["refused"] and not found["forbidden"]


class Sent:
    """What is sent on a line."""

    def __init__(self) -> None:
        self.data = b""

    def sendall(self, data: bytes) -> None:
        self.data += data


DIRECT, NOBODYS = b"\x0aamq.direct", b"\x11pyinfra-nova-asks"


@pytest.mark.parametrize(
    ("attempt", "frames"),
    [
        (
            # exchange.declare of the broker's own amq.direct: direct, durable, no arguments
            script.configure,
            [(1, b"\x00\x28\x00\x0a\0\0" + DIRECT + b"\x06direct\x02\0\0\0\0")],
        ),
        (
            # basic.publish, the header of no content at all, basic.qos without a limit
            script.write,
            [
                (1, b"\x00\x3c\x00\x28\0\0" + DIRECT + NOBODYS + b"\0"),
                (2, b"\x00\x3c\0\0" + bytes(8) + b"\0\0"),
                (1, b"\x00\x3c\x00\x0a" + bytes(4) + bytes(2) + b"\0"),
            ],
        ),
        # basic.get, to be acknowledged
        (script.read, [(1, b"\x00\x3c\x00\x46\0\0" + NOBODYS + b"\0")]),
    ],
)
def test_what_is_tried_leaves_no_trace(attempt: Any, frames: list[tuple[int, bytes]]) -> None:
    """Each in the words of AMQP 0-9-1, on the channel of its own."""
    sent = Sent()
    attempt(sent, 7)
    assert sent.data == b"".join(
        struct.pack(">BHI", kind, 7, len(payload)) + payload + b"\xce" for kind, payload in frames
    )


def test_a_refused_login_is_the_brokers_word() -> None:
    with broker(START, LOGIN_REFUSED) as port:
        found = asked(port)
    assert (found["listens"], found["authenticated"], found["refused"]) == (True, False, True)
    assert found["error"] == "403 ACCESS_REFUSED - Login was refused using PLAIN"


@pytest.mark.parametrize(
    ("text", "forbidden"),
    [
        ("NOT_ALLOWED - access to vhost '/' refused for user 'nova'", True),
        ("NOT_ALLOWED - vhost / not found", True),
        ("access to vhost '/' refused for user 'nova': connection limit (1) is reached", False),
        ("NOT_ALLOWED - vhost '/' is down", False),
    ],
)
def test_a_virtual_host_is_forbidden_only_where_the_broker_says_so(
    text: str, forbidden: bool
) -> None:
    with broker(START, TUNE, closing(530, text)) as port:
        found = asked(port)
    assert (found["authenticated"], found["opened"]) == (True, False)
    assert found["forbidden"] is forbidden and text in found["error"]


@pytest.mark.parametrize(("at", "name"), [(4, "configure"), (6, "write"), (8, "read")])
def test_what_is_denied_is_named_and_what_is_broken_off_is_not_allowed(at: int, name: str) -> None:
    refused = closing(403, "ACCESS_REFUSED", 20)
    with broker(*FINE[:at], refused, *FINE[at + 1 :]) as port:
        assert asked(port)["denied"] == [name]
    for wrong in (closing(541, "INTERNAL_ERROR"), closing(504, "CHANNEL_ERROR", 20)):
        with broker(*FINE[:at], wrong) as port:
            found = asked(port)
        assert found["denied"] == [] and found["error"].startswith(f"{name}: 5")


@pytest.mark.parametrize("way", ["closes", "half", "hangs"])
@pytest.mark.parametrize("count", range(len(FINE)))
def test_a_line_that_breaks_off_anywhere_says_nothing(
    count: int, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script, "TIMEOUT", 0.2)
    monkeypatch.setattr(trust, "TIMEOUT", 0.2)
    said = FINE[: count + 1] if way == "half" else FINE[:count]
    with broker(*said, half=way == "half", hangs=way == "hangs") as port:
        found = asked(port)
    assert found["error"] and not found["refused"] and not found["forbidden"]
    assert found["denied"] == []
    assert not messaging.Login.model_validate(found).is_told


# --- what the operation makes of it ---------------------------------------------------------------

USER = messaging.BrokerUser("nova", SecretStr("s3cret"))


def outcome(
    monkeypatch: pytest.MonkeyPatch,
    executing: bool = True,
    left_out: bool = False,
    users: dict[str, Any] | None = None,
    **login: Any,
) -> list[str]:
    """The commands that follow from LOGIN, as they would be shown."""
    state = SimpleNamespace(is_executing=executing)
    for module in (messaging, steps):
        monkeypatch.setattr(
            module, "host", SimpleNamespace(name="mq", state=state, print_prefix="")
        )
    answers = {messaging.BrokerLogin: login, messaging.BrokerUsers: users or {}}
    monkeypatch.setattr(messaging, "ask", lambda _, fact, __: answers[fact])
    hosts = [site().hosts["compute1"]] if left_out else []
    return [str(command) for command in messaging.present._inner(USER, "10.0.0.1", hosts)]


def test_a_user_who_is_refused_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = outcome(monkeypatch, listens=True, refused=True)
    assert len(commands) == 2 and all("broker_users apply" in command for command in commands)
    assert "s3cret" not in " ".join(commands)


def test_a_user_with_a_wrong_password_alone_is_not_given_what_he_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    users = {"users": ["nova"], "permitted": True, "error": None}
    (command,) = outcome(monkeypatch, listens=True, refused=True, users=users)
    assert "broker_users apply" in command


def test_a_user_who_may_do_everything_needs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert outcome(monkeypatch, listens=True, authenticated=True, opened=True) == []


@pytest.mark.parametrize(
    "login",
    [
        {"listens": True, "error": "timed out"},
        {"listens": True, "authenticated": True, "error": "530 vhost '/' is down"},
        {"listens": True, "authenticated": True, "opened": True, "error": "timed out"},
    ],
)
def test_a_broker_that_does_not_say_ends_run_and_plan(
    monkeypatch: pytest.MonkeyPatch, login: dict[str, Any]
) -> None:
    (command,) = outcome(monkeypatch, **login)
    assert "does not say whether it lets nova in" in command and command.endswith("exit 1")
    with pytest.raises(OperationError, match="does not say whether it lets nova in"):
        outcome(monkeypatch, executing=False, **login)


def test_a_broker_that_is_not_there_ends_a_run_but_not_a_plan(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (command,) = outcome(monkeypatch, listens=False)
    assert "RabbitMQ does not answer at 10.0.0.1:5672" in command
    assert len(outcome(monkeypatch, executing=False, left_out=True, listens=False)) == 2


def test_a_password_that_left_out_hosts_use_is_not_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    more: dict[str, Any] = {"listens": True, "refused": True, "left_out": True}
    (command,) = outcome(monkeypatch, users={"users": ["nova"], "error": None}, **more)
    assert "the password of broker user nova" in command and command.endswith("exit 1")
    (command,) = outcome(monkeypatch, users={"users": [], "error": "ended with 69"}, **more)
    assert "ended with 69" in command and command.endswith("exit 1")
    assert len(outcome(monkeypatch, users={"users": [], "error": None}, **more)) == 2
