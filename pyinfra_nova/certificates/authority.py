"""Authorities that are made of a secret: the same one each time, so none is stored anywhere."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509.oid import NameOID

AUTHORITIES = ("services", "hypervisors", "guests", "screens")
"""Whom a host trusts to answer for APIs, database and broker; for libvirt; for guests on the move;
for guests' screens. QEMU lets in whatever its authority has signed (it looks at no extended key
usage, crypto/tlscredsx509.c), so what it trusts has to be for nothing else."""
DIVIDED = ("screens",)
"""Authorities that sign no certificate of a host themselves, but other authorities below them."""
ORGANIZATION = "pyinfra-nova"
CURVE = ec.SECP256R1()
BEGIN = dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc)
END = dt.datetime(2049, 12, 31, tzinfo=dt.timezone.utc)
"""Of every authority: a date of today would make another one of the same secret. An authority ends
when its secret is exchanged. After 2049 dates are written in another form (RFC 5280, 4.1.2.5)."""

_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of the curve (SEC 2, 2.4.2): a private key is a number from 1 up to one less than that."""


@cache
def _seed(secret: str) -> bytes:
    """What keys are made of: public halves allow guesses at SECRET; scrypt makes each one dear."""
    return hashlib.scrypt(secret.encode(), salt=b"pyinfra-nova tls", n=2**14, r=8, p=1)[:32]


def derived_key(secret: str, *labels: str) -> ec.EllipticCurvePrivateKey:
    """The private key that SECRET makes for LABELS, always the same one."""
    info = b"\0".join(label.encode() for label in ("key", *labels))
    # 64 bits more than the order has, lest some numbers be likelier (FIPS 186-5, A.2.1).
    data = HKDF(hashes.SHA256(), 40, salt=None, info=info).derive(_seed(secret))
    return ec.derive_private_key(int.from_bytes(data, "big") % (_ORDER - 1) + 1, CURVE)


def pem_of(certificate: x509.Certificate | x509.CertificateRevocationList) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    """KEY as a file holds it; PKCS #8, which OpenSSL, GnuTLS and Erlang read."""
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, form, serialization.NoEncryption()).decode()


def is_of(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether ISSUER has signed CERTIFICATE."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except Exception:  # of another name, algorithm or key: each its own kind
        return False
    return True


def key_identifier(key: ec.EllipticCurvePublicKey) -> bytes:
    return x509.SubjectKeyIdentifier.from_public_key(key).digest


@dataclass(frozen=True)
class Authority:
    """One of AUTHORITIES as a secret makes it, or one below them.

    Attributes:
        name: which one.
        certificate: what others trust.
        is_below: it is signed by another one, which others may trust in its place.
    """

    name: str
    certificate: x509.Certificate
    _key: ec.EllipticCurvePrivateKey = field(repr=False, compare=False)
    is_below: bool = False

    @property
    def pem(self) -> str:
        return pem_of(self.certificate)

    @property
    def identifier(self) -> bytes:
        """Of its key: what certificates that it gave out name it by."""
        return key_identifier(self._key.public_key())

    def has_signed(self, certificate: x509.Certificate) -> bool:
        """Whether CERTIFICATE is one that this authority gave out."""
        return is_of(certificate, self.certificate)

    def signed(
        self,
        common_name: str,
        key: ec.EllipticCurvePublicKey,
        serial: int,
        period: tuple[dt.datetime, dt.datetime],
        extensions: Sequence[tuple[x509.ExtensionType, bool]],
    ) -> x509.Certificate:
        """A certificate of KEY; of EXTENSIONS each is critical or not."""
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject(common_name))
            .issuer_name(self.certificate.subject)
            .public_key(key)
            .serial_number(serial)
            .not_valid_before(period[0])
            .not_valid_after(period[1])
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier(self.identifier, None, None), critical=False)
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self._key, hashes.SHA256(), ecdsa_deterministic=True)

    def refusing(self, serials: Sequence[int]) -> x509.CertificateRevocationList:
        """What says that certificates with these numbers are good no more.

        It is as old and ends as late as the authority itself: it is the same each time, nobody has
        to renew it, and none is too old for whoever looks at its dates.
        """
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(BEGIN)
            .next_update(END)
            .add_extension(x509.AuthorityKeyIdentifier(self.identifier, None, None), critical=False)
            .add_extension(x509.CRLNumber(1), critical=False)
        )
        for serial in sorted(serials):
            revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(BEGIN)
            builder = builder.add_revoked_certificate(revoked.build())
        return builder.sign(self._key, hashes.SHA256(), ecdsa_deterministic=True)


COMMON_NAME_LIMIT = 64
"""Of X.520 (RFC 5280, ub-common-name); cryptography counts bytes."""


def _cut(text: str, limit: int) -> str:
    return text.encode()[:limit].decode(errors="ignore")


def subject(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANIZATION),
            x509.NameAttribute(NameOID.COMMON_NAME, _cut(common_name, COMMON_NAME_LIMIT)),
        ]
    )


_USAGE = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


@cache
def authority(secret: str, name: str) -> Authority:
    """The authority NAME that SECRET makes; the same, byte for byte, each time."""
    return _made(derived_key(secret, "authority", name), name, None)


@cache
def authority_below(secret: str, above: str, name: str) -> Authority:
    """The authority NAME to which ABOVE, one of DIVIDED, has left a part of its word."""
    return _made(derived_key(secret, "authority", above, name), name, authority(secret, above))


def _made(key: ec.EllipticCurvePrivateKey, name: str, above: Authority | None) -> Authority:
    public = key.public_key()
    identifier = key_identifier(public)
    # Told apart in lists of trusted ones while an old one and a new one stand side by side.
    mark = f" {identifier.hex()[:12]}"
    whose = subject(_cut(name, COMMON_NAME_LIMIT - len(mark)) + mark)
    depth = 1 if above is None and name in DIVIDED else 0
    builder = (
        x509.CertificateBuilder()
        .subject_name(whose)
        .issuer_name(above.certificate.subject if above else whose)
        .public_key(public)
        .serial_number(int.from_bytes(identifier[:15], "big") or 1)
        .not_valid_before(BEGIN)
        .not_valid_after(END)
        .add_extension(x509.BasicConstraints(ca=True, path_length=depth), critical=True)
        .add_extension(_USAGE, critical=True)
        .add_extension(x509.SubjectKeyIdentifier(identifier), critical=False)
    )
    if above:
        whom = x509.AuthorityKeyIdentifier(above.identifier, None, None)
        builder = builder.add_extension(whom, critical=False)
    certificate = builder.sign(
        above._key if above else key, hashes.SHA256(), ecdsa_deterministic=True
    )
    return Authority(name, certificate, key, is_below=above is not None)
