"""The prerequisites' order; what they are is in `cloud`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from lab import operations
from lab.cloud import (
    Cloud,
    catalogue,
    ceph,
    certificates,
    daemons,
    data_stores,
    guests,
    rendered_files,
    rereading,
)
from lab.cloud.package_names import packages_of
from lab.cloud.rendered_files import NEUTRON_DROP_IN, PROVIDER_BRIDGE
from pyinfra_nova.nova_conf.config_file import ConfigFile
from pyinfra_nova.resources import (
    config_files,
    databases,
    http_answers,
    keystone,
    messaging,
    packages,
    renewed_certificates,
    units,
)


def install_packages(cloud: Cloud, name: str) -> None:
    """All packages of a host at once, none of their daemons started."""
    packages.installed(name="Packages are installed", packages=packages_of(cloud, name))


def provider_network(cloud: Cloud, name: str) -> None:
    """The bridge that Neutron's agent maps the provider network to."""
    config_files.written(
        name="Agent's files are written", files=rendered_files.agent_files(cloud, name)
    )
    operations.provider_bridge(
        name="Provider bridge stands",
        bridge=PROVIDER_BRIDGE,
        nic=cloud.lab.provider.nic,
        address=str(rendered_files.provider_address(cloud, name)),
    )


def server_certificates(cloud: Cloud, name: str) -> list[ConfigFile]:
    """The certificates of this host's servers, with those that are right left as they are."""
    if not cloud.has_tls:
        return []
    found = operations.certificates_found(certificates.certificate_paths(cloud))
    now = dt.datetime.now(dt.timezone.utc)
    return certificates.certificate_files(cloud, name, found, now)


def certificates_read(
    cloud: Cloud, shown: Sequence[ConfigFile], whose: str, users: Sequence[str]
) -> None:
    """Have those of USERS that can do it where they run show their certificates in SHOWN."""
    if servers := rereading.servers(cloud, shown, users):
        renewed_certificates.read(name=f"{whose} have read their certificates", servers=servers)


def database_and_broker(cloud: Cloud, name: str, shown: Sequence[ConfigFile]) -> None:
    """MariaDB, RabbitMQ and memcached, with what the services have in them."""
    operations.guest_image(
        name="Guest image is being built", request=guests.guest_image(), do="start"
    )
    if not cloud.has_glance_proxy:
        operations.unit_gone(name="Nothing is before Glance", unit=certificates.GLANCE_TLS)
    files = [
        *shown,
        *rendered_files.base_files(cloud, name),
        *rendered_files.service_files(cloud, name),
    ]
    config_files.written(
        name="Services' files are written",
        files=files,
        absent=certificates.unwanted_files(cloud),
    )
    units.running(name="MariaDB, RabbitMQ, memcached run", units=daemons.base_units(cloud))
    certificates_read(cloud, shown, "MariaDB, RabbitMQ", rereading.BASE)
    databases.present(name="Databases and users exist", users=data_stores.database_users(cloud))
    operations.schemas(name="Schemas are current", services=data_stores.schemas(cloud))
    for user in data_stores.broker_users(cloud):
        messaging.present(
            name=f"{user.name.title()}'s broker user exists", user=user, address=cloud.controller
        )


def services(cloud: Cloud, shown: Sequence[ConfigFile]) -> None:
    """Keystone with everything in it but Nova's entries; Glance, Placement, Neutron's server."""
    if not cloud.lab.has_wsgi_modules:
        operations.drop_in_read(
            name="Neutron's unit is read",
            unit="neutron-api.service",
            path=f"{NEUTRON_DROP_IN}/neutron-server.conf",
        )
    units.running(
        name="Keystone, Glance, Placement, Neutron run", units=daemons.service_units(cloud)
    )
    certificates_read(cloud, shown, "Keystone, Glance, Placement, Neutron", rereading.SERVICES)
    http_answers.answering(name="Keystone answers", urls=catalogue.answers(cloud, "identity"))
    admin = catalogue.keystone_admin(cloud)
    operations.keystone_bootstrapped(
        name="Keystone's administrator exists",
        admin=admin,
        command=catalogue.bootstrap_command(cloud),
    )
    keystone.present(
        name="Users, services and endpoints exist",
        admin=admin,
        entries=catalogue.keystone_entries(cloud),
    )
    http_answers.answering(
        name="Glance, Placement, Neutron answer",
        urls=catalogue.answers(cloud, "image", "placement", "network"),
    )
    operations.neutron_serves(
        name="Neutron's server takes calls", unit=daemons.neutron_rpc_unit(cloud)
    )


def block_storage(cloud: Cloud, shown: Sequence[ConfigFile]) -> None:
    """Ceph with one disk, a file; Cinder, which has its volumes on it."""
    operations.ceph(name="Ceph and its pool exist", request=ceph.ceph_request(cloud))
    units.running(name="Ceph runs", units=daemons.ceph_units(cloud))
    operations.ceph_has_room(name="Ceph has room")
    units.running(name="Cinder runs", units=daemons.cinder_units(cloud))
    certificates_read(cloud, shown, "Cinder's servers", rereading.STORAGE)
    http_answers.answering(name="Cinder answers", urls=catalogue.cinder_answers(cloud))
    # Before that the catalogue would lead to nobody.
    operations.service_type(
        name="Cinder has this release's type", request=catalogue.service_type(cloud)
    )
    keystone.present(
        name="Cinder's user, service and endpoints exist",
        admin=catalogue.keystone_admin(cloud),
        entries=catalogue.storage_entries(cloud),
    )
    operations.cinder_serves(
        name="Cinder has room for a volume", request=catalogue.volume_pools(cloud)
    )


def network_agents(cloud: Cloud, name: str) -> None:
    """Neutron's agents, Open vSwitch's on every host."""
    units.running(name="Neutron's agents run", units=daemons.agent_units(cloud, name))


def network_and_image(cloud: Cloud) -> None:
    """What guests need: a provider network and an image."""
    operations.guest_image(name="Guest image is built", request=guests.guest_image(), do="wait")
    operations.network_and_image(
        name="Provider network and guest image exist", request=guests.network_and_image(cloud)
    )
