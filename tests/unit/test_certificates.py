"""Authorities and certificates: judged by OpenSSL, which did not make them."""

from __future__ import annotations

import datetime as dt
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from pyinfra_nova.certificates.authority import AUTHORITIES, authority, authority_below, pem_of
from pyinfra_nova.certificates.issued import Issued, wanted
from pyinfra_nova.certificates.issuers import issuer, let_in
from pyinfra_nova.certificates.purposes import PURPOSES

NOW = dt.datetime(2026, 11, 28, 12, tzinfo=dt.timezone.utc)
SECRET, OTHER = "a secret of thirty characters.", "another one of thirty characte"
NAMES = ("compute1", "compute1.example.org", "10.0.0.31")


def issue(found: str | None = None, **changes: object) -> Issued:
    given: dict[str, object] = {
        "secret": SECRET,
        "purpose": PURPOSES["libvirt"],
        "host": "compute1",
        "names": NAMES,
        "now": NOW,
        "days": 90,
        "renew_days": 30,
        **changes,
    }
    return wanted(found=found, **given)  # type: ignore[arg-type]


def openssl(*words: str | Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["openssl", *map(str, words)], input=stdin, capture_output=True, text=True, check=False
    )


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Path]:
    made = issue()
    (tmp_path / "ca.pem").write_text(authority(SECRET, "hypervisors").pem)
    (tmp_path / "cert.pem").write_text(made.certificate_pem)
    (tmp_path / "key.pem").write_text(made.key_pem)
    yield tmp_path


def verify(folder: Path, purpose: str, *more: str) -> str:
    moment = str(int(NOW.timestamp()))
    words = ("verify", "-x509_strict", "-attime", moment, "-purpose", purpose, *more)
    result = openssl(*words, "-CAfile", folder / "ca.pem", folder / "cert.pem")
    return result.stdout + result.stderr


def test_the_same_secret_makes_the_same_authorities_byte_for_byte() -> None:
    first = {name: authority(SECRET, name).pem for name in AUTHORITIES}
    authority.cache_clear()
    assert first == {name: authority(SECRET, name).pem for name in AUTHORITIES}
    assert len(set(first.values())) == len(AUTHORITIES)
    assert not set(first.values()) & {authority(OTHER, name).pem for name in AUTHORITIES}


@pytest.mark.parametrize("purpose", ["sslserver", "sslclient"])
def test_openssl_takes_a_certificate_for_what_it_is_for(files: Path, purpose: str) -> None:
    assert verify(files, purpose).endswith("cert.pem: OK\n")


@pytest.mark.parametrize("name", NAMES)
def test_openssl_finds_each_name_and_no_other(files: Path, name: str) -> None:
    kind = "-verify_ip" if name[0].isdigit() else "-verify_hostname"
    assert verify(files, "sslserver", kind, name).endswith("cert.pem: OK\n")
    other = {"-verify_ip": "10.0.0.32", "-verify_hostname": "compute2"}[kind]
    assert "mismatch" in verify(files, "sslserver", kind, other)


def test_a_server_alone_is_no_client(files: Path) -> None:
    made = issue(purpose=PURPOSES["screen"])
    (files / "ca.pem").write_text(authority(SECRET, "screens").pem)
    (files / "cert.pem").write_text(made.certificate_pem)
    chain = ("-untrusted", str(files / "cert.pem"))
    assert verify(files, "sslserver", *chain).endswith("cert.pem: OK\n")
    assert "unsuitable certificate purpose" in verify(files, "sslclient", *chain)


def test_no_other_authority_answers_for_it(files: Path) -> None:
    for name in set(AUTHORITIES) - {"hypervisors"}:
        (files / "ca.pem").write_text(authority(SECRET, name).pem)
        assert "unable to get local issuer certificate" in verify(files, "sslserver")


def test_the_key_is_that_of_the_certificate(files: Path) -> None:
    of_key = openssl("pkey", "-in", files / "key.pem", "-pubout").stdout
    assert of_key == openssl("x509", "-in", files / "cert.pem", "-noout", "-pubkey").stdout
    assert "BEGIN PUBLIC KEY" in of_key


def test_what_a_host_has_is_kept_and_its_key_follows_from_it() -> None:
    first = issue()
    again = issue(first.certificate_pem, now=NOW + dt.timedelta(days=59))
    assert (first.reason, again.reason) == ("there is none", "")
    assert again.certificate_pem == first.certificate_pem
    assert again.key_pem == first.key_pem
    assert again.not_after == NOW + dt.timedelta(days=90)


def test_a_machine_whose_clock_is_a_little_behind_does_not_make_another() -> None:
    assert not issue(issue().certificate_pem, now=NOW - dt.timedelta(minutes=50)).is_new


@pytest.mark.parametrize("host", ["a" * 63 + ".example.org", "rechenknecht-größe-" + "ü" * 60])
def test_a_long_name_is_cut_to_what_a_common_name_may_be(host: str) -> None:
    made = x509.load_pem_x509_certificate(issue(host=host).certificate_pem.encode())
    [common] = made.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    assert f"libvirt {host}".startswith(str(common.value))


def test_the_order_of_names_is_no_reason_for_a_new_one() -> None:
    assert not issue(issue().certificate_pem, names=NAMES[::-1]).is_new


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"now": NOW + dt.timedelta(days=60)}, "the one there ends on 2027-02-26"),
        ({"now": NOW + dt.timedelta(days=90)}, "the one there ended on 2027-02-26"),
        ({"now": NOW - dt.timedelta(days=1)}, "the one there is not valid before 2026-11-28"),
        ({"days": 80}, "the one there ends only on 2027-02-26"),
        ({"names": ("compute1", "10.0.0.41")}, "the one there has other names"),
        ({"secret": OTHER}, "the one there is of another authority"),
        ({"purpose": PURPOSES["qemu"]}, "the one there is of another authority"),
        ({"host": "compute2"}, "the one there is of another host, or for something else"),
    ],
)
def test_what_is_no_longer_right_is_made_anew(changes: dict[str, object], reason: str) -> None:
    first = issue()
    second = issue(first.certificate_pem, **{"now": NOW + dt.timedelta(seconds=1), **changes})
    assert second.reason == reason
    assert second.certificate_pem != first.certificate_pem
    assert second.key_pem != first.key_pem


def test_a_key_that_everybody_knows_is_no_key_of_ours(files: Path) -> None:
    """A certificate of this very authority and host, but of a key that the host has not."""
    stolen = issue(purpose=PURPOSES["qemu"], host="compute2")
    assert issue(stolen.certificate_pem, purpose=PURPOSES["qemu"]).reason == (
        "the one there is of another host, or for something else"
    )


# --- the authorities below that of screens --------------------------------------------------------


def test_they_are_the_same_each_time_and_each_hosts_is_its_own() -> None:
    asked = [(SECRET, "screen", "compute1"), (SECRET, "screen", "compute2")]
    asked += [(OTHER, "screen", "compute1"), (SECRET, "console", "compute1")]
    first = [issuer(secret, PURPOSES[purpose], host).pem for secret, purpose, host in asked]
    authority_below.cache_clear()
    assert first == [issuer(secret, PURPOSES[purpose], host).pem for secret, purpose, host in asked]
    assert len(set(first)) == len(asked)


def test_every_proxys_certificate_is_of_one_authority_that_all_computes_let_in() -> None:
    consoles = issuer(SECRET, PURPOSES["console"], "controller1")
    assert consoles == issuer(SECRET, PURPOSES["console"], "controller2")
    for host in ("compute1", "compute2"):
        assert let_in(SECRET, PURPOSES["screen"], host) == (
            consoles,
            issuer(SECRET, PURPOSES["screen"], host),
        )


def test_only_the_authority_of_screens_has_others_below_it_and_those_have_none() -> None:
    below = [issuer(SECRET, PURPOSES[purpose], "compute1") for purpose in ("screen", "console")]
    depth = {
        each.name: each.certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        for each in (*(authority(SECRET, name) for name in AUTHORITIES), *below)
    }
    one, none = (x509.BasicConstraints(ca=True, path_length=length) for length in (1, 0))
    assert depth == dict.fromkeys(depth, none) | {"screens": one}
    assert set(depth) == {*AUTHORITIES, "screens of compute1", "consoles"}


@pytest.mark.parametrize("host", ["a" * 63 + ".example.org", "rechenknecht-größe-" + "ü" * 60])
def test_what_tells_authorities_apart_is_not_cut_from_a_long_name(host: str) -> None:
    [old, new] = (issuer(secret, PURPOSES["screen"], host) for secret in (SECRET, OTHER))
    assert old.certificate.subject != new.certificate.subject


def test_what_shows_a_certificate_shows_the_authority_between_too() -> None:
    for purpose in ("screen", "console"):
        made = issue(purpose=PURPOSES[purpose])
        leaf, between = x509.load_pem_x509_certificates(made.certificate_pem.encode())
        leaf.verify_directly_issued_by(between)
        again = issue(pem_of(leaf), purpose=PURPOSES[purpose])
        assert (again.reason, again.certificate_pem) == ("", made.certificate_pem)


@pytest.mark.parametrize("purpose", ["screen", "console"])
def test_one_of_the_authority_above_itself_is_replaced(purpose: str) -> None:
    """As all were before there were authorities below it."""
    made = issue(purpose=PURPOSES[purpose])
    leaf = x509.load_pem_x509_certificate(made.certificate_pem.encode())
    period = (leaf.not_valid_before_utc, leaf.not_valid_after_utc)
    key = leaf.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    kept = [(each.value, each.critical) for each in leaf.extensions][3:]
    former = authority(SECRET, "screens").signed("it", key, leaf.serial_number, period, kept)
    assert issue(pem_of(former), purpose=PURPOSES[purpose]).reason == (
        "the one there is of another authority"
    )


@pytest.mark.parametrize("text", ["", "nothing of the kind", "-----BEGIN CERTIFICATE-----\nAA\n"])
def test_what_is_no_certificate_is_replaced(text: str) -> None:
    assert issue(text).reason == ("what is there is no certificate" if text else "there is none")


def test_a_lost_key_is_found_in_no_representation_of_it() -> None:
    made = issue()
    assert "PRIVATE" not in repr(made)
    assert "PRIVATE" not in repr(authority(SECRET, "guests"))
