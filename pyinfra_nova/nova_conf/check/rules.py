"""What a whole configuration lacks, has on the wrong host, or gives away."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from urllib.parse import urlsplit

from pyinfra_nova.knowledge.releases import normal
from pyinfra_nova.nova_conf.check.config import Config, Finding, Kind, Level, at
from pyinfra_nova.nova_conf.ini import Setting

Found = Iterator[Finding]


def rule_findings(config: Config) -> Found:
    """What is wrong with the files of CONFIG together, for its role."""
    for rule in RULES:
        yield from rule(config)


def _missing(
    config: Config,
    option: str,
    problem: str,
    remedy: str,
    source: str,
    *,
    kind: Kind = "missing",
    level: Level = "error",
) -> Finding:
    """A finding about ``section/name``, which is not there."""
    section, _, name = option.partition("/")
    file, line = config.place(section)
    return Finding(file, line, section, name, kind, level, problem, remedy, source)


# --- what every host needs ------------------------------------------------------------------------


def _broker(config: Config) -> Found:
    if not config.has("DEFAULT", "transport_url"):
        yield _missing(
            config,
            "DEFAULT/transport_url",
            "not set: no service reaches RabbitMQ",
            "transport_url = rabbit://USER:PASSWORD@HOST:5672/",
            "nova/rpc.py; oslo_messaging/transport.py",
        )


def _lock_path(config: Config) -> Found:
    if not config.has("oslo_concurrency", "lock_path"):
        yield _missing(
            config,
            "oslo_concurrency/lock_path",
            "not set: locks between processes fail with RequiredOptError; the packaged file, which "
            "this one replaces, had it",
            "lock_path = /var/lib/nova/tmp",
            "oslo_concurrency/lockutils.py _get_lock_path",
        )


# The option that has to be there, or another in its place; None is a login without a password.
_PASSWORD_LOGIN = (
    ("auth_url",),
    ("username", "user_id"),
    ("password",),
    ("project_name", "project_id", "system_scope", "trust_id", "domain_id", "domain_name"),
)
_DOMAINS = (
    (
        "username",
        ("user_domain_name", "user_domain_id", "default_domain_name", "default_domain_id"),
    ),
    (
        "project_name",
        ("project_domain_name", "project_domain_id", "default_domain_name", "default_domain_id"),
    ),
)


def _lacking(config: Config, section: str) -> Iterator[str]:
    """The options that a login by password in SECTION lacks."""
    for names in _PASSWORD_LOGIN:
        if not config.has(section, *names):
            yield names[0]
    for name, domains in _DOMAINS:
        if config.has(section, name) and not config.has(section, *domains):
            yield domains[0]


def _login(
    config: Config, section: str, problem: str, source: str, *, level: Level = "error"
) -> Found:
    """What SECTION lacks to log in to Keystone; PROBLEM says what then does not work.

    LEVEL is that of no login at all; one that was begun and lacks something is an error.
    """
    used = config.value(section, "auth_section") or section
    method = config.value(used, "auth_type")
    remedy = f"give [{used}] auth_type = password and what a login needs"
    if not method:
        text = f"no login to Keystone: {problem}"
        yield _missing(config, f"{used}/auth_type", text, remedy, source, level=level)
    elif method not in config.table.login_plugins:
        setting = config.setting(used, "auth_type")
        known = ", ".join(sorted(config.table.login_plugins))
        if setting:
            yield at(setting, "value", "error", f"is not one of {known}", "", "keystoneauth1")
    elif method in ("password", "v3password"):
        lacking = ", ".join(_lacking(config, used))
        if lacking:
            name = f"{used}/{lacking.partition(',')[0]}"
            text = f"the login to Keystone lacks {lacking}: {problem}"
            yield _missing(config, name, text, f"set it in [{used}]", source)


def _logins(config: Config) -> Found:
    yield from _login(
        config, "placement", "nothing can be scheduled", "nova/scheduler/client/report.py"
    )
    yield from _login(
        config,
        "neutron",
        "every server with a network fails with 'Unknown auth type: None'",
        "nova/network/neutron.py _load_auth_plugin",
    )
    # Requests with a user's token need none, and a cloud may have no volumes.
    yield from _login(
        config,
        "cinder",
        "what Nova asks of Cinder of its own accord, such as the clean-up after a guest that was "
        "deleted while Cinder was away, fails with 'Unknown auth type: None'",
        "nova/volume/cinder.py _get_auth, _load_auth_plugin",
        level="warning",
    )
    if config.controller:
        yield from _login(
            config, "keystone_authtoken", "the APIs cannot verify any token", "keystonemiddleware"
        )


def _service_token(config: Config) -> Found:
    advisory = "CVE-2023-2088; nova/cmd/status.py _check_service_user_token"
    if not config.true("service_user", "send_service_user_token"):
        yield _missing(
            config,
            "service_user/send_service_user_token",
            "no service token is sent: `nova-status upgrade check` fails, and Cinder refuses to "
            "detach volumes",
            "add [service_user] with send_service_user_token = true and the login of user nova, "
            "who needs the role service",
            advisory,
            kind="insecure",
        )
        return
    yield from _login(config, "service_user", "no service token can be made", advisory)


def _volume_region(config: Config) -> Found:
    if config.has("cinder", "os_region_name") or not config.has("placement", "region_name"):
        return
    yield _missing(
        config,
        "cinder/os_region_name",
        "not set, while other services are looked for in one region: volumes come from the first "
        "Cinder in Keystone's catalogue",
        "os_region_name = the region of the other sections",
        "nova/conf/cinder.py",
        level="warning",
    )


# --- controllers ----------------------------------------------------------------------------------


def _databases(config: Config) -> Found:
    if not config.controller:
        return
    for section, name in (("api_database", "nova_api"), ("database", "nova")):
        if not config.has(section, "connection"):
            yield _missing(
                config,
                f"{section}/connection",
                "not set: the APIs, the scheduler and the conductor have no database",
                f"connection = mysql+pymysql://USER:PASSWORD@HOST/{name}",
                "nova/conf/database.py",
            )


def _token_roles(config: Config) -> Found:
    if not config.controller or config.true("keystone_authtoken", "service_token_roles_required"):
        return
    if not config.has("keystone_authtoken", "auth_type", "auth_section"):
        return  # that is said already
    version = config.table.libraries["keystonemiddleware"]
    text = "not true: a token of any user passes as a service token"
    yield _missing(
        config,
        "keystone_authtoken/service_token_roles_required",
        text,
        "service_token_roles = service and service_token_roles_required = true",
        f"keystonemiddleware {version}, help of the option",
        kind="insecure",
        level="warning",
    )


def _metadata_secret(config: Config) -> Found:
    served = config.controller and config.true("neutron", "service_metadata_proxy")
    if served and not config.has("neutron", "metadata_proxy_shared_secret"):
        yield _missing(
            config,
            "neutron/metadata_proxy_shared_secret",
            "not set, with service_metadata_proxy on: anyone can sign requests for metadata",
            "set the secret that Neutron's metadata agent has",
            "nova/api/metadata/handler.py",
            kind="insecure",
        )


def _scheduler_filters(config: Config) -> Found:
    setting = config.setting("filter_scheduler", "enabled_filters")
    if setting is None or not config.controller:
        return
    ours = config.setting("filter_scheduler", "available_filters") is None
    for name in (item.strip() for item in setting.value.split(",")):
        if name and ours and name not in config.table.scheduler_filters:
            yield at(
                setting,
                "value",
                "error",
                f"Nova {config.table.nova} has no filter {name}: nova-scheduler does not start",
                f"take {name} out of the list",
                "nova/scheduler/filters",
            )


# --- computes -------------------------------------------------------------------------------------


def _driver(config: Config) -> Found:
    if not config.compute or config.has("DEFAULT", "compute_driver"):
        return
    yield _missing(
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


def _own_address(config: Config) -> Found:
    setting = config.setting("DEFAULT", "my_ip")
    if setting is None and config.compute:
        yield _missing(
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


def _consoles(config: Config) -> Found:
    if not config.compute:
        return
    for section, base_url in (("vnc", "novncproxy_base_url"), ("spice", "html5proxy_base_url")):
        if not config.true(section, "enabled"):
            continue
        yield from _console_url(config, section, base_url)
        yield from _console_address(config, section)


def _console_url(config: Config, section: str, name: str) -> Found:
    if not config.has(section, name):
        yield _missing(
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
        yield _missing(
            config,
            f"{section}/server_proxyclient_address",
            "not set: the proxy on the controller is sent to 127.0.0.1",
            "server_proxyclient_address = $my_ip",
            "nova/conf/vnc.py",
        )


# --- options on the wrong host --------------------------------------------------------------------

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


def _misplaced(config: Config) -> Found:
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


# --- what gives something away --------------------------------------------------------------------

_PLACEHOLDER = re.compile(
    r"[A-Z_]*PASS(WORD)?|[A-Z_]*SECRET|CHANGE[_-]?ME|changeme|<[^>]*>|password|secret|guest|\*+"
)


def _secret_of(setting: Setting, secret: bool) -> str | None:
    """The secret that SETTING holds: its value, or the password of the URL that it is."""
    if "://" in setting.value:
        try:
            return urlsplit(setting.value.partition(",")[0]).password
        except ValueError:
            return None
    return setting.value if secret else None


def _placeholders(config: Config) -> Found:
    for setting in config.settings():
        option = config.table.option(setting.section, setting.name)
        if option is None:
            continue
        value = _secret_of(setting, option.secret)
        if value and _PLACEHOLDER.fullmatch(value):
            yield at(
                setting,
                "insecure",
                "error",
                "a guide's placeholder, or a password that everybody knows",
                "set the account's own password",
            )


def _unverified(config: Config) -> Found:
    for setting in config.settings():
        name = setting.name
        if name in ("insecure", "api_insecure") and config.true(normal(setting.section), name):
            yield at(
                setting,
                "insecure",
                "warning",
                "certificates are not verified: whoever is in between can pose as the service",
                "insecure = false, and cafile = the authority's certificate",
                "keystoneauth1",
            )
    strategy = config.setting("api", "auth_strategy")
    if strategy and strategy.value != "keystone":
        text = "the API asks for no proof of who a user is"
        yield at(strategy, "insecure", "error", text, "leave it out", "nova/conf/api.py")


def _holds_secrets(config: Config, file: str) -> bool:
    options = (
        config.table.option(setting.section, setting.name)
        for setting in config.parsed[file].settings
        if setting.value
    )
    return any(option is not None and option.secret for option in options)


def _permissions(config: Config) -> Found:
    for file in config.files:
        if file.mode is not None and file.mode & 0o007 and _holds_secrets(config, file.name):
            yield Finding(
                file.name,
                0,
                "",
                "",
                "insecure",
                "error",
                f"everybody on the host may use it (mode {file.mode:04o}); it holds passwords",
                f"chown root:nova {file.name} && chmod 0640 {file.name}",
                "OpenStack security guide, file permissions of Compute",
            )


RULES: tuple[Callable[[Config], Found], ...] = (
    _permissions,
    _broker,
    _own_address,
    _driver,
    _databases,
    _logins,
    _token_roles,
    _service_token,
    _metadata_secret,
    _volume_region,
    _consoles,
    _lock_path,
    _scheduler_filters,
    _misplaced,
    _placeholders,
    _unverified,
)
