"""What a host turns out to run, by its platform and the settings."""

from __future__ import annotations

from typing import Any

import pytest

from pyinfra_nova.part import part_of
from pyinfra_nova.target import Target
from tests.unit.site_data import debian, site


def controller(**all_data: Any) -> Target:
    where = site(all_data)
    return Target(where.hosts["controller"], where, debian(), "qemu", part_of(where, where.hosts))


def urls(target: Target) -> dict[str, str | None]:
    return {unit.name: unit.url for unit in target.units("controller")}


def test_a_unit_is_asked_at_the_port_that_it_serves() -> None:
    assert urls(controller())["nova-api"] == "http://127.0.0.1:8774/"
    assert urls(controller())["nova-conductor"] is None


def test_the_console_proxy_is_asked_where_the_settings_put_it() -> None:
    assert urls(controller())["nova-novncproxy"] == "http://127.0.0.1:6080/"
    moved = controller(vnc={"novncproxy_port": 6090})
    assert urls(moved)["nova-novncproxy"] == "http://127.0.0.1:6090/"


def test_without_consoles_their_proxy_is_not_started() -> None:
    assert "nova-novncproxy" not in urls(controller(vnc={"enabled": False}))


@pytest.mark.parametrize("release", [2025.1, "2025.1"])
def test_a_release_is_a_name_also_without_quotes(release: object) -> None:
    assert site({"release": release}).settings.release == "2025.1"
