"""files/common/trust.py: whose word scripts take, and what they say of others, over real TLS."""

from __future__ import annotations

import re
import socket
import socketserver
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import host_proof
import host_report
import http_answers
import messaging
import mysql_login
import pytest
import rest
import sql
import trust
import websocket
from typing_extensions import override

from .mysql_stand_in import Server, serving
from .test_script_messaging import Broker
from .tls_stand_in import (
    FAULTS,
    TRUSTED,
    Encrypted,
    Pages,
    context,
    issued,
    listening,
    pages,
)

WRONG = pytest.mark.parametrize(("what", "said"), FAULTS.items(), ids=list(FAULTS))
LOGIN = {"user": "nova", "password": "correct"}


@pytest.fixture(autouse=True)
def trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "TRUSTED", TRUSTED)


class EncryptedBroker(Encrypted, Broker):
    pass


# --- what is answered by a server that is right, and what is said of one that is not --------------


def by_http(how: ssl.SSLContext | None) -> str | None:
    with pages(how) as (port, asked):
        try:
            found = rest.ask("GET", f"https://127.0.0.1:{port}/v2.1")
        except rest.NoAnswer as error:
            assert asked == []
            return str(error)
        assert found.json() == {"versions": []} and asked == ["/v2.1"]
        return None


def by_websocket(how: ssl.SSLContext | None) -> str | None:
    with pages(how) as (port, asked):
        try:
            at = f"https://127.0.0.1:{port}/"
            found = websocket.handshake("https://cloud.example/", "/?token=secret", at=at)
        except OSError as error:
            assert asked == []
            return str(error)
        assert found == ("HTTP/1.1 101 Switching Protocols", "RFB 003.008\n")
        return None


def by_login(how: ssl.SSLContext | None) -> str | None:
    with serving(Server(how=how, passwords={"nova": "correct"})) as server:
        found = mysql_login.answer({"host": "127.0.0.1", "port": server.port, **LOGIN})
        assert (server.users == ["nova"]) is found["greets"] is (found["error"] is None)
        return str(found["error"]) if found["error"] else None


def by_pymysql(how: ssl.SSLContext | None) -> str | None:
    with serving(Server(how=how, passwords={"nova": "correct"})) as server:
        try:
            connection = sql.connect("the cells", host="127.0.0.1", port=server.port, **LOGIN)
        except sql.NoAnswerError as error:
            assert server.users == [] and not error.denied
            return str(error)
        assert sql.rows(connection, "the server", "SHOW VARIABLES LIKE 'wsrep_on'")
        connection.close()
        return None


def by_amqp(how: ssl.SSLContext | None) -> str | None:
    with listening(EncryptedBroker, how=how, queues={"compute.c1": 2}) as port:
        request = {"host": "127.0.0.1", "port": port, "virtual_host": "/", **LOGIN}
        try:
            assert messaging.consumers(request, ["compute.c1"]) == {"compute.c1": 2}
        except OSError as error:
            found = messaging.answer(request)
            assert found["error"] == str(error) and not found["listens"]
            return str(error)
        return None


def by_memcached(how: ssl.SSLContext | None) -> str | None:
    class Memcached(Encrypted, socketserver.BaseRequestHandler):
        def handle(self) -> None:
            if self.request.recv(100) == b"version\r\n":
                self.request.sendall(b"VERSION 1.6.18\r\n")
            else:
                self.request.sendall(b"ERROR\r\n")

    with listening(Memcached, how=how) as port:
        check = {"name": "it", "kind": "memcached", "host": "127.0.0.1", "port": port, "tls": True}
        found = host_report.tried(check)
    assert found["ok"] is (found["detail"] == "VERSION 1.6.18")
    return None if found["ok"] else str(found["detail"])


Asked = Callable[[ssl.SSLContext | None], "str | None"]
ASKED = pytest.mark.parametrize(
    "asked",
    [by_http, by_websocket, by_login, by_pymysql, by_amqp, by_memcached],
    ids=lambda asked: asked.__name__,
)


@ASKED
def test_a_server_that_a_trusted_authority_vouches_for_is_asked(asked: Asked) -> None:
    assert asked(context("right")) is None


@ASKED
@WRONG
def test_nothing_is_said_to_any_other_and_a_line_names_it(
    asked: Asked, what: str, said: str
) -> None:
    found = asked(context(what)) or ""
    assert re.search(rf"\b127\.0\.0\.1:\d+ {said}", found), found
    assert "\n" not in found and "_ssl.c" not in found


@ASKED
def test_without_anybody_to_trust_nothing_is_encrypted(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust, "TRUSTED", None)
    if asked in (by_http, by_websocket):
        monkeypatch.setattr(ssl, "create_default_context", lambda: pytest.fail("it was asked"))
        with pages(None) as (port, _):
            assert rest.ask("GET", f"http://127.0.0.1:{port}/").status == 200
            assert websocket.handshake(f"http://127.0.0.1:{port}/")[0].endswith("Protocols")
    else:
        assert asked(None) is None


# --- whom -----------------------------------------------------------------------------------------


def test_names_are_verified_and_old_protocols_are_not_spoken() -> None:
    found = trust.context()
    assert found.verify_mode == ssl.CERT_REQUIRED and found.check_hostname
    assert found.minimum_version == ssl.TLSVersion.TLSv1_2


def test_only_those_are_trusted_that_were_given() -> None:
    (known,) = trust.context().get_ca_certs()
    assert "services" in str(known["subject"])


def test_nobody_is_trusted_by_an_empty_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bundle that was lost is no reason to go on in plain text."""
    monkeypatch.setattr(trust, "TRUSTED", "")
    with pytest.raises(rest.Failed), pages(context()) as (port, asked):
        rest.ask("GET", f"https://127.0.0.1:{port}/")
    assert asked == []
    assert mysql_login.answer({"host": "127.0.0.1", "port": port, **LOGIN})["error"]


def test_a_server_that_speaks_old_tls_alone_is_told_from_others() -> None:
    how = issued().context()
    how.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        how.minimum_version = how.maximum_version = ssl.TLSVersion.TLSv1_1
    assert "speaks no TLS from 1.2 on" in (by_http(how) or "")


# --- one that speaks the other language -----------------------------------------------------------


def test_an_api_that_speaks_tls_is_not_waited_for_in_plain_text() -> None:
    with pages(context()) as (port, _), pytest.raises(rest.NoAnswer) as error:
        rest.ask("GET", f"http://127.0.0.1:{port}/v2.1")
    assert str(error.value) == (
        f"GET http://127.0.0.1:{port}/v2.1 was not asked: "
        f"127.0.0.1:{port} speaks TLS where plain text was expected"
    )


@pytest.mark.parametrize("trusted", [TRUSTED, None])
def test_an_api_whose_tls_complains_of_plain_text_is_told_from_others(
    trusted: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Erlang's does, and GnuTLS."""
    monkeypatch.setattr(trust, "TRUSTED", trusted)

    class Complains(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(1000)
            self.request.sendall(b"\x15\x03\x03\x00\x02\x02\x0a")

    expected = pytest.raises(rest.NoAnswer, match=r"127\.0\.0\.1:\d+ speaks TLS where plain text")
    with listening(Complains) as port, expected:
        rest.ask("GET", f"http://127.0.0.1:{port}/v2.1")


def test_a_memcached_that_speaks_tls_to_a_middleware_that_does_not_is_told() -> None:
    class Memcached(Encrypted, socketserver.BaseRequestHandler):
        pass

    with listening(Memcached, how=context()) as port:
        check = {"name": "it", "kind": "memcached", "host": "127.0.0.1", "port": port}
        detail = host_report.tried(check)["detail"]
    assert detail.endswith(f"127.0.0.1:{port} speaks TLS where plain text was expected")


def test_a_broker_that_speaks_tls_says_so_where_nothing_is_encrypted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trust, "TRUSTED", None)
    with listening(EncryptedBroker, how=context()) as port:
        request = {"host": "127.0.0.1", "port": port, "virtual_host": "/", **LOGIN}
        said = messaging.answer(request)["error"]
    assert said == f"127.0.0.1:{port} speaks TLS where plain text was expected"


def test_a_server_that_is_silent_is_not_waited_for_forever() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(ConnectionError, match="says nothing to the first word of TLS"):
            trust.connected("127.0.0.1", port, 0.2)


def test_a_server_that_hangs_up_may_speak_plain_text() -> None:
    class HangsUp(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(10)

    ends = pytest.raises(ConnectionError, match="ends the connection at the first word of TLS")
    with listening(HangsUp) as port, ends:
        trust.connected("127.0.0.1", port, 5)


def test_a_port_at_which_nobody_listens_is_no_matter_of_tls() -> None:
    with pytest.raises(rest.NoAnswer, match=r"does not answer: .*refused"):
        rest.ask("GET", "https://127.0.0.1:1/")
    with pytest.raises(ConnectionRefusedError):
        trust.connected("127.0.0.1", 1)


def test_a_console_says_whose_certificate_it_has() -> None:
    with pages(context("another name")) as (port, _):
        (found,) = host_proof.websocket_faults(f"https://127.0.0.1:{port}/")
    assert found["problem"] == (
        f"https://127.0.0.1:{port}/ takes no WebSocket: 127.0.0.1:{port} shows a certificate for "
        "elsewhere.example, 10.9.9.9, and it was asked as 127.0.0.1"
    )


# --- elsewhere ------------------------------------------------------------------------------------


def test_a_url_that_is_waited_for_says_whose_certificate_it_has() -> None:
    with pages(context("expired")) as (port, _):
        url = f"https://127.0.0.1:{port}/"
        (found,) = http_answers.failing([{"name": "the API", "url": url, "holds": "versions"}])
    assert "shows a certificate that has expired" in found["detail"]


def test_an_image_may_come_from_a_server_of_the_site(tmp_path: Path) -> None:
    with pages(context()) as (port, _), (tmp_path / "image").open("w+b") as target:
        rest.fetch(f"https://127.0.0.1:{port}/image", target)
        target.seek(0)
        assert target.read() == b'{"versions": []}'


def test_an_image_does_not_come_in_plain_text_by_way_of_a_redirect(tmp_path: Path) -> None:
    class Elsewhere(Pages):
        @override
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", self.asked[0])
            self.send_header("Content-Length", "0")
            self.end_headers()

    with pages(None) as (plain, asked), (tmp_path / "image").open("w+b") as target:
        to = [f"http://127.0.0.1:{plain}/image"]
        refused = pytest.raises(rest.Failed, match="answers 302")
        with listening(Elsewhere, how=context(), asked=to) as port, refused:
            rest.fetch(f"https://127.0.0.1:{port}/image", target)
    assert asked == []


def test_the_password_waits_for_the_certificate_also_on_an_old_pymysql() -> None:
    """Debian 12's 1.0.2 goes on in plain text where a server says that it has no TLS."""
    connect = sql.encrypted(pytest.importorskip("pymysql"), ("127.0.0.1", 1))
    with serving(Server(how=None)) as server, pytest.raises(Exception, match="plain text"):
        connect(host="127.0.0.1", port=server.port, **LOGIN)
    assert server.users == []


STRICT = ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
"""What ssl.create_default_context asks for from Python 3.13 on, and PyMySQL with it."""


def test_the_projects_own_authorities_are_good_to_the_strictest_python(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trust, "BY_ITSELF", STRICT)
    assert by_pymysql(context("right")) is None


def test_where_nova_would_not_believe_its_database_the_preflight_does_not_either(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An authority that says no keyUsage, as many have been made: nobody else minds."""
    site, api = tmp_path / "site", tmp_path / "api"
    made = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "9")
    ca = ("-subj", "/CN=old", "-keyout", f"{site}.key", "-out", f"{site}.crt")
    subprocess.run((*made, *ca), check=True, capture_output=True)
    by = ("-CA", f"{site}.crt", "-CAkey", f"{site}.key", "-addext", "subjectAltName=IP:127.0.0.1")
    of = ("-addext", "basicConstraints=CA:FALSE", "-subj", "/CN=api")
    files = ("-keyout", f"{api}.key", "-out", f"{api}.crt")
    subprocess.run((*made, *of, *by, *files), check=True, capture_output=True)
    how = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    how.load_cert_chain(f"{api}.crt", f"{api}.key")
    monkeypatch.setattr(trust, "TRUSTED", Path(f"{site}.crt").read_text())
    assert by_pymysql(how) is None
    assert by_http(how) is None
    monkeypatch.setattr(trust, "BY_ITSELF", STRICT)
    assert by_http(how) is None
    found = by_pymysql(how) or ""
    assert "that is refused: CA cert does not include key usage extension" in found


def test_the_local_socket_is_not_encrypted(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with serving(Server(), path):
        connection = sql.connect("here", unix_socket=str(path), user="root")
        assert sql.rows(connection, "here", "SHOW VARIABLES LIKE 'wsrep_on'")
        connection.close()
