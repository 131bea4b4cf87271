"""Guests' screens: whom QEMU lets in, and who believes QEMU, each with the files that hosts have.

QEMU lets in whoever has a certificate of an authority in its file, for whatever it is. The key of a
compute's screens is read by every guest's QEMU there, so it has to open no screen elsewhere.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography import x509

from pyinfra_nova.certificates.issuers import issuer
from pyinfra_nova.certificates.purposes import PURPOSES
from pyinfra_nova.certificates.revocations import refused_pem
from pyinfra_nova.nova_conf.certificate_files import MARKER
from tests.unit.real_screens import (
    OLD,
    STEPS,
    VNC,
    Screen,
    Shown,
    alone,
    files_of,
    needs_qemu,
    of_one_authority,
    proxy,
    thief,
)


@pytest.fixture
def screen(tmp_path: Path) -> Screen:
    found = Screen(tmp_path)
    found.write(files_of("compute1"))
    return found


@needs_qemu
def test_a_screen_opens_to_the_proxy_and_to_no_key_that_guests_qemu_read(screen: Screen) -> None:
    with screen.running():
        assert screen.lets_in(proxy())
        assert screen.lets_in(alone(proxy()))
        for who in (thief("compute2"), thief("compute1")):
            assert not screen.lets_in(who)
            assert not screen.lets_in(alone(who))


@needs_qemu
def test_without_its_list_a_screen_opens_to_its_own_hosts_key_which_is_why_it_is_in_it(
    screen: Screen,
) -> None:
    (screen.folder / "ca-crl.pem").unlink()
    with screen.running():
        assert screen.lets_in(proxy())
        assert screen.lets_in(thief("compute1"))
        assert not screen.lets_in(thief("compute2"))


@needs_qemu
@pytest.mark.parametrize("step", [0, 1, 2, 3])
def test_who_is_new_and_who_is_not_go_on_seeing_screens_while_authorities_are_exchanged(
    screen: Screen, step: int
) -> None:
    before, after = max(step - 1, 0), min(step + 1, 3)
    screen.write(files_of("compute1", step))
    with screen.running():
        for other in (before, step, after):
            assert screen.lets_in(proxy(other)), other
            assert not screen.lets_in(thief("compute1", other)), other
            assert not screen.lets_in(thief("compute2", other)), other


@needs_qemu
def test_a_guest_that_runs_reads_each_of_them_in_turn(screen: Screen) -> None:
    with screen.running():
        for step in range(1, len(STEPS)):
            screen.write(files_of("compute1", step))
            assert screen.reload() == ""
            assert screen.lets_in(proxy(step))
        # It is shown out although it believes what it sees.
        assert not screen.lets_in(replace(proxy(0), trusts=proxy(3).trusts))


@needs_qemu
def test_a_guest_of_before_hosts_had_authorities_of_their_own_reads_what_it_has_now(
    screen: Screen,
) -> None:
    files, proxy_of_before = of_one_authority()
    (screen.folder / "ca-crl.pem").unlink()
    screen.write(files)
    with screen.running():
        assert screen.lets_in(proxy_of_before)
        # The hole: the same opens every other compute's.
        own = Shown(files[f"{VNC}/server-cert.pem"], files[f"{VNC}/server-key.pem"], proxy().trusts)
        assert screen.lets_in(own)
        screen.write(files_of("compute1"))
        assert screen.reload() == ""
        assert screen.lets_in(proxy())
        assert not screen.lets_in(proxy_of_before)
        assert not screen.lets_in(own)


@needs_qemu
@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("ca-crl.pem", "", "Cannot load CRL"),
        ("ca-cert.pem", issuer(OLD, PURPOSES["console"], "").pem, "failed validation against"),
    ],
    ids=["a file of no list", "without the authority of its own certificate"],
)
def test_what_keeps_a_guest_from_starting(screen: Screen, name: str, text: str, said: str) -> None:
    (screen.folder / name).write_text(text)
    with pytest.raises(AssertionError, match=said), screen.running():
        pass


@needs_qemu
def test_a_proxy_that_is_retired_is_let_in_no_more(screen: Screen) -> None:
    with screen.running():
        for gone, is_let_in in ((("controller9",), True), (("controller",), False)):
            lists = refused_pem(OLD, PURPOSES["screen"], "compute1", gone)
            screen.write({f"{VNC}/ca-crl.pem": f"{MARKER}\n{lists}"})
            assert screen.reload() == ""
            assert screen.lets_in(proxy()) is is_let_in


# --- the same asked of GnuTLS alone, which verifies for QEMU --------------------------------------


@contextmanager
def gnutls_server(folder: Path, port: int) -> Iterator[None]:
    words = (
        *("gnutls-serv", "--echo", "--require-client-cert", "--verify-client-cert"),
        *("--port", str(port), "--x509cafile", str(folder / "ca-cert.pem")),
        *("--x509crlfile", str(folder / "ca-crl.pem")),
        *("--x509certfile", str(folder / "server-cert.pem")),
        *("--x509keyfile", str(folder / "server-key.pem")),
    )
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline and process.poll() is None:
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                time.sleep(0.05)
            yield
        finally:
            process.kill()


@pytest.mark.skipif(not shutil.which("gnutls-serv"), reason="there is no gnutls-serv here")
def test_gnutls_lets_in_the_proxy_and_no_computes_key(screen: Screen) -> None:
    def is_let_in(who: Shown) -> bool:
        (screen.folder / "shown").write_text(who.certificate + who.key)
        context = ssl.create_default_context(cadata=who.trusts)
        # Before 1.3 whoever is refused hears of it in the handshake itself.
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(screen.folder / "shown")
        with socket.create_connection(("127.0.0.1", screen.port), timeout=30) as stream:
            try:
                context.wrap_socket(stream, server_hostname="10.0.0.31").close()
            except ssl.SSLCertVerificationError:
                raise
            except OSError:
                return False
            return True

    with gnutls_server(screen.folder, screen.port):
        asking = (proxy(), alone(proxy()), thief("compute2"), alone(thief("compute2")))
        assert [is_let_in(who) for who in asking] == [True, True, False, False]
        assert not is_let_in(thief("compute1"))


def test_what_a_compute_trusts_does_not_grow_with_the_number_of_the_others() -> None:
    text = files_of("compute1")[f"{VNC}/ca-cert.pem"]
    whom = [each.subject for each in x509.load_pem_x509_certificates(text.encode())]
    own = issuer(OLD, PURPOSES["screen"], "compute1")
    assert whom == [
        issuer(OLD, PURPOSES["console"], "").certificate.subject,
        own.certificate.subject,
    ]
