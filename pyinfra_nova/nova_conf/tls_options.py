"""What nova.conf and Nova's WSGI servers are told of certificates, where ``tls`` is on."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import SecretStr

from pyinfra_nova.knowledge import releases
from pyinfra_nova.knowledge.platforms import Platform
from pyinfra_nova.site.settings import Settings, Site
from pyinfra_nova.site.tls import TRUST

MEMCACHE_TLS = "memcache_tls_enabled"


@dataclass(frozen=True)
class TlsOptions:
    """The words of templates.

    Attributes:
        trust: the file with the authorities of services.
        certificate, key: the files of the APIs and of the console's page.
        minimum_version: of TLS, such as ``1.2``.
        says_broker_name: whether the broker's name is verified only if nova.conf says so.
        memcache_tls: whether the release's keystonemiddleware speaks TLS to memcached.
        memcache_secret_key: what tokens there are encrypted with elsewhere.
    """

    trust: str
    certificate: str
    key: str
    minimum_version: str
    says_broker_name: bool
    memcache_tls: bool
    memcache_secret_key: SecretStr = field(repr=False)

    @property
    def console_minimum_version(self) -> str:
        """As ``[console] ssl_minimum_version`` has it."""
        return f"tlsv{self.minimum_version.replace('.', '_')}"

    @property
    def apache_protocols(self) -> str:
        """What Apache's ``SSLProtocol`` is."""
        older = "" if self.minimum_version == "1.3" else "+TLSv1.2 "
        return f"-all {older}+TLSv1.3"

    @property
    def uwsgi_options(self) -> tuple[int, ...]:
        """What uwsgi's ``ssl-option`` is given: OpenSSL's SSL_OP_NO_TLSv1 and so on (ssl.h)."""
        older = (0x08000000,) if self.minimum_version == "1.3" else ()
        return (0x04000000, 0x10000000, *older)


def speaks_memcache_tls(settings: Settings) -> bool:
    """Whether Nova's middleware speaks TLS to memcached: with ``tls``, if its release can."""
    table = releases.load(settings.release)
    return settings.tls.is_on and table.option("keystone_authtoken", MEMCACHE_TLS) is not None


def tls_options(site: Site, platform: Platform) -> TlsOptions | None:
    """What files of SITE on PLATFORM say of certificates; None where ``tls`` is off."""
    settings, paths = site.settings, platform.paths
    if not settings.tls.is_on:
        return None
    table = releases.load(settings.release)
    verifies_name = table.option("oslo_messaging_rabbit", "ssl_enforce_hostname_verification")
    return TlsOptions(
        trust=TRUST,
        certificate=paths.api_certificate,
        key=paths.api_key,
        minimum_version=settings.tls.minimum_version,
        says_broker_name=verifies_name is not None and verifies_name.deprecated is None,
        memcache_tls=speaks_memcache_tls(settings),
        memcache_secret_key=site.secrets.memcache_secret_key,
    )
