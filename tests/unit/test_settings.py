"""Every fault of the settings, before any host is touched: its file, its key, its remedy."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pyinfra.api.exceptions import PyinfraError

from pyinfra_nova.site.faults import Fault, SecretsError, SettingsError
from pyinfra_nova.site.load import build_site
from pyinfra_nova.site.settings import HostSettings, Settings
from pyinfra_nova.site.sources import bare_name
from tests.unit.site_data import GROUPS, HOSTS, all_in_one, faults, host_faults, site

# --- what is right --------------------------------------------------------------------------------


def test_only_the_network_and_the_addresses_are_needed() -> None:
    where = site()
    settings = where.settings
    assert settings.release == "zed"
    assert settings.controller_host == settings.database.host == "controller"
    assert settings.messaging.hosts == ["controller"]
    assert settings.endpoints.public == "http://controller:8774/v2.1"
    assert [host.name for host in where.computes] == ["compute1", "compute2"]
    assert where.primary_controller.name == "controller"
    assert where.database_host == where.messaging_host == where.primary_controller
    assert where.host("controller") is where.primary_controller
    assert where.host("printer") is None


def test_the_controllers_name_is_followed_everywhere() -> None:
    settings = site({"controller_host": "cloud"}).settings
    text = settings.model_dump_json()
    assert "//controller" not in text
    assert settings.database.host == "cloud"
    assert settings.memcached_servers == ["cloud:11211"]


def test_what_is_set_is_followed_by_what_depends_on_it() -> None:
    settings = site(
        {
            "region": "Two",
            "keystone": {"auth_url": "http://keystone:35357/v3"},
            "apis": {"osapi_compute_listen_port": 8774 + 1000},
            "vnc": {"novncproxy_port": 6081},
        }
    ).settings
    logins = (settings.keystone, settings.placement, settings.neutron)
    assert {login.auth_url for login in logins} == {"http://keystone:35357/v3"}
    assert settings.keystone.www_authenticate_uri == "http://keystone:35357/v3"
    ends = settings.endpoints
    assert {ends.public, ends.internal, ends.admin} == {"http://controller:9774/v2.1"}
    assert settings.vnc.novncproxy_base_url == "http://controller:6081/vnc_auto.html"
    assert settings.memcached_servers == ["controller:11211"]
    regions = (settings.placement, settings.neutron, settings.glance)
    assert (
        {service.region_name for service in regions} == {settings.cinder.os_region_name} == {"Two"}
    )


def test_hosts_of_their_own_for_database_and_messaging() -> None:
    groups = {**GROUPS, "database": ["db1", "db2"], "messaging": ["mq1", "mq2"]}
    where = site(groups=groups, hosts={**HOSTS, "db1": {}, "db2": {}, "mq1": {}, "mq2": {}})
    assert where.settings.database.host == "db1"
    assert where.settings.messaging.hosts == ["mq1", "mq2"]
    assert where.database_host is where.hosts["db1"]
    assert where.hosts["mq2"].roles == {"messaging"}
    assert where.hosts["db1"].my_ip is None
    assert where.primary_controller.roles == {"controller"}


def test_servers_that_somebody_else_runs() -> None:
    where = site(
        {
            "manage_database": False,
            "manage_messaging": False,
            "database": {"host": "sql.example.org"},
            "messaging": {"hosts": ["mq.example.org"]},
        },
        groups={**GROUPS, "database": [], "messaging": []},
    )
    assert where.database_host is None
    assert where.messaging_host is None


def test_what_is_just_within_the_limits_is_taken() -> None:
    name = f"{'a.' * 125}abc"
    settings = site(
        {
            "controller_host": name,
            "region": "x" * 255,
            "memcached_servers": ["cache:1", "cache:65535", name],
            "service_down_time": 20,
            "keystone": {"auth_url": "https://[fd00::5]:5000/v3"},
        }
    ).settings
    assert len(settings.controller_host) == 253
    assert settings.memcached_servers == ["cache:1", "cache:65535", name]
    assert settings.keystone.auth_url == "https://[fd00::5]:5000/v3"
    assert (settings.region, settings.service_down_time) == ("x" * 255, 20)


def test_all_in_one_has_both_roles() -> None:
    where = all_in_one()
    assert where.controllers == where.computes == tuple(where.hosts.values())


def test_the_more_particular_place_wins_option_by_option() -> None:
    where = site(
        {"nova_conf": {"DEFAULT": {"a": "all", "b": "all", "c": "all", "d": "all"}}},
        group_data={
            "controllers": {"nova_conf": {"DEFAULT": {"b": "controllers"}}},
            "computes": {"nova_conf": {"DEFAULT": {"b": "computes", "c": None}}},
        },
        hosts={**HOSTS, "compute2": {"my_ip": "10.0.0.9", "nova_conf": {"DEFAULT": {"d": 2}}}},
    )
    expected = {"a": "all", "b": "controllers", "c": "all", "d": "all"}
    assert where.hosts["controller"].nova_conf == {"DEFAULT": expected}
    assert where.hosts["compute1"].nova_conf["DEFAULT"] == {**expected, "b": "computes", "c": None}
    assert where.hosts["compute2"].nova_conf["DEFAULT"]["d"] == 2


def test_an_operators_own_group_may_set_what_a_host_may() -> None:
    where = site(
        groups={**GROUPS, "fast": ["compute2"]},
        group_data={
            "computes": {"libvirt": {"virt_type": "kvm", "cpu_mode": "host-model"}},
            "fast": {"libvirt": {"cpu_mode": "host-passthrough"}},
        },
    )
    assert where.hosts["compute1"].libvirt.cpu_mode == "host-model"
    assert where.hosts["compute2"].libvirt.cpu_mode == "host-passthrough"
    assert where.hosts["compute2"].libvirt.virt_type == "kvm"


def test_the_command_line_wins() -> None:
    where = site(
        {"region": "One"}, override_data={"region": "Two", "libvirt": {"virt_type": "kvm"}}
    )
    assert where.settings.region == "Two"
    assert where.settings.cinder.os_region_name == "Two"
    assert where.hosts["compute1"].libvirt.virt_type == "kvm"


def test_a_controller_only_section_for_all_skips_the_computes() -> None:
    where = site({"nova_conf": {"database": {"max_pool_size": 9}, "API": {"x": "y"}}})
    assert where.hosts["controller"].nova_conf["database"] == {"max_pool_size": 9}
    assert where.hosts["compute1"].nova_conf == {"api": {"x": "y"}}


def test_on_the_command_line_too() -> None:
    where = site(override_data={"nova_conf": {"DEFAULT": {"sql_max_retries": 3}}})
    assert where.hosts["controller"].nova_conf == {"database": {"max_retries": 3}}
    assert where.hosts["compute1"].nova_conf == {}


def test_a_network_of_two_has_two_addresses() -> None:
    hosts = {"controller": {"my_ip": "10.0.0.0"}, "compute1": {"my_ip": "10.0.0.1"}}
    groups = {"controllers": ["controller"], "computes": ["compute1"]}
    where = site({"management_network": "10.0.0.0/31"}, groups=groups, hosts=hosts)
    assert [str(host.my_ip) for host in where.hosts.values()] == ["10.0.0.0", "10.0.0.1"]


def test_pyinfras_keys_private_names_and_the_labs_data_are_let_be() -> None:
    hosts = {
        **HOSTS,
        "compute1": {"my_ip": "10.0.0.31", "ssh_hostname": "x", "_sudo": True, "fake_delay": 0},
    }
    where = site(
        {"ssh_user": "root", "_helper": 1},
        groups={**GROUPS, "lab": list(HOSTS)},
        group_data={"lab": {"nat_network": "10.0.2.0/24", "libvirt": {"virt_type": "qemu"}}},
        hosts=hosts,
        override_data={"ssh_port": 2222},
    )
    assert where.hosts["compute1"].libvirt.virt_type == "qemu"


def test_names_of_pyinfras_connectors_are_bare_names_in_nova() -> None:
    groups = {"controllers": ["@fake/controller"], "computes": ["@fake/compute1"]}
    hosts = {"@fake/controller": {"my_ip": "10.0.0.1"}, "@fake/compute1": {"my_ip": "10.0.0.2"}}
    where = site(groups=groups, hosts=hosts)
    assert where.settings.controller_host == "controller"
    assert where.hosts["@fake/compute1"].nova_host == "compute1"
    assert bare_name("@docker/library/debian") == "library/debian"
    assert bare_name("@local") == "@local"


# --- what is wrong --------------------------------------------------------------------------------


def test_faults_of_groups_are_named_once() -> None:
    group_data = {
        "computes": {"libvirt": {"virt_type": "xen"}, "region": "x", "nova_conf": {"database": {}}},
        "controllers": {"stat": "open", "use_neutron": True},
    }
    assert sorted(faults(group_data=group_data)) == [
        "group_data/computes.py: libvirt.virt_type: must be 'auto', 'kvm' or 'qemu'",
        "group_data/computes.py: nova_conf.database: a compute gets no such section; "
        "set it for the controllers",
        "group_data/computes.py: region: holds for the whole site; set it in group_data/all.py",
        "group_data/controllers.py: stat: unknown key; did you mean 'state'?",
        "group_data/controllers.py: use_neutron: Nova knows no other network service than Neutron "
        "since Ussuri; leave it out",
    ]


@pytest.mark.parametrize("group", ["controllers", "computes"])
def test_a_group_without_hosts(group: str) -> None:
    found = faults(groups={**GROUPS, group: []})
    assert found == [f"inventory.py: {group}: has no hosts; name at least one host"]
    groups = {name: hosts for name, hosts in GROUPS.items() if name != group}
    assert f"inventory.py: {group}: has no hosts; name at least one host" in faults(groups=groups)


@pytest.mark.parametrize("group", ["database", "messaging"])
def test_nothing_can_be_managed_on_no_host(group: str) -> None:
    assert faults(groups={**GROUPS, group: []}) == [
        f"inventory.py: {group}: is an empty group; name a host, or set manage_{group} = False in "
        "group_data/all.py"
    ]


def test_a_local_host_needs_a_name() -> None:
    groups = {"controllers": ["@local"], "computes": ["@local"]}
    found = faults(groups=groups, hosts={"@local": {"my_ip": "10.0.0.1"}})
    assert found == [
        "inventory.py: controller_host: '@local' is not a host name",
        "inventory.py: @local.nova_host: '@local' is not a host name",
    ]
    named = site(groups=groups, hosts={"@local": {"my_ip": "10.0.0.1", "nova_host": "aio"}})
    assert named.primary_controller.nova_host == named.settings.controller_host == "aio"


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"database": {"nova": "nova_api"}}, "database"),
        ({"cinder": {"catalog_info": "block-storage::publicURL"}}, "cinder.catalog_info"),
        ({"apis": {"metadata_listen_port": 8774}}, "apis"),
        ({"vnc": {"novncproxy_port": 8774}}, "vnc.novncproxy_port"),
        ({"service_down_time": 1}, "service_down_time"),
    ],
)
def test_what_does_not_fit_together_names_who_said_it(given: dict[str, Any], key: str) -> None:
    (on_the_command_line,) = faults(override_data=given)
    assert on_the_command_line.startswith(f"--data: {key}: ")
    assert faults(given) == [on_the_command_line.replace("--data", "group_data/all.py")]


def test_a_proxy_that_is_not_there_takes_no_port() -> None:
    assert not site({"vnc": {"enabled": False, "novncproxy_port": 8774}}).settings.vnc.enabled


def test_a_fault_on_the_command_line_names_it() -> None:
    assert faults(override_data={"vnc": {"enabled": "perhaps"}})[0].startswith("--data: vnc.enab")
    beside = {"keystone": {"username": "nova2"}}
    (found,) = faults({"keystone": {"auth_url": "ftp://x"}}, override_data=beside)
    assert found.startswith("group_data/all.py: keystone.auth_url: ")
    (found,) = faults({"release": "zed"}, override_data={"release": "zedd"})
    assert found.startswith("--data: release: 'zedd' is not a release known here; known are yoga,")


def test_everything_that_is_wrong_is_said_at_once() -> None:
    missing = SecretsError([Fault("secrets.yml", "", "is missing")])
    with pytest.raises(SettingsError) as caught:
        build_site(
            GROUPS,
            {"managment_network": "10.0.0.0/24", "neutron": {"pasword": "hunter2"}},
            {"computes": {"libvirt": {"cpu_mode": "fast"}}},
            {**HOSTS, "controller": {}, "compute1": {"my_ip": "10.0.0.32"}},
            missing,
        )
    error = caught.value
    assert isinstance(error, PyinfraError)
    assert "hunter2" not in str(error)
    assert str(error).startswith("7 faults in the settings; no host was touched:\n  - ")
    for where in (
        "group_data/all.py: managment_network",
        "group_data/all.py: management_network: ",
        "group_data/all.py: neutron.pasword",
        "group_data/computes.py: libvirt.cpu_mode",
        "inventory.py: controller.my_ip: is missing",
        "inventory.py: compute2.my_ip: 10.0.0.32 is also that of compute1",
        "secrets.yml: is missing",
    ):
        assert where in str(error)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
KEYS = st.sampled_from([*Settings.model_fields, *HostSettings.model_fields, "x", "ssh_user"])


@hypothesis_settings(max_examples=200, deadline=None)
@given(
    all_data=st.dictionaries(KEYS, JUNK, max_size=4),
    group=st.dictionaries(KEYS, JUNK, max_size=3),
    host=st.dictionaries(KEYS, JUNK, max_size=3),
)
def test_junk_is_a_fault_and_never_a_crash(
    all_data: dict[str, Any], group: dict[str, Any], host: dict[str, Any]
) -> None:
    hosts = {**HOSTS, "compute1": {"my_ip": "10.0.0.31", **host}}
    try:
        where = site(all_data, group_data={"computes": group}, hosts=hosts)
    except SettingsError as error:
        assert error.faults
        assert all(fault.file for fault in error.faults)
    else:
        assert where.hosts


# --- block storage --------------------------------------------------------------------------------

UUID = "457eb676-33da-42ec-9a8c-9293d545c337"


def test_a_uuid_without_its_key_is_refused_and_the_key_named() -> None:
    (fault,) = host_faults(libvirt={"rbd_secret_uuid": UUID})
    assert fault.startswith("secrets.yml: rbd_secret_key: is missing")
    assert UUID in fault and "ceph auth get-key" in fault


@pytest.mark.parametrize(
    ("libvirt", "said"),
    [
        ({"rbd_secret_uuid": "457eb676"}, "libvirt.rbd_secret_uuid: '457eb676' is not a UUID"),
        ({"rbd_user": "cinder"}, "rbd_user needs rbd_secret_uuid"),
        ({"rbd_secret_uuid": UUID, "rbd_user": "a b"}, "libvirt.rbd_user"),
    ],
)
def test_what_libvirt_or_ceph_would_not_take_is_refused(libvirt: dict[str, str], said: str) -> None:
    assert said in "\n".join(host_faults(libvirt=libvirt))


def test_options_of_ceph_have_one_place() -> None:
    given = {"libvirt": {"rbd_secret_uuid": UUID, "images_type": "rbd"}}
    (fault,) = host_faults(nova_conf=given)
    assert "nova_conf.libvirt.rbd_secret_uuid: is decided by the settings" in fault


@pytest.mark.parametrize("text", ["volumev3", "volumev3::internal url", "volumev3::nowhere", ""])
def test_a_catalogue_entry_that_nova_would_not_find_is_refused(text: str) -> None:
    (fault,) = faults({"cinder": {"catalog_info": text}})
    assert "cinder.catalog_info" in fault and "volumev3::internalURL" in fault


def test_a_service_type_with_a_hyphen_needs_a_nova_that_takes_it() -> None:
    given = {"cinder": {"catalog_info": "block-storage::publicURL"}}
    assert site({**given, "release": "2023.2"}).settings.cinder.catalog_info
    (fault,) = faults({**given, "release": "2023.1"})
    assert "has a hyphen, which Nova of 2023.1 does not take; take volumev3" in fault


def test_a_release_that_is_a_whole_text_is_not_shown_in_full() -> None:
    found = faults({"release": "x" * 6000})
    assert any("is not a release known here" in fault for fault in found)
    assert all(len(fault) < 1000 for fault in found)


def test_of_a_release_that_is_not_known_nothing_else_is_said() -> None:
    overrides = {"neutron": {"timeout": 3}, "DEFAULT": {"cpu_allocation_ratio": 2}}
    (found,) = faults({"release": "zedd", "nova_conf": overrides})
    assert "'zedd' is not a release known here" in found
