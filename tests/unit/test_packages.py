"""What is said of an installation before it happens."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pyinfra_nova.resources.packages import (
    InstalledRpms,
    SimulatedInstall,
    SimulatedRpmInstall,
    description,
)
from pyinfra_nova.session.host_script import SCRIPTS

APT = """\
Reading package lists...
Inst libc6 [2.36-9] (2.36-10 Debian:12/stable [amd64])
Inst python3-nova (2:26.2.2-1 Debian:12/stable [all])
Inst nova-api (2:26.2.2-1 Debian:12/stable [all])
Conf nova-api (2:26.2.2-1 Debian:12/stable [all])
""".splitlines()


def test_new_packages_and_upgrades_are_told_apart() -> None:
    brought = SimulatedInstall().process(APT)
    assert brought == {"libc6": "from 2.36-9", "python3-nova": None, "nova-api": None}


def test_what_comes_along_is_counted_and_what_is_upgraded_named() -> None:
    said = description(["nova-api"], SimulatedInstall().process(APT))
    assert said == "install: nova-api, and 1 that they need; upgrade: libc6 (from 2.36-9)"


def test_without_package_lists_the_packages_alone_are_named() -> None:
    assert description(["nova-api"], {}) == "install: nova-api"


# --- dnf and rpm ----------------------------------------------------------------------------------

# Recorded: dnf 4.14 with the stubs of tests/lab/rpm, two packages asked for.
DNF = """\
Last metadata expiration check: 0:00:26 ago on Mon Nov 23 07:54:04 2026.
Dependencies resolved.
================================================================================
 Package                Arch    Version        Repository                  Size
================================================================================
Installing:
 libvirt-daemon-kvm     noarch  1.0-1.el9      centos-openstack-antelope  7.1 k
 openstack-nova-api     noarch  1.0-1.el9      centos-openstack-antelope  6.5 k
Upgrading:
 libvirt-libs           noarch  10.10.0-1.el9  centos-openstack-antelope  6.0 k
Installing dependencies:
 openstack-nova-common  noarch  1.0-1.el9      centos-openstack-antelope  6.1 k
 python3-nova           noarch  1.0-1.el9      centos-openstack-antelope  6.1 k
 python3-only-in-crb    noarch  1.0-1.el9      crb                        6.1 k

Transaction Summary
================================================================================
Install  5 Packages
Upgrade  1 Package

Total size: 38 k
""".splitlines()


def test_dnfs_table_tells_the_same_as_apts_list() -> None:
    brought = SimulatedRpmInstall().process(DNF)
    assert brought == {
        "libvirt-daemon-kvm": None,
        "openstack-nova-api": None,
        "libvirt-libs": "to 10.10.0-1.el9",
        "openstack-nova-common": None,
        "python3-nova": None,
        "python3-only-in-crb": None,
    }
    said = description(["libvirt-daemon-kvm", "openstack-nova-api"], brought)
    wanted = "install: libvirt-daemon-kvm, openstack-nova-api, and 3 that they need"
    assert said == f"{wanted}; upgrade: libvirt-libs (to 10.10.0-1.el9)"


def test_dnf_without_lists_tells_nothing() -> None:
    assert SimulatedRpmInstall().process(["Error: Unable to find a match: nova"]) == {}


def test_what_rpm_does_not_know_is_not_installed() -> None:
    output = ["openstack-nova-api installed", "package xorriso is not installed"]
    assert InstalledRpms().process(output) == {"openstack-nova-api": "installed"}


@pytest.mark.parametrize("script", sorted(SCRIPTS.glob("*.sh")), ids=lambda path: path.name)
def test_scripts_are_sh(script: Path) -> None:
    subprocess.run(["sh", "-n", script], check=True)
    assert script.read_text(encoding="utf-8").startswith("#!/bin/sh\n")
