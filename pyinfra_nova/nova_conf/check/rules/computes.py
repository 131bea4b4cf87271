"""What a compute's configuration needs: driver, address, consoles."""

from __future__ import annotations

from pyinfra_nova.nova_conf.check.config import Config, Found, at, missing


def driver(config: Config) -> Found:
    if not config.compute or config.has("DEFAULT", "compute_driver"):
        return
    yield missing(
        config,
        "DEFAULT/compute_driver",
        "not set: nova-compute does not start, unless it reads nova-compute.conf too, with which "
        "Debian and Ubuntu set it",
        "compute_driver = libvirt.LibvirtDriver; or check both files together, nova-compute.conf "
        "last",
        "nova/virt/driver.py load_compute_driver",
        level="warning",
    )
    if setting := config.setting("libvirt", "virt_type"):
        yield at(
            setting,
            "misplaced",
            "warning",
            "where nova-compute.conf sets compute_driver, it sets virt_type too, and wins: it is "
            "read last",
            "set virt_type in /etc/nova/nova-compute.conf on Debian and Ubuntu",
            "Debian's nova-compute-kvm, nova-compute-qemu; /etc/init.d/nova-compute",
        )


def own_address(config: Config) -> Found:
    setting = config.setting("DEFAULT", "my_ip")
    if setting is None and config.compute:
        yield missing(
            config,
            "DEFAULT/my_ip",
            "not set: it becomes the address of the default route, which may be another network's",
            "my_ip = the host's address on the management network",
            "nova/conf/netconf.py",
            level="warning",
        )
    elif setting and setting.value == "10.0.2.15":
        yield at(
            setting,
            "value",
            "warning",
            "the address that VirtualBox's NAT gives to every machine",
            "take the one on the host-only network",
            "VirtualBox manual, NAT",
        )


ANY_ADDRESS = ("0.0.0.0", "::", "[::]")  # noqa: S104 - what is looked for


def consoles(config: Config) -> Found:
    if not config.compute:
        return
    for section, base_url in (("vnc", "novncproxy_base_url"), ("spice", "html5proxy_base_url")):
        if not config.true(section, "enabled"):
            continue
        yield from _console_url(config, section, base_url)
        yield from _console_address(config, section)


def _console_url(config: Config, section: str, name: str) -> Found:
    if not config.has(section, name):
        yield missing(
            config,
            f"{section}/{name}",
            "not set here: nova-compute makes the consoles' URLs, which then point to 127.0.0.1",
            f"{name} = the URL of the proxy on the controller, as a browser reaches it",
            "nova/compute/manager.py get_vnc_console",
        )


def _console_address(config: Config, section: str) -> Found:
    setting = config.setting(section, "server_listen")
    if setting and config.value(section, "server_listen") in ANY_ADDRESS:
        yield at(
            setting,
            "insecure",
            "error",
            "the guests' consoles, which ask for no password, listen on every network of the host",
            "server_listen = $my_ip",
            "nova/conf/vnc.py; Launchpad bug 1843004",
        )
    if not config.has(section, "server_proxyclient_address") and config.role == "compute":
        yield missing(
            config,
            f"{section}/server_proxyclient_address",
            "not set: the proxy on the controller is sent to 127.0.0.1",
            "server_proxyclient_address = $my_ip",
            "nova/conf/vnc.py",
        )
