"""files/mysql_login.py: the proof of a password that a server would accept."""

import hashlib
import socket

import mysql_login
import pytest
import streams

from .mysql_stand_in import Fault, Server, SqlError, serving


def test_the_scramble_is_what_the_server_checks_against_its_stored_hash() -> None:
    salt = bytes(range(1, 21))
    proof = mysql_login.scramble("p@ss'w\"ord", salt)
    stored = hashlib.sha1(hashlib.sha1(b"p@ss'w\"ord").digest()).digest()
    mask = hashlib.sha1(salt + stored).digest()
    once = bytes(a ^ b for a, b in zip(proof, mask, strict=True))
    assert hashlib.sha1(once).digest() == stored


def test_no_password_is_no_proof() -> None:
    assert mysql_login.scramble("", b"x" * 20) == b""


def test_the_salt_is_read_from_both_places_of_the_greeting() -> None:
    greeting = (
        b"\x0a10.11.6-MariaDB\x00"
        + b"\x01\x00\x00\x00"
        + b"ABCDEFGH"
        + b"\x00"
        + b"\x00" * 2
        + b"\x21"
        + b"\x00" * 2
        + b"\x00" * 2
        + b"\x15"
        + b"\x00" * 10
        + b"IJKLMNOPQRST\x00"
    )
    assert mysql_login.salt_of(greeting) == b"ABCDEFGHIJKLMNOPQRST"


def test_a_port_where_nobody_listens_is_an_answer() -> None:
    answer = mysql_login.answer({"host": "127.0.0.1", "port": 1})
    assert answer["greets"] is False and answer["error"]


def tried(server: Server, **login: str) -> dict[str, object]:
    with serving(server):
        return dict(mysql_login.answer({"host": "127.0.0.1", "port": server.port, **login}))


NOVA = {"user": "nova", "password": "x"}


def test_a_server_that_lets_the_user_in() -> None:
    assert tried(Server(), **NOVA) == {"greets": True, "error": None}


@pytest.mark.parametrize("plugin", [None, "mysql_native_password"])
def test_a_server_is_asked_with_the_password_and_the_salt_that_it_sent(plugin: str | None) -> None:
    """With the salt of the greeting, or with the fresh one where it asks again."""
    server = Server(passwords={"nova": "p@ss'w\"ord"}, asks_for=plugin)
    assert tried(server, user="nova", password="p@ss'w\"ord") == {"greets": True, "error": None}
    refusal = "1045: Access denied for user 'nova'"
    assert tried(server, user="nova", password="x") == {"greets": True, "error": refusal}


def test_a_user_of_another_plugin_is_said_not_to_have_been_tried() -> None:
    server = Server(asks_for="caching_sha2_password")
    said = "asks for caching_sha2_password, which cannot be tried from here"
    assert tried(server, **NOVA) == {"greets": True, "error": said}


def test_a_refusal_is_said_with_its_number() -> None:
    refusal = SqlError(1045, "Access denied for user 'nova'")
    answer = tried(Server(refuses={"nova": refusal}), **NOVA)
    assert answer == {"greets": True, "error": "1045: Access denied for user 'nova'"}


@pytest.mark.parametrize("login", [NOVA, {}], ids=["login", "greeting"])
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Fault(1040), "1040: Too many connections"),
        (Fault(2013, "half an answer"), "closed the connection"),
    ],
    ids=str,
)
def test_a_server_that_does_not_greet_is_said_not_to(
    login: dict[str, str], fault: Fault, said: str
) -> None:
    assert tried(Server(at=0, fault=fault), **login) == {"greets": False, "error": said}


class Pieces:
    """What comes in pieces as a network makes them."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)

    def recv(self, size: int) -> bytes:
        piece = self.pieces.pop(0) if self.pieces else b""
        if piece[size:]:
            self.pieces.insert(0, piece[size:])
        return piece[:size]


def test_an_answer_may_come_in_pieces_and_with_the_next_one_behind_it() -> None:
    stream = Pieces(b"\x03", b"\0\0\0o", b"n", b"e\x01\0\0\1")
    assert mysql_login.packet(stream) == b"one"
    assert streams.exactly(stream, 4) == b"\x01\0\0\1"
    with pytest.raises(ConnectionError, match=r"^closed the connection$"):
        streams.exactly(stream, 1)


def test_what_is_no_database_server_is_said_to_be_none() -> None:
    stream = Pieces(b"\x04\0\0\0", b"SSH-")
    with pytest.raises(ConnectionError, match=r"^does not speak MySQL's protocol 10$"):
        mysql_login.greeting_of(stream)


def test_a_server_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mysql_login, "TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        answer = mysql_login.answer({"host": "127.0.0.1", "port": silent.getsockname()[1]})
    assert answer == {"greets": False, "error": "timed out"}
