"""What libvirt of a compute is asked about its TLS."""

from __future__ import annotations

from pyinfra_nova.knowledge.platforms import Platform
from pyinfra_nova.nova_conf.certificate_files import places
from pyinfra_nova.nova_conf.hypervisor_files import (
    LIBVIRT_PORT,
    QEMU_CONF,
    conf_of,
    dropin_of,
    service_of,
    socket_of,
)
from pyinfra_nova.resources.libvirt_tls import LibvirtService, LibvirtTls
from pyinfra_nova.site.settings import HostSettings, Site


def libvirt_tls(site: Site, host: HostSettings, platform: Platform, *, wanted: bool) -> LibvirtTls:
    """How libvirt of HOST is to speak TLS to others, where that is WANTED, or to stop it."""
    socket, service = socket_of(platform), service_of(platform)
    read = {
        place.purpose: tuple(path for path, _ in place.files)
        for place in places(site, host, platform)
    }
    qemu_conf, guests = (QEMU_CONF,), platform.libvirt.service
    conf = (conf_of(platform), *(qemu_conf if service == guests else ()))
    served = LibvirtService(service, conf, dropin_of(service))
    others = () if service == guests else (LibvirtService(guests, qemu_conf),)
    return LibvirtTls(
        wanted=wanted,
        socket=socket,
        mark=dropin_of(socket),
        address=str(host.my_ip),
        port=LIBVIRT_PORT,
        services=(served, *others),
        daemon=platform.libvirt.remote,
        libvirt=read.get("libvirt", ()),
        screens=read.get("screen", ()),
    )
