"""Ask a RabbitMQ broker whether it lets a user in: the opening of AMQP 0-9-1, no more.

Request: {"host", "port", "user", "password", "virtual_host"}
Answer:  {"listens": bool, "authenticated": bool, "opened": bool, "error": text|null}
One `rabbitmqctl` starts an Erlang machine for a second or two; this costs milliseconds and tries
what the services will do.
"""

import socket
import struct

TIMEOUT = 10


def short(text):
    data = text.encode()
    return bytes([len(data)]) + data


def long(data):
    return struct.pack(">I", len(data)) + data


def send(stream, method_class, method, arguments):
    """One method frame on channel 0."""
    payload = struct.pack(">HH", method_class, method) + arguments
    stream.sendall(struct.pack(">BHI", 1, 0, len(payload)) + payload + b"\xce")


def exactly(stream, size):
    data = b""
    while len(data) < size:
        more = stream.recv(size - len(data))
        if not more:
            raise ConnectionError("closed the connection")
        data += more
    return data


def receive(stream):
    """The class, method and arguments of the next method frame."""
    while True:
        kind, _, size = struct.unpack(">BHI", exactly(stream, 7))
        payload = exactly(stream, size)
        exactly(stream, 1)
        if kind == 1:
            return (*struct.unpack(">HH", payload[:4]), payload[4:])


def reason(arguments):
    """The code and text of a connection.close."""
    (code,) = struct.unpack(">H", arguments[:2])
    return "%d %s" % (code, arguments[3 : 3 + arguments[2]].decode(errors="replace"))


def converse(stream, request, found):
    stream.sendall(b"AMQP\x00\x00\x09\x01")
    method = receive(stream)[:2]
    if method != (10, 10):
        raise ConnectionError("does not speak AMQP 0-9-1")
    found["listens"] = True
    login = b"\0" + request["user"].encode() + b"\0" + request["password"].encode()
    # Without this capability a broker drops the line where it could say 403.
    capability = short("authentication_failure_close") + b"t\x01"
    properties = short("capabilities") + b"F" + long(capability)
    send(stream, 10, 11, long(properties) + short("PLAIN") + long(login) + short("en_US"))
    method_class, method, arguments = receive(stream)
    if (method_class, method) != (10, 30):
        raise ConnectionError(reason(arguments))
    found["authenticated"] = True
    send(stream, 10, 31, arguments)
    send(stream, 10, 40, short(request["virtual_host"]) + short("") + b"\0")
    method_class, method, arguments = receive(stream)
    if (method_class, method) != (10, 41):
        raise ConnectionError(reason(arguments))
    found["opened"] = True
    send(stream, 10, 50, struct.pack(">H", 200) + short("") + struct.pack(">HH", 0, 0))


def answer(request):
    found = {"listens": False, "authenticated": False, "opened": False, "error": None}
    try:
        address = (request["host"], request["port"])
        with socket.create_connection(address, timeout=TIMEOUT) as stream:
            converse(stream, request, found)
    except (OSError, ValueError, struct.error, IndexError) as error:
        found["error"] = str(error) or type(error).__name__
    return found
