"""Fakes of other systems: what Ubuntu and Rocky hosts answer, recorded or written down by hand.

No such host is there. Settings, rendering, facts, operations and their order are the real ones, and
so is files/units.py, which judges what a fake systemd says of each unit that it is asked about.
What dnf and rpm print is written after their manuals; tests/lab/test_rpm_packages.py asks them.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pyinfra.connectors.fake import FakeConnector
from pyinfra.connectors.util import CommandOutput, OutputLine

from pyinfra_nova.session.redaction import SecretInput
from tests.plan.fake_hosts import CONVERGED, FRESH, Answers, preflight

sys.path.append(str(Path(__file__).resolve().parents[2] / "files"))
import units

Request = Mapping[str, Any]


@dataclass(frozen=True)
class System:
    """What tells one system from another when it is asked.

    Attributes:
        os: ID and VERSION_ID of os-release.
        packages: the command that asks for packages, and how it lists one that is installed.
        repositories: the command that lists what is enabled.
        own, enabled: what it lists on a new host, and once the wanted release is enabled.
        hypervisor: the versions that are there once it is installed.
        nova: Nova's package and its version, once it is installed.
    """

    os: tuple[str, str]
    packages: str
    repositories: str
    own: tuple[str, ...]
    enabled: tuple[str, ...]
    hypervisor: tuple[str, str]
    nova: tuple[str, str]


JAMMY = ("jammy", "jammy-updates", "jammy-backports", "jammy-security")
NOBLE = ("noble", "noble-updates", "noble-backports", "noble-security")
ROCKY = (
    "repo id                         repo name",
    "appstream                       Rocky Linux 9 - AppStream",
    "baseos                          Rocky Linux 9 - BaseOS",
    "extras                          Rocky Linux 9 - Extras",
)
RDO = (
    "centos-openstack-antelope       CentOS-9 - OpenStack antelope",
    "crb                             Rocky Linux 9 - CRB",
)
SYSTEMS = {
    "ubuntu-22.04": System(
        ("ubuntu", "22.04"),
        "dpkg-query",
        "apt-get indextargets",
        JAMMY,
        (*JAMMY, "jammy-updates/antelope"),
        ("8.0.0", "6.2.0"),
        ("nova-common", "27.5.0"),
    ),
    "ubuntu-24.04": System(
        ("ubuntu", "24.04"),
        "dpkg-query",
        "apt-get indextargets",
        NOBLE,
        (*NOBLE, "noble-updates/gazpacho"),
        ("10.0.0", "8.2.2"),
        ("nova-common", "33.0.0"),
    ),
    "rocky-9": System(
        ("rocky", "9.5"),
        "rpm --query",
        "dnf --quiet",
        ROCKY,
        (*ROCKY, *RDO),
        ("10.5.0", "9.0.0"),
        ("openstack-nova-common", "27.5.0"),
    ),
}
RELEASES = {"ubuntu-22.04": "2023.1", "ubuntu-24.04": "2026.1", "rocky-9": "2023.1"}
# Debian has all of it in its own repositories.
DEBIAN = System(
    ("debian", "12"), "dpkg-query", "", (), (), ("9.0.0", "7.2.0"), ("nova-common", "26.2.2")
)
ENCRYPTED = {
    "debian-12": DEBIAN,
    "debian-13": replace(
        DEBIAN,
        os=("debian", "13"),
        hypervisor=("11.3.0", "10.0.0"),
        nova=("nova-common", "31.0.0"),
    ),
    "ubuntu-22.04": SYSTEMS["ubuntu-22.04"],
    "rocky-9": SYSTEMS["rocky-9"],
    "alma-9": replace(SYSTEMS["rocky-9"], os=("almalinux", "9.6")),
}
ENCRYPTED_RELEASES = {**RELEASES, "debian-12": "zed", "debian-13": "2025.1", "alma-9": "2023.1"}
INSTALLED = (
    *("nova-api", "nova-api-metadata", "nova-conductor", "nova-scheduler", "nova-novncproxy"),
    *("nova-compute", "nova-compute-kvm", "genisoimage", "libvirt-clients", "libvirt-client"),
    *("openstack-nova-api", "openstack-nova-conductor", "openstack-nova-scheduler"),
    *("openstack-nova-novncproxy", "openstack-nova-compute", "openstack-selinux"),
    *("libvirt-daemon-kvm", "xorriso", "python3-pymysql", "python3-PyMySQL"),
    *("nova-consoleproxy",),
)


# --- answers that depend on the question ----------------------------------------------------------


# While operations run, the packages and accounts that they need are there.
READABLE: Answers = {"error": None, "early": False}
_EMPTY: Answers = {**FRESH["nova_state read"], **READABLE}


def _absent_units(request: Request) -> Answers:
    """As systemd knows none of them."""
    judged = [units.compare(unit, {"LoadState": "not-found"}) for unit in request["units"]]
    return {"units": judged, "daemon_reload": False, "cells": READABLE}


def _absent_files(request: Request) -> Answers:
    files = request["files"]
    return {"files": [{"path": f["path"], "change": "create", "diff": ""} for f in files]}


def _all_missing(request: Request) -> Answers:
    """SELinux enforces and firewalld runs, as on a new Rocky host."""
    ports = request["ports"]
    return {
        "selinux": "enforcing",
        "booleans": request["booleans"],
        "firewalld": True,
        "zone": "public",
        "ports": ports,
        "permanent": ports,
    }


def _all_allowed(request: Request) -> Answers:
    return {**_all_missing(request), "booleans": [], "ports": [], "permanent": []}


# --- pyinfra's fake connector, but that an answer may depend on what a script was asked -----------

_run, _respond = FakeConnector.run_shell_command, FakeConnector._lookup_response


def _requested(stdin: object) -> Request:
    text = "".join(stdin) if isinstance(stdin, SecretInput) else ""
    try:
        request: Request = json.loads(text)["request"]
    except ValueError:  # nothing, or a script of sh
        return {}
    return request


def _run_asked(fake: Any, command: Any, *words: Any, **arguments: Any) -> Any:
    fake.request = _requested(arguments.get("_stdin"))
    return _run(fake, command, *words, **arguments)


def _respond_asked(fake: Any, command: str) -> Any:
    for name, answer in fake.data["fake_responses"].items():
        if callable(answer) and name in command:
            line = OutputLine("stdout", json.dumps(answer(fake.request)))
            return True, CommandOutput([line])
    return _respond(fake, command)


_FAKE: Any = FakeConnector
_FAKE.run_shell_command = _run_asked
_FAKE._lookup_response = _respond_asked


def host(
    system: System, name: str, address: str, *, installed: bool, enabled: bool | None = None
) -> tuple[str, Answers]:
    """An inventory entry; ENABLED: with the release's repository, which INSTALLED ones have."""
    os_id, version = system.os
    report = preflight(name, address)
    report["os"] = {"id": os_id, "version": version}
    libvirt, qemu = system.hypervisor
    report["hypervisor"] = {"libvirt": libvirt, "qemu": qemu} if installed else {}
    answers = CONVERGED if installed else {**FRESH, "nova_state read": _EMPTY}
    report["nova"] = dict([system.nova]) if installed else {}
    said: Answers = {command: json.dumps(answer) for command, answer in answers.items()}
    # Its clock is right whenever it is asked, also on a machine that is slow.
    said["host_report read"] = lambda _: {**report, "time": time.time()}
    said["security read"] = _all_allowed if installed else _all_missing
    if not installed:
        said |= {"units read": _absent_units, "config_files read": _absent_files}
    said[system.packages] = [f"{package} installed" for package in INSTALLED] if installed else []
    if system.repositories:
        is_enabled = installed if enabled is None else enabled
        said[system.repositories] = list(system.enabled if is_enabled else system.own)
    data = {"my_ip": address, "fake_responses": said, "fake_delay": 0, "fake_delay_jitter": 0}
    return f"@fake/{name}", data
