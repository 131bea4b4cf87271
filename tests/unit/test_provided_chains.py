"""Certificates that a site provides, and those between them and an authority that signs itself."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pyinfra_nova.certificates.purposes import PURPOSES

from .test_certificates_provided import (
    NAMES,
    NOW,
    Provide,
    authorities,
    company,
    first_said,
    make_authority,
    make_leaf,
    openssl,
    provide,
)

__all__ = ["company", "provide"]


def test_a_chain_ends_with_the_first_of_it_that_does(company: Path, provide: Provide) -> None:
    make_authority(company, "ending", issuer="root", days="20")
    make_leaf(company, "below", "ending", usage="serverAuth")
    folder = provide("below", "ending")
    made = folder.issued(PURPOSES["api"], "controller", NAMES, None, NOW)
    assert (made.not_after - NOW).days in (19, 20)


@pytest.mark.parametrize(("name", "purpose"), [("services", "api"), ("screens", "screen")])
def test_whom_openssl_asks_leads_to_one_that_has_signed_itself(
    company: Path, tmp_path: Path, name: str, purpose: str
) -> None:
    """OpenSSL's own word for it: Nova, and its consoles' proxy, would believe nobody."""
    chained, between, root = (company / f"{each}.crt" for each in ("chained", "between", "root"))
    openssl(company, "verify", "-CAfile", str(root), "-untrusted", str(between), str(chained))
    with pytest.raises(subprocess.CalledProcessError):
        openssl(company, "verify", "-CAfile", str(between), str(chained))
    others = {} if name == "services" else {"services": "stranger"}
    folder = authorities(company, tmp_path, **{name: "between"}, **others)
    said = first_said(folder, purpose)
    assert said.startswith(f"{name}-ca.pem: has CN=between, but not CN=root, which has signed it")
    with (tmp_path / f"{name}-ca.pem").open("a") as stream:
        stream.write(root.read_text())
    assert "controller/api.crt: cannot be read" in first_said(folder, purpose)


def test_of_services_it_may_be_in_cafile_and_gnutls_needs_none(
    company: Path, tmp_path: Path
) -> None:
    folder = authorities(company, tmp_path, services="between", guests="stranger")
    cafile = (company / "root.crt").read_text()
    assert "controller/api.crt: cannot be read" in first_said(folder, "qemu", cafile=cafile)
    folder = authorities(company, tmp_path, services="stranger", guests="between")
    assert "controller/api.crt: cannot be read" in first_said(folder, "qemu")
