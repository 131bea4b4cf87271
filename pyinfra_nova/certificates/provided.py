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
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from pyinfra_nova.certificates.authority import is_of, pem_of
from pyinfra_nova.certificates.issued import Issued
from pyinfra_nova.certificates.judged import authority_problem, missing_above, problem_of
from pyinfra_nova.certificates.purposes import PURPOSES, Purpose
from pyinfra_nova.site.faults import Fault, SettingsError
from pyinfra_nova.site.tls import DER, as_pem

LIST = re.compile(rb"-----BEGIN X509 CRL-----.+?-----END X509 CRL-----\n?", re.DOTALL)
LETS_IN = {
    "hypervisors": "libvirt obeys whoever has a certificate of it for clients",
    "guests": "QEMU lets in whatever its authority has signed",
    "screens": "QEMU lets in whatever its authority has signed",
}
"""Authorities that are to vouch for nobody else, and why."""
READ_BY_OPENSSL = ("services", "screens")
"""Authorities that Nova, its consoles' proxy and this project's scripts verify with."""
MANY = 8
"""Authorities of one name, at most: some of each kind while they are exchanged. More of them are
what a system trusts, and so anybody who has a certificate of any."""


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

    def trusts(self, purpose: Purpose, found: str) -> bool:
        """Whether others go on taking FOUND, a certificate for PURPOSE with those after it."""
        trusted = self.authorities(purpose.authority)
        return any(is_of(each, above) for each in _read_as(found) for above in trusted)

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

        It is said to end with the first of all that it needs, its authorities included.

        Raises:
            CertificateError: it cannot be used.
        """
        path = self.path / host / f"{purpose.name}.crt"
        chain = _certificates(path)
        trusted = self.authorities(purpose.authority)
        if problem := problem_of(chain, trusted, purpose, names, now):
            raise CertificateError(path, problem)
        key = _private_key(path.with_suffix(".key"), chain[0])
        text = "".join(map(pem_of, chain))
        known = list(map(pem_of, _read_as(found))) if found else []
        reason = "" if known == list(map(pem_of, chain)) else "another one is on this machine"
        # With any of these the host's own ends, or what reads the file of its authorities.
        end = min(each.not_valid_after_utc for each in (*chain, *trusted))
        return Issued(text, key, end, reason if found else "there is none")


def problems(
    folder: Folder,
    wanted: Collection[tuple[str, str, Sequence[str]]],
    now: dt.datetime,
    cafile: str = "",
) -> Iterator[CertificateError]:
    """What is wrong with the files of WANTED, each a host, a purpose and the names it needs.

    CAFILE has the authorities, in PEM, of services that others run.
    """
    trusted: dict[str, tuple[x509.Certificate, ...]] = {}
    names = dict.fromkeys(PURPOSES[purpose].authority for _, purpose, _ in wanted)
    for name in names:
        try:
            trusted[name] = folder.authorities(name)
        except CertificateError as error:
            yield error
    if len(trusted) < len(names):
        return
    for name, authorities in trusted.items():
        path = folder.path / f"{name}-ca.pem"
        found = [authority_problem(authority, now) for authority in authorities]
        if name in LETS_IN and len(authorities) > MANY:
            found = [
                f"has {len(authorities)} authorities, as a system's bundle does; {LETS_IN[name]}: "
                "name the site's own alone"
            ]
        yield from (CertificateError(path, problem) for problem in found if problem)
    others = tuple(x509.load_pem_x509_certificates(cafile.encode())) if cafile else ()
    for name, problem in _lets_in(trusted, others):
        yield CertificateError(folder.path / f"{name}-ca.pem", problem)
    for name in READ_BY_OPENSSL:
        # What hosts trust for services has those of `cafile`, too.
        known = (*trusted.get(name, ()), *(others if name == "services" else ()))
        for authority in trusted.get(name, ()):
            if problem := missing_above(authority, known):
                yield CertificateError(folder.path / f"{name}-ca.pem", problem)
    for name in trusted:
        try:
            folder.revocations(name)
        except CertificateError as error:
            yield error
    for host, purpose, called in wanted:
        try:
            folder.issued(PURPOSES[purpose], host, called, None, now)
        except CertificateError as error:
            yield error


def cafile_problem(cafile: str, services: Sequence[x509.Certificate] = ()) -> str:
    """What keeps hosts that trust those of CAFILE, in PEM, and SERVICES from believing servers.

    Of as many as a system trusts some may lead nowhere.
    """
    others = tuple(x509.load_pem_x509_certificates(cafile.encode())) if cafile else ()
    found = [missing_above(each, (*others, *services)) for each in others]
    is_fault = all(found) if len(others) > MANY else any(found)
    return next(filter(None, found)) if found and is_fault else ""


def _lets_in(
    trusted: Mapping[str, Sequence[x509.Certificate]], others: Sequence[x509.Certificate]
) -> Iterator[tuple[str, str]]:
    """Names of LETS_IN whose authorities vouch for what has another purpose, and why not."""
    names = list(trusted)
    pairs = [(name, other) for at, name in enumerate(names) for other in names[:at]]
    for pair in pairs:
        for name, other in (pair, pair[::-1]):
            if name in LETS_IN and _vouches(trusted[name], trusted[other]):
                yield name, _too(name, f"{other}-ca.pem")
                break
    for name in names:
        if name in LETS_IN and _vouches(trusted[name], others):
            yield name, _too(name, "cafile")


def _too(name: str, other: str) -> str:
    return (
        f"has an authority that {other} has, too, or that vouches for one there; {LETS_IN[name]}: "
        "give it one of its own"
    )


def _vouches(above: Sequence[x509.Certificate], below: Sequence[x509.Certificate]) -> bool:
    """Whether of ABOVE one is, or has signed, one of BELOW: its certificates are then good, too."""
    return any(_key_of(a) == _key_of(b) or is_of(b, a) for a in above for b in below)


def _key_of(certificate: x509.Certificate) -> bytes:
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    return certificate.public_key().public_bytes(serialization.Encoding.DER, info)


def _read(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise CertificateError(path, "is not a regular file")
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
        found = _parsed(data)
    except ValueError:
        problem = as_pem(data, path.name) or "holds no certificate in PEM"
        raise CertificateError(path, problem) from None
    try:
        for each in found:
            each.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateError(path, "has a key of a kind that nobody knows") from None
    return found


def _read_as(found: str) -> tuple[x509.Certificate, ...]:
    try:
        return _parsed(found.encode())
    except ValueError:
        return ()


def _private_key(path: Path, certificate: x509.Certificate) -> str:
    data = _read(path)
    status = path.stat()
    if status.st_uid not in (0, os.getuid()):
        raise CertificateError(path, f"is somebody else's: chown {os.getuid()} {path}")
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise CertificateError(path, f"may be read by others: chmod 600 {path}")
    try:
        key = load_pem_private_key(data, password=None)
    except TypeError:
        raise CertificateError(
            path, "is encrypted, and daemons cannot ask for its password"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        problem = "holds no private key in PEM"
        if data[:1] == DER:
            problem += f", but one in DER, it seems: openssl pkey -inform der -in {path.name}"
        raise CertificateError(path, problem) from None
    if key.public_key() != certificate.public_key():
        raise CertificateError(path, f"is not the key of {path.with_suffix('.crt').name}")
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, form, serialization.NoEncryption()).decode()


def _is_list_of(revoked: x509.CertificateRevocationList, authority: x509.Certificate) -> bool:
    key = authority.public_key()
    try:
        return revoked.issuer == authority.subject and revoked.is_signature_valid(key)  # type: ignore[arg-type]
    except (TypeError, ValueError):  # a key of another kind, or one that signs nothing
        return False
