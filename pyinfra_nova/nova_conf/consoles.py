"""What the console's proxy speaks to guests' screens, while a site moves to TLS or back as well.

A guest's screen goes on speaking what it spoke when the guest was started, whatever libvirt is told
since: until it is started anew or moved elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass

from pyinfra_nova.nova_conf.certificate_files import SCREENS
from pyinfra_nova.site.settings import HostSettings, Site

CLIENT = f"{SCREENS}/client.crt"
TLS_SCHEME, PLAIN_SCHEME = "vencrypt", "none"
"""As ``[vnc] auth_schemes`` calls them."""


@dataclass(frozen=True)
class Consoles:
    """What is found out about the site's guests and consoles before a run.

    Attributes:
        plain: some guest's screen speaks no TLS, or may.
        tls: some guest's does, or may, and the proxy has a certificate to show to it.
        page_in_plain: some compute may still tell users a URL of the proxy with http.
    """

    plain: bool = False
    tls: bool = False
    page_in_plain: bool = False


NO_CONSOLES = Consoles()
"""Of a site that nobody has asked, or without guests: nothing is kept for them."""


@dataclass(frozen=True)
class ProxyOptions:
    """The words of nova.conf about screens that speak TLS.

    Attributes:
        schemes: what is spoken; the screen chooses (nova/console/rfb/auths.py, find_scheme).
        trust, certificate, key: the files of whom the proxy believes, and of what it shows.
    """

    schemes: tuple[str, ...]
    trust: str = f"{SCREENS}/ca.pem"
    certificate: str = CLIENT
    key: str = f"{SCREENS}/client.key"


def speaks_tls(site: Site, consoles: Consoles) -> bool:
    """Whether the proxy of SITE speaks TLS to screens."""
    return site.settings.vnc.enabled and (site.settings.tls.is_on or consoles.tls)


def proxy_options(site: Site, host: HostSettings, consoles: Consoles) -> ProxyOptions | None:
    """What the proxy on HOST is told of TLS; None where nothing is to be said."""
    if not (host.is_controller and speaks_tls(site, consoles)):
        return None
    is_strict = site.settings.tls.is_on and not consoles.plain
    return ProxyOptions((TLS_SCHEME,) if is_strict else (TLS_SCHEME, PLAIN_SCHEME))
