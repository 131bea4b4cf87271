"""The units that run, each with the files that it reads."""

from __future__ import annotations

from lab.cloud import Cloud
from lab.cloud.ceph import CEPH_USER
from lab.cloud.certificates import (
    GLANCE_TLS,
    GLANCE_TLS_CONF,
    GLANCE_TLS_UNIT,
    MEMCACHED_DROP_IN,
    reads,
)
from lab.cloud.package_names import NEUTRON_DAEMONS
from lab.cloud.rendered_files import NEUTRON_DROP_IN
from pyinfra_nova.resources.units import Unit


def base_units(cloud: Cloud) -> list[Unit]:
    # The folder, too: without TLS its rabbitmq.conf goes, and nothing else there changes.
    broker = ["/etc/rabbitmq", "/etc/rabbitmq/rabbitmq-env.conf", *reads(cloud, "rabbitmq")]
    if cloud.has_tls:
        broker.append("/etc/rabbitmq/rabbitmq.conf")
    return [
        Unit(
            "mariadb.service",
            ("/etc/mysql/mariadb.conf.d/90-lab.cnf", *reads(cloud, "mysql")),
        ),
        Unit("rabbitmq-server.service", tuple(broker), log="/var/log/rabbitmq/rabbit@*.log"),
        Unit(
            "memcached.service",
            ("/etc/memcached.conf", *reads(cloud, "memcache")),
            dropin=MEMCACHED_DROP_IN if cloud.has_tls else None,
        ),
    ]


def service_units(cloud: Cloud) -> list[Unit]:
    conf = "/etc/glance/glance-api.conf"
    if cloud.has_glance_proxy:
        proxy = (GLANCE_TLS_UNIT, GLANCE_TLS_CONF, *reads(cloud, "glance"))
        glance = [Unit("glance-api.service", (conf,)), Unit(GLANCE_TLS, proxy)]
    else:
        glance = [Unit("glance-api.service", (conf, *reads(cloud, "glance")))]
    return [
        Unit(
            "keystone.service",
            (
                "/etc/keystone/keystone.conf",
                "/etc/keystone/keystone-uwsgi.ini",
                *reads(cloud, "keystone"),
            ),
        ),
        *glance,
        Unit(
            "placement-api.service",
            (
                "/etc/placement/placement.conf",
                "/etc/placement/placement-api-uwsgi.ini",
                *reads(cloud, "placement"),
            ),
        ),
        *_neutron_units(cloud),
    ]


def _neutron_units(cloud: Cloud) -> list[Unit]:
    conf = ("/etc/neutron/neutron.conf", "/etc/neutron/plugins/ml2/ml2_conf.ini")
    api = (*conf, *reads(cloud, "neutron"))
    if not cloud.lab.has_wsgi_modules:
        drop_in = f"{NEUTRON_DROP_IN}/neutron-server.conf"
        return [Unit("neutron-api.service", (*api, drop_in))]
    return [
        Unit("neutron-api.service", (*api, "/etc/neutron/neutron-api-uwsgi.ini")),
        *(Unit(f"{daemon}.service", conf) for daemon in NEUTRON_DAEMONS),
    ]


def neutron_rpc_unit(cloud: Cloud) -> str:
    """The unit that takes the agents' calls."""
    name = "neutron-rpc-server" if cloud.lab.has_wsgi_modules else "neutron-api"
    return f"{name}.service"


def ceph_units(cloud: Cloud) -> list[Unit]:
    name = cloud.site.primary_controller.name
    names = (f"ceph-mon@{name}", f"ceph-mgr@{name}", "ceph-osd@0")
    return [Unit(f"{name}.service", ("/etc/ceph/ceph.conf",)) for name in names]


def cinder_units(cloud: Cloud) -> list[Unit]:
    conf, keyring = "/etc/cinder/cinder.conf", f"/etc/ceph/ceph.client.{CEPH_USER}.keyring"
    return [
        Unit("cinder-scheduler.service", (conf,)),
        Unit("cinder-volume.service", (conf, "/etc/ceph/ceph.conf", keyring)),
        Unit(
            "cinder-api.service",
            (conf, "/etc/cinder/cinder-api-uwsgi.ini", *reads(cloud, "cinder")),
        ),
    ]


def agent_units(cloud: Cloud, name: str) -> list[Unit]:
    """Neutron's agents; on the controller also those that serve all networks."""
    neutron = "/etc/neutron/neutron.conf"
    agents = [
        Unit(
            "neutron-openvswitch-agent.service",
            (neutron, "/etc/neutron/plugins/ml2/openvswitch_agent.ini"),
        )
    ]
    if not cloud.is_controller(name):
        return agents
    return [
        *agents,
        Unit("neutron-dhcp-agent.service", (neutron, "/etc/neutron/dhcp_agent.ini")),
        Unit("neutron-l3-agent.service", (neutron, "/etc/neutron/l3_agent.ini")),
        Unit("neutron-metadata-agent.service", (neutron, "/etc/neutron/metadata_agent.ini")),
    ]
