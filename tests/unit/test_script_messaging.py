"""files/messaging.py: what a broker says of its queues, by a stand-in that speaks AMQP 0-9-1."""

from __future__ import annotations

import socketserver
import struct
import threading
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import messaging
import pytest
from streams import exactly


class Broker(socketserver.BaseRequestHandler):
    """Lets everybody in and tells of its queues; for another name it closes the channel."""

    queues: Mapping[str, int] = {}
    messages: Mapping[str, int] = {}
    deleted: ClassVar[list[str]] = []
    refusal = 404
    words = "NOT_FOUND - no queue"

    def handle(self) -> None:
        stream = self.request
        exactly(stream, 8)
        messaging.send(stream, 10, 10, b"")
        messaging.receive(stream)  # start-ok
        messaging.send(stream, 10, 30, struct.pack(">HIH", 0, 0, 0))
        messaging.receive(stream)  # tune-ok
        messaging.receive(stream)  # open
        messaging.send(stream, 10, 41, b"\0")
        while True:
            method_class, method, arguments = messaging.receive(stream)
            if (method_class, method) == (10, 50):
                return
            if (method_class, method) == (50, 10):
                self.declare(arguments)
            elif (method_class, method) == (50, 40):
                self.delete(arguments)
            elif method_class == 20 and method == 10:
                messaging.send(stream, 20, 11, b"", self.channel())

    def channel(self) -> int:
        return 1

    def delete(self, arguments: bytes) -> None:
        name = arguments[3 : 3 + arguments[2]].decode()
        if_unused = arguments[3 + arguments[2]]
        assert if_unused == 1, "a queue would have gone though somebody listens"
        if self.queues.get(name):
            text = messaging.short(f"PRECONDITION_FAILED - queue '{name}' in vhost '/' in use")
            close = struct.pack(">H", 406) + text + struct.pack(">HH", 50, 40)
            messaging.send(self.request, 20, 40, close, 1)
        else:
            type(self).deleted.append(name)
            messaging.send(self.request, 50, 41, struct.pack(">I", 0), 1)

    def declare(self, arguments: bytes) -> None:
        name = arguments[3 : 3 + arguments[2]].decode()
        passive = arguments[3 + arguments[2]]
        assert passive == 1, "a queue was made"
        if name in self.queues:
            counts = struct.pack(">II", self.messages.get(name, 0), self.queues[name])
            messaging.send(self.request, 50, 11, messaging.short(name) + counts, 1)
        else:
            text = messaging.short(f"{self.words} '{name}' in vhost '/'")
            close = struct.pack(">H", self.refusal) + text + struct.pack(">HH", 50, 10)
            messaging.send(self.request, 20, 40, close, 1)
            messaging.receive(self.request)  # close-ok


@pytest.fixture
def consumers() -> Iterator[Any]:
    """What is told of queues by a broker that has some."""
    servers = []

    def asked(
        has: Mapping[str, int],
        queues: list[str],
        refusal: int = 404,
        ask: Any = messaging.consumers,
        **more: Any,
    ) -> Any:
        handler = type("Handler", (Broker,), {"queues": has, "refusal": refusal, **more})
        server = socketserver.TCPServer(("127.0.0.1", 0), handler)
        servers.append(server)
        threading.Thread(target=server.handle_request, daemon=True).start()
        request = {"host": "127.0.0.1", "port": server.server_address[1]}
        login = {"user": "openstack", "password": "x", "virtual_host": "/"}
        return ask({**request, **login}, queues)

    yield asked
    for server in servers:
        server.server_close()


def test_the_consumers_of_every_queue_are_counted(consumers: Any) -> None:
    has = {"compute.compute1": 1, "conductor.controller": 2}
    assert consumers(has, list(has)) == has


def test_a_queue_that_is_not_there_is_told_from_an_empty_one(consumers: Any) -> None:
    has = {"a": 0, "c": 3}
    assert consumers(has, ["a", "b", "c", "d"]) == {"a": 0, "b": None, "c": 3, "d": None}


def test_a_refusal_is_no_missing_queue(consumers: Any) -> None:
    with pytest.raises(ConnectionError, match="403"):
        consumers({}, ["compute.compute1"], refusal=403)


def test_a_queue_whose_node_is_down_is_no_missing_queue(consumers: Any) -> None:
    """RabbitMQ says it with the same code."""
    words = "NOT_FOUND - home node 'rabbit@rmq2' of durable queue"
    with pytest.raises(ConnectionError, match="home node"):
        consumers({}, ["compute.compute1"], words=words)


def test_a_broker_that_is_away_is_no_missing_queue() -> None:
    request = {"host": "127.0.0.1", "port": 1, "user": "u", "password": "p", "virtual_host": "/"}
    with pytest.raises(OSError):
        messaging.consumers(request, ["compute.compute1"])


def test_only_a_queue_on_which_nobody_listens_is_deleted(consumers: Any) -> None:
    has, deleted = {"compute.compute2": 0, "compute.compute1": 1}, list[str]()
    delete = messaging.delete_unused
    consumers(has, ["compute.compute2", "compute.gone"], ask=delete, deleted=deleted)
    assert deleted == ["compute.compute2", "compute.gone"]
    with pytest.raises(ConnectionError, match=r"406 PRECONDITION_FAILED.*in use"):
        consumers(has, ["compute.compute1", "compute.compute2"], ask=delete, deleted=deleted)
    assert deleted == ["compute.compute2", "compute.gone"]
