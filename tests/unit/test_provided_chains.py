"""Certificates that a site provides, and those between them and an authority that signs itself."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from pyinfra_nova.certificates.provided import MANY
from pyinfra_nova.certificates.purposes import PURPOSES
from pyinfra_nova.run.preflight import check_files
from pyinfra_nova.site.faults import SettingsError

from .site_data import secrets, site
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


# --- the file of further authorities --------------------------------------------------------------


def said_of(*cafile: Path, mode: str = "internal", folder: Path | None = None) -> str:
    """What is said before any host is asked of a site whose cafile is those together."""
    together = cafile[0].parent / "together.pem"
    together.write_text("".join(path.read_text() for path in cafile))
    tls = {
        "mode": mode,
        "cafile": str(together),
        **({"certificates": str(folder)} if folder else {}),
    }
    where = site({"tls": tls}, passwords=secrets(tls_secret="t" * 32))
    try:
        check_files(where)
    except SettingsError as error:
        return "\n".join(map(str, error.faults)).replace(f"{together.parent}/", "")
    return ""


def test_further_authorities_lead_to_one_that_has_signed_itself_too(company: Path) -> None:
    between, root, stranger = (company / f"{each}.crt" for each in ("between", "root", "stranger"))
    remedy = "add that one's certificate to the file"
    refused = (
        "together.pem: has CN=between, but not CN=root, which has signed it: OpenSSL takes the one "
        f"only with the other; {remedy}"
    )
    assert said_of(between) == said_of(stranger, between) == refused
    assert said_of(between, root) == said_of(root) == ""


def test_without_tls_nobody_reads_it(company: Path) -> None:
    assert said_of(company / "between.crt", mode="off") == ""


def test_of_what_a_system_trusts_some_may_lead_nowhere(company: Path) -> None:
    between, root = company / "between.crt", company / "root.crt"
    stranger = company / "stranger.crt"
    assert said_of(between, *[stranger] * MANY) == ""
    assert said_of(*[between] * (MANY + 1)).startswith("together.pem: has CN=between, but not ")
    assert said_of(*[root] * MANY, between) == ""


@pytest.mark.skipif(not shutil.which("certtool"), reason="there is no certtool here")
def test_gnutls_takes_what_openssl_takes_only_if_it_is_told_to(company: Path) -> None:
    """libvirt and QEMU verify by it: of `hypervisors` and `guests` no root is asked for."""
    by = ("verify", "-CAfile", "between.crt")
    openssl(company, *by, "-partial_chain", "chained.crt")
    with pytest.raises(subprocess.CalledProcessError):
        openssl(company, *by, "chained.crt")
    words = ("certtool", "--verify", "--load-ca-certificate", "between.crt", "--infile")
    subprocess.run((*words, "chained.crt"), cwd=company, check=True, capture_output=True)
