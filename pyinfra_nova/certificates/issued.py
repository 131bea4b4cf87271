"""The certificate of a host for a purpose: the one that it has, or a new one, with the reason."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass, field
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from pyinfra_nova.certificates.authority import Authority, derived_key, key_pem, pem_of
from pyinfra_nova.certificates.issuers import issuer
from pyinfra_nova.certificates.purposes import Purpose
from pyinfra_nova.certificates.revocations import number_of

CLOCKS = dt.timedelta(hours=1)
"""How far back a new certificate begins: some host's clock may be behind this machine's."""
TEXT_LIMIT = 64 * 1024
ANOTHER = "the one there is of another host, or for something else"


@dataclass(frozen=True)
class Issued:
    """A certificate with its key.

    Attributes:
        certificate_pem: public; with those between it and its authority.
        key_pem: its private key, which follows from the secret and the certificate.
        not_after: when it ends.
        reason: why it is a new one; empty for the one that the host has.
    """

    certificate_pem: str
    key_pem: str = field(repr=False)
    not_after: dt.datetime
    reason: str

    @property
    def is_new(self) -> bool:
        return bool(self.reason)


def wanted(
    secret: str,
    purpose: Purpose,
    host: str,
    names: Collection[str],
    found: str | None,
    now: dt.datetime,
    days: int,
    renew_days: int,
) -> Issued:
    """What HOST is to have for PURPOSE: what was FOUND there as long as it is right.

    NAMES are host names and addresses that it answers to. The private key is made of SECRET and the
    certificate's own number and beginning, so a host's certificate, which anybody may read, says
    which key it is to have: none is stored or fetched.
    """
    giver = issuer(secret, purpose, host)
    number = number_of(giver, purpose, host) if purpose.is_revocable else None
    there = _read(found)
    if there is None:
        reason = "there is none" if not found else "what is there is no certificate"
    else:
        key = _key(secret, purpose, host, there.serial_number, there.not_valid_before_utc)
        if number not in (None, there.serial_number) and giver.has_signed(there):
            reason = ANOTHER
        else:
            reason = _fault(there, giver, purpose, names, key) or _age(there, now, days, renew_days)
        if not reason:
            return Issued(_shown(there, giver), key_pem(key), there.not_valid_after_utc, "")
    serial = x509.random_serial_number() if number is None else number
    now = now.replace(microsecond=0)
    period = (now - CLOCKS, now + dt.timedelta(days=days))
    key = _key(secret, purpose, host, serial, period[0])
    certificate = giver.signed(
        f"{purpose.name} {host}", key.public_key(), serial, period, _extensions(purpose, names)
    )
    return Issued(_shown(certificate, giver), key_pem(key), period[1], reason)


def _shown(certificate: x509.Certificate, giver: Authority) -> str:
    """What a host shows: whoever trusts the authority above GIVER has to see GIVER, too."""
    return pem_of(certificate) + (giver.pem if giver.is_below else "")


def _key(
    secret: str, purpose: Purpose, host: str, serial: int, begin: dt.datetime
) -> ec.EllipticCurvePrivateKey:
    which = (str(serial), str(int(begin.timestamp())))  # a new key with each new certificate
    return derived_key(secret, "leaf", purpose.authority, purpose.name, host, *which)


def _read(text: str | None) -> x509.Certificate | None:
    if not text or len(text) > TEXT_LIMIT:
        return None
    try:
        return x509.load_pem_x509_certificate(text.encode())
    except ValueError:
        return None


def _general_names(names: Collection[str]) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    for name in dict.fromkeys(names):
        try:
            found.append(x509.IPAddress(ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return found


_USAGE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


def _extensions(purpose: Purpose, names: Collection[str]) -> list[tuple[x509.ExtensionType, bool]]:
    return [
        # Critical, libvirt before 11 refuses it without keyEncipherment, which keys of elliptic
        # curves have no use for (src/rpc/virnettlscert.c).
        (_USAGE, False),
        (x509.ExtendedKeyUsage(purpose.usages), False),
        (x509.SubjectAlternativeName(_general_names(names)), False),
    ]


def _fault(
    there: x509.Certificate,
    issuer: Authority,
    purpose: Purpose,
    names: Collection[str],
    key: ec.EllipticCurvePrivateKey,
) -> str:
    """What is wrong with a host's certificate, whenever it is looked at; empty if nothing is."""
    if not issuer.has_signed(there):
        return "the one there is of another authority"
    if there.public_key() != key.public_key():
        return ANOTHER
    try:
        extensions = there.extensions
        if set(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) != set(
            purpose.usages
        ):
            return "the one there is for something else"
        there_for = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return "the one there is of another form"
    if set(there_for) != set(_general_names(names)):
        return "the one there has other names"
    return ""


def _age(there: x509.Certificate, now: dt.datetime, days: int, renew_days: int) -> str:
    end = there.not_valid_after_utc
    if now < there.not_valid_before_utc:
        return f"the one there is not valid before {there.not_valid_before_utc:%Y-%m-%d}"
    if now >= end:
        return f"the one there ended on {end:%Y-%m-%d}"
    if end - now <= dt.timedelta(days=renew_days):
        return f"the one there ends on {end:%Y-%m-%d}"
    # It was made for more days than there are to be, or by a clock that was ahead.
    if end - now > dt.timedelta(days=days) + CLOCKS:
        return f"the one there ends only on {end:%Y-%m-%d}"
    return ""
