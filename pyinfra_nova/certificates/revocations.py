"""Hosts that are let in no more: lists that follow from the secret and the inventory alone.

A list of revoked certificates names them by number, and nobody writes down which numbers a host was
given. So the number says whose certificate it is and what for: all that a host is given one after
the other for a purpose have the same, and one entry refuses them all, whenever they were made and
for however long. RFC 5280 (4.1.2.2) wants numbers to differ; what reads these (GnuTLS in libvirt
and QEMU, OpenSSL in the consoles' proxy) looks up nothing by them but this. Browsers do, so those
of services have numbers by chance.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

from pyinfra_nova.certificates.authority import Authority, pem_of
from pyinfra_nova.certificates.issuers import issuer, issuer_name, let_in
from pyinfra_nova.certificates.purposes import PURPOSES, Purpose


def number_of(issuer: Authority, purpose: Purpose, host: str) -> int:
    """That of each certificate which ISSUER gives HOST for PURPOSE."""
    said = b"\0".join((issuer.identifier, purpose.name.encode(), host.encode()))
    # RFC 5280 has no more than 20 octets, and no number of 0.
    return int.from_bytes(hashlib.sha256(said).digest()[:16], "big") or 1


def refused_pem(secret: str, purpose: Purpose, host: str, gone: tuple[str, ...]) -> str:
    """The lists by which HOST lets in nobody of GONE where it has its certificate for PURPOSE.

    Each authority that it takes has one, without any of GONE as well.
    """
    own = issuer(secret, purpose, host)
    lists = (
        # A server's alone is to open nothing, but QEMU looks at no usage.
        _refusing(giver, (host,) if giver == own and not purpose.is_client else gone)
        for giver in let_in(secret, purpose, host)
    )
    return "".join(lists)


@lru_cache(maxsize=64)
def _refusing(giver: Authority, hosts: tuple[str, ...]) -> str:
    given = (
        (purpose, host)
        for host in hosts
        for purpose in PURPOSES.values()
        if issuer_name(purpose, host) == giver.name
    )
    return pem_of(giver.refusing([number_of(giver, purpose, host) for purpose, host in given]))
