"""Settings and overrides that show in what hosts get, read back by oslo.config."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pyinfra_nova.nova_conf.ini import option_values
from pyinfra_nova.nova_conf.overriding import overridden
from tests.unit.rendered_conf import NOVA_CONF, login, nova_conf, rendered
from tests.unit.site_data import debian, secrets, site


def test_the_seeds_other_choices_can_be_set(tmp_path: Path) -> None:
    settings = {
        "controller_host": "cloud.example.org",
        "region": "Lab",
        "messaging": {"user": "nova@rpc", "virtual_host": "cloud"},
        "memcached_servers": ["cache1:11211", "cache2:11211"],
        "keystone": {"username": "compute", "project_name": "Service Users"},
        "neutron": {"auth_url": "http://controller:5000", "service_metadata_proxy": False},
        "glance": {"api_servers": ["http://controller:9292"]},
        "vnc": {"server_listen": "0.0.0.0", "novncproxy_port": 6081},
    }
    conf = nova_conf(tmp_path, site(settings), "controller")
    assert conf["DEFAULT"]["transport_url"].endswith("@cloud.example.org:5672/cloud")
    assert login(conf["DEFAULT"]["transport_url"]).username == "nova%40rpc"
    assert conf["keystone_authtoken"]["memcached_servers"] == "cache1:11211,cache2:11211"
    assert conf["keystone_authtoken"]["project_name"] == "Service Users"
    assert conf["placement"]["auth_url"] == "http://cloud.example.org:5000/v3"
    assert conf["placement"]["region_name"] == "Lab"
    assert conf["neutron"]["auth_url"] == "http://controller:5000"
    assert "metadata_proxy_shared_secret" not in conf["neutron"]
    assert conf["glance"]["api_servers"] == "http://controller:9292"
    compute = nova_conf(tmp_path, site(settings), "compute1")
    assert compute["vnc"]["server_listen"] == "0.0.0.0"
    assert compute["vnc"]["server_proxyclient_address"] == "10.0.0.31"
    url = "http://cloud.example.org:6081/vnc_auto.html"
    assert compute["vnc"]["novncproxy_base_url"] == url


@pytest.mark.parametrize(
    ("libvirt", "detected", "expected"),
    [
        ({}, "kvm", {"virt_type": "kvm"}),
        ({}, "qemu", {"virt_type": "qemu", "cpu_mode": "none"}),
        ({"virt_type": "qemu"}, "kvm", {"virt_type": "qemu", "cpu_mode": "none"}),
        ({"virt_type": "kvm"}, "qemu", {"virt_type": "kvm"}),
        (
            {"cpu_mode": "custom", "cpu_models": ["Nehalem", "IvyBridge"]},
            "kvm",
            {"virt_type": "kvm", "cpu_mode": "custom", "cpu_models": "Nehalem,IvyBridge"},
        ),
    ],
)
def test_virt_type(
    tmp_path: Path, libvirt: dict[str, Any], detected: str, expected: dict[str, str]
) -> None:
    where = site(group_data={"computes": {"libvirt": libvirt}})
    assert nova_conf(tmp_path, where, "compute1", detected)["libvirt"] == expected


def test_overrides_replace_add_and_remove(tmp_path: Path) -> None:
    where = site(
        {"nova_conf": {"DEFAULT": {"debug": True}, "upgrade_levels": {"compute": None}}},
        group_data={
            "computes": {"nova_conf": {"DEFAULT": {"debug": False, "reserved_host_cpus": 1}}}
        },
    )
    controller = nova_conf(tmp_path, where, "controller")
    assert controller["DEFAULT"]["debug"] == "true"
    assert "upgrade_levels" not in controller
    compute = nova_conf(tmp_path, where, "compute1")
    assert compute["DEFAULT"]["debug"] == "false"
    assert compute["DEFAULT"]["reserved_host_cpus"] == "1"
    assert compute["DEFAULT"]["host"] == "compute1"


def test_an_override_lands_in_the_file_that_wins(tmp_path: Path) -> None:
    overrides = {"libvirt": {"live_migration_uri": "qemu+tls://%s/system", "num_pcie_ports": 9}}
    key = secrets(migration_secret="s" * 32)
    where = site(group_data={"computes": {"nova_conf": overrides}}, passwords=key)
    files = rendered(where, "compute1")
    assert "qemu+tls" in files["/etc/nova/nova-compute.conf"].content
    conf = nova_conf(tmp_path, where, "compute1")
    assert conf["libvirt"]["live_migration_uri"] == "qemu+tls://%s/system"
    assert conf["libvirt"]["num_pcie_ports"] == "9"


def test_an_override_lands_in_nova_conf_where_there_is_no_other_file() -> None:
    overrides = {"libvirt": {"live_migration_uri": "qemu+tls://%s/system"}}
    key = secrets(migration_secret="s" * 32)
    where = site(group_data={"computes": {"nova_conf": overrides}}, passwords=key)
    paths = debian().paths.model_copy(update={"nova_compute_conf": None})
    platform = debian().model_copy(update={"paths": paths})
    files = rendered(where, "compute1", platform=platform)
    values = option_values(files[NOVA_CONF].content)
    assert values["libvirt/live_migration_uri"] == ["qemu+tls://%s/system"]


def test_a_list_is_an_option_given_several_times() -> None:
    text = overridden(
        "[pci]\nalias = a\n", {"pci": {"alias": ["b", "c"], "device_spec": []}}, "zed"
    )
    assert text == "[pci]\nalias = b\nalias = c\n"


def test_a_list_for_an_option_that_is_a_list_is_one_line(tmp_path: Path) -> None:
    filters = ["ComputeFilter", "ImagePropertiesFilter"]
    where = site({"nova_conf": {"filter_scheduler": {"enabled_filters": filters}}})
    conf = nova_conf(tmp_path, where, "controller")
    assert conf["filter_scheduler"]["enabled_filters"] == ",".join(filters)


def test_the_proxy_listens_where_the_settings_say(tmp_path: Path) -> None:
    own = nova_conf(tmp_path, site({"vnc": {"novncproxy_host": "$my_ip"}}), "controller")
    assert own["vnc"]["novncproxy_host"] == "10.0.0.11"


def test_an_override_leaves_everything_else() -> None:
    plain = rendered(site(), "controller")[NOVA_CONF].content
    changed = rendered(site({"nova_conf": {"wsgi": {"secure": 1}}}), "controller")[NOVA_CONF]
    assert changed.content == plain + "\n[wsgi]\nsecure = 1\n"
