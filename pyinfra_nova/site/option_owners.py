"""Which options of nova.conf other places depend on, and who decides each of them.

An option that is not named here is read by Nova alone, so ``nova_conf`` may say anything of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pyinfra_nova.knowledge import releases

CONTROLLER_SECTIONS = ("api_database", "database", "keystone_authtoken")
"""Sections that no compute gets: its nova-compute has no business with what they hold."""

_LIBVIRT = "`libvirt` in group_data/computes.py or of the host"

SETTINGS: Mapping[str, tuple[str, ...]] = {
    "`messaging` and messaging_password in secrets.yml": ("DEFAULT/transport_url",),
    "`my_ip` of the host": ("DEFAULT/my_ip",),
    "`nova_host` of the host": ("DEFAULT/host",),
    "`database` and database_password in secrets.yml": (
        *("database/connection", "api_database/connection"),
    ),
    "`enabled_apis`": ("DEFAULT/enabled_apis",),
    "`apis.osapi_compute_listen`": ("DEFAULT/osapi_compute_listen",),
    "`apis.osapi_compute_listen_port`": ("DEFAULT/osapi_compute_listen_port",),
    "`apis.metadata_listen`": ("DEFAULT/metadata_listen",),
    "`apis.metadata_listen_port`": ("DEFAULT/metadata_listen_port",),
    "`workers.api_processes`": ("DEFAULT/osapi_compute_workers",),
    "`workers.metadata_processes`": ("DEFAULT/metadata_workers",),
    "`workers.conductor`": ("conductor/workers",),
    "`workers.scheduler`": ("scheduler/workers",),
    "`tls`": ("DEFAULT/enabled_ssl_apis", "DEFAULT/ssl_only", "oslo_messaging_rabbit/ssl"),
    "`report_interval`": ("DEFAULT/report_interval",),
    "`service_down_time`": ("DEFAULT/service_down_time",),
    "`enable_new_services`": ("DEFAULT/enable_new_services",),
    "`keystone.auth_url`": (
        *("keystone_authtoken/auth_url", "service_user/auth_url", "cinder/auth_url"),
    ),
    "`keystone.www_authenticate_uri`": (
        *("keystone_authtoken/www_authenticate_uri", "keystone_authtoken/auth_uri"),
    ),
    "`memcached_servers`": ("keystone_authtoken/memcached_servers",),
    "nova_password in secrets.yml": (
        *("keystone_authtoken/password", "service_user/password", "cinder/password"),
    ),
    "placement_password in secrets.yml": ("placement/password",),
    "neutron_password in secrets.yml": ("neutron/password",),
    "metadata_secret in secrets.yml": ("neutron/metadata_proxy_shared_secret",),
    "`neutron.service_metadata_proxy`": ("neutron/service_metadata_proxy",),
    **{
        f"`{section}.{name}`": (f"{section}/{name}",)
        for section, names in {
            "placement": ("auth_url", "region_name", "valid_interfaces"),
            "neutron": ("auth_url", "region_name", "valid_interfaces"),
            "glance": ("region_name", "valid_interfaces", "api_servers"),
            "cinder": ("os_region_name", "catalog_info", "cross_az_attach"),
            "vnc": (
                *("enabled", "novncproxy_host", "novncproxy_port", "novncproxy_base_url"),
                *("server_listen", "server_proxyclient_address"),
            ),
        }.items()
        for name in names
    },
    _LIBVIRT: (
        *("libvirt/virt_type", "libvirt/cpu_mode", "libvirt/cpu_models"),
        *("libvirt/rbd_user", "libvirt/rbd_secret_uuid"),
    ),
}
"""Options by what is to be set instead; names in backticks are settings."""

ENCRYPTED: tuple[str, ...] = (
    *(
        f"{section}/{name}"
        for section in (
            *("keystone_authtoken", "service_user", "glance", "placement", "neutron", "cinder"),
            "keystone",
        )
        for name in ("cafile", "insecure")
    ),
    *(
        f"oslo_messaging_rabbit/{name}"
        for name in ("ssl_ca_file", "ssl_enforce_hostname_verification")
    ),
    *(
        f"keystone_authtoken/{name}"
        for name in (
            *("memcache_security_strategy", "memcache_secret_key"),
            *("memcache_tls_enabled", "memcache_tls_cafile"),
        )
    ),
    *("DEFAULT/cert", "DEFAULT/key", "console/ssl_minimum_version"),
    *(f"wsgi/{name}" for name in ("ssl_ca_file", "ssl_cert_file", "ssl_key_file")),
    *(
        f"vnc/{name}"
        for name in (
            *("auth_schemes", "vencrypt_client_cert", "vencrypt_client_key"),
            "vencrypt_ca_certs",
        )
    ),
    # Each can have guests sent in plain text, or not at all: a URI wins over the scheme, a tunnel
    # does not go with QEMU's own TLS (nova/virt/libvirt/driver.py), nor does post-copy with disks
    # that are copied by it (libvirt, LIBVIRT-1113).
    *(
        f"libvirt/live_migration_{name}"
        for name in ("uri", "scheme", "with_native_tls", "tunnelled", "permit_post_copy")
    ),
)
"""Options that `tls` decides where it is on, by leaving them out, too; elsewhere anybody does."""

LOGINS: Mapping[str, str] = {
    "keystone_authtoken": "`keystone` and nova_password in secrets.yml",
    "service_user": "`keystone` and nova_password in secrets.yml",
    "placement": "`placement` and placement_password in secrets.yml",
    "neutron": "`neutron` and neutron_password in secrets.yml",
    "cinder": "`keystone` and nova_password in secrets.yml",
}
"""Sections whose whole login is the settings': another way in would win over what is written."""

_PACKAGED_LOGS = (
    "the units' own command lines, logrotate and the search for why a unit failed know the "
    "packages' log files",
    "leave it out; use_journal and use_syslog log there as well",
)
_LOG_LINES = (
    "the proof and the search for why a unit failed read oslo.log's own lines",
    "leave it out; use_journal logs elsewhere as well, with every field by itself",
)
_CATALOGUE = (
    "the service is looked for in Keystone's catalogue, before the deploy and after it",
    "have it in the catalogue, and say where with region_name and valid_interfaces",
)

FIXED: Mapping[str, tuple[str, str]] = {
    "DEFAULT/state_path": (
        "the packages' units and rights, the WSGI servers and the SSH keys that move guests know "
        "the packages' folder",
        "mount what has the room there; guests' disks alone are elsewhere with instances_path",
    ),
    "oslo_concurrency/lock_path": (
        "all services of a host and nova-manage have to share one that outlives them",
        "leave it out",
    ),
    **dict.fromkeys(
        ("DEFAULT/log_dir", "DEFAULT/log_file", "DEFAULT/log_config_append"), _PACKAGED_LOGS
    ),
    **dict.fromkeys(
        (
            *("DEFAULT/log_date_format", "DEFAULT/logging_context_format_string"),
            *("DEFAULT/logging_default_format_string", "DEFAULT/use_json"),
        ),
        _LOG_LINES,
    ),
    "DEFAULT/daemon": (
        "systemd watches the process that it has started",
        "leave it out",
    ),
    "DEFAULT/config_source": (
        "what came from elsewhere would not be checked, compared or proven",
        "leave it out",
    ),
    "DEFAULT/compute_driver": (
        "packages, units, checks and the proof are those of libvirt",
        "leave it out",
    ),
    "DEFAULT/mkisofs_cmd": ("it names the program that is installed", "leave it out"),
    "DEFAULT/servicegroup_driver": (
        "whether a service is up is read from the database",
        "leave it out",
    ),
    "wsgi/api_paste_config": (
        "WSGI servers load /etc/nova/api-paste.ini whatever it says",
        "edit that file",
    ),
    "scheduler/discover_hosts_in_cells_interval": (
        "the deploy maps new computes itself, and two discoveries at once fail",
        "leave it out",
    ),
    "keystone_authtoken/service_type": ("it is Nova's in Keystone's catalogue", "leave it out"),
    "keystone_authtoken/service_token_roles": (
        "it is the role that Nova's user is given",
        "leave it out",
    ),
    **{
        f"{section}/{name}": _CATALOGUE
        for section in ("placement", "neutron", "glance")
        for name in ("endpoint_override", "service_type", "service_name")
    },
}
"""Options that nothing may change: why, and what to do instead."""

FOLLOWED: Mapping[str, str] = {
    "compute/cpu_dedicated_set": "resources/cloud_objects: flavors that pin CPUs",
    "devices/enabled_mdev_types": "resources/cloud_objects: flavors with a vGPU",
    "pci/alias": "resources/cloud_objects: flavors with a PCI device",
    "scheduler/enable_isolated_aggregate_filtering": (
        "resources/cloud_objects: aggregates; site/load.py: smoke_guest, which needs it"
    ),
    "quota/driver": "resources/cloud_objects: quotas",
    "DEFAULT/default_availability_zone": "resources/cloud_objects: aggregates' zones",
    "DEFAULT/graceful_shutdown_timeout": "nova_conf/render.py: how long systemd waits for its end",
    "DEFAULT/instances_path": "proof/host_proof.py: where it is tried to write",
    "DEFAULT/update_resources_interval": "proof/host_proof.py: how old a failed audit may be",
    "libvirt/connection_uri": "proof/host_proof.py: which libvirt has to answer",
    "libvirt/images_rbd_pool": "proof/dead_computes.py: whether guests' disks are elsewhere",
    "libvirt/images_type": "proof/dead_computes.py: whether guests' disks are elsewhere",
    "libvirt/live_migration_inbound_addr": "nova_conf/migration_ssh.py: who is let in, and where",
    "libvirt/live_migration_uri": "run/preflight.py: whose deprecation is worth a word",
}
"""Options whose value, overrides included, is asked for; and by whom."""

INDEPENDENT: Mapping[str, str] = {
    "service_user/send_service_user_token": "the checker says what is lost without",
    "keystone_authtoken/service_token_roles_required": "the checker says what is lost without",
    "upgrade_levels/compute": "read by Nova alone",
    **dict.fromkeys(
        (
            *("compute/cpu_shared_set", "pci/device_spec", "pci/passthrough_whitelist"),
            *("DEFAULT/reserved_host_cpus", "DEFAULT/reserved_host_memory_mb"),
            *("DEFAULT/reserved_host_disk_mb", "DEFAULT/reserved_huge_pages"),
            *("DEFAULT/cpu_allocation_ratio", "DEFAULT/ram_allocation_ratio"),
            "DEFAULT/disk_allocation_ratio",
        ),
        "a setting writes it, nothing else asks for it",
    ),
}
"""Options that are written, but that no other place depends on; and why."""

_LOGIN_METHODS = ("auth_type", "auth_section")
_BY_OPTION = {option: what for what, options in SETTINGS.items() for option in options}


@dataclass(frozen=True)
class Refusal:
    """Why an option is not to be overridden, and what to do instead."""

    problem: str
    remedy: str


def current(section: str, name: str, release: str) -> tuple[str, str]:
    """The section and the name under which RELEASE knows SECTION/NAME, which may be former ones."""
    group = releases.normal(section)
    if release in releases.VERSIONS:
        table = releases.load(release)
        found = table.option(group, name) or table.renamed(group, name)
        if found:
            return found.section, found.name
    return group, name


def refusal(section: str, name: str, release: str, *, is_encrypted: bool = False) -> Refusal | None:
    """Why ``nova_conf`` may not hold SECTION/NAME, under any name that RELEASE reads; or None."""
    names = current(section, name, release)
    option = "/".join(names)
    if what := _BY_OPTION.get(option) or _login_of(*names, release):
        return Refusal("is decided by the settings", f"set {what}")
    if is_encrypted and option in ENCRYPTED:
        return Refusal("is decided by the settings", "set `tls`")
    if option in FIXED:
        reason, remedy = FIXED[option]
        return Refusal(f"is not to be changed: {reason}", remedy)
    return None


def _login_of(section: str, name: str, release: str) -> str | None:
    """What decides NAME, where it is a part of a login that the settings make."""
    if section not in LOGINS:
        return None
    table = releases.load(release) if release in releases.VERSIONS else None
    is_login = name in _LOGIN_METHODS or (table and name in table.login_options)
    return LOGINS[section] if is_login else None
