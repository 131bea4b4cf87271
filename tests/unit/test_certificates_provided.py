"""Certificates that a site makes itself, with OpenSSL here: what is taken, and what is refused."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pyinfra_nova.certificates.provided import CertificateError, Folder, problems
from pyinfra_nova.certificates.purposes import PURPOSES

NOW = dt.datetime.now(dt.timezone.utc) + dt.timedelta(hours=1)
NAMES = ("controller", "10.0.0.11")
SAN = "subjectAltName=DNS:controller,IP:10.0.0.11"


def openssl(folder: Path, *words: str) -> None:
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)


def make_authority(folder: Path, name: str, issuer: str | None = None, days: str = "30") -> None:
    by = ["-CA", f"{issuer}.crt", "-CAkey", f"{issuer}.key"] if issuer else []
    words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", days, *by]
    out = ["-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.crt"]
    openssl(folder, *words, *out, "-addext", "basicConstraints=critical,CA:TRUE")


def make_leaf(
    folder: Path, name: str, issuer: str, san: str = SAN, days: str = "30", usage: str = ""
) -> None:
    more = ["-addext", f"extendedKeyUsage={usage}"] if usage else []
    by = ["-CA", f"{issuer}.crt", "-CAkey", f"{issuer}.key"]
    words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", days, *by]
    out = ["-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.crt"]
    openssl(folder, *words, *out, "-addext", san, "-addext", "basicConstraints=CA:FALSE", *more)
    (folder / f"{name}.key").chmod(0o600)


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("company")
    make_authority(folder, "root")
    make_authority(folder, "between", issuer="root")
    make_authority(folder, "stranger")
    make_leaf(folder, "right", "root")
    make_leaf(folder, "chained", "between", usage="serverAuth")
    make_leaf(folder, "foreign", "stranger")
    make_leaf(folder, "short", "root", san="subjectAltName=DNS:controller")
    make_leaf(folder, "star", "root", san="subjectAltName=DNS:*.example.org,IP:10.0.0.11")
    make_leaf(folder, "client", "root", usage="clientAuth")
    return folder


Provide = Callable[..., Folder]


@pytest.fixture
def provide(company: Path, tmp_path: Path) -> Provide:
    def made(name: str, *between: str, key: str | None = None, mode: int = 0o600) -> Folder:
        own = tmp_path / "controller"
        own.mkdir(exist_ok=True)
        (tmp_path / "services-ca.pem").write_text((company / "root.crt").read_text())
        chain = "".join((company / f"{part}.crt").read_text() for part in (name, *between))
        (own / "api.crt").write_text(chain)
        (own / "api.key").write_text((company / f"{key or name}.key").read_text())
        (own / "api.key").chmod(mode)
        return Folder(tmp_path)

    return made


def refusal(folder: Folder, names: tuple[str, ...] = NAMES, now: dt.datetime = NOW) -> str:
    with pytest.raises(CertificateError) as error:
        folder.issued(PURPOSES["api"], "controller", names, None, now)
    [fault] = error.value.faults
    return str(fault).removeprefix(f"{folder.path}/controller/")


def test_a_certificate_of_the_authority_is_taken_with_its_key(provide: Provide) -> None:
    made = provide("right").issued(PURPOSES["api"], "controller", NAMES, None, NOW)
    assert made.reason == "there is none"
    assert made.certificate_pem.count("BEGIN") == 1
    assert "PRIVATE KEY" in made.key_pem
    assert "PRIVATE" not in repr(made)


def test_those_between_it_and_its_authority_go_with_it(provide: Provide) -> None:
    folder = provide("chained", "between")
    made = folder.issued(PURPOSES["api"], "controller", NAMES, None, NOW)
    assert made.certificate_pem.count("BEGIN") == 2
    again = folder.issued(
        PURPOSES["api"], "controller", NAMES, f"# a mark\n{made.certificate_pem}", NOW
    )
    assert not again.is_new


def test_without_what_is_between_nothing_leads_to_the_authority(provide: Provide) -> None:
    assert refusal(provide("chained")) == (
        "api.crt: is of no authority in services-ca.pem, nor are those after it"
    )


def test_another_one_than_the_hosts_is_new(provide: Provide) -> None:
    first = provide("right").issued(PURPOSES["api"], "controller", NAMES, None, NOW)
    second = provide("chained", "between").issued(
        PURPOSES["api"], "controller", NAMES, first.certificate_pem, NOW
    )
    assert second.reason == "another one is on this machine"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("foreign", "api.crt: is of no authority in services-ca.pem, nor are those after it"),
        ("short", "api.crt: does not hold the names 10.0.0.11"),
        ("client", "api.crt: is not for serverAuth"),
    ],
)
def test_what_is_not_right_is_named(provide: Provide, name: str, said: str) -> None:
    assert refusal(provide(name)) == said


def test_one_that_has_ended_or_not_begun_is_named(provide: Provide) -> None:
    folder = provide("right")
    assert "api.crt: ended on " in refusal(folder, now=NOW + dt.timedelta(days=31))
    assert "api.crt: is not valid before " in refusal(folder, now=NOW - dt.timedelta(days=1))


def test_a_star_is_one_label(provide: Provide) -> None:
    folder = provide("star")
    good = folder.issued(PURPOSES["api"], "controller", ("a.example.org", "10.0.0.11"), None, NOW)
    assert good.certificate_pem
    assert refusal(folder, ("a.b.example.org", "example.org")) == (
        "api.crt: does not hold the names a.b.example.org, example.org"
    )


def test_a_star_below_a_single_label_is_nobody_s_as_openssl_has_it(
    company: Path, provide: Provide
) -> None:
    make_leaf(company, "bare", "root", san="subjectAltName=DNS:*.lab,IP:10.0.0.11")
    by = ("-CAfile", "root.crt", "-verify_hostname", "controller.lab", "bare.crt")
    said = subprocess.run(
        ("openssl", "verify", *by), cwd=company, capture_output=True, text=True, check=False
    )
    assert "hostname mismatch" in said.stderr
    names = ("controller.lab", "10.0.0.11")
    assert refusal(provide("bare"), names) == "api.crt: does not hold the names controller.lab"


def test_the_key_of_another_is_refused(provide: Provide) -> None:
    assert refusal(provide("right", key="short")) == "api.key: is not the key of api.crt"


def test_a_key_that_others_may_read_is_refused(provide: Provide) -> None:
    folder = provide("right", mode=0o644)
    assert refusal(folder) == (
        f"api.key: may be read by others: chmod 600 {folder.path}/controller/api.key"
    )


def test_a_key_among_certificates_is_refused(provide: Provide) -> None:
    folder = provide("right")
    own = folder.path / "controller"
    (own / "api.crt").write_text((own / "api.crt").read_text() + (own / "api.key").read_text())
    assert "api.crt: holds a private key" in refusal(folder)


def test_what_is_missing_is_named(provide: Provide) -> None:
    folder = provide("right")
    (folder.path / "controller/api.key").unlink()
    assert refusal(folder) == "api.key: cannot be read: No such file or directory"


def test_guests_ports_need_an_authority_of_their_own(company: Path, tmp_path: Path) -> None:
    for name in ("services", "screens"):
        (tmp_path / f"{name}-ca.pem").write_text((company / "root.crt").read_text())
    found = list(
        problems(
            Folder(tmp_path), [("controller", "api", NAMES), ("controller", "console", NAMES)], NOW
        )
    )
    assert "screens-ca.pem: has an authority that services-ca.pem has, too" in str(found[0])
    assert len(found) == 3  # and the two certificates that are not there


# --- what it has revoked --------------------------------------------------------------------------


def make_list(folder: Path, name: str) -> str:
    """What an authority has revoked: nothing so far."""
    text = "[ca]\ndefault_ca=own\n[own]\ndatabase=index\ndefault_md=sha256\ndefault_crl_days=30\n"
    (folder / "ca.conf").write_text(text)
    (folder / "index").write_text("")
    by = ("-keyfile", f"{name}.key", "-cert", f"{name}.crt")
    openssl(folder, "ca", "-config", "ca.conf", "-gencrl", *by, "-out", f"{name}.crl")
    return (folder / f"{name}.crl").read_text()


def said_of(folder: Folder) -> list[str]:
    found = problems(folder, [("controller", "api", NAMES)], NOW)
    faults = (fault for error in found for fault in error.faults)
    return [str(fault).removeprefix(f"{folder.path}/") for fault in faults]


def test_a_list_of_its_authority_goes_to_hosts_as_it_is(company: Path, provide: Provide) -> None:
    folder, text = provide("right"), make_list(company, "root")
    assert folder.revocations("services") == ""
    (folder.path / "services-crl.pem").write_text(f"some words\n{text}")
    assert folder.revocations("services") == text
    assert said_of(folder) == []


def test_a_list_that_would_keep_qemu_from_starting_or_refuse_nobody_is_named(
    company: Path, provide: Provide
) -> None:
    folder = provide("right")
    path = folder.path / "services-crl.pem"
    path.write_text("")
    assert said_of(folder) == ["services-crl.pem: holds no list of revoked certificates in PEM"]
    path.write_text(make_list(company, "stranger"))
    assert said_of(folder) == ["services-crl.pem: has a list of no authority in services-ca.pem"]


# --- what would keep daemons from starting, or let others in --------------------------------------


def authorities(company: Path, folder: Path, **names: str) -> Folder:
    for name, which in names.items():
        (folder / f"{name}-ca.pem").write_text((company / f"{which}.crt").read_text())
    return Folder(folder)


def first_said(folder: Folder, purpose: str, now: dt.datetime = NOW, cafile: str = "") -> str:
    asked = [("controller", "api", NAMES), ("controller", purpose, NAMES)]
    found = next(problems(folder, asked, now, cafile)).faults
    return str(found[0]).removeprefix(f"{folder.path}/")


@pytest.mark.parametrize("purpose", ["libvirt", "qemu", "screen"])
def test_who_lets_in_whom_its_authority_knows_has_one_that_knows_no_service(
    company: Path, tmp_path: Path, purpose: str
) -> None:
    name = PURPOSES[purpose].authority
    same = authorities(company, tmp_path, services="root", **{name: "root"})
    assert f"{name}-ca.pem: has an authority that services-ca.pem has, too" in first_said(
        same, purpose
    )
    above = authorities(company, tmp_path, services="between", **{name: "root"})
    assert f"{name}-ca.pem: has an authority that services-ca.pem has, too" in first_said(
        above, purpose
    )
    below = authorities(company, tmp_path, services="root", **{name: "between"})
    said = "has CN=between, but not CN=root" if purpose == "screen" else "api.crt: cannot be read"
    assert said in first_said(below, purpose)


def test_nor_may_it_know_the_services_that_others_run(company: Path, tmp_path: Path) -> None:
    folder = authorities(company, tmp_path, services="stranger", hypervisors="root")
    cafile = (company / "between.crt").read_text()
    assert first_said(folder, "libvirt", cafile=cafile).startswith(
        "hypervisors-ca.pem: has an authority that cafile has, too, or that vouches for one there; "
        "libvirt obeys whoever has a certificate of it"
    )


def test_an_authority_that_has_ended_or_is_none_is_named(company: Path, tmp_path: Path) -> None:
    later = NOW + dt.timedelta(days=31)
    folder = authorities(company, tmp_path, services="root", guests="stranger")
    assert "services-ca.pem: has an authority that ended on " in first_said(folder, "qemu", later)
    with (tmp_path / "services-ca.pem").open("a") as stream:
        stream.write((company / "right.crt").read_text())
    assert first_said(folder, "qemu") == (
        "services-ca.pem: has a certificate that is no authority's: CN=right"
    )


def key_usage(company: Path, provide: Provide, usage: str, *more: str) -> str:
    by = (
        "-CA",
        "root.crt",
        "-CAkey",
        "root.key",
        "-subj",
        "/CN=odd",
        "-days",
        "30",
        "-addext",
        SAN,
        "-addext",
        "basicConstraints=CA:FALSE",
    )
    words = ("req", "-x509", "-nodes", "-keyout", "odd.key", "-out", "odd.crt", *by)
    openssl(company, *words, *more, "-addext", f"keyUsage={usage}")
    folder = provide("odd")
    (folder.path / "guests-ca.pem").write_text((company / "root.crt").read_text())
    for end in ("crt", "key"):
        (folder.path / f"controller/api.{end}").rename(folder.path / f"controller/qemu.{end}")
    try:
        folder.issued(PURPOSES["qemu"], "controller", NAMES, None, NOW)
    except CertificateError as error:
        return str(error)
    return ""


CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")


def test_a_key_usage_with_which_qemu_and_libvirt_do_not_start_is_named(
    company: Path, provide: Provide
) -> None:
    usage = "critical,digitalSignature"
    assert "has a critical keyUsage without" in key_usage(company, provide, usage, *CURVE)
    assert key_usage(company, provide, f"{usage},keyEncipherment", *CURVE) == ""
    assert key_usage(company, provide, "digitalSignature", *CURVE) == ""


def test_what_openssl_finds_weak_is_named(company: Path, provide: Provide) -> None:
    words = ("digitalSignature", "-newkey", "rsa:1024")
    assert "has an RSA key of 1024 bits" in key_usage(company, provide, *words)
    assert "is signed with sha1" in key_usage(company, provide, "digitalSignature", *CURVE, "-sha1")


def test_a_key_of_a_kind_that_nobody_knows_is_named(company: Path, provide: Provide) -> None:
    folder = provide("right")
    openssl(company, "genpkey", *("-algorithm", "SM2", "-out", "sm2.key"))
    (folder.path / "controller/api.key").write_text((company / "sm2.key").read_text())
    assert refusal(folder) == "api.key: holds no private key in PEM"


def test_a_client_needs_no_name(company: Path, tmp_path: Path) -> None:
    own = tmp_path / "controller"
    own.mkdir()
    make_leaf(company, "unnamed", "stranger", san="keyUsage=digitalSignature", usage="clientAuth")
    (tmp_path / "screens-ca.pem").write_text((company / "stranger.crt").read_text())
    for kind in ("crt", "key"):
        (own / f"console.{kind}").write_text((company / f"unnamed.{kind}").read_text())
    (own / "console.key").chmod(0o600)
    made = Folder(tmp_path).issued(PURPOSES["console"], "controller", NAMES, None, NOW)
    assert made.certificate_pem


def test_each_missing_authority_is_named_at_once(tmp_path: Path) -> None:
    wanted = [("controller", "api", NAMES), ("controller", "console", NAMES)]
    said = [str(each.faults[0]) for each in problems(Folder(tmp_path), wanted, NOW)]
    assert [text.split(": ")[0].rpartition("/")[2] for text in said] == [
        "services-ca.pem",
        "screens-ca.pem",
    ]


def test_what_is_no_file_is_named_and_nothing_waits_for_it(provide: Provide) -> None:
    folder = provide("right")
    path = folder.path / "controller/api.crt"
    path.unlink()
    os.mkfifo(path)
    assert refusal(folder) == "api.crt: is not a regular file"
