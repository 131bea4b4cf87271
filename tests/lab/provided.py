"""Certificates as a site with authorities of its own would provide them, made by these tests."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from lab.cloud.certificates import LOCAL_NAMES
from pyinfra_nova.certificates.authority import AUTHORITIES, authority
from pyinfra_nova.certificates.issued import wanted
from pyinfra_nova.certificates.purposes import PURPOSES
from pyinfra_nova.nova_conf.certificate_files import names_of
from pyinfra_nova.site.settings import HostSettings, Site

ON = {
    "controller": ("api", "console", "service"),
    "compute": ("libvirt", "qemu", "screen"),
}
OF_THE_SITE = "what the site makes its own authorities of"


def _names(site: Site, host: HostSettings, purpose: str) -> list[str]:
    # The lab's servers are all on the controller, and are asked for there as well.
    if purpose == "service":
        return [host.name, site.settings.controller_host, str(host.my_ip), *LOCAL_NAMES]
    return names_of(site, host, purpose)


def provide(site: Site, folder: Path) -> None:
    """Fill FOLDER as docs/tls.md says for SITE's hosts and what the lab puts beneath Nova."""
    now = dt.datetime.now(dt.timezone.utc)
    for name in AUTHORITIES:
        (folder / f"{name}-ca.pem").write_text(authority(OF_THE_SITE, name).pem)
    for host in site.hosts.values():
        (folder / host.name).mkdir()
        for purpose in (purpose for role in host.roles for purpose in ON.get(role, ())):
            names = list(dict.fromkeys(_names(site, host, purpose)))
            kind = PURPOSES[purpose]
            made = wanted(OF_THE_SITE, kind, host.name, names, None, now, 90, 30)
            base = folder / host.name / purpose
            base.with_suffix(".crt").write_text(made.certificate_pem)
            key = base.with_suffix(".key")
            key.touch(mode=0o600)
            key.write_text(made.key_pem)
