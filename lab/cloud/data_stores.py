"""What MariaDB and RabbitMQ hold: users, and the schemas of the services."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import SecretStr

from lab.cloud import Cloud
from lab.cloud.catalogue import bootstrap_command
from pyinfra_nova.resources.databases import DatabaseUser
from pyinfra_nova.resources.messaging import BrokerUser


def database_passwords(cloud: Cloud) -> Mapping[str, SecretStr]:
    secrets = cloud.secrets
    storage = {"cinder": secrets.cinder_database} if cloud.block_storage else {}
    return {
        **storage,
        "keystone": secrets.keystone_database,
        "glance": secrets.glance_database,
        "placement": secrets.placement_database,
        "neutron": secrets.neutron_database,
    }


def database_users(cloud: Cloud) -> list[DatabaseUser]:
    return [
        DatabaseUser(service, password, (service,))
        for service, password in database_passwords(cloud).items()
    ]


def broker_users(cloud: Cloud) -> list[BrokerUser]:
    passwords = {"neutron": cloud.secrets.neutron_messaging}
    if cloud.block_storage:
        passwords["cinder"] = cloud.secrets.cinder_messaging
    port = cloud.broker_port
    return [BrokerUser(name, password, port=port) for name, password in passwords.items()]


def schemas(cloud: Cloud) -> list[dict[str, object]]:
    """The services that `files/schemas.py` takes."""
    keys = ["--keystone-user", "keystone", "--keystone-group", "keystone"]
    password = cloud.site.secrets.admin_password.get_secret_value()
    neutron = ["neutron-db-manage", "--config-file=/etc/neutron/neutron.conf"]
    neutron += ["--config-file=/etc/neutron/plugins/ml2/ml2_conf.ini", "upgrade", "head"]
    return [
        {
            "name": "keystone",
            "package": "keystone",
            "commands": [
                ["keystone-manage", "db_sync"],
                ["keystone-manage", "fernet_setup", *keys],
                ["keystone-manage", "credential_setup", *keys],
                bootstrap_command(cloud),
            ],
            "environment": {"OS_BOOTSTRAP_PASSWORD": password},
        },
        _schema("glance", "glance-common", ["glance-manage", "db_sync"]),
        _schema("placement", "placement-common", ["placement-manage", "db", "sync"]),
        _schema("neutron", "neutron-common", neutron),
        *(
            [_schema("cinder", "cinder-common", ["cinder-manage", "db", "sync"])]
            if cloud.block_storage
            else []
        ),
    ]


def _schema(name: str, package: str, command: list[str]) -> dict[str, object]:
    return {"name": name, "package": package, "commands": [command], "environment": {}}
