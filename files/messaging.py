"""Ask a RabbitMQ broker what it lets a user do: a few words of AMQP 0-9-1, without a trace there.

Request: {"host", "port", "user", "password", "virtual_host"}; encrypted where anybody is trusted
Answer:  {"listens": bool, "authenticated": bool, "refused": bool, "opened": bool,
          "forbidden": bool, "denied": [permissions], "error": text|null}
`refused` and `forbidden` are the broker's own no, to the login and to the virtual host: neither is
concluded from a line that was dropped. With an `error` what was found up to then still holds.
One `rabbitmqctl` starts an Erlang machine for a second or two; this costs milliseconds and tries
what the services will do.
"""

import glob
import re
import struct

import trust
from streams import exactly

TIMEOUT = 10
DRIVERS = "/usr/lib/python3*/*-packages/oslo_messaging/_drivers/impl_rabbit.py"
VERIFIES = b"ssl_enforce_hostname_verification"
"""What the driver of services reads since the fix of CVE-2026-44393."""
NAMELESS = (
    ", but the oslo.messaging here looks at no name in its certificate (CVE-2026-44393): upgrade it"
)


def overlooks_names():
    """What is to be said where this host's services would take another's certificate for the
    broker's; empty where they would not, or none is installed yet."""
    for path in glob.glob(DRIVERS) if trust.TRUSTED is not None else ():
        with open(path, "rb") as stream:
            if VERIFIES not in stream.read():
                return NAMELESS
    return ""


def short(text):
    data = text.encode()
    return bytes([len(data)]) + data


def long(data):
    return struct.pack(">I", len(data)) + data


def frame(kind, channel, payload):
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xce"


def send(stream, method_class, method, arguments, channel=0):
    """One method frame."""
    payload = struct.pack(">HH", method_class, method) + arguments
    stream.sendall(frame(1, channel, payload))


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


NOTHING = "pyinfra-nova-asks"
"""Neither a queue nor a routing key of anybody."""


def configure(stream, channel):
    """Declare a standard exchange as it is, which changes nothing."""
    durable = b"\x02"
    arguments = struct.pack(">H", 0) + short("amq.direct") + short("direct") + durable + long(b"")
    send(stream, 40, 10, arguments, channel)


def write(stream, channel):
    """Publish to a routing key that nobody is bound to, then ask for any answer at all."""
    arguments = struct.pack(">H", 0) + short("amq.direct") + short(NOTHING) + b"\0"
    send(stream, 60, 40, arguments, channel)
    stream.sendall(frame(2, channel, struct.pack(">HHQH", 60, 0, 0, 0)))
    send(stream, 60, 10, struct.pack(">IHB", 0, 0, 0), channel)


def read(stream, channel):
    """Get from a queue that is not there: not found for who may read, refused for others."""
    send(stream, 60, 70, struct.pack(">H", 0) + short(NOTHING) + b"\0", channel)


ACCESS_REFUSED = 403
NOT_ALLOWED = 530
# What is said of a user without permissions and of a virtual host that is not there; a limit of
# connections or a virtual host that is down is said with the same code (rabbit_reader.erl).
NO_ACCESS = re.compile("access to vhost .* refused for user|vhost .* not found")
LIMIT = "connection limit"
# The broker's yes: exchange.declare-ok, basic.qos-ok after a publish that has none of its own.
CONFIRMED = {configure: (40, 11), write: (60, 11)}
NOT_FOUND = 404


def code_of(arguments):
    return struct.unpack(">H", arguments[:2])[0]


def is_denied(stream, attempt, channel):
    """Whether the broker refuses an attempt, made on a channel of its own."""
    open_channel(stream, channel)
    attempt(stream, channel)
    method_class, method, arguments = receive(stream)
    if (method_class, method) == CONFIRMED.get(attempt):
        return False
    if (method_class, method) != (20, 40):
        raise ConnectionError(f"{attempt.__name__}: " + unexpected(method_class, method, arguments))
    send(stream, 20, 41, b"", channel)
    code = code_of(arguments)
    if code == ACCESS_REFUSED or (attempt is read and code == NOT_FOUND):
        return code == ACCESS_REFUSED
    raise ConnectionError(f"{attempt.__name__}: " + reason(arguments))


def unexpected(method_class, method, arguments):
    if (method_class, method) == (10, 50):
        return reason(arguments)
    return f"answers with method {method_class}.{method}"


def expect(stream, wanted):
    """The arguments of the next method, which has to be WANTED."""
    method_class, method, arguments = receive(stream)
    if (method_class, method) != wanted:
        raise ConnectionError(unexpected(method_class, method, arguments))
    return arguments


def answered(stream, wanted, found, key, is_no):
    """The arguments of WANTED; a connection.close that IS_NO is noted under KEY of FOUND."""
    method_class, method, arguments = receive(stream)
    if (method_class, method) == wanted:
        return arguments
    if (method_class, method) == (10, 50):
        text = reason(arguments)
        found[key] = is_no(code_of(arguments), text)
    raise ConnectionError(unexpected(method_class, method, arguments))


def is_refusal(code, text):
    return code == ACCESS_REFUSED


def is_forbidden(code, text):
    return code == NOT_ALLOWED and bool(NO_ACCESS.search(text)) and LIMIT not in text


def log_in(stream, request, found):
    """Open the virtual host as the user; what was reached is noted in FOUND."""
    stream.sendall(b"AMQP\x00\x00\x09\x01")
    try:
        method = receive(stream)[:2]
    except ConnectionError as error:
        where = (request["host"], request["port"])
        if trust.TRUSTED is None and trust.speaks_tls(where):
            raise trust.RefusedError(trust.in_tls(where)) from error
        raise
    if method != (10, 10):
        raise ConnectionError("does not speak AMQP 0-9-1")
    found["listens"] = True
    login = b"\0" + request["user"].encode() + b"\0" + request["password"].encode()
    # Without this capability a broker drops the line where it could say 403.
    capability = short("authentication_failure_close") + b"t\x01"
    properties = short("capabilities") + b"F" + long(capability)
    send(stream, 10, 11, long(properties) + short("PLAIN") + long(login) + short("en_US"))
    tuning = answered(stream, (10, 30), found, "refused", is_refusal)
    found["authenticated"] = True
    send(stream, 10, 31, tuning)
    send(stream, 10, 40, short(request["virtual_host"]) + short("") + b"\0")
    answered(stream, (10, 41), found, "forbidden", is_forbidden)
    found["opened"] = True


def converse(stream, request, found):
    log_in(stream, request, found)
    attempts = enumerate((configure, write, read), start=1)
    found["denied"] = [a.__name__ for channel, a in attempts if is_denied(stream, a, channel)]
    send(stream, 10, 50, struct.pack(">H", 200) + short("") + struct.pack(">HH", 0, 0))


def open_channel(stream, number):
    send(stream, 20, 10, short(""), number)
    expect(stream, (20, 11))
    return number


ABSENT = re.compile("NOT_FOUND - no queue")
"""What is said of a queue that is not there; of one whose node is down with the same code
"home node ... is down or inaccessible" (rabbit_amqqueue.erl)."""
CHANNELS = 1000


def counts(request, queues):
    """The messages and consumers of each of QUEUES; None for one that is not there.

    Declared passively: the broker tells of a queue, and neither makes nor changes one. Where there
    is none it closes the channel.

    Raises:
        OSError, struct.error: the broker does not answer, or does not let the user in.
    """
    found = {}
    with trust.connected(request["host"], request["port"], TIMEOUT) as stream:
        log_in(stream, request, {})
        channel = open_channel(stream, 1)
        for queue in queues:
            passive = b"\x01"
            arguments = struct.pack(">H", 0) + short(queue) + passive + long(b"")
            send(stream, 50, 10, arguments, channel)
            method_class, method, arguments = receive(stream)
            if (method_class, method) == (50, 11):
                found[queue] = struct.unpack(">II", arguments[-8:])
                continue
            if (method_class, method) != (20, 40):
                raise ConnectionError(unexpected(method_class, method, arguments))
            if code_of(arguments) != NOT_FOUND or not ABSENT.search(reason(arguments)):
                raise ConnectionError(reason(arguments))
            found[queue] = None
            send(stream, 20, 41, b"", channel)
            channel = open_channel(stream, channel % CHANNELS + 1)
        send(stream, 10, 50, struct.pack(">H", 200) + short("") + struct.pack(">HH", 0, 0))
    return found


def consumers(request, queues):
    """How many consumers each of QUEUES has; None for one that is not there. Raises as `counts`."""
    found = counts(request, queues)
    return {queue: count and count[1] for queue, count in found.items()}


def delete_unused(request, queues):
    """Delete each of QUEUES that is there and on which nobody listens.

    The broker looks at both itself, and refuses where somebody listens (AMQP 0-9-1, queue.delete
    with if-unused). Raises as `counts`.
    """
    with trust.connected(request["host"], request["port"], TIMEOUT) as stream:
        log_in(stream, request, {})
        open_channel(stream, 1)
        for queue in queues:
            if_unused = b"\x01"
            send(stream, 50, 40, struct.pack(">H", 0) + short(queue) + if_unused, 1)
            method_class, method, arguments = receive(stream)
            if (method_class, method) == (20, 40):
                raise ConnectionError(reason(arguments))
            if (method_class, method) != (50, 41):
                raise ConnectionError(unexpected(method_class, method, arguments))
        send(stream, 10, 50, struct.pack(">H", 200) + short("") + struct.pack(">HH", 0, 0))


def answer(request):
    found = {"listens": False, "authenticated": False, "refused": False, "opened": False}
    found.update({"forbidden": False, "denied": [], "error": None})
    try:
        with trust.connected(request["host"], request["port"], TIMEOUT) as stream:
            converse(stream, request, found)
    except (OSError, ValueError, struct.error, IndexError) as error:
        found["error"] = str(error) or type(error).__name__
    return found
