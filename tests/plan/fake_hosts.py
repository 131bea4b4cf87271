"""Hosts that are not there: what ``@fake`` hosts answer to each script of ``files/``.

What stands in for here is the network and the host, never the code under test: settings, rendering,
facts, operations and their order are the real ones.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

Answers = dict[str, Any]
NOTHING_KNOWN: Answers = {"nodes": [], "services": {}, "guests": {}, "error": None, "early": False}
UNKNOWN = {"error": "PyMySQL is not installed", "early": True}
"""What Nova has, as long as nobody can look."""


def preflight(name: str, address: str, checks: list[dict[str, Any]] | None = None) -> Answers:
    """A Debian 12 host on which everything holds; CHECKS are answered as given."""
    return {
        "time": time.time(),
        "os": {"id": "debian", "version": "12"},
        "hostname": name,
        "root": True,
        "busy": False,
        "systemd": True,
        "addresses": [{"interface": "mgmt0", "address": address}],
        "host_keys": {"/etc/ssh/ssh_host_ed25519_key.pub": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5"},
        "kvm": {"flag": False, "usable": False},
        "compute": presence(name),
        "nova_computes": NOTHING_KNOWN,
        "checks": checks or [],
    }


def presence(name: str, /, **changes: Any) -> Answers:
    """What a compute has of that by which Nova knows it: one without guests, on Zed."""
    found = {"name": name, "host": name, "running": True, "identities": []}
    return {**found, "domains": None, "folders": None, "unread": None, **changes}


FRESH: Answers = {
    "config_files read": {
        "files": [{"path": "/etc/nova/nova.conf", "change": "create", "diff": ""}]
    },
    "databases read": {
        "server": "answers",
        "error": None,
        "early": False,
        "missing_databases": ["nova", "nova_api", "nova_cell0"],
        "users": [
            {
                "name": "nova",
                "missing": True,
                "password_differs": False,
                "missing_grants": ["nova", "nova_api", "nova_cell0"],
            }
        ],
    },
    "messaging read": {"listens": True, "refused": True, "error": "403 ACCESS_REFUSED"},
    "keystone read": {"answers": True, "error": None, "changes": ["create user nova"]},
    "nova_state read": {
        "schemas": {"api": "missing", "cell0": "missing", "cell1": "missing"},
        "cells": [],
        "cells_changed": None,
        "error": "PyMySQL is not installed",
        "early": True,
    },
    "nova_computes read": NOTHING_KNOWN,
    "units read": {
        "units": [{"name": "x", "actions": ["enable", "start"], "reason": "not installed"}],
        "daemon_reload": False,
        "cells": {"error": "PyMySQL is not installed", "early": True},
    },
    "renewed_certificates read": {"behind": []},
    "timers read": {"reload": True, "start": ["t"], "enable": ["t"]},
    "http_answers read": {"failing": [{"name": "the compute API", "url": "u", "detail": "no"}]},
    "site_proof read": {
        "missing": {n: ["nova-compute has not registered"] for n in ("compute1", "compute2")},
        "unmapped": ["compute1", "compute2"],
        "flagged": False,
        "strangers": [],
        "closed": {},
        "unseen": ["compute1", "compute2"],
        "joining": [],
        "api": None,
        "error": "PyMySQL is not installed",
        "early": True,
    },
    "cloud_objects read": {"error": "the catalogue has no internal endpoint of type compute"},
}

ADDRESSES = {"compute1": "10.0.0.31", "compute2": "10.0.0.32"}
PROCESSES = {
    unit: {"pid": 100, "age": 3600.0, "restarts": 0, "replaced": False}
    for unit in ("nova-conductor", "nova-scheduler", "nova-compute")
}

CONVERGED: Answers = {
    "config_files read": {"files": []},
    "databases read": {
        "server": "answers",
        "error": None,
        "early": False,
        "missing_databases": [],
        "users": [
            {
                "name": "nova",
                "missing": False,
                "password_differs": False,
                "missing_grants": [],
            }
        ],
    },
    "messaging read": {"listens": True, "authenticated": True, "opened": True, "error": None},
    "keystone read": {"answers": True, "error": None, "changes": []},
    "nova_state read": {
        "schemas": {"api": "current", "cell0": "current", "cell1": "current"},
        "cells": [
            {"name": "cell0", "uuid": "0", "right": True, "disabled": False},
            {"name": "cell1", "uuid": "1", "right": True, "disabled": False},
        ],
        "cells_changed": 1.0,
        "error": None,
        "early": False,
    },
    "units read": {
        "units": [],
        "processes": PROCESSES,
        "daemon_reload": False,
        "cells": {"error": None, "early": False},
    },
    "site_proof read": {
        "missing": {},
        "unmapped": [],
        "flagged": False,
        "strangers": ["service nova-compute on compute9"],
        "closed": {},
        "unseen": [],
        "joining": [],
        "api": {
            "error": None,
            "services": [
                {"binary": binary, "host": host, "state": "up", "status": "enabled"}
                for binary, host in (
                    ("nova-conductor", "controller"),
                    ("nova-scheduler", "controller"),
                    *(("nova-compute", name) for name in ADDRESSES),
                )
            ],
            "hypervisors": [
                {"name": name, "host": name, "state": "up", "status": "enabled", "address": address}
                for name, address in ADDRESSES.items()
            ],
            "inventories": {name: ["VCPU"] for name in ADDRESSES},
        },
        "error": None,
        "early": False,
    },
    "host_proof read": {"processes": PROCESSES, "faults": []},
    "renewed_certificates read": {"behind": []},
    "timers read": {"reload": False, "start": [], "enable": []},
    "http_answers read": {"failing": []},
    "cloud_objects read": {
        "error": None,
        "changes": ["flavor m1.large: extra spec hw:cpu_policy dedicated (was shared)"],
        "refused": [],
        "unregistered": ["compute2"],
        "remarks": ["no host has the trait CUSTOM_X"],
    },
}

PACKAGES = (
    *("nova-api", "nova-conductor", "nova-scheduler", "nova-consoleproxy"),
    *("nova-compute", "nova-compute-kvm", "nova-compute-qemu", "genisoimage"),
)


class Report(list[str]):
    """The lines of a host's report, with the time at which it is read."""

    def __init__(self, report: Answers) -> None:
        super().__init__()
        self.report = report

    def __iter__(self) -> Iterator[str]:
        yield json.dumps({**self.report, "time": time.time()})


class Looks(list[str]):
    """What is answered at each look; the last answer stays."""

    def __init__(self, answers: list[Any]) -> None:
        super().__init__()
        self.answers = answers

    def __iter__(self) -> Iterator[str]:
        yield json.dumps(self.answers[0] if len(self.answers) == 1 else self.answers.pop(0))


def responses(
    name: str, address: str, answers: Answers, *, installed: bool, root: bool = True
) -> dict[str, Any]:
    """The ``fake_responses`` of one host."""
    said: Answers = {command: json.dumps(answer) for command, answer in answers.items()}
    report = {**preflight(name, address), "root": root}
    if not installed:
        report |= {"compute": presence(name, host=None, running=False, domains={}, folders=[])}
        report |= {"nova_computes": UNKNOWN}
    said["host_report read"] = Report(report)
    said["dpkg-query"] = [f"{package} installed" for package in PACKAGES] if installed else []
    return said


def host(
    name: str,
    address: str,
    answers: Answers,
    *,
    installed: bool,
    root: bool = True,
    **more: Any,
) -> tuple[str, Answers]:
    """An inventory entry; MORE is what else the inventory says of the host."""
    data = {
        **more,
        "my_ip": address,
        "fake_responses": responses(name, address, answers, installed=installed, root=root),
        "fake_delay": 0,
        "fake_delay_jitter": 0,
    }
    return f"@fake/{name}", data
