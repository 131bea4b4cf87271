"""The table of systems and releases."""

from __future__ import annotations

import pytest

from pyinfra_nova.errors import UnsupportedPlatform
from pyinfra_nova.platforms import (
    Platform,
    deprecated_option,
    known_releases,
    platform_for,
    removed_option,
    table,
)


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


@pytest.mark.parametrize("row", table().platforms, ids=lambda row: f"{row.os}-{row.release}")
def test_every_row_holds_together(row: Platform) -> None:
    assert row.release in known_releases()
    assert row.source
    assert len({unit.name for unit in row.units}) == len(row.units)
    written = set(row.paths.model_dump(exclude_none=True).values())
    assert {path for unit in row.units for path in unit.reads} <= written
    assert row.paths.nova_conf in {path for unit in row.units for path in unit.reads}
    assert row.wsgi == "eventlet" or (row.paths.api_uwsgi and row.paths.metadata_uwsgi)


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
