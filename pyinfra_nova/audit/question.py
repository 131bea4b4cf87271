"""What an audit asks: of the primary controller about the records, of each host about itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyinfra_nova.proof.site_proof import known
from pyinfra_nova.resources.compute_api import ComputeApi
from pyinfra_nova.session.host_script import Answer, ScriptFact
from pyinfra_nova.site.settings import HostSettings, Site

LIBVIRT_URI = "qemu:///system"


class HostEvidence(ScriptFact):
    """The guests, files and processes of one host."""

    script = "host_evidence"
    uses = ()
    folder = ScriptFact.folder / "audit"


class CloudAudit(ScriptFact):
    """The findings, judged on the primary controller."""

    script = "cloud_audit"
    uses = (
        "sql",
        "rest",
        "keystone",
        "compute_api",
        "nova_state",
        "kinds",
        "finding",
        "nova_tables",
        "cloud_services",
        "placement_records",
        "broker_queues",
        "evidence",
        "records",
    )
    folder = ScriptFact.folder / "audit"


def expected(site: Site) -> dict[str, Any]:
    """What the inventory and the settings say that there is."""
    settings = site.settings
    return {
        "services": known(site),
        "computes": {host.nova_host: str(host.my_ip) for host in site.computes},
        "names": {host.nova_host: host.name for host in site.hosts.values()},
        "region": settings.region,
        "down_time": settings.service_down_time,
        "endpoints": settings.endpoints.model_dump(),
    }


def of_cloud(site: Site, hosts: Mapping[str, Answer] | None) -> dict[str, Any]:
    """What CloudAudit is asked on the primary controller, with what the HOSTS have said."""
    database, messaging = site.settings.database, site.settings.messaging
    return {
        "database": {
            "host": database.host,
            "port": database.port,
            "user": database.user,
            "password": site.secrets.database_password.get_secret_value(),
        },
        "names": {
            "api": database.nova_api,
            "cell0": database.nova_cell0,
            "cell1": database.nova,
        },
        "placement_database": "placement",
        "api": ComputeApi.of(site).as_request(),
        "broker": {
            "hosts": messaging.hosts,
            "port": messaging.port,
            "user": messaging.user,
            "password": site.secrets.messaging_password.get_secret_value(),
            "virtual_host": messaging.virtual_host,
        },
        "expected": expected(site),
        "hosts": hosts,
    }


def of_host(host: HostSettings) -> dict[str, Any]:
    """What HostEvidence is asked on HOST."""
    return {
        "compute": host.is_compute,
        "libvirt": LIBVIRT_URI,
        "instances": "/var/lib/nova/instances",
        "known_hosts": "/etc/nova/known_hosts",
    }
