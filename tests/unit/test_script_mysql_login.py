"""files/mysql_login.py: the proof of a password that a server would accept."""

import hashlib

import mysql_login


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
