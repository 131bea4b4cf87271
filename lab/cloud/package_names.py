"""The packages of every host."""

from __future__ import annotations

from lab.cloud import Cloud

NEUTRON_DAEMONS = ("neutron-rpc-server", "neutron-periodic-workers")
"""Packages and units: what is beside neutron-api where there is no neutron-server."""

AGENT_PACKAGES = ("neutron-openvswitch-agent", "openvswitch-switch")
"""On every host."""

CONTROLLER_PACKAGES = (
    "mariadb-server", "rabbitmq-server", "memcached",
    "keystone", "glance-api", "placement-api",
    "neutron-api",
    "neutron-dhcp-agent", "neutron-l3-agent", "neutron-metadata-agent",
    "python3-openstackclient", "python3-osc-placement",
    "python3-memcache", "uwsgi-plugin-python3",
    # What the guest image is built with.
    "mtools", "syslinux", "syslinux-common", "qemu-utils",
)  # fmt: skip

STORAGE_PACKAGES = (
    "cinder-api", "cinder-scheduler", "cinder-volume", "python3-rbd",
    "ceph-mon", "ceph-mgr", "ceph-osd",
)  # fmt: skip

TLS_PACKAGES = ("stunnel4",)
"""What speaks TLS for Glance."""


def packages_of(cloud: Cloud, name: str) -> tuple[str, ...]:
    if not cloud.is_controller(name):
        return AGENT_PACKAGES
    daemons = NEUTRON_DAEMONS if cloud.lab.has_wsgi_modules else ()
    storage = STORAGE_PACKAGES if cloud.block_storage else ()
    tls = TLS_PACKAGES if cloud.has_glance_proxy else ()
    return (*AGENT_PACKAGES, *CONTROLLER_PACKAGES, *daemons, *storage, *tls)
