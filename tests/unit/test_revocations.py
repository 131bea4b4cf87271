"""Hosts that are let in no more: refused by OpenSSL, GnuTLS and QEMU, which did not make the lists.

GnuTLS is what libvirt verifies with, and qemu-nbd reads its folder as a guest's QEMU does.
"""

from __future__ import annotations

import datetime as dt
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509

from pyinfra_nova.certificates import issued, revocations
from pyinfra_nova.certificates.authority import authority
from pyinfra_nova.certificates.issued import wanted
from pyinfra_nova.certificates.issuers import let_in
from pyinfra_nova.certificates.provided import LIST
from pyinfra_nova.certificates.purposes import PURPOSES, REVOCABLE
from pyinfra_nova.certificates.revocations import refused_pem
from pyinfra_nova.nova_conf.certificate_files import MARKER

NOW = dt.datetime.now(dt.timezone.utc)
SECRET, FORMER = "a secret of thirty characters.", "another one of thirty characte"
GONE, STAYS = "compute2", "compute1"
LET_IN = (("libvirt", "libvirt"), ("qemu", "qemu"))
"""Where a host shows a certificate of its own, and of what kind those are that it lets in."""


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not shutil.which(program), reason=f"there is no {program} here")


class Host:
    """A folder with what HOST has for QEMU, and whom it trusts; of libvirt it has the same."""

    def __init__(self, folder: Path, host: str, secret: str = SECRET, days_ago: int = 0) -> None:
        self.folder = folder / f"{host}-{days_ago}-{secret[2:5]}"
        self.folder.mkdir()
        names, now = [host, "127.0.0.1"], NOW - dt.timedelta(days=days_ago)
        made = wanted(secret, PURPOSES["qemu"], host, names, None, now, 90, 30)
        trusted = "".join(authority(each, "guests").pem for each in (SECRET, FORMER))
        self.write("ca-cert.pem", trusted)
        for role in ("server", "client"):
            self.write(f"{role}-cert.pem", made.certificate_pem)
            self.write(f"{role}-key.pem", made.key_pem)
        self.certificate = x509.load_pem_x509_certificate(made.certificate_pem.encode())

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(f"{MARKER}\n{text}")

    def refuse(self, *hosts: str) -> None:
        secrets, place = (SECRET, FORMER), PURPOSES["qemu"]
        lists = (refused_pem(secret, place, "compute9", hosts) for secret in secrets)
        self.write("ca-crl.pem", "".join(lists))


@pytest.fixture
def server(tmp_path: Path) -> Host:
    return Host(tmp_path, "compute9")


# --- what is in a list ----------------------------------------------------------------------------


def number(purpose: str, host: str, secret: str = SECRET, when: dt.datetime = NOW) -> int:
    made = wanted(secret, PURPOSES[purpose], host, [host], None, when, 90, 30)
    return x509.load_pem_x509_certificate(made.certificate_pem.encode()).serial_number


def lists(purpose: str, host: str, *gone: str) -> list[x509.CertificateRevocationList]:
    text = refused_pem(SECRET, PURPOSES[purpose], host, gone)
    return [x509.load_pem_x509_crl(found) for found in LIST.findall(text.encode())]


@pytest.mark.parametrize(("at", "shown"), [*LET_IN, ("screen", "console")])
def test_one_entry_refuses_whatever_a_host_was_ever_given(at: str, shown: str) -> None:
    found = lists(at, STAYS, GONE)[0]
    assert len(found) == 1
    for when in (NOW, NOW + dt.timedelta(days=400)):
        revoked, others = number(shown, GONE, when=when), number(shown, STAYS)
        assert found.get_revoked_certificate_by_serial_number(revoked)
        assert not found.get_revoked_certificate_by_serial_number(others)


@pytest.mark.parametrize("gone", [(), (GONE,)])
def test_what_a_compute_shows_as_a_screen_opens_none_of_its_own(gone: tuple[str, ...]) -> None:
    found = lists("screen", STAYS, *gone)[1]
    assert [each.serial_number for each in found] == [number("screen", STAYS)]
    assert [len(each) for each in lists("qemu", STAYS)] == [0]


def test_a_list_is_of_an_authority_that_lets_somebody_in() -> None:
    for name in (purpose for purpose, _ in (*LET_IN, ("screen", ""))):
        givers = let_in(SECRET, PURPOSES[name], STAYS)
        found = lists(name, STAYS, GONE)
        assert [each.issuer for each in found] == [each.certificate.subject for each in givers]
    assert {PURPOSES[name].authority for name, _ in LET_IN} == set(REVOCABLE) - {"screens"}


def test_a_number_is_of_one_authority_purpose_and_host() -> None:
    purposes = [each.name for each in PURPOSES.values() if each.is_revocable]
    found = [
        number(purpose, host, secret)
        for purpose in purposes
        for host in (GONE, STAYS)
        for secret in (SECRET, FORMER)
    ]
    assert len(set(found)) == len(found)


def test_no_two_certificates_that_browsers_see_have_one_number() -> None:
    assert number("api", "controller") != number("api", "controller")


def test_a_renewed_certificate_has_another_key() -> None:
    first, second = (
        wanted(SECRET, PURPOSES["qemu"], GONE, [GONE], None, when, 90, 30)
        for when in (NOW, NOW + dt.timedelta(days=61))
    )
    assert first.key_pem != second.key_pem


def test_who_has_a_certificate_that_no_list_could_name_is_given_another() -> None:
    """Of before there were lists: the number was one by chance."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(issued, "number_of", lambda *_: 4711)
        old = wanted(SECRET, PURPOSES["qemu"], GONE, [GONE], None, NOW, 90, 30)
        text = old.certificate_pem
        assert not wanted(SECRET, PURPOSES["qemu"], GONE, [GONE], text, NOW, 90, 30).is_new
    new = wanted(SECRET, PURPOSES["qemu"], GONE, [GONE], text, NOW, 90, 30)
    assert new.reason == issued.ANOTHER


def test_the_same_hosts_make_the_same_list_whenever_it_is_made() -> None:
    for purpose in (PURPOSES["qemu"], PURPOSES["screen"]):
        first = refused_pem(SECRET, purpose, "compute9", (GONE, STAYS))
        revocations._refusing.cache_clear()
        assert first == refused_pem(SECRET, purpose, "compute9", (GONE, STAYS))
    end = lists("qemu", "compute9", GONE)[0].next_update_utc
    assert end and end >= authority(SECRET, "guests").certificate.not_valid_after_utc


# --- who reads it ---------------------------------------------------------------------------------


def test_openssl_refuses_who_is_gone_and_nobody_else(tmp_path: Path, server: Host) -> None:
    server.refuse(GONE)
    said = {}
    for host in (GONE, STAYS):
        shown = Host(tmp_path, host).folder / "client-cert.pem"
        lists = ("-CRLfile", server.folder / "ca-crl.pem", "-crl_check")
        words = ("openssl", "verify", "-CAfile", server.folder / "ca-cert.pem", *lists, shown)
        done = subprocess.run(words, capture_output=True, text=True)
        said[host] = done.stdout + done.stderr
    assert "certificate revoked" in said[GONE]
    assert said[STAYS].endswith(": OK\n")


@contextmanager
def listening(*words: str | Path, port: int) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [str(word) for word in words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            deadline = time.monotonic() + 30
            while process.poll() is None and time.monotonic() < deadline:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    time.sleep(0.05)
            yield process
        finally:
            process.kill()


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def is_let_in(words: Sequence[str | Path]) -> bool:
    done = subprocess.run(
        [str(word) for word in words],
        input="GET / HTTP/1.0\r\n\r\n",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "refused" not in done.stderr + done.stdout, "nobody listens"
    return done.returncode == 0


def nbd_server(server: Host, port: int) -> list[str | Path]:
    disk = server.folder / "disk"
    disk.write_bytes(bytes(1 << 20))
    credentials = f"tls-creds-x509,id=t,endpoint=server,dir={server.folder},verify-peer=on"
    where = ("-b", "127.0.0.1", "-p", str(port))
    return ["qemu-nbd", "--object", credentials, "--tls-creds", "t", *where, "-tf", "raw", disk]


def nbd_client(client: Host, port: int) -> list[str | Path]:
    credentials = f"tls-creds-x509,id=t,endpoint=client,dir={client.folder},verify-peer=on"
    disk = f"driver=nbd,host=127.0.0.1,port={port},tls-creds=t"
    return ["qemu-img", "info", "--object", credentials, "--image-opts", disk]


@needs("qemu-nbd")
def test_qemu_refuses_who_is_gone_whenever_it_was_given_what_it_shows(
    tmp_path: Path, server: Host, port: int
) -> None:
    server.refuse(GONE)
    gone = [Host(tmp_path, GONE), Host(tmp_path, GONE, days_ago=45), Host(tmp_path, GONE, FORMER)]
    stays = [Host(tmp_path, STAYS), Host(tmp_path, STAYS, FORMER)]
    with listening(*nbd_server(server, port), port=port):
        assert [is_let_in(nbd_client(host, port)) for host in gone] == [False, False, False]
        assert [is_let_in(nbd_client(host, port)) for host in stays] == [True, True]


@needs("qemu-nbd")
@pytest.mark.parametrize("hosts", [(), ("compute7",)])
def test_qemu_takes_a_list_of_nobody_and_one_of_others(
    tmp_path: Path, server: Host, port: int, hosts: tuple[str, ...]
) -> None:
    server.refuse(*hosts)
    with listening(*nbd_server(server, port), port=port):
        assert is_let_in(nbd_client(Host(tmp_path, GONE), port))


@needs("qemu-nbd")
def test_qemu_does_not_start_with_a_file_of_no_list_which_is_why_none_is_written(
    server: Host, port: int
) -> None:
    server.write("ca-crl.pem", "")
    with listening(*nbd_server(server, port), port=port) as process:
        assert process.wait(30) != 0
        assert process.stdout and "Cannot load CRL" in process.stdout.read()


@needs("gnutls-serv")
def test_gnutls_refuses_who_is_gone_and_nobody_else(
    tmp_path: Path, server: Host, port: int
) -> None:
    server.refuse(GONE)
    folder = server.folder
    words = (
        *("gnutls-serv", "--echo", "--require-client-cert", "--verify-client-cert"),
        *("--port", str(port), "--x509cafile", folder / "ca-cert.pem"),
        *("--x509crlfile", folder / "ca-crl.pem"),
        *("--x509certfile", folder / "server-cert.pem", "--x509keyfile", folder / "server-key.pem"),
    )

    def asks(client: Host) -> Sequence[str | Path]:
        return (
            *("gnutls-cli", "--port", str(port), "--x509cafile", client.folder / "ca-cert.pem"),
            *("--x509certfile", client.folder / "client-cert.pem"),
            # Before 1.3 whoever is refused hears of it in the handshake itself.
            *("--x509keyfile", client.folder / "client-key.pem", "--priority"),
            *("NORMAL:-VERS-TLS1.3", "127.0.0.1"),
        )

    with listening(*words, port=port):
        assert not is_let_in(asks(Host(tmp_path, GONE)))
        assert is_let_in(asks(Host(tmp_path, STAYS)))
