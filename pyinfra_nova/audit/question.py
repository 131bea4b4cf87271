"""What an audit asks: of the primary controller about the records, of each host about itself."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pyinfra_nova.knowledge.platforms import platforms_of
from pyinfra_nova.nova_conf.certificate_files import certificate_paths
from pyinfra_nova.nova_conf.folders import instances_path
from pyinfra_nova.nova_conf.migration_ssh import (
    KNOWN_HOSTS,
    addresses,
    authorized_keys,
    key_pair,
    patterns,
)
from pyinfra_nova.proof.host_proof import LIBVIRT_URI
from pyinfra_nova.proof.site_proof import known
from pyinfra_nova.resources import databases, messaging
from pyinfra_nova.resources.compute_api import ComputeApi
from pyinfra_nova.run.served import served
from pyinfra_nova.session.host_script import Answer, ScriptFact
from pyinfra_nova.site.endpoints import endpoints
from pyinfra_nova.site.settings import HostSettings, Site


class HostEvidence(ScriptFact):
    """The guests, files and processes of one host."""

    script = "host_evidence"
    uses = (
        "trust",
        "guest_screens",
        "streams",
        "served_certificates",
        "certificate_holders",
        "certificates",
        "unit_logs",
        "units",
        "host_processes",
        "host_access",
        "host_restore",
        "host_tls",
        "host_guests",
    )
    folder = ScriptFact.folder / "audit"


class CloudAudit(ScriptFact):
    """The findings, judged on the primary controller."""

    script = "cloud_audit"
    uses = (
        "trust",
        "sql",
        "rest",
        "keystone",
        "compute_api",
        "streams",
        "messaging",
        "nova_state",
        "kinds",
        "finding",
        "names",
        "nova_tables",
        "standing",
        "cloud_services",
        "certificates",
        "endpoint_certificates",
        "placement_records",
        "broker_queues",
        "own_queues",
        "strangers",
        "evidence",
        "records",
        "nodes",
        "providers",
        "heartbeats",
        "queues",
        "access",
        "neighbours",
        "expiry",
        "encryption",
        "server_settings",
        "guest_rows",
        "guests",
        "migrations",
        "allocations",
        "domains",
        "disks",
        "causes",
        "figures",
    )
    folder = ScriptFact.folder / "audit"


class Repairs(ScriptFact):
    """What has come of repairs, made on the primary controller."""

    script = "repairs"
    uses = (
        *CloudAudit.uses,
        *("cloud_audit", "provider_allocations", "repair_steps", "api_repairs", "sql_repairs"),
    )
    folder = ScriptFact.folder / "audit"


PLACEMENT_DATABASE = "placement"
PLAIN_LIBVIRT = 16509
"""libvirt's own (libvirtd.conf, tcp_port)."""


def expected(site: Site) -> dict[str, Any]:
    """What the inventory and the settings say that there is."""
    settings, tls = site.settings, site.settings.tls
    encrypted = {"tls": {"mode": tls.mode, "renew_days": tls.renew_days}} if tls.is_on else {}
    return {
        "services": known(site),
        "computes": {host.nova_host: str(host.my_ip) for host in site.all_computes},
        "dead": [host.nova_host for host in site.dead],
        "retired": [host.nova_host for host in site.retired],
        "names": {host.nova_host: host.name for host in site.hosts.values()},
        "region": settings.region,
        "down_time": settings.service_down_time,
        "report_interval": settings.report_interval,
        "virtual_host": settings.messaging.virtual_host,
        "archived_after": settings.care.archive.days if settings.care.archive else None,
        "endpoints": settings.endpoints.model_dump(),
        "ssh": {"names": list(known_names(site)), "from": patterns(site)},
        **encrypted,
    }


def of_cloud(site: Site, hosts: Mapping[str, Answer] | None) -> dict[str, Any]:
    """What CloudAudit is asked on the primary controller, with what the HOSTS have said."""
    database = site.settings.database
    return {
        "database": databases.as_nova(site),
        "names": {
            "api": database.nova_api,
            "cell0": database.nova_cell0,
            "cell1": database.nova,
        },
        "placement_database": PLACEMENT_DATABASE,
        "api": ComputeApi.of(site).as_request(),
        "broker": {
            **messaging.as_nova(site),
            "here": "messaging" in site.primary_controller.roles,
        },
        "expected": expected(site),
        "hosts": hosts,
    }


@lru_cache(maxsize=2)
def known_names(site: Site) -> tuple[str, ...]:
    """Under which names and addresses the computes of SITE are in the known hosts of each other."""
    computes = site.all_computes
    names = {name for host in computes for name in (host.nova_host, *addresses(host))}
    return tuple(sorted(names))


@lru_cache(maxsize=2)
def _ssh(site: Site) -> dict[str, str] | None:
    """Digests of what a compute has that moves guests: it answers with what is not so."""
    secret = site.secrets.migration_secret
    if secret is None or len(site.all_computes) < 2:
        return None
    line = authorized_keys(site, key_pair(secret.get_secret_value())[1]).strip()
    return {"names": _digest("\n".join(known_names(site))), "key": _digest(line)}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _tls(site: Site, host: HostSettings) -> dict[str, Any] | None:
    """Which ports of HOST, and which certificates, are looked at; None where all is plain text."""
    answering = dict(endpoints(site.settings, host)) if host.is_controller else {}
    if not site.settings.vnc.enabled:
        answering.pop("novncproxy", None)
    platforms = platforms_of(site.settings.release)
    asked = served(site, host, platforms, answering.values(), libvirt=host.is_compute)
    if asked is None:
        return None
    daemons = dict.fromkeys(f"{platform.libvirt.remote}-tcp.socket" for platform in platforms)
    plain = {
        "who": "libvirt without TLS",
        "address": str(host.my_ip),
        "port": PLAIN_LIBVIRT,
        "remedy": f"stop {' or '.join(daemons)} on {host.name}, and disable it",
    }
    return {
        **asked,
        "plain": [plain] if host.is_compute else [],
        "own": certificate_paths(site, host),
    }


def of_host(site: Site, host: HostSettings) -> dict[str, Any]:
    """What HostEvidence is asked on HOST."""
    return {
        "compute": host.is_compute,
        # As Nova on that host is told, what an operator has overridden included.
        "libvirt": host.nova_conf.get("libvirt", {}).get("connection_uri") or LIBVIRT_URI,
        "instances": instances_path(host),
        "nova_conf": "/etc/nova/nova.conf",
        "known_hosts": KNOWN_HOSTS,
        "authorized_keys": "/var/lib/nova/.ssh/authorized_keys",
        "ssh": _ssh(site) if host.is_compute else None,
        "tls": _tls(site, host),
    }
