"""A small healthy cloud as the sources of an audit answer it, to spoil one thing at a time.

Two computes, `compute1` and `compute2`, with the guest `web` at rest on the first one.
"""

from __future__ import annotations

import copy
import datetime
import uuid
from typing import Any

import evidence
import nova_state

Row = dict[str, Any]

NOW = datetime.datetime(2026, 11, 20, 12, 0, 0)
EPOCH = nova_state.epoch(NOW)
HOSTS = ("compute1", "compute2")
EMPTY = (
    "build_requests",
    "cell0_instances",
    "faults",
    "flavors",
    "machine_types",
    "migrations",
    "services",
    "unmapped_instances",
    "volume_roots",
)
INSTANCES = "/var/lib/nova/instances"


def ago(seconds: float) -> datetime.datetime:
    return NOW - datetime.timedelta(seconds=seconds)


LONG_AGO = ago(30 * 86400)


def named(name: str) -> str:
    """The same uuid for the same name."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, name))


WEB = named("web")


def guest(name: str, host: str | None, **more: Any) -> Row:
    times = {"created_at": LONG_AGO, "launched_at": LONG_AGO, "written": LONG_AGO}
    size = {"vcpus": 2, "memory_mb": 2048, "root_gb": 20, "ephemeral_gb": 0}
    state = {"vm_state": "active", "task_state": None, "power_state": 1}
    place = {"uuid": named(name), "display_name": name, "host": host, "node": host}
    return {**place, **state, **size, **times, **more}


def migration(number: int, of: str, source: str, dest: str, **more: Any) -> Row:
    places = {"source_compute": source, "source_node": source}
    places |= {"dest_compute": dest, "dest_node": dest}
    kind = {"migration_type": "live-migration", "status": "completed", "written": ago(86400)}
    names = {"id": number, "uuid": named(f"migration {number}"), "instance_uuid": named(of)}
    return {**names, **places, **kind, **more}


def node(host: str, **more: Any) -> Row:
    names = {"uuid": named(f"node {host}"), "host": host, "hypervisor_hostname": host}
    return {**names, "hypervisor_type": "QEMU", **more}


def domain(name: str, state: str = "running", **more: Any) -> Row:
    began = {"reason": 1, "since": EPOCH - 86400}
    return {"uuid": named(name), "name": f"instance-{name}", "state": state, **began, **more}


def folder(name: str, **more: Any) -> Row:
    return {"name": name, "bytes": 3 * 1024**3, "written": EPOCH - 86400, **more}


def allocation(of: str, host: str, resources: Row | None = None, **more: Any) -> Row:
    resources = resources or {"VCPU": 2, "MEMORY_MB": 2048, "DISK_GB": 20}
    provider = {"provider": named(f"node {host}"), "consumer": of}
    return {**provider, "resources": resources, "written": EPOCH - 86400, **more}


class Cloud:
    """
    Attributes:
        tables, placement, hosts, strangers: as the sources answer them.
    """

    def __init__(self) -> None:
        cells = [
            {"id": 1, "uuid": nova_state.CELL0, "name": "cell0", "disabled": 0},
            {"id": 2, "uuid": named("cell1"), "name": "cell1", "disabled": 0},
        ]
        self.tables: dict[str, list[Row]] = {name: [] for name in EMPTY}
        self.tables |= {"cell_mappings": cells, "compute_nodes": [node(host) for host in HOSTS]}
        self.tables["instances"] = [guest("web", "compute1")]
        providers = [{"uuid": named(f"node {h}"), "name": h, "parent": None} for h in HOSTS]
        self.placement: Row = {"providers": providers, "allocations": [allocation(WEB, "compute1")]}
        self.hosts: dict[str, Row] = {host: self.host() for host in HOSTS}
        self.hosts["compute1"] |= {"domains": [domain("web")], "folders": [folder(WEB)]}
        asked = ("guests", "cell0_guests", "migrations", "mappings", "build_requests")
        self.strangers: dict[str, list[Row]] = {name: [] for name in asked}

    @staticmethod
    def host() -> Row:
        libvirt: Row = {"domains": [], "domains_error": None, "boot": EPOCH - 9e6, "time": EPOCH}
        files: Row = {"folders": [], "bases": [], "backing": [], "unread": []}
        return {**libvirt, **files, "instances": INSTANCES, "shared": False}

    @property
    def web(self) -> Row:
        return self.tables["instances"][0]

    def add(self, name: str, host: str | None, **more: Any) -> Row:
        """Another guest, with all that belongs to one on a host."""
        row = guest(name, host, **more)
        self.tables["instances"].append(row)
        if host in HOSTS:
            self.placement["allocations"].append(allocation(row["uuid"], host))
            self.hosts[host]["domains"].append(domain(name))
            self.hosts[host]["folders"].append(folder(row["uuid"]))
        return row

    def moves(self, **more: Any) -> None:
        """A migration of `web` from the first to the second host; unless told, it has ended."""
        number = len(self.tables["migrations"]) + 1
        self.tables["migrations"].append(migration(number, "web", *HOSTS, **more))

    def gone(self, name: str, since: float) -> None:
        """Nova says, when it is asked, that a guest was deleted so many seconds ago."""
        row = {"uuid": named(name), "deleted": 7, "deleted_at": ago(since), "host": "compute1"}
        self.strangers["guests"].append(row)

    def evidence(self, **more: Any) -> evidence.Evidence:
        expected = {
            "retired": ["gone9"],
            "dead": [],
            "computes": dict.fromkeys(HOSTS, "10.0.0.31"),
            "names": {host: host for host in HOSTS},
            "services": {"nova-compute": list(HOSTS)},
        }
        sources = {"databases": self.tables, "placement": self.placement, "hosts": self.hosts}
        sources |= {"strangers": self.strangers, **more}
        return evidence.Evidence(expected, EPOCH, **copy.deepcopy(sources))

    def found(self, *detectors: Any) -> list[Row]:
        seen = self.evidence()
        return [each for detector in detectors for each in detector(seen)]


def kinds(found: list[Row]) -> list[str]:
    return [each["kind"] for each in found]


def told(found: dict[str, Any]) -> tuple[str, str, str, float | None, str]:
    """Where, what, remedy, since when, and by which key a finding is known."""
    key = found["key"].removeprefix(f"{found['kind']}/{found['where']}/")
    return found["where"], found["what"], found["remedy"], found["since"], key


def only(cloud: Cloud, detector: Any) -> tuple[str, str, str, float | None, str]:
    (found,) = cloud.found(detector)
    return told(found)
