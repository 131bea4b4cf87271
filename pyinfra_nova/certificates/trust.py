"""Whom the hosts of a site trust."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from weakref import WeakKeyDictionary

from cryptography import x509

from pyinfra_nova.certificates.authority import authority, is_of, pem_of
from pyinfra_nova.certificates.issuers import issuer, let_in
from pyinfra_nova.certificates.judged import READ_BY_GNUTLS
from pyinfra_nova.certificates.provided import Folder
from pyinfra_nova.certificates.purposes import Purpose
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


def let_in_pem(site: Site, purpose: Purpose, host: str, shown: str = "") -> str:
    """The certificates of those that HOST lets in, or takes for a server, where it has PURPOSE's.

    SHOWN is that one, with those after it.

    Raises:
        CertificateError: they are to be provided, and are not.
    """
    if folder := folder_of(site):
        trusted = folder.authorities(purpose.authority)
        between = _between(shown, trusted) if purpose.name in READ_BY_GNUTLS else ()
        return "".join(map(pem_of, (*trusted, *between)))
    secrets = secrets_of(site.secrets)
    return "".join(each.pem for secret in secrets for each in let_in(secret, purpose, host))


def _between(shown: str, trusted: Sequence[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    """Those that stand between the first certificate SHOWN and the first of TRUSTED on its way.

    libvirt and QEMU do not start where the authority that has signed their certificate is not in
    their file itself, whatever comes after the certificate (qcrypto_tls_creds_x509_sanity_check).
    """
    try:
        chain = x509.load_pem_x509_certificates(shown.encode())
    except ValueError:
        return ()
    for at, certificate in enumerate(chain):
        if any(is_of(certificate, authority) for authority in trusted):
            return tuple(chain[1 : at + 1])
    return ()


def is_trusted(site: Site, purpose: Purpose, host: str, found: str) -> bool:
    """Whether others take the certificate FOUND on HOST for PURPOSE once they are deployed.

    It has to be of an authority that the site provides, or of the present one, the next or the
    former of the project's own.
    """
    if folder := folder_of(site):
        return folder.trusts(purpose, found)
    try:
        certificate = x509.load_pem_x509_certificate(found.encode())
    except ValueError:
        return False
    secrets = secrets_of(site.secrets)
    return any(issuer(secret, purpose, host).has_signed(certificate) for secret in secrets)


def revocations_pem(site: Site, purpose: Purpose, host: str, gone: Sequence[str]) -> str:
    """The lists by which HOST, where it has PURPOSE's certificate, refuses those who are GONE.

    It is empty if there are none.

    Raises:
        CertificateError: what is provided in their place cannot be used.
    """
    if folder := folder_of(site):
        return folder.revocations(purpose.authority)
    secrets = secrets_of(site.secrets)
    return "".join(refused_pem(secret, purpose, host, tuple(gone)) for secret in secrets)


def folder_of(site: Site) -> Folder | None:
    """Where the site's own certificates are; None where it makes none."""
    tls = site.settings.tls
    return Folder(Path(tls.certificates)) if tls.mode == "provided" and tls.certificates else None


def trusted_pem(site: Site) -> str | None:
    """Who may answer for APIs, database and broker; None where nothing is encrypted."""
    if not site.settings.tls.is_on:
        return None
    return authorities_pem(site, "services") + site.settings.tls.further_authorities
