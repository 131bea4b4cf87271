"""A server that speaks MySQL's protocol over real sockets, and fails where it is told to.

It holds databases as plain data, knows the few statements that this project sends, and records
every one. A login and a statement are each one event; the event at which `fault` is due is answered
by that instead: by an error of the server's, by an end of the connection, or by half an answer.
"""

from __future__ import annotations

import datetime
import hashlib
import re
import socketserver
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Row = dict[str, Any]
Databases = dict[str, dict[str, list[Row]]]

# Protocol 4.1, secure passwords, plugins; and that a session commits by itself.
CAPABILITIES = 0x200 | 0x8000 | 0x80000 | 0x8
AUTOCOMMIT = 2
SALT, ANOTHER_SALT = b"twenty random bytes.", b"twenty other bytes.."
TLS = 0x800


def greeting(more: int = 0) -> bytes:
    capabilities = CAPABILITIES | more
    return (
        b"\x0a10.11.6-MariaDB\0"
        + struct.pack("<I", 7)
        + SALT[:8]
        + b"\0"
        + struct.pack("<HBHH", capabilities & 0xFFFF, 45, AUTOCOMMIT, capabilities >> 16)
        + b"\x15"
        + bytes(10)
        + SALT[8:]
        + b"\0"
        + b"mysql_native_password\0"
    )


OK = b"\0\0\0" + struct.pack("<HH", AUTOCOMMIT, 0)
EOF = b"\xfe\0\0" + struct.pack("<H", AUTOCOMMIT)

READ = re.compile(
    r"SELECT (?P<what>.+?) FROM `(?P<name>\w+)`\.`(?P<table>\w+)`(?P<more> WHERE .+| LIMIT 1)?$"
)
LOCK = re.compile(r"LOCK TABLES `\w+`\.`\w+` WRITE(, `\w+`\.`\w+` WRITE)*")
DROP = re.compile(r"DROP TABLE `\w+`\.`\w+`(, `\w+`\.`\w+`)*")
COLUMN = re.compile(r"(?:\([^)]*\)|[^,(])+")
PLACE = re.compile(r"`(\w+)`\.`(\w+)`")


class SqlError(Exception):
    """What the server answers instead."""

    def __init__(self, number: int, text: str) -> None:
        self.number, self.text = number, text


class Closed(Exception):  # noqa: N818 - no error, but what the server does
    """The connection ends here."""


@dataclass(frozen=True)
class Fault:
    """An error's NUMBER, said by the server; or what it does to the connection."""

    number: int
    how: str = "said"

    def __str__(self) -> str:
        return f"{self.number} {self.how}"


@dataclass
class Server:
    """Attributes:
    databases: name -> table -> rows.
    refuses: what it says to a user's login, by the user's name.
    passwords: by the user's name, where the password matters.
    asks_for: the plugin that it asks for instead of the one that a login comes with.
    denies: users who may log in, but not read these tables.
    at: the event, counted from 0, at which `fault` is due.
    before: what happens right before a statement that begins with the key; done once.
    users: who has logged in, or was refused.
    how: how it speaks TLS; None where it says that it has none.
    """

    databases: Databases = field(default_factory=dict)
    refuses: dict[str, SqlError] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict)
    asks_for: str | None = None
    denies: dict[str, set[str]] = field(default_factory=dict)
    cluster: str = "OFF"
    sessions: list[Row] = field(default_factory=list)
    at: int | None = None
    fault: Fault | None = None
    before: dict[str, Callable[[], None]] = field(default_factory=dict)
    events: int = 0
    users: list[str] = field(default_factory=list)
    how: ssl.SSLContext | None = None
    statements: list[str] = field(default_factory=list)
    port: int = 0

    def due(self) -> Fault | None:
        self.events += 1
        return self.fault if self.events - 1 == self.at else None

    @property
    def dropped(self) -> list[str]:
        return [statement for statement in self.statements if "DROP" in statement]

    def rows(self, user: str, statement: str) -> list[Row] | None:
        """What a statement yields; None for one that yields no rows."""
        for beginning in [key for key in self.before if statement.startswith(key)]:
            self.before.pop(beginning)()
        if statement.startswith("SET ") or LOCK.fullmatch(statement):
            return None
        if statement == "SHOW PROCESSLIST":
            return [{"Id": 7, "User": user, "Host": "here", "db": None}, *self.sessions]
        if statement == "SHOW VARIABLES LIKE 'wsrep_on'":
            return [{"Variable_name": "wsrep_on", "Value": self.cluster}]
        if statement.startswith("SHOW FULL TABLES FROM "):
            name = statement.split("`")[1]
            column = f"Tables_in_{name}"
            return [{column: t, "Table_type": "BASE TABLE"} for t in self._database(name)]
        if statement.startswith("DROP TABLE "):
            assert DROP.fullmatch(statement)
            for name, table in PLACE.findall(statement):
                del self.databases[name][table]
            return None
        match = READ.match(statement)
        assert match, statement
        return self._selected(user, **match.groupdict())

    def _database(self, name: str) -> dict[str, list[Row]]:
        if name not in self.databases:
            raise SqlError(1049, f"Unknown database '{name}'")
        return self.databases[name]

    def _selected(self, user: str, what: str, name: str, table: str, more: str | None) -> list[Row]:
        if table in self.denies.get(user, ()):
            raise SqlError(1142, f"SELECT command denied to user '{user}' for table {table}")
        if table not in self.databases.get(name, {}):
            raise SqlError(1146, f"Table '{name}.{table}' doesn't exist")
        found = self.databases[name][table]
        if more == " LIMIT 1":
            assert what == "1"
            return [{"1": 1} for _ in found[:1]]
        if what == "*":
            return found
        columns = [part.split(" AS ")[-1].strip(" `") for part in COLUMN.findall(what)]
        return [{column: row[column] for column in columns} for row in found]


# --- the protocol ---------------------------------------------------------------------------------


def sized(value: object) -> bytes:
    """A value of a row: its text after its length."""
    if value is None:
        return b"\xfb"
    if isinstance(value, bool):
        value = int(value)
    text = str(value).encode()
    size = bytes([len(text)]) if len(text) < 251 else b"\xfc" + struct.pack("<H", len(text))
    return size + text


def column(name: str, value: object) -> bytes:
    kind = 3 if isinstance(value, int) else 12 if isinstance(value, datetime.datetime) else 253
    sizes = struct.pack("<BHIBHBH", 12, 45, 255, kind, 0, 0, 0)
    return sized("def") + sized("") * 3 + sized(name) * 2 + sizes


def error_packet(number: int, text: str) -> bytes:
    return b"\xff" + struct.pack("<H", number) + b"#HY000" + text.encode()


def result(rows: list[Row], names: list[str]) -> Iterator[bytes]:
    yield bytes([len(names)])
    for name in names:
        yield column(name, next((row[name] for row in rows if row[name] is not None), ""))
    yield EOF
    for row in rows:
        yield b"".join(sized(row[name]) for name in names)
    yield EOF


def is_proof(proof: bytes, salt: bytes, password: str) -> bool:
    """As a server tells it, which keeps of a password its double SHA-1 alone."""
    stored = hashlib.sha1(hashlib.sha1(password.encode()).digest()).digest()
    mask = hashlib.sha1(salt + stored).digest()
    once = bytes(a ^ b for a, b in zip(proof, mask, strict=False))
    return len(proof) == 20 and hashlib.sha1(once).digest() == stored


class Session(socketserver.BaseRequestHandler):
    """One client."""

    served: Server
    sequence = 0

    def handle(self) -> None:
        try:
            user = self.let_in()
            while True:
                self.sequence = 0
                command = self.packet()
                self.sequence = 1
                if command[:1] != b"\x03":  # COM_QUERY; the other one that is sent is COM_QUIT
                    return
                self.answer(user, command[1:].decode())
        except (Closed, OSError):
            return

    def packet(self) -> bytes:
        head = self.exactly(4)
        if head[3] != self.sequence:  # "packets out of order"
            raise Closed
        return self.exactly(int.from_bytes(head[:3], "little"))

    def exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self.request.recv(size - len(data))
            if not more:
                raise Closed
            data += more
        return data

    def send(self, *payloads: bytes, cut: bool = False) -> None:
        """Packets in one go; of the last one, when CUT, only half."""
        whole = b""
        for payload in payloads:
            whole += len(payload).to_bytes(3, "little") + bytes([self.sequence % 256]) + payload
            self.sequence += 1
        self.request.sendall(whole[: -len(payload) // 2] if cut else whole)
        if cut:
            raise Closed

    def let_in(self) -> str:
        fault = self.served.due()
        if fault and fault.number == 1040:  # said before anything else, without an SQL state
            self.send(b"\xff" + struct.pack("<H", 1040) + b"Too many connections")
            raise Closed
        how = self.served.how
        offers = greeting(TLS if how else 0)
        self.send(offers, cut=bool(fault and fault.how == "half an answer"))
        reply = self.packet()
        if how and struct.unpack("<I", reply[:4])[0] & TLS:
            assert len(reply) == 32, "a name before TLS"
            self.request = how.wrap_socket(self.request, server_side=True)
            self.sequence += 1
            reply = self.packet()
        flags, _, charset = struct.unpack("<IIB", reply[:9])
        assert flags & 0x88200 == 0x88200 and charset in (33, 45), reply[:9]
        end = reply.index(b"\0", 32)
        user, proof = reply[32:end].decode(), reply[end + 2 : end + 2 + reply[end + 1]]
        self.sequence += 1
        salt = SALT
        if self.served.asks_for:
            salt = ANOTHER_SALT
            self.send(b"\xfe" + self.served.asks_for.encode() + b"\0" + salt + b"\0")
            proof = self.packet()
            self.sequence += 1
        self.served.users.append(user)
        refusal = self.served.refuses.get(user)
        password = self.served.passwords.get(user)
        if password is not None and not is_proof(proof, salt, password):
            refusal = SqlError(1045, f"Access denied for user '{user}'")
        if fault and fault.how == "said":
            refusal = SqlError(fault.number, "as told")
        elif fault:
            raise Closed
        if refusal:
            self.send(error_packet(refusal.number, refusal.text))
            raise Closed
        self.send(OK)
        return user

    def answer(self, user: str, statement: str) -> None:
        if statement.startswith("SET NAMES"):  # newer versions of the client, in logging in
            self.send(OK)
            return
        self.served.statements.append(statement)
        fault = self.served.due()
        if fault and fault.how == "said":
            self.send(error_packet(fault.number, "as told"))
            return
        if fault and fault.how == "closed":
            raise Closed
        cut = bool(fault)
        try:
            rows = self.served.rows(user, statement)
        except SqlError as error:
            self.send(error_packet(error.number, error.text), cut=cut)
            return
        if rows is None:
            self.send(OK, cut=cut)
            return
        # Without its end, the answer may have had more rows.
        self.send(*result(rows, list(rows[0]) if rows else ["nothing"]), cut=cut)


@contextmanager
def serving(server: Server, path: Path | None = None) -> Iterator[Server]:
    """SERVER at a port of this machine, or at a socket file."""

    class Bound(Session):
        served = server

    kind: Any = socketserver.ThreadingUnixStreamServer if path else socketserver.ThreadingTCPServer
    with kind(str(path) if path else ("127.0.0.1", 0), Bound) as listening:
        listening.daemon_threads = True
        server.port = 0 if path else listening.server_address[1]
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            listening.shutdown()
            thread.join()
