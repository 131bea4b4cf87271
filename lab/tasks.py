"""The prerequisites' order; what they are is in `cloud`."""

from __future__ import annotations

from lab import operations
from lab.cloud import NEUTRON_DROP_IN, PROVIDER_BRIDGE, Cloud
from pyinfra_nova.resources import (
    config_files,
    databases,
    http_answers,
    keystone,
    messaging,
    packages,
    units,
)


def install_packages(cloud: Cloud, name: str) -> None:
    """All packages of a host at once, none of their daemons started."""
    packages.installed(name="Packages are installed", packages=cloud.packages(name))


def provider_network(cloud: Cloud, name: str) -> None:
    """The bridge that Neutron's agent maps the provider network to."""
    config_files.written(name="Agent's files are written", files=cloud.agent_files(name))
    operations.provider_bridge(
        name="Provider bridge stands",
        bridge=PROVIDER_BRIDGE,
        nic=cloud.lab.provider.nic,
        address=str(cloud.provider_address(name)),
    )


def database_and_broker(cloud: Cloud, name: str) -> None:
    """MariaDB, RabbitMQ and memcached, with what the services have in them."""
    operations.guest_image(
        name="Guest image is being built", request=cloud.guest_image(), do="start"
    )
    files = [*cloud.base_files(name), *cloud.service_files(name)]
    config_files.written(name="Services' files are written", files=files)
    units.running(name="MariaDB, RabbitMQ, memcached run", units=cloud.base_units())
    databases.present(name="Databases and users exist", users=cloud.database_users())
    operations.schemas(name="Schemas are current", services=cloud.schemas())
    for user in cloud.broker_users():
        messaging.present(
            name=f"{user.name.title()}'s broker user exists", user=user, address=cloud.controller
        )


def services(cloud: Cloud) -> None:
    """Keystone with everything in it but Nova's entries; Glance, Placement, Neutron's server."""
    if not cloud.lab.has_wsgi_modules:
        operations.drop_in_read(
            name="Neutron's unit is read",
            unit="neutron-api.service",
            path=f"{NEUTRON_DROP_IN}/neutron-server.conf",
        )
    units.running(name="Keystone, Glance, Placement, Neutron run", units=cloud.service_units())
    http_answers.answering(name="Keystone answers", urls=cloud.answers("identity"))
    admin = cloud.keystone_admin()
    operations.keystone_bootstrapped(
        name="Keystone's administrator exists", admin=admin, command=cloud.bootstrap_command()
    )
    if cloud.block_storage:
        operations.service_type(name="Cinder has this release's type", request=cloud.service_type())
    keystone.present(
        name="Users, services and endpoints exist", admin=admin, entries=cloud.keystone_entries()
    )
    http_answers.answering(
        name="Glance, Placement, Neutron answer",
        urls=cloud.answers("image", "placement", "network"),
    )
    operations.neutron_serves(name="Neutron's server takes calls", unit=cloud.neutron_rpc_unit)


def block_storage(cloud: Cloud) -> None:
    """Ceph with one disk, a file; Cinder, which has its volumes on it."""
    operations.ceph(name="Ceph and its pool exist", request=cloud.ceph())
    units.running(name="Ceph runs", units=cloud.ceph_units())
    units.running(name="Cinder runs", units=cloud.cinder_units())
    http_answers.answering(name="Cinder answers", urls=cloud.cinder_answers())
    operations.cinder_serves(name="Cinder's volume service is up")


def network_agents(cloud: Cloud, name: str) -> None:
    """Neutron's agents, Open vSwitch's on every host."""
    units.running(name="Neutron's agents run", units=cloud.agent_units(name))


def network_and_image(cloud: Cloud) -> None:
    """What guests need: a provider network and an image."""
    operations.guest_image(name="Guest image is built", request=cloud.guest_image(), do="wait")
    operations.network_and_image(
        name="Provider network and guest image exist", request=cloud.network_and_image()
    )
