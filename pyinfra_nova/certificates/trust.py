"""Whom the hosts of a site trust."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from weakref import WeakKeyDictionary

from cryptography import x509

from pyinfra_nova.certificates.authority import authority, pem_of
from pyinfra_nova.certificates.judged import is_of
from pyinfra_nova.certificates.provided import Folder
from pyinfra_nova.certificates.revocations import refused_pem
from pyinfra_nova.site.secrets import Secrets
from pyinfra_nova.site.settings import Site


def secrets_of(secrets: Secrets) -> tuple[str, ...]:
    """What trusted authorities are made of: now, soon, and until lately."""
    found = (secrets.tls_secret, secrets.tls_next_secret, secrets.tls_former_secret)
    return tuple(dict.fromkeys(s.get_secret_value() for s in found if s is not None))


_AUTHORITIES: WeakKeyDictionary[Site, dict[str, str]] = WeakKeyDictionary()


def authorities_pem(site: Site, name: str) -> str:
    """The certificates of the authority NAME, old and new ones while they are exchanged.

    They are the same on all hosts, and read or made once.

    Raises:
        CertificateError: they are to be provided, and are not.
    """
    known = _AUTHORITIES.setdefault(site, {})
    if name not in known:
        known[name] = _authorities_pem(site, name)
    return known[name]


def _authorities_pem(site: Site, name: str) -> str:
    if folder := folder_of(site):
        return "".join(map(pem_of, folder.authorities(name)))
    return "".join(authority(secret, name).pem for secret in secrets_of(site.secrets))


def is_trusted(site: Site, name: str, found: str) -> bool:
    """Whether the certificate FOUND on a host is of an authority that is trusted as NAME."""
    try:
        certificate = x509.load_pem_x509_certificate(found.encode())
        trusted = x509.load_pem_x509_certificates(authorities_pem(site, name).encode())
    except ValueError:
        return False
    return any(is_of(certificate, authority) for authority in trusted)


def revocations_pem(site: Site, name: str, hosts: Sequence[str]) -> str:
    """The lists by which the authority NAME, old and new, refuses HOSTS; empty if it has none.

    Raises:
        CertificateError: what is provided in their place cannot be used.
    """
    if folder := folder_of(site):
        return folder.revocations(name)
    return "".join(refused_pem(secret, name, tuple(hosts)) for secret in secrets_of(site.secrets))


def folder_of(site: Site) -> Folder | None:
    """Where the site's own certificates are; None where it makes none."""
    tls = site.settings.tls
    return Folder(Path(tls.certificates)) if tls.mode == "provided" and tls.certificates else None


def trusted_pem(site: Site) -> str | None:
    """Who may answer for APIs, database and broker; None where nothing is encrypted."""
    if not site.settings.tls.is_on:
        return None
    return authorities_pem(site, "services") + site.settings.tls.further_authorities
