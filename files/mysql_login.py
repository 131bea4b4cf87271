"""Ask a MariaDB or MySQL server whether it lets a user in: the handshake, no more.

Needed where no client library is installed yet. Only mysql_native_password is tried, the method of
MariaDB's ordinary accounts; for any other the answer says that it could not be tried. Where anybody
is trusted nothing is said to a server, but that TLS is to begin, before it has shown who it is.
"""

import hashlib
import socket
import struct

import trust
from streams import exactly

TIMEOUT = 10
PROTOCOL_41, TLS, SECURE, PLUGIN_AUTH = 0x200, 0x800, 0x8000, 0x80000
NATIVE = b"mysql_native_password"


def packet(stream):
    """The next packet's payload."""
    head = exactly(stream, 4)
    return exactly(stream, int.from_bytes(head[:3], "little"))


def send(stream, sequence, payload):
    stream.sendall(len(payload).to_bytes(3, "little") + bytes([sequence]) + payload)


def scramble(password, salt):
    if not password:
        return b""
    once = hashlib.sha1(password.encode()).digest()
    twice = hashlib.sha1(once).digest()
    mask = hashlib.sha1(salt[:20] + twice).digest()
    return bytes(a ^ b for a, b in zip(once, mask))  # noqa: B905 - Python 3.9 has no strict


def salt_of(greeting):
    """The twenty bytes that the server wants the password mixed with."""
    at = greeting.index(b"\0", 1) + 1 + 4
    first = greeting[at : at + 8]
    rest = at + 8 + 1 + 2 + 1 + 2 + 2 + 1 + 10
    return first + greeting[rest : rest + 12]


def refusal(payload):
    """The number and words of an error packet; before the handshake it holds no SQL state."""
    if payload[:1] != b"\xff":
        return f"answers {payload[:20]!r}"
    text = payload[9:] if payload[3:4] == b"#" else payload[3:]
    number = int.from_bytes(payload[1:3], "little")
    return f"{number}: {text.decode(errors='replace')}"


def greeting_of(stream):
    greeting = packet(stream)
    if greeting[:1] == b"\xff":
        raise ConnectionError(refusal(greeting))
    if greeting[:1] != b"\x0a":
        raise ConnectionError("does not speak MySQL's protocol 10")
    return greeting


def offers_tls(greeting):
    at = greeting.index(b"\0", 1) + 1 + 4 + 8 + 1
    return bool(int.from_bytes(greeting[at : at + 2], "little") & TLS)


def flags(more=0):
    return struct.pack("<IIB23x", PROTOCOL_41 | SECURE | PLUGIN_AUTH | more, 1 << 24, 33)


def begin_tls(stream):
    """Have the server expect TLS next."""
    send(stream, 1, flags(TLS))


def after_greeting(stream):
    """For a second look at a certificate."""
    greeting_of(stream)
    begin_tls(stream)


def encrypted(stream, greeting, host, port):
    """STREAM as it goes on after the greeting."""
    if trust.TRUSTED is None:
        return stream
    if not offers_tls(greeting):
        raise trust.RefusedError(trust.in_plain_text((host, port)))
    begin_tls(stream)
    return trust.secured(stream, host, port, after_greeting)


def login(stream, greeting, user, password, sequence=1):
    """None when the server lets the user in, otherwise its reason; SEQUENCE is the next number."""
    proof = scramble(password, salt_of(greeting))
    said = flags(TLS if sequence > 1 else 0)
    send(
        stream,
        sequence,
        said + user.encode() + b"\0" + bytes([len(proof)]) + proof + NATIVE + b"\0",
    )
    reply = packet(stream)
    if reply[:1] == b"\xfe":
        plugin, _, fresh = reply[1:].partition(b"\0")
        if plugin != NATIVE:
            return f"asks for {plugin.decode()}, which cannot be tried from here"
        send(stream, sequence + 2, scramble(password, fresh))
        reply = packet(stream)
    return None if reply[:1] == b"\x00" else refusal(reply)


def answer(request):
    """{"greets": bool, "error": text|null} for {"host", "port", "user"|absent, "password"}."""
    found = {"greets": False, "error": None}
    try:
        address = (request["host"], request["port"])
        with socket.create_connection(address, timeout=TIMEOUT) as plain:
            greeting = greeting_of(plain)
            with encrypted(plain, greeting, *address) as stream:
                if "user" in request:
                    login_as = (request["user"], request["password"])
                    sequence = 1 if stream is plain else 2
                    found["error"] = login(stream, greeting, *login_as, sequence)
                found["greets"] = True
    except (OSError, ValueError, struct.error) as error:
        found["error"] = str(error) or type(error).__name__
    return found
