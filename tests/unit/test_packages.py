"""What is said of an installation before it happens."""

from __future__ import annotations

from pyinfra_nova.resources.packages import SimulatedInstall, description

APT = """\
Reading package lists...
Inst libc6 [2.36-9] (2.36-10 Debian:12/stable [amd64])
Inst python3-nova (2:26.2.2-1 Debian:12/stable [all])
Inst nova-api (2:26.2.2-1 Debian:12/stable [all])
Conf nova-api (2:26.2.2-1 Debian:12/stable [all])
""".splitlines()


def test_new_packages_and_upgrades_are_told_apart() -> None:
    brought = SimulatedInstall().process(APT)
    assert brought == {"libc6": "2.36-9", "python3-nova": None, "nova-api": None}


def test_what_comes_along_is_counted_and_what_is_upgraded_named() -> None:
    said = description(["nova-api"], SimulatedInstall().process(APT))
    assert said == "install: nova-api, and 1 that they need; upgrade: libc6 (from 2.36-9)"


def test_without_package_lists_the_packages_alone_are_named() -> None:
    assert description(["nova-api"], {}) == "install: nova-api"
