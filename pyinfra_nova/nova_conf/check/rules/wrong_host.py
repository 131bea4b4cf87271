"""Options on a host that does not read them, or has no use for what they hold."""

from __future__ import annotations

from collections.abc import Mapping

from pyinfra_nova.knowledge.releases import normal
from pyinfra_nova.nova_conf.check.config import Config, Finding, Found, at

# By nova's own use of them: what only nova-compute and its drivers read, and what it never reads.
COMPUTE_ONLY: Mapping[str, tuple[str, ...]] = {
    "DEFAULT": (
        *("compute_driver", "cpu_allocation_ratio", "disk_allocation_ratio", "instances_path"),
        *("ram_allocation_ratio", "reserved_host_cpus", "reserved_host_disk_mb"),
        *("reserved_host_memory_mb", "vif_plugging_is_fatal", "vif_plugging_timeout"),
    ),
    "libvirt": (),
    "spice": ("html5proxy_base_url", "server_listen", "server_proxyclient_address"),
    "vnc": ("novncproxy_base_url", "server_listen", "server_proxyclient_address"),
}
CONTROLLER_ONLY: Mapping[str, tuple[str, ...]] = {
    "DEFAULT": (
        *("enabled_apis", "enabled_ssl_apis", "metadata_listen", "metadata_listen_port"),
        *("metadata_workers", "osapi_compute_listen", "osapi_compute_listen_port"),
        "osapi_compute_workers",
    ),
    "conductor": (),
    "keystone_authtoken": (),
    "neutron": ("service_metadata_proxy",),
    "scheduler": (),
    "vnc": ("novncproxy_host", "novncproxy_port"),
    "wsgi": (),
}
"""Options by section; none means that the whole section is read there alone."""
_DATABASES = ("api_database", "database")


def misplaced(config: Config) -> Found:
    if config.role == "controller":
        yield from _only(config, COMPUTE_ONLY, "only nova-compute reads", "computes")
    elif config.role == "compute":
        yield from _only(config, CONTROLLER_ONLY, "nova-compute does not read", "controllers")
        yield from _credentials(config)


def _only(config: Config, places: Mapping[str, tuple[str, ...]], who: str, where: str) -> Found:
    remedy = f"move it to the {where}" if where == "computes" else "leave it out"
    for section, names in places.items():
        first = _first(config, section)
        if first and not names and section not in config.shared_logins:
            text = f"{who} this section"
            yield Finding(*first, section, "", "misplaced", "warning", text, remedy, SOURCE)
        for name in names:
            setting = config.setting(section, name)
            if setting and config.table.option(section, name):
                yield at(setting, "misplaced", "warning", f"{who} it", remedy, SOURCE)


SOURCE = "nova/cmd, nova/compute/manager.py"


def _first(config: Config, section: str) -> tuple[str, int] | None:
    """Where SECTION starts, if anything is set in it."""
    held = (s for s in config.settings() if normal(s.section) == section)
    return config.place(section) if next(held, None) else None


def _credentials(config: Config) -> Found:
    """Secrets that a compute has no use for, but that whoever breaks into it has."""
    for section in _DATABASES:
        for name in ("connection", "slave_connection"):
            if setting := config.setting(section, name):
                yield at(
                    setting,
                    "insecure",
                    "error",
                    "database credentials on a compute: nova-compute never uses them, and a guest "
                    "that breaks out of its hypervisor owns the cloud",
                    f"delete [{section}]",
                    "nova/cmd/compute.py",
                )
        rest = [s for s in config.settings() if normal(s.section) == section]
        if rest and not config.has(section, "connection", "slave_connection"):
            yield at(
                rest[0], "misplaced", "warning", "nova-compute has no database", "leave it out"
            )
    if setting := config.setting("neutron", "metadata_proxy_shared_secret"):
        yield at(
            setting,
            "insecure",
            "warning",
            "the secret of the metadata API on a host that does not serve it",
            "leave it out",
            "nova/api/metadata/handler.py",
        )
