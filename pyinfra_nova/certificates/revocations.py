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

from pyinfra_nova.certificates.authority import Authority, authority, pem_of
from pyinfra_nova.certificates.purposes import PURPOSES, Purpose


def number_of(issuer: Authority, purpose: Purpose, host: str) -> int:
    """That of each certificate which ISSUER gives HOST for PURPOSE."""
    said = b"\0".join((issuer.identifier, purpose.name.encode(), host.encode()))
    # RFC 5280 has no more than 20 octets, and no number of 0.
    return int.from_bytes(hashlib.sha256(said).digest()[:16], "big") or 1


@lru_cache(maxsize=64)
def refused_pem(secret: str, name: str, hosts: tuple[str, ...]) -> str:
    """The list by which the authority NAME refuses HOSTS; without any it is there, too."""
    issuer = authority(secret, name)
    purposes = [purpose for purpose in PURPOSES.values() if purpose.authority == name]
    numbers = [number_of(issuer, purpose, host) for host in hosts for purpose in purposes]
    return pem_of(issuer.refusing(numbers))
