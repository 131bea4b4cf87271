"""What Keystone holds: its administrator, users, services and where they answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

from pydantic import SecretStr

from lab.cloud import Cloud
from pyinfra_nova.resources.http_answers import Answering
from pyinfra_nova.resources.keystone import (
    KeystoneAdmin,
    KeystoneEndpoint,
    KeystoneEntries,
    KeystoneService,
    KeystoneUser,
)

SERVICES = (
    KeystoneService("identity", "keystone", "OpenStack Identity"),
    KeystoneService("image", "glance", "OpenStack Image"),
    KeystoneService("placement", "placement", "OpenStack Placement"),
    KeystoneService("network", "neutron", "OpenStack Networking"),
)
PORTS = {"identity": "5000/v3", "image": "9292", "placement": "8778", "network": "9696"}
STORAGE_TYPES = {"block-storage": "cinder", "volumev3": "cinderv3"}
"""What Cinder is registered as in its installation guides, and by which name."""
STORAGE_PORT = "8776"


def keystone_admin(cloud: Cloud) -> KeystoneAdmin:
    """The administrator's login, asked on the controller itself."""
    settings = cloud.site.settings.keystone
    return KeystoneAdmin(
        settings.auth_url,
        settings.admin.username,
        cloud.site.secrets.admin_password,
        settings.admin.project_name,
        settings.admin.user_domain_name,
        settings.admin.project_domain_name,
    )


def admin_login(cloud: Cloud) -> dict[str, str]:
    """The administrator's login as scripts on the controller take it."""
    password = cloud.site.secrets.admin_password.get_secret_value()
    return {**asdict(keystone_admin(cloud)), "password": password}


def answers(cloud: Cloud, *types: str) -> list[Answering]:
    """The URLs of services by their type: each answers with a document of its versions."""
    return [
        Answering(type_, f"{cloud.scheme}://{cloud.controller}:{PORTS[type_]}/", '"version')
        for type_ in types
    ]


def bootstrap_command(cloud: Cloud) -> list[str]:
    """What makes the administrator, or sets the password that OS_BOOTSTRAP_PASSWORD holds."""
    admin = keystone_admin(cloud)
    words = ["keystone-manage", "bootstrap", "--bootstrap-username", admin.username]
    words += ["--bootstrap-project-name", admin.project]
    words += ["--bootstrap-region-id", cloud.site.settings.region]
    for interface in ("admin", "internal", "public"):
        words += [f"--bootstrap-{interface}-url", admin.auth_url]
    return words


def keystone_entries(cloud: Cloud) -> KeystoneEntries:
    """Everything but Nova's own, which the deployment under test makes, and Cinder's."""
    secrets = cloud.site.secrets
    passwords = {
        "glance": cloud.secrets.glance_password,
        cloud.site.settings.placement.username: secrets.placement_password,
        cloud.site.settings.neutron.username: secrets.neutron_password,
    }
    return _entries(cloud, passwords, SERVICES, PORTS)


def storage_entries(cloud: Cloud) -> KeystoneEntries:
    """Cinder's."""
    service = storage_service(cloud)
    url = f"{STORAGE_PORT}/{_storage_path(cloud)}"
    return _entries(
        cloud, {"cinder": cloud.secrets.cinder_password}, (service,), {service.type: url}
    )


def _entries(
    cloud: Cloud,
    passwords: Mapping[str, SecretStr],
    services: Sequence[KeystoneService],
    urls: Mapping[str, str],
) -> KeystoneEntries:
    return KeystoneEntries(
        projects=("service",),
        roles=("service",),
        users=tuple(
            KeystoneUser(name, password, "service", ("admin", "service"))
            for name, password in passwords.items()
        ),
        services=tuple(services),
        endpoints=tuple(
            KeystoneEndpoint(
                type_,
                interface,
                f"{cloud.scheme}://{cloud.controller}:{port}",
                cloud.site.settings.region,
            )
            for type_, port in urls.items()
            for interface in ("public", "internal", "admin")
        ),
    )


def storage_service(cloud: Cloud) -> KeystoneService:
    """Cinder, as the installation guide of this release has it in the catalogue."""
    type_ = "block-storage" if cloud.lab.cinder_is_block_storage else "volumev3"
    return KeystoneService(type_, STORAGE_TYPES[type_], "OpenStack Block Storage")


def _storage_path(cloud: Cloud) -> str:
    return "v3" if cloud.lab.cinder_is_block_storage else "v3/%(project_id)s"


def service_type(cloud: Cloud) -> dict[str, object]:
    """The request that `files/service_type.py` takes: Cinder once, under this type."""
    wanted = storage_service(cloud)
    others = [type_ for type_ in STORAGE_TYPES if type_ != wanted.type]
    named = {"type": wanted.type, "name": wanted.name}
    return {"login": admin_login(cloud), **named, "formerly": others}


def volume_pools(cloud: Cloud) -> dict[str, object]:
    """The request that `files/volume_pools.py` takes."""
    type_ = storage_service(cloud).type
    return {"login": admin_login(cloud), "region": cloud.site.settings.region, "type": type_}


def cinder_answers(cloud: Cloud) -> list[Answering]:
    url = f"{cloud.scheme}://{cloud.controller}:{STORAGE_PORT}/"
    return [Answering("cinder", url, '"version')]
