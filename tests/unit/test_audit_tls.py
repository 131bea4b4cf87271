"""The audit of encryption: what processes really show, asked of servers that really speak TLS."""

from __future__ import annotations

import datetime as dt
import json
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import endpoint_certificates
import guest_screens
import host_tls
import pytest
import sql
import trust
from cryptography import x509

from pyinfra_nova.audit import question
from pyinfra_nova.certificates.authority import authority
from pyinfra_nova.nova_conf.certificate_files import certificate_paths
from pyinfra_nova.proof import host_proof
from pyinfra_nova.site.settings import Site

from .audited_cloud import DAY, NOW, Cloud, Row, host_answer
from .site_data import secrets, site
from .test_certificate_files import plan
from .test_served_certificates import Pair, screen, serving

PLAIN = b"HTTP/1.0 400 Bad Request\r\n\r\n"


@pytest.fixture
def cloud() -> Cloud:
    found = Cloud()
    found.expected["tls"] = {"mode": "internal", "renew_days": 30}
    return found


def encrypted(**more: Any) -> Site:
    return site({"tls": {"mode": "internal"}, **more}, passwords=secrets(tls_secret="s" * 32))


# --- what a host says -----------------------------------------------------------------------------


@pytest.fixture
def pairs(tmp_path: Path) -> tuple[Pair, Pair]:
    return Pair(tmp_path, "libvirt"), Pair(tmp_path, "screen")


@pytest.fixture
def guests(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[SimpleNamespace]]:
    found: list[SimpleNamespace] = []
    monkeypatch.setattr(guest_screens, "guests", lambda: found)
    yield found


@pytest.fixture
def unused() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def asked(*ports: tuple[str, int, Path], screen: Path | None = None, **more: Any) -> Row:
    rows = [
        {"who": who, "address": "127.0.0.1", "port": port, "files": [str(path)]}
        for who, port, path in ports
    ]
    screens = [str(screen)] if screen else None
    return {"tls": {"ports": rows, "screens": screens, "plain": [], "own": [], **more}}


def said(request: Row) -> list[tuple[str, str]]:
    return [(row["who"], row["problem"]) for row in host_tls.read(request)["served"]]


def test_who_shows_what_its_file_has_is_not_spoken_of(
    pairs: tuple[Pair, Pair], guests: list[SimpleNamespace]
) -> None:
    one, other = pairs
    with serving(one.handshake) as port, serving(screen(other, 260)) as at:
        where = {"screen": "tls", "port": ("127.0.0.1", at)}
        guests.append(SimpleNamespace(name="i-1", pid=os.getpid(), **where))
        request = asked(("libvirt", port, one.certificate), screen=other.certificate)
        assert said(request) == []


def test_who_has_not_read_its_file_is_told_of_each_process_by_itself(
    pairs: tuple[Pair, Pair], guests: list[SimpleNamespace]
) -> None:
    one, other = pairs
    with serving(one.handshake) as port, serving(screen(other, 260)) as at:
        where = {"screen": "tls", "port": ("127.0.0.1", at)}
        guests.append(SimpleNamespace(name="i-1", pid=os.getpid(), **where))
        guests.append(SimpleNamespace(name="i-0", pid=1, screen="plain", port=None))
        guests.append(SimpleNamespace(name="i-2", pid=1, screen=None, port=None))
        request = asked(("libvirt", port, other.certificate), screen=one.certificate)
        assert said(request) == [
            ("libvirt", "another"),
            ("guest i-1", "another"),
            ("guest i-0", "plain"),
        ]


def test_a_port_in_plain_text_is_told_of_and_one_that_nobody_has_is_for_others_to_say(
    pairs: tuple[Pair, Pair], unused: int
) -> None:
    path = pairs[0].certificate
    with serving(lambda stream: stream.sendall(PLAIN)) as port:
        request = asked(("the compute API", port, path), ("noVNC", unused, path))
        assert said(request) == [("the compute API", "plain")]


def test_a_port_that_should_not_be_there_is_told_of_where_it_is(unused: int) -> None:
    row = {"who": "libvirt without TLS", "address": "127.0.0.1", "remedy": "stop it"}
    assert said(asked(plain=[{**row, "port": unused}])) == []
    with serving(socket.socket.close) as port:
        (found,) = host_tls.read(asked(plain=[{**row, "port": port}]))["served"]
    assert (found["problem"], found["remedy"]) == ("plain", "stop it")
    assert found["text"] == f"127.0.0.1:{port} lets in whoever comes, in plain text"


def test_the_ends_of_certificates_that_are_there(pairs: tuple[Pair, Pair]) -> None:
    path = pairs[0].certificate
    ends = host_tls.read(asked(own=[str(path), "/nowhere/api.crt"]))["own_certificates"]
    end = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    assert ends == {str(path): end.timestamp()}


# --- what it is asked -----------------------------------------------------------------------------


def test_a_host_is_asked_about_what_it_serves_and_nothing_else() -> None:
    where = encrypted()
    compute = question.of_host(where, where.hosts["compute1"])["tls"]
    assert [(row["who"], row["port"]) for row in compute["ports"]] == [("libvirt", 16514)]
    assert compute["screens"] == ["/etc/pki/libvirt-vnc/server-cert.pem"]
    assert [row["port"] for row in compute["plain"]] == [16509]
    assert compute["own"] == certificate_paths(where, where.hosts["compute1"])
    controller = question.of_host(where, where.hosts["controller"])["tls"]
    assert [row["port"] for row in controller["ports"]] == [8774, 8775, 6080]
    assert (controller["screens"], controller["plain"]) == (None, [])


def test_without_consoles_no_screen_and_no_page_is_asked() -> None:
    where = encrypted(vnc={"enabled": False})
    assert question.of_host(where, where.hosts["compute1"])["tls"]["screens"] is None
    ports = question.of_host(where, where.hosts["controller"])["tls"]["ports"]
    assert [row["port"] for row in ports] == [8774, 8775]


def test_where_nothing_is_encrypted_nothing_is_asked_or_said(cloud: Cloud) -> None:
    where = site()
    request = question.of_host(where, where.hosts["compute1"])
    assert request["tls"] is None
    assert host_tls.read(request) == {"served": [], "own_certificates": {}}
    assert "tls" not in question.expected(where)


def test_the_request_holds_no_secret() -> None:
    where = encrypted()
    assert "s" * 32 not in json.dumps(question.of_host(where, where.hosts["compute1"]))


@pytest.mark.parametrize("name", ["controller", "compute1"])
def test_the_proof_asks_the_same_ports_of_the_one_platform(name: str) -> None:
    which = plan(name)
    asked_there = host_proof.question(which, [])["served"]
    theirs = question.of_host(which.site, which.host)["tls"]
    ports = [(row["who"], row["port"]) for row in asked_there["ports"]]
    assert ports == [(row["who"], row["port"]) for row in theirs["ports"]]
    assert all(len(row["files"]) == 1 for row in asked_there["ports"])
    assert host_proof.question(plan(name, mode="off"), [])["served"] is None


# --- what is found --------------------------------------------------------------------------------


def with_rows(cloud: Cloud, *rows: Row, **more: Any) -> Cloud:
    assert cloud.hosts is not None
    cloud.hosts["compute1"] = host_answer("nova-compute", served=list(rows), **more)
    return cloud


def row(who: str, problem: str, text: str, pid: int | None = None) -> Row:
    return {"who": who, "problem": problem, "text": text, "pid": pid}


def test_a_process_that_has_not_read_its_file(cloud: Cloud) -> None:
    text = "10.0.0.31:16514 shows another certificate than /etc/pki/libvirt/servercert.pem has"
    found = with_rows(cloud, row("libvirt", "another", text)).only("certificate-not-read")
    assert (found["where"], found["what"]) == ("compute1", f"libvirt on compute1: {text}")
    assert found["remedy"].startswith("deploy")


def test_each_guest_is_a_finding_of_its_own(cloud: Cloud) -> None:
    rows = [row(f"guest i-{number}", "another", "old", number) for number in (1, 2)]
    assert len(with_rows(cloud, *rows).findings("certificate-not-read")) == 2


def test_a_guest_that_was_started_before_there_was_encryption(cloud: Cloud) -> None:
    plain = row("guest i-1", "plain", "its screen speaks no TLS", 77)
    found = with_rows(cloud, plain).only("screen-in-plain-text")
    assert found["what"] == (
        "guest i-1 on compute1: its screen speaks no TLS; it was started before its host had "
        "certificates"
    )
    assert "reboot --hard" in found["remedy"] and "live migration" in found["remedy"]


def test_a_port_in_plain_text_has_the_remedy_that_came_with_it(cloud: Cloud) -> None:
    plain = row("the compute API", "plain", "10.0.0.11:8774 speaks no TLS")
    assert with_rows(cloud, plain).only("port-in-plain-text")["remedy"] == "deploy"
    other = {**row("libvirt without TLS", "plain", "it is open"), "remedy": "stop it"}
    assert with_rows(cloud, other).only("port-in-plain-text")["remedy"] == "stop it"


@pytest.mark.parametrize(("days", "found"), [(29, 1), (30, 1), (31, 0)])
def test_a_certificate_that_a_deploy_would_have_renewed(
    cloud: Cloud, days: int, found: int
) -> None:
    path = "/etc/pki/qemu/server-cert.pem"
    ends = {path: NOW + days * DAY}
    # nova.conf may name it as well: it is said once.
    with_rows(cloud, own_certificates=ends, certificates=ends)
    remedies = [each["remedy"] for each in cloud.findings()]
    assert remedies == ["deploy, which renews it"] * found


def test_one_that_the_site_makes_is_for_the_site_to_renew(cloud: Cloud) -> None:
    cloud.expected["tls"]["mode"] = "provided"
    with_rows(cloud, own_certificates={"/etc/pki/qemu/server-cert.pem": NOW + DAY})
    assert "the site's folder" in cloud.only("certificate-ends")["remedy"]


# --- what others serve ----------------------------------------------------------------------------


@pytest.fixture
def trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "TRUSTED", authority("s" * 32, "services").pem)


@contextmanager
def several(pair: Pair) -> Iterator[int]:
    """The port of a server that shows its certificate to two clients, one after the other."""

    def serve() -> None:
        for _ in range(2):
            stream, _ = listener.accept()
            with suppress(OSError):
                pair.context.wrap_socket(stream, server_side=True).close()
            stream.close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]


@pytest.mark.parametrize("is_trusted", [True, False])
def test_a_server_of_the_catalogue_is_verified_as_nova_does_it(
    trusting: None, tmp_path: Path, is_trusted: bool
) -> None:
    pair = Pair(tmp_path, "service" if is_trusted else "screen")
    pair.context.verify_mode = ssl.CERT_NONE
    with several(pair) as port:
        found = endpoint_certificates.asked(("127.0.0.1", port))
    end = x509.load_pem_x509_certificate(pair.certificate.read_bytes()).not_valid_after_utc
    assert found["ends"] == end.timestamp()
    refused = found.get("refused", "")
    assert refused == (
        ""
        if is_trusted
        else f"127.0.0.1:{port} shows a certificate that no trusted authority has issued"
    )


def test_a_server_that_is_refused_is_a_finding_where_nova_asks_it(cloud: Cloud) -> None:
    text = "glance:9292 shows a certificate that no trusted authority has issued"
    shown = {"services": ["image"], "ends": NOW + 90 * DAY, "refused": text}
    assert cloud.identity is not None
    cloud.identity["certificates"] = {
        "glance:9292": {**shown, "inside": ["RegionOne"]},
        "public:443": {**shown, "inside": []},
    }
    assert cloud.only("certificate-unread")["what"] == f"of image, {text}"


def test_when_those_of_the_database_and_the_broker_end(trusting: None, tmp_path: Path) -> None:
    pair = Pair(tmp_path, "service")
    pair.context.verify_mode = ssl.CERT_NONE

    def mysql(stream: socket.socket) -> None:
        stream.sendall(b"a greeting")
        assert stream.recv(len(sql.START_TLS)) == sql.START_TLS
        pair.context.wrap_socket(stream, server_side=True).close()

    def amqps(stream: socket.socket) -> None:
        pair.context.wrap_socket(stream, server_side=True).close()

    with serving(mysql) as database, serving(amqps) as broker:
        request = {
            "database": {"host": "127.0.0.1", "port": database},
            "broker": {"hosts": ["127.0.0.1"], "port": broker},
        }
        found = endpoint_certificates.ends_of_others(request)
    end = x509.load_pem_x509_certificate(pair.certificate.read_bytes()).not_valid_after_utc
    assert {key: (row["services"], row["ends"]) for key, row in found.items()} == {
        f"127.0.0.1:{broker}": (["broker"], end.timestamp()),
        f"127.0.0.1:{database}": (["database"], end.timestamp()),
    }
    assert end > dt.datetime.now(dt.timezone.utc)


def test_where_nobody_is_trusted_neither_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "TRUSTED", None)
    assert endpoint_certificates.ends_of_others({}) == {}
