"""What is refused of certificates that a site makes itself, as OpenSSL here refuses it, too."""

from __future__ import annotations

import datetime as dt
import subprocess
from pathlib import Path

import pytest

from pyinfra_nova.certificates.provided import MANY, CertificateError, Folder, problems
from pyinfra_nova.certificates.purposes import PURPOSES

NOW = dt.datetime.now(dt.timezone.utc) + dt.timedelta(hours=1)
NAMES = ("controller", "10.0.0.11")
SAN = "subjectAltName=DNS:controller,IP:10.0.0.11"
AUTHORITY = "basicConstraints=critical,CA:TRUE"
LEAF = "basicConstraints=CA:FALSE"
CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")


def make(
    folder: Path,
    name: str,
    *extensions: str,
    issuer: str | None = None,
    days: int = 30,
    how: tuple[str, ...] = CURVE,
) -> None:
    by = ["-CA", f"{issuer}.crt", "-CAkey", f"{issuer}.key"] if issuer else []
    more = [word for extension in extensions for word in ("-addext", extension)]
    out = ["-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.crt"]
    words = ["openssl", "req", "-x509", *how, "-nodes", "-days", str(days), *by, *out, *more]
    subprocess.run(words, cwd=folder, check=True, capture_output=True)
    (folder / f"{name}.key").chmod(0o600)


def placed(folder: Path, name: str, *between: str, root: str, purpose: str = "api") -> Folder:
    """The folder in which certificate NAME is the host's for PURPOSE, of the authority ROOT."""
    own = folder / "site" / "controller"
    own.mkdir(parents=True, exist_ok=True)
    authority = (folder / f"{root}.crt").read_text()
    (folder / "site" / f"{PURPOSES[purpose].authority}-ca.pem").write_text(authority)
    chain = "".join((folder / f"{part}.crt").read_text() for part in (name, *between))
    (own / f"{purpose}.crt").write_text(chain)
    (own / f"{purpose}.key").write_text((folder / f"{name}.key").read_text())
    (own / f"{purpose}.key").chmod(0o600)
    return Folder(folder / "site")


def refusal(folder: Folder, purpose: str = "api", names: tuple[str, ...] = NAMES) -> str:
    """What is said of it; empty where it is taken."""
    try:
        folder.issued(PURPOSES[purpose], "controller", names, None, NOW)
    except CertificateError as error:
        [fault] = error.faults
        return str(fault).removeprefix(f"{folder.path}/controller/")
    return ""


def openssl_says(folder: Path, name: str, *between: str, root: str) -> str:
    """What OpenSSL finds wrong with a server's certificate; empty where it takes it."""
    more = [word for each in between for word in ("-untrusted", f"{each}.crt")]
    words = ("openssl", "verify", "-purpose", "sslserver", "-auth_level", "2")
    by = ("-CAfile", f"{root}.crt", *more, f"{name}.crt")
    done = subprocess.run((*words, *by), cwd=folder, capture_output=True, text=True, check=False)
    return done.stderr if done.returncode else ""


def test_an_authority_that_may_sign_nothing_vouches_for_nobody(tmp_path: Path) -> None:
    make(tmp_path, "root", AUTHORITY, "keyUsage=critical,cRLSign")
    make(tmp_path, "own", SAN, LEAF, issuer="root")
    assert openssl_says(tmp_path, "own", root="root")
    folder = placed(tmp_path, "own", root="root")
    said = "may sign no certificates (keyUsage without keyCertSign)"
    assert refusal(folder) == f"api.crt: is of CN=root, which {said}"
    found = next(problems(folder, [("controller", "api", NAMES)], NOW))
    assert f"services-ca.pem: has an authority that {said}: CN=root" in str(found)


def test_nor_does_one_in_between_that_is_no_authority(tmp_path: Path) -> None:
    make(tmp_path, "root", AUTHORITY)
    make(tmp_path, "between", LEAF, issuer="root")
    make(tmp_path, "own", SAN, LEAF, issuer="between")
    assert "invalid CA certificate" in openssl_says(tmp_path, "own", "between", root="root")
    folder = placed(tmp_path, "own", "between", root="root")
    assert refusal(folder) == "api.crt: is of CN=between, which is no authority"


def test_an_authority_says_how_many_may_be_below_it(tmp_path: Path) -> None:
    make(tmp_path, "root", f"{AUTHORITY},pathlen:0")
    make(tmp_path, "between", AUTHORITY, issuer="root")
    make(tmp_path, "own", SAN, LEAF, issuer="between")
    make(tmp_path, "direct", SAN, LEAF, issuer="root")
    assert "path length constraint" in openssl_says(tmp_path, "own", "between", root="root")
    folder = placed(tmp_path, "own", "between", root="root")
    assert "allows no other authorities below it (pathlen), and there are 1" in refusal(folder)
    assert refusal(placed(tmp_path, "direct", root="root")) == ""


@pytest.mark.parametrize(
    ("usage", "is_taken"),
    [("clientAuth", False), ("serverAuth,clientAuth", True), ("anyExtendedKeyUsage", False)],
)
def test_what_an_authority_is_not_for_none_of_its_certificates_is(
    tmp_path: Path, usage: str, is_taken: bool
) -> None:
    make(tmp_path, "root", AUTHORITY, f"extendedKeyUsage={usage}")
    make(tmp_path, "own", SAN, LEAF, issuer="root")
    assert (openssl_says(tmp_path, "own", root="root") == "") is is_taken
    said = "" if is_taken else "api.crt: is of CN=root, which vouches for nothing that is for "
    assert refusal(placed(tmp_path, "own", root="root")) == (said and f"{said}serverAuth")


@pytest.mark.parametrize(
    ("limits", "excluded"),
    [
        ("permitted;DNS:example.org", "controller"),
        ("permitted;DNS:controller", ""),
        ("excluded;DNS:controller", "controller"),
        ("permitted;IP:192.168.0.0/255.255.0.0", "10.0.0.11"),
        ("permitted;IP:10.0.0.0/255.255.255.0", ""),
        ("excluded;IP:10.0.0.0/255.0.0.0", "10.0.0.11"),
        ("permitted;email:example.org", ""),
    ],
)
def test_an_authority_may_not_vouch_for_names_outside_its_own(
    tmp_path: Path, limits: str, excluded: str
) -> None:
    make(tmp_path, "root", AUTHORITY, f"nameConstraints=critical,{limits}")
    make(tmp_path, "own", SAN, LEAF, issuer="root")
    assert (openssl_says(tmp_path, "own", root="root") == "") is (not excluded)
    said = f"may not vouch for the names {excluded} (name constraints)" if excluded else ""
    assert refusal(placed(tmp_path, "own", root="root")) == (
        said and f"api.crt: is of CN=root, which {said}"
    )


def test_names_below_a_domain_are_within_it_and_others_that_end_alike_are_not(
    tmp_path: Path,
) -> None:
    make(tmp_path, "root", AUTHORITY, "nameConstraints=permitted;DNS:example.org")
    make(tmp_path, "below", "subjectAltName=DNS:a.example.org", LEAF, issuer="root")
    make(tmp_path, "alike", "subjectAltName=DNS:anexample.org", LEAF, issuer="root")
    for name, called, is_taken in (("below", "a.example.org", 1), ("alike", "anexample.org", 0)):
        assert (openssl_says(tmp_path, name, root="root") == "") is bool(is_taken)
        said = refusal(placed(tmp_path, name, root="root"), names=(called,))
        assert (said == "") is bool(is_taken), said


def test_a_small_key_or_a_weak_signature_between_them_is_named(tmp_path: Path) -> None:
    make(tmp_path, "small", AUTHORITY, how=("-newkey", "rsa:1024"))
    make(tmp_path, "own", SAN, LEAF, issuer="small")
    assert "CA certificate key too weak" in openssl_says(tmp_path, "own", root="small")
    folder = placed(tmp_path, "own", root="small")
    found = next(problems(folder, [("controller", "api", NAMES)], NOW))
    assert "services-ca.pem: has an authority that has an RSA key of 1024 bits" in str(found)

    make(tmp_path, "root", AUTHORITY, how=(*CURVE, "-sha1"))
    make(tmp_path, "good", SAN, LEAF, issuer="root")
    assert openssl_says(tmp_path, "good", root="root") == ""
    good = placed(tmp_path, "good", root="root")
    assert list(problems(good, [("controller", "api", NAMES)], NOW)) == []
    make(tmp_path, "between", AUTHORITY, issuer="root", how=(*CURVE, "-sha1"))
    make(tmp_path, "last", SAN, LEAF, issuer="between")
    assert "CA signature digest algorithm too weak" in openssl_says(
        tmp_path, "last", "between", root="root"
    )
    weak = placed(tmp_path, "last", "between", root="root")
    assert refusal(weak) == "api.crt: is signed with sha1, which is refused"


@pytest.mark.parametrize(("purpose", "is_taken"), [("api", False), ("qemu", True)])
def test_openssl_takes_no_authority_without_the_one_above_it(
    tmp_path: Path, purpose: str, is_taken: bool
) -> None:
    make(tmp_path, "root", AUTHORITY)
    make(tmp_path, "between", AUTHORITY, issuer="root")
    make(tmp_path, "own", SAN, LEAF, issuer="between")
    assert "unable to get issuer certificate" in openssl_says(tmp_path, "own", root="between")
    folder = placed(tmp_path, "own", root="between", purpose=purpose)
    asked = [("controller", purpose, NAMES)]
    said = [str(each) for each in problems(folder, asked, NOW)]
    assert (said == []) is is_taken
    if not is_taken:
        assert "services-ca.pem: has CN=between, but not CN=root, which has signed it" in said[0]
        with (folder.path / "services-ca.pem").open("a") as stream:
            stream.write((tmp_path / "root.crt").read_text())
        assert list(problems(folder, asked, NOW)) == []


def test_an_authoritys_own_certificate_is_no_hosts(tmp_path: Path) -> None:
    make(tmp_path, "root", AUTHORITY)
    make(tmp_path, "own", SAN, AUTHORITY, issuer="root")
    for purpose in ("api", "qemu"):
        folder = placed(tmp_path, "own", root="root", purpose=purpose)
        assert refusal(folder, purpose).startswith(f"{purpose}.crt: is an authority's own")


def test_the_new_authority_beside_that_of_before_is_enough(tmp_path: Path) -> None:
    make(tmp_path, "root", AUTHORITY, "nameConstraints=permitted;DNS:example.org")
    make(tmp_path, "own", SAN, LEAF, issuer="root")
    again = ("openssl", "req", "-x509", "-key", "root.key", "-subj", "/CN=root", "-days", "30")
    words = (*again, "-out", "wide.crt", "-addext", AUTHORITY)
    subprocess.run(words, cwd=tmp_path, check=True, capture_output=True)
    folder = placed(tmp_path, "own", root="root")
    assert "name constraints" in refusal(folder)
    with (folder.path / "services-ca.pem").open("a") as stream:
        stream.write((tmp_path / "wide.crt").read_text())
    assert refusal(folder) == ""


def test_it_ends_with_the_first_of_all_that_it_needs(tmp_path: Path) -> None:
    make(tmp_path, "root", AUTHORITY, days=20)
    make(tmp_path, "between", AUTHORITY, issuer="root", days=10)
    make(tmp_path, "own", SAN, LEAF, issuer="between", days=30)
    make(tmp_path, "direct", SAN, LEAF, issuer="root", days=30)
    for chain, days in ((("own", "between"), 10), (("direct",), 20)):
        folder = placed(tmp_path, *chain, root="root")
        made = folder.issued(PURPOSES["api"], "controller", NAMES, None, NOW)
        left = made.not_after - dt.datetime.now(dt.timezone.utc)
        assert dt.timedelta(days=days - 1) < left <= dt.timedelta(days=days)


def test_what_is_in_der_is_told_how_to_become_pem(tmp_path: Path) -> None:
    make(tmp_path, "root", AUTHORITY)
    make(tmp_path, "own", SAN, LEAF, issuer="root")
    folder = placed(tmp_path, "own", root="root")
    own = folder.path / "controller"

    def converted(kind: str, name: str) -> None:
        words = ("openssl", kind, "-outform", "der", "-in", name, "-out", f"{name}.der")
        subprocess.run(words, cwd=own, check=True, capture_output=True)
        (own / name).write_bytes((own / f"{name}.der").read_bytes())

    converted("pkey", "api.key")
    assert refusal(folder).startswith("api.key: holds no private key in PEM, but one in DER")
    converted("x509", "api.crt")
    assert refusal(folder) == (
        "api.crt: is in DER, not PEM: openssl x509 -inform der -in api.crt -out api.pem"
    )
    remedy = refusal(folder).partition("PEM: ")[2].split()
    subprocess.run(remedy, cwd=own, check=True, capture_output=True)
    assert "BEGIN CERTIFICATE" in (own / "api.pem").read_text()


@pytest.mark.parametrize(("purpose", "is_taken"), [("qemu", False), ("api", True)])
def test_what_a_whole_system_trusts_lets_nobody_in_to_guests(
    tmp_path: Path, purpose: str, is_taken: bool
) -> None:
    """A server has to have the name that was asked for as well; QEMU and libvirt ask for none."""
    for number in range(MANY + 1):
        make(tmp_path, f"root{number}", AUTHORITY)
    make(tmp_path, "own", SAN, LEAF, issuer="root0")
    folder = placed(tmp_path, "own", root="root0", purpose=purpose)
    bundle = folder.path / f"{PURPOSES[purpose].authority}-ca.pem"
    bundle.write_text("".join((tmp_path / f"root{n}.crt").read_text() for n in range(MANY + 1)))
    found = [str(each) for each in problems(folder, [("controller", purpose, NAMES)], NOW)]
    assert (found == []) is is_taken
    if not is_taken:
        assert f"guests-ca.pem: has {MANY + 1} authorities, as a system's bundle does" in found[0]
