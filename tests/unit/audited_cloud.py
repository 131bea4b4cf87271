"""A healthy cloud as the sources of an audit tell of it, to be made ill in one place."""

from __future__ import annotations

import copy
import datetime
from typing import Any

import allocations
import cloud_audit
import disks
import domains
import guests
import migrations
from evidence import Evidence
from finding import judged
from nova_state import CELL0

from .audited_guests import told

Row = dict[str, Any]
NOW = 1_800_000_000.0
"""2027-01-15 08:00:00 UTC."""
CELL1 = "c1c1c1c1-0000-0000-0000-000000000000"
DAY = 86400
OLD = 30 * DAY
OF_GUESTS = {
    *guests.DETECTORS,
    *migrations.DETECTORS,
    *allocations.DETECTORS,
    *domains.DETECTORS,
    *disks.DETECTORS,
}
DETECTORS = [each for each in cloud_audit.DETECTORS if each not in OF_GUESTS]
"""Those of guests have a cloud of their own, in audited_guests.py."""
AGGREGATE = "a99a99a9-0000-0000-0000-000000000000"


def ago(seconds: float) -> datetime.datetime:
    """That long ago, as PyMySQL gives the times of Nova's databases: UTC, without saying so."""
    moment = datetime.datetime.fromtimestamp(NOW - seconds, tz=datetime.timezone.utc)
    return moment.replace(tzinfo=None)


def service(binary: str, host: str, silence: float = 5, **more: Any) -> Row:
    return {
        "id": 1,
        "uuid": f"s-{binary}-{host}",
        "host": host,
        "binary": binary,
        "last_seen_up": ago(silence),
        "created_at": ago(OLD),
        "forced_down": 0,
        "disabled": 0,
        "disabled_reason": None,
        "version": 66,
        **more,
    }


def node(host: str, **more: Any) -> Row:
    return {
        "id": 1,
        "uuid": f"n-{host}",
        "host": host,
        "hypervisor_hostname": host,
        "host_ip": "10.0.0.31",
        "mapped": 1,
        "vcpus": 4,
        "memory_mb": 8000,
        "local_gb": 100,
        "hypervisor_type": "QEMU",
        "hypervisor_version": 7002000,
        "created_at": ago(OLD),
        "written": ago(60),
        **more,
    }


def provider(host: str, **more: Any) -> Row:
    return {"uuid": f"n-{host}", "name": host, "parent": None, **more}


def guest(host: str | None, **more: Any) -> Row:
    return {
        "uuid": f"g-{host}",
        "display_name": "web",
        "host": host,
        "node": host,
        "vm_state": "active",
        "task_state": None,
        "power_state": 1,
        "vcpus": 1,
        "memory_mb": 512,
        "root_gb": 1,
        "ephemeral_gb": 0,
        "created_at": ago(OLD),
        "launched_at": ago(OLD),
        "written": ago(OLD),
        **more,
    }


def mapping(host: str, cell: int = 2) -> Row:
    return {"id": 1, "cell_id": cell, "host": host, "created_at": ago(OLD)}


def cell(number: int, uuid: str, name: str, disabled: int = 0) -> Row:
    return {"id": number, "uuid": uuid, "name": name, "disabled": disabled}


def member(host: str, aggregate: int = 7, age: float = OLD) -> Row:
    return {"aggregate_id": aggregate, "host": host, "created_at": ago(age)}


def agent(host: str, kind: str = "Open vSwitch agent", *, alive: bool = True) -> Row:
    binary = "neutron-openvswitch-agent"
    beat = ago(10 if alive else 3600).strftime("%Y-%m-%d %H:%M:%S")
    return {
        "id": f"agent-{host}",
        "host": host,
        "agent_type": kind,
        "binary": binary,
        "alive": alive,
        "heartbeat_timestamp": beat,
    }


def endpoint(interface: str, url: str = "http://controller:8774/v2.1", **more: Any) -> Row:
    own = {"id": f"e-{interface}", "interface": interface, "region_id": "RegionOne"}
    return {**own, "url": url, "type": "compute", "name": "nova", **more}


def queue(messages: int = 0, consumers: int = 1) -> Row:
    return {"messages": messages, "consumers": consumers}


def host_answer(*daemons: str, age: float = OLD, **more: Any) -> Row:
    """What a host says on which these DAEMONS have run for AGE seconds, by a clock of its own."""
    now = NOW + 1000
    running = {name: {"unit": name, "pid": 42, "since": now - age} for name in daemons}
    names = ("nova-compute", "nova-conductor", "nova-scheduler")
    return {
        "boot": now - OLD,
        "time": now,
        "processes": {name: running.get(name) for name in names},
        "certificates": {},
        "known_hosts": [],
        "keys": [],
        "domains": [],
        "domains_error": None,
        "instances": "/var/lib/nova/instances",
        "shared": False,
        "folders": [],
        "bases": [],
        "backing": [],
        "unread": [],
        **more,
    }


COMPUTES = ("compute1", "compute2")
CONTROLLING = ("nova-conductor", "nova-scheduler")


class Cloud:
    """The evidence of each source, as plain data; None where one is silent."""

    def __init__(self) -> None:
        urls = dict.fromkeys(("public", "internal", "admin"), "http://controller:8774/v2.1")
        self.expected: Row = {
            "services": {
                "nova-conductor": ["controller"],
                "nova-scheduler": ["controller"],
                "nova-compute": list(COMPUTES),
            },
            "computes": {"compute1": "10.0.0.31", "compute2": "10.0.0.32"},
            "retired": [],
            "dead": [],
            "names": {name: name for name in ("controller", *COMPUTES)},
            "region": "RegionOne",
            "down_time": 60,
            "virtual_host": "/",
            "endpoints": urls,
            "ssh": {
                "names": ["10.0.0.31", "10.0.0.32", "compute1", "compute2"],
                "from": ["10.0.0.31", "10.0.0.32"],
            },
        }
        self.databases: dict[str, list[Row]] = {
            "services": [
                *(service(binary, "controller") for binary in CONTROLLING),
                *(service("nova-compute", host) for host in COMPUTES),
            ],
            "compute_nodes": [node(host) for host in COMPUTES],
            "instances": [guest("compute1")],
            "migrations": [],
            "machine_types": [],
            "flavors": [],
            "volume_roots": [],
            "cell0_instances": [],
            "faults": [],
            "cell_mappings": [cell(1, CELL0, "cell0"), cell(2, CELL1, "cell1")],
            "host_mappings": [mapping(host) for host in COMPUTES],
            "unmapped_instances": [],
            "build_requests": [],
            "aggregates": [{"id": 7, "uuid": AGGREGATE, "name": "fast"}],
            "aggregate_hosts": [member("compute1")],
            "cell0_services": [],
            "deleted": [],
            "settings": [],
        }
        inventory = {"VCPU": [4, 0, 4.0], "MEMORY_MB": [8000, 512, 1.0]}
        self.placement: Row | None = {
            "providers": [provider(host) for host in COMPUTES],
            "aggregates": {"n-compute1": [AGGREGATE], "n-compute2": []},
            "inventories": {f"n-{host}": dict(inventory) for host in COMPUTES},
            "allocations": [],
            "by": "sql",
        }
        self.broker: dict[str, Row] | None = {
            "conductor": queue(),
            "conductor.controller": queue(),
            "scheduler.controller": queue(),
            "compute.compute1": queue(),
            "compute.compute2": queue(),
            "reply_0123": queue(messages=3, consumers=0),
            "compute_fanout_0123": queue(messages=200, consumers=0),
        }
        self.identity: Row | None = {
            "endpoints": [endpoint(interface) for interface in urls],
            "passwords": {"nova": None},
            "certificates": {},
            "url": "http://controller:5000/v3",
        }
        self.network: Row | None = {"agents": [agent(host) for host in self.expected["names"]]}
        self.hosts: dict[str, Row] | None = {
            "controller": host_answer(*CONTROLLING, known_hosts=None, keys=None),
            **{host: host_answer("nova-compute") for host in COMPUTES},
        }

    def row(self, table: str, **wanted: Any) -> Row:
        """The one row of TABLE with these values."""
        (found,) = (
            row
            for row in self.databases[table]
            if all(row[key] == value for key, value in wanted.items())
        )
        return found

    def leave(self, host: str) -> None:
        """HOST is no longer in the inventory, nor has it a process anywhere."""
        self.expected["services"]["nova-compute"].remove(host)
        del self.expected["computes"][host], self.expected["names"][host]
        self.row("services", host=host)["last_seen_up"] = ago(3600)
        if self.broker is not None:
            del self.broker[f"compute.{host}"]
        if self.hosts is not None:
            del self.hosts[host]
        if self.network is not None:
            self.network["agents"] = [a for a in self.network["agents"] if a["host"] != host]

    def with_its_guest(self) -> Evidence:
        """The evidence with all that belongs to the one guest, and nothing unknown to Nova."""
        seen = self.evidence()
        resources = {"VCPU": 1, "MEMORY_MB": 512, "DISK_GB": 1}
        place = {"provider": "n-compute1", "consumer": "g-compute1", "written": NOW - OLD}
        seen.placement["allocations"] = [{**place, "resources": resources}]
        domain = {"uuid": "g-compute1", "name": "instance-1", "state": "running", "reason": 1}
        seen.hosts["compute1"]["domains"] = [{**domain, "since": NOW - OLD}]
        asked = ("guests", "cell0_guests", "migrations", "mappings", "build_requests")
        seen.strangers = {name: [] for name in asked}
        return seen

    def evidence(self) -> Evidence:
        sources = ("databases", "placement", "broker", "identity", "network", "hosts")
        found = {name: copy.deepcopy(getattr(self, name)) for name in sources}
        evidence = Evidence(copy.deepcopy(self.expected), NOW, **found)
        evidence.silent = {name: "silent" for name in sources if found[name] is None}
        return evidence

    def findings(self, kind: str | None = None) -> list[Row]:
        """What is found, of all kinds or of one."""
        found: list[Row] = judged(self.evidence(), DETECTORS)[0]
        assert len({each["key"] for each in found}) == len(found), "two findings with one key"
        return [each for each in found if kind in (None, each["kind"])]

    def only(self, kind: str) -> Row:
        """The one finding, which is of KIND."""
        found = self.findings()
        assert [each["kind"] for each in found] == [kind], found
        return found[0]

    def in_words(self, kind: str) -> tuple[str, str, str, float | None, str]:
        """Where, what, remedy, since when and by which key the one finding of KIND is told."""
        (found,) = self.findings(kind)
        return told(found)
