"""The file of further authorities that a site names."""

from __future__ import annotations

import datetime as dt
import subprocess
from pathlib import Path

import pytest

from pyinfra_nova.site.tls import authorities_problem

from .test_certificates_judged import AUTHORITY, LEAF, make

NOW = dt.datetime.now(dt.timezone.utc) + dt.timedelta(hours=1)
LATER = NOW + dt.timedelta(days=15)
SYSTEM = Path("/etc/ssl/certs/ca-certificates.crt")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make(tmp_path, "short", AUTHORITY, days=10)
    make(tmp_path, "long", AUTHORITY, days=30)
    make(tmp_path, "leaf", LEAF, issuer="long")
    return tmp_path


def said_of(folder: Path, *names: str, now: dt.datetime = NOW) -> str:
    data = b"".join((folder / f"{name}.crt").read_bytes() for name in names)
    return authorities_problem(data, "company.crt", now)


def test_authorities_are_taken_and_one_of_many_may_have_ended(folder: Path) -> None:
    assert said_of(folder, "short") == ""
    assert said_of(folder, "short", "long", now=LATER) == ""


def test_where_all_have_ended_nobody_would_be_trusted(folder: Path) -> None:
    assert said_of(folder, "short", now=LATER).startswith("holds no authority that has not ended, ")


def test_what_is_no_authority_is_named(folder: Path) -> None:
    assert said_of(folder, "long", "leaf") == (
        "holds a certificate that is no authority's: CN=leaf"
    )


def test_what_is_not_pem_is_told_how_to_become_it(folder: Path) -> None:
    words = ("openssl", "x509", "-in", "long.crt", "-outform", "der", "-out", "company.crt")
    subprocess.run(words, cwd=folder, check=True, capture_output=True)
    said = authorities_problem((folder / "company.crt").read_bytes(), "company.crt", NOW)
    assert said.startswith("is in DER, not PEM: openssl x509 -inform der -in company.crt -out ")
    remedy = said.partition(": ")[2].split()
    subprocess.run(remedy, cwd=folder, check=True, capture_output=True)
    assert authorities_problem((folder / "company.pem").read_bytes(), "company.pem", NOW) == ""
    assert authorities_problem(b"\xff\xfe", "company.crt", NOW) == "is no text"
    assert authorities_problem(b"hello", "company.crt", NOW) == "holds no certificates in PEM"


@pytest.mark.filterwarnings("ignore:Parsed a serial number")  # a few are of another time
@pytest.mark.skipif(not SYSTEM.exists(), reason="this machine trusts nobody")
def test_what_a_system_trusts_may_be_it(folder: Path) -> None:
    assert authorities_problem(SYSTEM.read_bytes(), str(SYSTEM), NOW) == ""
