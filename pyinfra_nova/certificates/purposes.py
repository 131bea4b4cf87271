"""What certificates are for, and which authority answers for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

SERVER = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH


REVOCABLE = ("hypervisors", "guests", "screens")
"""The authorities of which hosts can be refused again: whoever has a certificate of one of these is
let in where guests are. One of services lets nobody in; it only answers by its names."""
CONSOLES = "consoles"
"""The authority below that of screens whose certificates open every screen."""
SCREENS_OF_HOST = "screens of {host}"
"""Those whose certificates open the screens of one host alone."""


@dataclass(frozen=True)
class Purpose:
    """One kind of certificate.

    Attributes:
        name: the kind.
        authority: which one gives it out, or stands above the one that does.
        usages: what whoever shows it may be: server, client or both.
        below: what the authority below that one is called, if there is one.
        lets_in: those below of which whoever connects here has to have a certificate, if not of the
            authority itself.
    """

    name: str
    authority: str
    usages: tuple[x509.ObjectIdentifier, ...]
    below: str | None = None
    lets_in: tuple[str, ...] = ()

    @property
    def is_server(self) -> bool:
        """Whether others connect to it, by a name that it has to have."""
        return SERVER in self.usages

    @property
    def is_client(self) -> bool:
        """Whether it connects to others, who let it in by its authority."""
        return CLIENT in self.usages

    @property
    def is_revocable(self) -> bool:
        """Whether a host can be refused again that was given one."""
        return self.authority in REVOCABLE


_ALL = (
    # Nova's API, its metadata and the page of the consoles, on controllers.
    Purpose("api", "services", (SERVER,)),
    # Any other server: database, broker, Keystone and so on.
    Purpose("service", "services", (SERVER,)),
    # The console's proxy towards guests' screens, on controllers.
    Purpose("console", "screens", (CLIENT,), CONSOLES),
    # The rest on computes. libvirt and QEMU are both to each other.
    Purpose("libvirt", "hypervisors", (SERVER, CLIENT)),
    Purpose("qemu", "guests", (SERVER, CLIENT)),
    # QEMU starts with a certificate of its own only if it would let in who shows it
    # (qcrypto_tls_creds_x509_sanity_check), so each host has an authority that no other trusts.
    Purpose("screen", "screens", (SERVER,), SCREENS_OF_HOST, (CONSOLES, SCREENS_OF_HOST)),
)
PURPOSES: Mapping[str, Purpose] = {purpose.name: purpose for purpose in _ALL}
