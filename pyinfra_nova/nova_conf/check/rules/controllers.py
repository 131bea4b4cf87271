"""What a controller's configuration needs: databases, roles of tokens, secrets, filters."""

from __future__ import annotations

from pyinfra_nova.nova_conf.check.config import Config, Found, at, missing


def databases(config: Config) -> Found:
    if not config.controller:
        return
    for section, name in (("api_database", "nova_api"), ("database", "nova")):
        if not config.has(section, "connection"):
            yield missing(
                config,
                f"{section}/connection",
                "not set: the APIs, the scheduler and the conductor have no database",
                f"connection = mysql+pymysql://USER:PASSWORD@HOST/{name}",
                "nova/conf/database.py",
            )


def token_roles(config: Config) -> Found:
    if not config.controller or config.true("keystone_authtoken", "service_token_roles_required"):
        return
    if not config.has("keystone_authtoken", "auth_type", "auth_section"):
        return  # that is said already
    version = config.table.libraries["keystonemiddleware"]
    text = "not true: a token of any user passes as a service token"
    yield missing(
        config,
        "keystone_authtoken/service_token_roles_required",
        text,
        "service_token_roles = service and service_token_roles_required = true",
        f"keystonemiddleware {version}, help of the option",
        kind="insecure",
        level="warning",
    )


def metadata_secret(config: Config) -> Found:
    served = config.controller and config.true("neutron", "service_metadata_proxy")
    if served and not config.has("neutron", "metadata_proxy_shared_secret"):
        yield missing(
            config,
            "neutron/metadata_proxy_shared_secret",
            "not set, with service_metadata_proxy on: anyone can sign requests for metadata",
            "set the secret that Neutron's metadata agent has",
            "nova/api/metadata/handler.py",
            kind="insecure",
        )


def scheduler_filters(config: Config) -> Found:
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
