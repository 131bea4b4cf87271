"""How libvirt and the guests' QEMU on a compute come to speak TLS."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pyinfra_nova.knowledge.platforms import Platform
from pyinfra_nova.nova_conf.certificate_files import MARKER, QEMU, VNC
from pyinfra_nova.nova_conf.config_file import AbsentFile, ConfigFile
from pyinfra_nova.site.settings import HostSettings, Site

QEMU_CONF = "/etc/libvirt/qemu.conf"
TAIL = " # pyinfra-nova"
"""What a line of ours ends with, a comment to libvirt; the file is the distribution's."""
OUR_LINES = rf"[a-z0-9_]+ = .+{TAIL}"
LIBVIRT_PORT = 16514
"""libvirt's own (libvirtd.conf, tls_port)."""
UNITS = "/etc/systemd/system"


def socket_of(platform: Platform) -> str:
    """The unit at whose socket libvirt speaks TLS."""
    return f"{platform.libvirt.remote}-tls.socket"


def service_of(platform: Platform) -> str:
    """The unit that serves it."""
    return f"{platform.libvirt.remote}.service"


def conf_of(platform: Platform) -> str:
    """What the daemon reads that speaks TLS to others."""
    return f"/etc/libvirt/{platform.libvirt.remote}.conf"


def dropin_of(unit: str) -> str:
    """What systemd is told of UNIT beside its package's own file."""
    return f"{UNITS}/{unit}.d/pyinfra-nova.conf"


def _qemu_options(site: Site) -> Iterator[tuple[str, str]]:
    if site.settings.vnc.enabled:
        yield "vnc_tls", "1"
        yield "vnc_tls_x509_cert_dir", f'"{VNC}"'
        yield "vnc_tls_x509_verify", "1"
    # Not default_tls_...: that is for others' storage and serial ports as well. The disks of a live
    # migration are sent with these, too (libvirt's qemu_migration.c, NBD server).
    yield "migrate_tls_x509_cert_dir", f'"{QEMU}"'
    yield "migrate_tls_x509_verify", "1"
    # Else a guest is let in in plain text from whoever forgets to ask for TLS.
    yield "migrate_tls_force", "1"


def _priority(site: Site) -> str:
    """The versions of TLS as GnuTLS writes them, whose own default begins with 1.0 in Debian."""
    older = "" if site.settings.tls.minimum_version == "1.3" else ":+VERS-TLS1.2"
    return f"NORMAL:-VERS-ALL:+VERS-TLS1.3{older}"


def _socket_text(host: HostSettings) -> str:
    # At boot it may be there before the address is.
    return (
        f"{MARKER}\n"
        "[Socket]\n"
        "ListenStream=\n"
        f"ListenStream={host.my_ip}:{LIBVIRT_PORT}\n"
        "FreeBind=true\n"
    )


def _service_text(platform: Platform) -> str:
    # systemd starts no socket of a service that runs, but a restart of the service starts what it
    # wants, in between and in one transaction.
    return f"{MARKER}\n[Unit]\nWants={socket_of(platform)}\n"


def hypervisor_files(site: Site, host: HostSettings, platform: Platform) -> Iterator[ConfigFile]:
    """The files of HOST that make libvirt and QEMU use the certificates there."""
    if not (site.settings.tls.is_on and host.is_compute):
        return
    lines = "".join(f"{key} = {value}{TAIL}\n" for key, value in _qemu_options(site))
    yield ConfigFile(QEMU_CONF, lines, "root", "root", "0600", own_lines=OUR_LINES)
    priority = f'tls_priority = "{_priority(site)}"{TAIL}\n'
    yield ConfigFile(conf_of(platform), priority, "root", "root", "0644", own_lines=OUR_LINES)
    yield ConfigFile(dropin_of(socket_of(platform)), _socket_text(host), *("root", "root", "0644"))
    yield ConfigFile(
        dropin_of(service_of(platform)), _service_text(platform), *("root", "root", "0644")
    )


def unwanted_hypervisor_files(
    site: Site, host: HostSettings, platform: Platform
) -> list[AbsentFile]:
    """What an earlier run has written of it, which HOST is to have no more.

    A retired compute keeps it all: guests may still have to leave it.
    """
    wanted = site.settings.tls.is_on and host.is_compute
    if wanted or not (host.is_controller or host.is_compute):
        return []
    return written_hypervisor_files(platform)


def written_hypervisor_files(platform: Platform) -> list[AbsentFile]:
    """All of it, but for what says that the socket is ours: that goes once it is stopped."""
    return [
        AbsentFile(QEMU_CONF, OUR_LINES, "line"),
        AbsentFile(conf_of(platform), OUR_LINES, "line"),
        AbsentFile(dropin_of(service_of(platform)), re.escape(MARKER), "marker"),
    ]
