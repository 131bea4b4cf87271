"""Certificates of screens that a site makes itself, of an authority below the one in its folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509

from pyinfra_nova.certificates.authority import authority, pem_of
from pyinfra_nova.certificates.issuers import issuer
from pyinfra_nova.certificates.purposes import PURPOSES
from pyinfra_nova.certificates.trust import let_in_pem
from tests.unit.real_screens import (
    OLD,
    VNC,
    Screen,
    Shown,
    files_of,
    needs_qemu,
    of_one_authority,
    proxy,
)
from tests.unit.site_data import secrets, site

SCREEN = PURPOSES["screen"]
ROOT = authority(OLD, "screens").pem
BETWEEN = issuer(OLD, SCREEN, "compute1").pem
CHAIN = "".join(
    map(
        pem_of,
        x509.load_pem_x509_certificates(files_of("compute1")[f"{VNC}/server-cert.pem"].encode()),
    )
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "certificates"
    path.mkdir()
    (path / "screens-ca.pem").write_text(ROOT)
    return path


def trusted(folder: Path, shown: str, purpose: str = "screen") -> str:
    tls = {"mode": "provided", "certificates": str(folder)}
    return let_in_pem(site({"tls": tls}, passwords=secrets()), PURPOSES[purpose], "compute1", shown)


def test_those_between_are_trusted_by_who_starts_with_nothing_else(folder: Path) -> None:
    assert trusted(folder, CHAIN) == ROOT + BETWEEN
    assert trusted(folder, "") == ROOT
    # OpenSSL takes them from who shows them.
    assert trusted(folder, CHAIN, "console") == ROOT


def test_what_stands_after_the_authority_itself_is_trusted_by_nobody(folder: Path) -> None:
    stranger = authority(OLD, "services").pem
    assert trusted(folder, CHAIN + ROOT + stranger) == ROOT + BETWEEN
    assert trusted(folder, files_of("compute1")["/etc/pki/qemu/server-cert.pem"] + stranger) == ROOT


@needs_qemu
def test_qemu_starts_with_them_and_not_without(folder: Path, tmp_path: Path) -> None:
    screen = Screen(tmp_path)
    screen.write(files_of("compute1"))
    (tmp_path / "ca-crl.pem").unlink()
    (tmp_path / "ca-cert.pem").write_text(trusted(folder, ""))
    with pytest.raises(AssertionError, match="hasn't got a known issuer"), screen.running():
        pass
    (tmp_path / "ca-cert.pem").write_text(trusted(folder, CHAIN))
    with screen.running():
        assert screen.lets_in(proxy())


@needs_qemu
def test_a_list_of_what_computes_show_closes_screens_to_all_but_the_proxy(tmp_path: Path) -> None:
    """With one authority for all of it, as the page has a site do."""
    root, (own, proxy_of_site) = authority(OLD, "screens"), of_one_authority()
    screen = Screen(tmp_path)
    screen.write(own)
    thief = Shown(own[f"{VNC}/server-cert.pem"], own[f"{VNC}/server-key.pem"], ROOT)
    with screen.running():
        assert screen.lets_in(proxy_of_site) and screen.lets_in(thief)
        shown = x509.load_pem_x509_certificate(thief.certificate.encode())
        screen.write({f"{VNC}/ca-crl.pem": pem_of(root.refusing([shown.serial_number]))})
        assert screen.reload() == ""
        assert screen.lets_in(proxy_of_site)
        assert not screen.lets_in(thief)
