"""Certificates that the site makes itself: read from a folder on this machine, and judged.

In it are ``AUTHORITY-ca.pem`` for each of ``AUTHORITIES``, and for each host a folder of its
inventory name with ``PURPOSE.crt`` (the certificate, then those between it and its authority) and
``PURPOSE.key``. There may be an ``AUTHORITY-crl.pem`` with what it has revoked.
"""

from __future__ import annotations

import datetime as dt
import os
import re
import stat
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from pyinfra_nova.certificates.authority import pem_of
from pyinfra_nova.certificates.issued import Issued
from pyinfra_nova.certificates.purposes import PURPOSES, Purpose
from pyinfra_nova.site.faults import Fault, SettingsError

LIST = re.compile(rb"-----BEGIN X509 CRL-----.+?-----END X509 CRL-----\n?", re.DOTALL)
LONGEST_CHAIN = 8
"""Certificates between a host's own and its authority, at most; a circle has no end."""


class CertificateError(SettingsError):
    """What is wrong with one file; the fault names it and says what to do."""

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__([Fault(str(path), "", problem)])


@dataclass(frozen=True)
class Folder:
    """The folder with the certificates of a site."""

    path: Path

    def authorities(self, name: str) -> tuple[x509.Certificate, ...]:
        """The authorities that are trusted as NAME.

        Raises:
            CertificateError: there are none.
        """
        return _certificates(self.path / f"{name}-ca.pem")

    def revocations(self, name: str) -> str:
        """What the authorities of NAME have revoked, as their lists say; empty without a file.

        Raises:
            CertificateError: there is a file, but no list that is theirs.
        """
        path = self.path / f"{name}-crl.pem"
        if not path.exists():
            return ""
        data = _read(path)
        try:
            lists = [x509.load_pem_x509_crl(found) for found in LIST.findall(data)]
        except ValueError:
            lists = []
        if not lists:
            # QEMU starts no guest with a file of none (gnutls_certificate_set_x509_crl_file).
            raise CertificateError(path, "holds no list of revoked certificates in PEM")
        for each in lists:
            if not any(_is_list_of(each, authority) for authority in self.authorities(name)):
                raise CertificateError(path, f"has a list of no authority in {name}-ca.pem")
        return "".join(map(pem_of, lists))

    def issued(
        self,
        purpose: Purpose,
        host: str,
        names: Collection[str],
        found: str | None,
        now: dt.datetime,
    ) -> Issued:
        """The certificate of HOST for PURPOSE, which FOUND may be already; NAMES are called.

        Raises:
            CertificateError: it cannot be used.
        """
        path = self.path / host / f"{purpose.name}.crt"
        chain = _certificates(path)
        if problem := _problem(chain, self.authorities(purpose.authority), purpose, names, now):
            raise CertificateError(path, problem)
        key = _private_key(path.with_suffix(".key"), chain[0])
        text = "".join(map(pem_of, chain))
        known = _texts(found) if found else []
        reason = "" if known == list(map(pem_of, chain)) else "another one is on this machine"
        return Issued(text, key, chain[0].not_valid_after_utc, reason if found else "there is none")


def problems(
    folder: Folder, wanted: Collection[tuple[str, str, Sequence[str]]], now: dt.datetime
) -> Iterator[CertificateError]:
    """What is wrong with the files of WANTED, each a host, a purpose and the names it needs."""
    names = dict.fromkeys(PURPOSES[purpose].authority for _, purpose, _ in wanted)
    trusted: dict[bytes, str] = {}
    for name in names:
        try:
            for authority in folder.authorities(name):
                key = authority.public_key().public_bytes(
                    serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
                )
                other = trusted.setdefault(key, name)
                if other != name and {other, name} & {"guests", "screens"}:
                    problem = (
                        f"has an authority that {other}-ca.pem has, too; QEMU lets in whatever "
                        "its authority has signed: give it one of its own"
                    )
                    yield CertificateError(folder.path / f"{name}-ca.pem", problem)
        except CertificateError as error:
            yield error
            return
    for name in names:
        try:
            folder.revocations(name)
        except CertificateError as error:
            yield error
    for host, purpose, called in wanted:
        try:
            folder.issued(PURPOSES[purpose], host, called, None, now)
        except CertificateError as error:
            yield error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateError(path, f"cannot be read: {error.strerror}") from None


@cache
def _parsed(data: bytes) -> tuple[x509.Certificate, ...]:
    return tuple(x509.load_pem_x509_certificates(data))


def _certificates(path: Path) -> tuple[x509.Certificate, ...]:
    data = _read(path)
    if b"PRIVATE KEY" in data:
        raise CertificateError(path, "holds a private key, and is read by everybody on its host")
    try:
        return _parsed(data)
    except ValueError:
        raise CertificateError(path, "holds no certificate in PEM") from None


def _texts(found: str) -> list[str]:
    try:
        return [pem_of(certificate) for certificate in _parsed(found.encode())]
    except ValueError:
        return []


def _private_key(path: Path, certificate: x509.Certificate) -> str:
    data = _read(path)
    status = path.stat()
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO) or status.st_uid not in (0, os.getuid()):
        raise CertificateError(path, f"may be read by others: chmod 600 {path}")
    try:
        key = load_pem_private_key(data, password=None)
    except TypeError:
        raise CertificateError(
            path, "is encrypted, and daemons cannot ask for its password"
        ) from None
    except ValueError:
        raise CertificateError(path, "holds no private key in PEM") from None
    if key.public_key() != certificate.public_key():
        raise CertificateError(path, f"is not the key of {path.with_suffix('.crt').name}")
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, form, serialization.NoEncryption()).decode()


def _problem(
    chain: Sequence[x509.Certificate],
    trusted: Sequence[x509.Certificate],
    purpose: Purpose,
    names: Collection[str],
    now: dt.datetime,
) -> str:
    """What is wrong with a certificate; empty if nothing is."""
    own = chain[0]
    for each in chain:
        if now < each.not_valid_before_utc:
            return f"is not valid before {each.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        if now >= each.not_valid_after_utc:
            return f"ended on {each.not_valid_after_utc:%Y-%m-%d}"
    if not _leads_to(chain, trusted):
        return f"is of no authority in {purpose.authority}-ca.pem, nor are those after it"
    try:
        called = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return "has no subject alternative names, by which alone it is known"
    missing = [name for name in names if not _covers(called, name)] if purpose.is_server else []
    if missing:
        return f"does not hold the names {', '.join(missing)}"
    try:
        usages = set(own.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return ""  # good for everything (RFC 5280, 4.2.1.12)
    if lacking := [use for use in purpose.usages if use not in usages]:
        return f"is not for {' and '.join(str(use._name) for use in lacking)}"
    return ""


def _leads_to(chain: Sequence[x509.Certificate], trusted: Sequence[x509.Certificate]) -> bool:
    for here, above in zip(chain[:LONGEST_CHAIN], [*chain[1:], None], strict=False):
        if any(is_of(here, authority) for authority in trusted):
            return True
        if above is None or not is_of(here, above):
            return False
    return False


def is_of(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except Exception:  # of another name, algorithm or key: each its own kind
        return False
    return True


def _is_list_of(revoked: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    key = authority.public_key()
    try:
        return revoked.issuer == authority.subject and revoked.is_signature_valid(key)  # type: ignore[arg-type]
    except (TypeError, ValueError):  # a key of another kind, or one that signs nothing
        return False


def _covers(called: x509.SubjectAlternativeName, name: str) -> bool:
    try:
        return ip_address(name) in called.get_values_for_type(x509.IPAddress)
    except ValueError:
        pass
    names = [each.lower() for each in called.get_values_for_type(x509.DNSName)]
    # A star is one label, the first one (RFC 6125, 6.4.3).
    _, dot, rest = name.lower().partition(".")
    return name.lower() in names or (bool(dot) and f"*.{rest}" in names)
