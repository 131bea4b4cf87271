"""The table of systems and releases."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from pyinfra_nova.knowledge.platforms import (
    EndpointName,
    Platform,
    UnsupportedPlatform,
    deprecated_option,
    known_releases,
    numbers,
    platform_for,
    removed_option,
    table,
)
from pyinfra_nova.knowledge.releases import VERSIONS


def test_debian_12_with_zed() -> None:
    platform = platform_for("debian", "12", "zed")
    assert platform.proven
    assert platform.packages_for({"controller"}) == (
        "nova-api",
        "nova-conductor",
        "nova-scheduler",
        "nova-consoleproxy",
    )
    assert [unit.name for unit in platform.units_for({"compute"})] == ["libvirtd", "nova-compute"]
    assert platform.units_for({"database"}) == ()


def test_a_point_release_is_its_release() -> None:
    assert platform_for("debian", "12.11", "zed") is platform_for("debian", "12", "zed")


@pytest.mark.parametrize("asked", [("debian", "1", "zed"), ("debian", "12", "yoga"), ("x", "", "")])
def test_what_is_not_in_the_table_is_refused_with_what_is(asked: tuple[str, str, str]) -> None:
    with pytest.raises(UnsupportedPlatform, match="debian 12 with zed"):
        platform_for(*asked)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("ubuntu", "22.04", "2025.1"), "ubuntu 22.04 with yoga, zed, 2023.1, 2023.2, 2024.1;"),
        (("rocky", "9.5", "2026.1"), "rocky 9 with yoga, zed, 2023.1, 2023.2, 2024.1, 2024.2,"),
        (("rocky", "10.0", "2026.1"), "rocky 10.0 with OpenStack 2026.1 is not supported"),
        (("debian", "", "zed"), "debian sid with 2026.2"),
    ],
)
def test_an_impossible_pair_is_refused_with_every_possible_one(
    asked: tuple[str, str, str], said: str
) -> None:
    with pytest.raises(UnsupportedPlatform, match=re.escape(said)):
        platform_for(*asked)


def row_name(row: Platform) -> str:
    return f"{row.os}-{row.os_version or 'sid'}-{row.release}"


# Debian's control files: nova-compute-kvm depends on libvirt-daemon-system, that on the clients.
BRINGS_VIRSH = {"debian": "nova-compute-kvm", "ubuntu": "libvirt-clients"}


@pytest.mark.parametrize("row", table().platforms, ids=row_name)
def test_a_compute_gets_virsh_with_which_libvirt_is_asked(row: Platform) -> None:
    assert BRINGS_VIRSH.get(row.os, "libvirt-client") in row.packages_for({"compute"})


@pytest.mark.parametrize("row", table().platforms, ids=row_name)
def test_every_row_holds_together(row: Platform) -> None:
    assert row.release in known_releases()
    assert row.source
    assert row.nova_version.split(".")[0] == str(VERSIONS[row.release])
    assert len({unit.name for unit in row.units}) == len(row.units)
    written = set(row.paths.model_dump(exclude_none=True).values())
    assert {path for unit in row.units for path in unit.reads} <= written
    assert row.paths.nova_conf in {path for unit in row.units for path in unit.reads}
    assert sorted(name for unit in row.units for name in unit.serves) == sorted(
        get_args(EndpointName)
    )
    assert {row.unit_serving(name).role for name in get_args(EndpointName)} == {"controller"}
    # What nova-manage runs as (resources/cells.py).
    assert row.user == row.group == "nova"


@pytest.mark.parametrize("row", table().platforms, ids=row_name)
def test_every_row_has_a_server_for_the_api_that_its_release_still_has(row: Platform) -> None:
    files = {
        "uwsgi": (row.paths.api_uwsgi, row.paths.metadata_uwsgi),
        "apache": (row.paths.api_site, row.paths.metadata_site),
    }
    for server, names in files.items():
        assert all(names) if row.wsgi == server else not any(names)
    assert bool(row.wsgi_apps) is (row.wsgi != "eventlet")
    # nova/cmd/api.py is gone in Nova 32, the scripts of its WSGI applications in 33.
    assert not (row.wsgi == "eventlet" and VERSIONS[row.release] >= 32)
    scripts = row.wsgi_apps.model_dump().values() if row.wsgi_apps else ()
    assert not (VERSIONS[row.release] >= 33 and any("/bin/" in app for app in scripts))


@pytest.mark.parametrize("row", table().platforms, ids=row_name)
def test_no_row_has_an_older_libvirt_or_qemu_than_its_nova_starts_with(row: Platform) -> None:
    assert numbers(row.libvirt.version) >= numbers(row.minimum.libvirt)
    assert numbers(row.libvirt.qemu) >= numbers(row.minimum.qemu)


@pytest.mark.parametrize("row", table().platforms, ids=row_name)
def test_libvirts_daemons_are_the_units_before_nova_compute(row: Platform) -> None:
    *daemons, compute = [unit.name for unit in row.units_for(["compute"])]
    assert "nova-compute" in compute
    if row.libvirt.daemons == "monolithic":
        assert daemons == ["libvirtd"]
    else:
        assert "virtqemud.socket" in daemons and "libvirtd" not in daemons


def test_repositories_are_named_as_their_makers_do() -> None:
    archive = platform_for("ubuntu", "22.04", "2023.1").repository
    assert archive and archive.ids == ("jammy-updates/antelope",)
    assert archive.package == "ubuntu-cloud-keyring"
    assert archive.newer[0] == "jammy-updates/bobcat"
    rdo = platform_for("rocky", "9.4", "zed").repository
    assert rdo and rdo.ids == ("crb", "centos-openstack-zed")
    assert rdo.package == "centos-release-openstack-zed"
    assert "centos-openstack-yoga" not in rdo.newer


def test_a_systems_own_release_needs_no_repository_but_none_that_is_newer() -> None:
    own = platform_for("ubuntu", "24.04", "2024.1").repository
    assert own and own.ids == ()
    assert "noble-updates/epoxy" in own.newer
    assert platform_for("debian", "12", "zed").repository is None


def test_only_el9_has_selinux_and_firewalld_to_be_told() -> None:
    for row in table().platforms:
        assert bool(row.ports.of(["controller"])) is (row.packager == "dnf")
        assert bool(row.vnc_ports.of(["compute"])) is (row.packager == "dnf")
        assert bool(row.booleans.of(["compute"])) is (row.packager == "dnf")


def test_proven_is_what_a_deploy_has_run_on() -> None:
    assert [row_name(row) for row in table().platforms if row.proven] == [
        "debian-12-zed",
        "debian-13-2025.1",
    ]


def test_versions_compare_as_numbers() -> None:
    assert numbers("10.0.0") > numbers("9.10.2") > numbers("9.9")


def test_no_pair_is_there_twice() -> None:
    pairs = [(row.os, row.os_version, row.release) for row in table().platforms]
    assert len(set(pairs)) == len(pairs)


@pytest.mark.parametrize(
    ("option", "release", "gone"),
    [
        ("DEFAULT/use_neutron", "zed", True),
        ("DEFAULT/firewall_driver", "yoga", True),
        ("DEFAULT/enabled_apis", "2025.1", False),
        ("DEFAULT/enabled_apis", "2025.2", True),
        ("api/auth_strategy", "zed", False),
        ("api/auth_strategy", "2026.1", True),
        ("service_user/auth_strategy", "yoga", True),
        ("glance/api_servers", "2026.1", False),
        ("DEFAULT/my_ip", "2026.1", False),
        ("DEFAULT/use_neutron", "unheard-of", False),
    ],
)
def test_what_became_of_the_seeds_options(option: str, release: str, gone: bool) -> None:
    section, name = option.split("/")
    assert bool(removed_option(section, name, release)) is gone


def test_deprecated_is_not_removed() -> None:
    assert deprecated_option("glance", "api_servers", "zed")
    assert deprecated_option("api", "auth_strategy", "zed")
    assert deprecated_option("api", "auth_strategy", "2026.1") is None
    assert deprecated_option("DEFAULT", "my_ip", "zed") is None
