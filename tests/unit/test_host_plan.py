"""What a host turns out to run, by its platform and the settings."""

from __future__ import annotations

from typing import Any

import pytest

from pyinfra_nova.knowledge.platforms import Platform, platform_for
from pyinfra_nova.run.host_plan import HostPlan
from pyinfra_nova.site.run_scope import scope_of
from pyinfra_nova.site.secrets import ceph_key
from tests.unit.site_data import debian, secrets, site


def controller(**all_data: Any) -> HostPlan:
    where = site(all_data)
    return HostPlan(
        where.hosts["controller"], where, debian(), "qemu", scope_of(where, where.hosts)
    )


def urls(target: HostPlan) -> dict[str, str | None]:
    return {unit.name: unit.url for unit in target.units("controller")}


def test_a_unit_is_asked_at_the_port_that_it_serves() -> None:
    assert urls(controller())["nova-api"] == "http://10.0.0.11:8774/"
    assert urls(controller())["nova-api-metadata"] == "http://10.0.0.11:8775/"
    assert urls(controller())["nova-conductor"] is None


def test_the_console_proxy_is_asked_where_the_settings_put_it() -> None:
    assert urls(controller())["nova-novncproxy"] == "http://10.0.0.11:6080/"
    moved = controller(vnc={"novncproxy_port": 6090, "novncproxy_host": "$my_ip"})
    assert urls(moved)["nova-novncproxy"] == "http://10.0.0.11:6090/"
    behind_a_balancer = controller(vnc={"novncproxy_host": "127.0.0.1"})
    assert urls(behind_a_balancer)["nova-novncproxy"] == "http://127.0.0.1:6080/"


def test_without_consoles_their_proxy_is_not_started() -> None:
    assert "nova-novncproxy" not in urls(controller(vnc={"enabled": False}))


UUID = "457eb676-33da-42ec-9a8c-9293d545c337"


def target_with_ceph(name: str, platform: Platform) -> HostPlan:
    given = {"computes": {"libvirt": {"rbd_secret_uuid": UUID.upper()}}}
    where = site(group_data=given, passwords=secrets(rbd_secret_key=ceph_key()))
    return HostPlan(where.hosts[name], where, platform, "qemu", scope_of(where, where.hosts))


@pytest.mark.parametrize(
    ("platform", "package"),
    [
        (platform_for("debian", "12", "zed"), "qemu-block-extra"),
        (platform_for("rocky", "9", "zed"), "qemu-kvm-block-rbd"),
    ],
)
def test_computes_get_what_opens_volumes_on_ceph_and_its_key(
    platform: Platform, package: str
) -> None:
    compute, other = (target_with_ceph(name, platform) for name in ("compute1", "controller"))
    assert package in compute.packages and package not in other.packages
    assert compute.ceph_secret and compute.ceph_secret.uuid == UUID
    assert compute.ceph_secret.value == compute.site.secrets.rbd_secret_key
    assert other.ceph_secret is None


def test_without_ceph_there_is_neither() -> None:
    where = site()
    host = where.hosts["compute1"]
    target = HostPlan(host, where, debian(), "qemu", scope_of(where, where.hosts))
    assert "qemu-block-extra" not in target.packages
    assert target.ceph_secret is None


@pytest.mark.parametrize("release", [2025.1, "2025.1"])
def test_a_release_is_a_name_also_without_quotes(release: object) -> None:
    assert site({"release": release}).settings.release == "2025.1"


# --- what was wanted once -------------------------------------------------------------------------


def once(name: str, written: dict[str, list[str]], **given: Any) -> HostPlan:
    where = site(group_data={"computes": given}, passwords=secrets(rbd_secret_key=ceph_key()))
    host, scope = where.hosts[name], scope_of(where, where.hosts)
    return HostPlan(host, where, debian(), "qemu", scope, written=written)


def test_a_host_is_asked_about_huge_pages_where_there_are_to_be_some_or_were() -> None:
    pages = [{"size": "2M", "count": 4}]
    were = {"hugepages": ["/etc/sysctl.d/60-pyinfra-nova-hugepages.conf"]}
    assert not once("compute1", {"hugepages": []}).concerns_hugepages
    assert once("compute1", {}, hugepages=pages).concerns_hugepages
    # Also on one that is no compute any more, which is to have none.
    for name in ("compute1", "controller"):
        assert once(name, were).concerns_hugepages and not once(name, were).hugepages


def test_a_secret_that_was_given_to_libvirt_is_unwanted_under_any_other_uuid() -> None:
    old = "0f2c59a1-7d0a-4d0e-8d4e-7f1b2a3c4d5e"
    written = {"libvirt_secrets": [f"/etc/libvirt/secrets/{uuid}.xml" for uuid in (UUID, old)]}
    assert once("compute1", written).unwanted_secrets == (UUID, old)
    kept = once("compute1", written, libvirt={"rbd_secret_uuid": UUID})
    assert kept.unwanted_secrets == (old,)
