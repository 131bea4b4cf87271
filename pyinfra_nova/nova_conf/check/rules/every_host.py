"""What every host's configuration needs: broker, locks, logins to other services."""

from __future__ import annotations

from collections.abc import Iterator

from pyinfra_nova.nova_conf.check.config import Config, Found, Level, at, missing


def broker(config: Config) -> Found:
    if not config.has("DEFAULT", "transport_url"):
        yield missing(
            config,
            "DEFAULT/transport_url",
            "not set: no service reaches RabbitMQ",
            "transport_url = rabbit://USER:PASSWORD@HOST:5672/",
            "nova/rpc.py; oslo_messaging/transport.py",
        )


def lock_path(config: Config) -> Found:
    if not config.has("oslo_concurrency", "lock_path"):
        yield missing(
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
        yield missing(config, f"{used}/auth_type", text, remedy, source, level=level)
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
            yield missing(config, name, text, f"set it in [{used}]", source)


def logins(config: Config) -> Found:
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


def service_token(config: Config) -> Found:
    advisory = "CVE-2023-2088; nova/cmd/status.py _check_service_user_token"
    if not config.true("service_user", "send_service_user_token"):
        yield missing(
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


def volume_region(config: Config) -> Found:
    if config.has("cinder", "os_region_name") or not config.has("placement", "region_name"):
        return
    yield missing(
        config,
        "cinder/os_region_name",
        "not set, while other services are looked for in one region: volumes come from the first "
        "Cinder in Keystone's catalogue",
        "os_region_name = the region of the other sections",
        "nova/conf/cinder.py",
        level="warning",
    )
