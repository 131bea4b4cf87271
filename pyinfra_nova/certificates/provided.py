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
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from pyinfra_nova.certificates.authority import pem_of
from pyinfra_nova.certificates.issued import Issued
from pyinfra_nova.certificates.purposes import PURPOSES, Purpose
from pyinfra_nova.site.faults import Fault, SettingsError

LIST = re.compile(rb"-----BEGIN X509 CRL-----.+?-----END X509 CRL-----\n?", re.DOTALL)
LONGEST_CHAIN = 8
"""Certificates between a host's own and its authority, at most; a circle has no end."""
LETS_IN = {
    "hypervisors": "libvirt obeys whoever has a certificate of it for clients",
    "guests": "QEMU lets in whatever its authority has signed",
    "screens": "QEMU lets in whatever its authority has signed",
}
"""Authorities that are to vouch for nobody else, and why."""
READ_BY_GNUTLS = ("libvirt", "qemu", "screen")
"""Purposes whose daemons look at a certificate of their own before they show it (libvirt's
src/rpc/virnettlscert.c before 11, QEMU's crypto/tlscredsx509.c before 10.1)."""
READ_BY_OPENSSL = ("services", "screens")
"""Authorities by which OpenSSL believes others, where those above them are trusted, too, up to one
that has signed itself (X509_V_FLAG_PARTIAL_CHAIN, which Python before 3.13 leaves off)."""
SMALLEST_RSA = 2048
WEAK_HASHES = ("md5", "sha1")
"""Refused by OpenSSL at Debian's and EL's security level 2, as are smaller keys of RSA."""


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
        # Those between it and its authority end as well, and with them all below.
        end = min(each.not_valid_after_utc for each in chain)
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
        found = (_authority_problem(authority, now) for authority in authorities)
        yield from (CertificateError(path, problem) for problem in found if problem)
    others = tuple(x509.load_pem_x509_certificates(cafile.encode())) if cafile else ()
    for name, problem in _lets_in(trusted, others):
        yield CertificateError(folder.path / f"{name}-ca.pem", problem)
    for name in READ_BY_OPENSSL:
        known = (*trusted.get(name, ()), *(others if name == "services" else ()))
        for authority in trusted.get(name, ()):
            if not _is_rooted(authority, known):
                whose = authority.subject.rfc4514_string()
                yield CertificateError(folder.path / f"{name}-ca.pem", NO_ROOT.format(whose))
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


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


def _authority_problem(authority: x509.Certificate, now: dt.datetime) -> str:
    """What keeps libvirt and QEMU from starting with a file that has AUTHORITY; else empty."""
    whose = authority.subject.rfc4514_string()
    if not _is_authority(authority):
        return f"has a certificate that is no authority's: {whose}"
    if now >= authority.not_valid_after_utc:
        return f"has an authority that ended on {authority.not_valid_after_utc:%Y-%m-%d}: {whose}"
    if now < authority.not_valid_before_utc:
        begin = f"{authority.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        return f"has an authority that is not valid before {begin}: {whose}"
    return ""


NO_ROOT = (
    "has {}, which has not signed itself, and not the one that has: OpenSSL, by which Nova and its "
    "consoles' proxy verify, believes nobody by it; add that one, or name another authority"
)


def _is_rooted(authority: x509.Certificate, known: Sequence[x509.Certificate]) -> bool:
    """Whether AUTHORITY leads, by those that are KNOWN, to one that has signed itself."""
    here = {authority}
    for _ in range(LONGEST_CHAIN):
        if any(is_of(each, each) for each in here):
            return True
        here = {above for above in known for each in here if is_of(each, above)}
    return False


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
        raise CertificateError(path, "holds no certificate in PEM") from None
    try:
        for each in found:
            each.public_key()
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateError(path, "has a key of a kind that nobody knows") from None
    return found


def _texts(found: str) -> list[str]:
    try:
        return [pem_of(certificate) for certificate in _parsed(found.encode())]
    except ValueError:
        return []


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
    if weak := next(filter(None, map(_weakness, chain)), ""):
        return weak
    if not _leads_to(chain, trusted):
        return f"is of no authority in {purpose.authority}-ca.pem, nor are those after it"
    if purpose.is_server and (problem := _names_problem(own, names)):
        return problem
    if purpose.name in READ_BY_GNUTLS:
        if _is_authority(own):
            return "is an authority's (CA:TRUE), with which libvirt and QEMU do not start: CA:FALSE"
        if problem := _key_usage_problem(own):
            return problem
    try:
        usages = set(own.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return ""  # good for everything (RFC 5280, 4.2.1.12)
    if lacking := [use for use in purpose.usages if use not in usages]:
        return f"is not for {' and '.join(str(use._name) for use in lacking)}"
    return ""


def _names_problem(certificate: x509.Certificate, names: Collection[str]) -> str:
    """Which of NAMES, by which others connect to it, a server's certificate lacks."""
    try:
        called = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return "has no subject alternative names, by which alone it is known"
    missing = [name for name in names if not _covers(called, name)]
    return f"does not hold the names {', '.join(missing)}" if missing else ""


def _weakness(certificate: x509.Certificate) -> str:
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < SMALLEST_RSA:
        return f"has an RSA key of {key.key_size} bits, and less than {SMALLEST_RSA} are refused"
    try:
        used = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return "is signed in a way that nobody knows"
    return (
        f"is signed with {used.name}, which is refused" if used and used.name in WEAK_HASHES else ""
    )


def _key_usage_problem(certificate: x509.Certificate) -> str:
    """What libvirt and QEMU do not start with, although a key may have no use for it."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    except (x509.ExtensionNotFound, ValueError):
        return ""
    if not usage.critical or (usage.value.digital_signature and usage.value.key_encipherment):
        return ""
    return (
        "has a critical keyUsage without digitalSignature and keyEncipherment, both of which "
        "libvirt before 11 and QEMU before 10.1 want then, of every key: add them, or have it not "
        "be critical"
    )


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
    # A star is one label, the first one (RFC 6125, 6.4.3), and OpenSSL wants two after it.
    _, _, rest = name.lower().partition(".")
    return name.lower() in names or ("." in rest and f"*.{rest}" in names)
