"""Which processes of a host show a certificate, at which port, and in which file it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pyinfra_nova.knowledge.platforms import Platform
from pyinfra_nova.nova_conf.certificate_files import places
from pyinfra_nova.nova_conf.hypervisor_files import LIBVIRT_PORT
from pyinfra_nova.site.endpoints import Endpoint
from pyinfra_nova.site.settings import HostSettings, Site


def served(
    site: Site,
    host: HostSettings,
    platforms: Sequence[Platform],
    answering: Iterable[Endpoint],
    *,
    libvirt: bool,
) -> dict[str, Any] | None:
    """What files/common/certificate_holders.py is asked on HOST; None where nothing is encrypted.

    PLATFORMS are those of which HOST may be one, ANSWERING what answers HTTP there.
    """
    if not site.settings.tls.is_on:
        return None
    files: dict[str, list[str]] = {}
    for platform in platforms:
        for place in places(site, host, platform):
            known = files.setdefault(place.purpose, [])
            known += [path for path, _ in place.pairs[:1] if path not in known]
    ports = [
        {"who": each.title, "address": each.asked_at, "port": each.port, "files": files["api"]}
        for each in answering
    ]
    if libvirt:
        where = {"address": str(host.my_ip), "port": LIBVIRT_PORT}
        ports.append({"who": "libvirt", **where, "files": files["libvirt"]})
    return {"ports": ports, "screens": files.get("screen")}
