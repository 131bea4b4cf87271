"""What hosts get, read back by oslo.config rather than compared as text."""

from __future__ import annotations

import configparser
import copy
import pickle
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import SecretStr

from pyinfra_nova.knowledge.platforms import Platform
from pyinfra_nova.nova_conf.config_file import ConfigFile
from pyinfra_nova.nova_conf.overriding import overridden
from pyinfra_nova.nova_conf.render import files_for
from pyinfra_nova.nova_conf.urls import cell_urls, database_url, transport_url
from pyinfra_nova.nova_conf.values import option
from pyinfra_nova.site.secrets import FORBIDDEN_CATEGORIES, PLACEHOLDER, ceph_key
from pyinfra_nova.site.settings import Site
from tests.unit.site_data import AWKWARD, all_in_one, debian, read_back, secrets, site

Sections = dict[str, dict[str, str]]

NOVA_CONF = "/etc/nova/nova.conf"
COMPUTE_CONF = "/etc/nova/nova-compute.conf"
SECRET_WORDS = st.text(
    st.one_of(
        st.sampled_from("$\\\"'#;%=:[]{} @/?&,\u00a0\u3000"),
        st.characters(exclude_categories=list(FORBIDDEN_CATEGORIES)),  # type: ignore[arg-type]
    ),
    min_size=8,
    max_size=24,
).filter(lambda text: text != PLACEHOLDER)


def rendered(
    where: Site, name: str, virt_type: Any = "qemu", platform: Platform | None = None
) -> dict[str, ConfigFile]:
    host = where.hosts[name]
    return {f.path: f for f in files_for(where, host, platform or debian(), virt_type)}


def read(tmp_path: Path, *files: ConfigFile) -> Sections:
    paths = []
    for file in files:
        paths.append(tmp_path / Path(file.path).name)
        paths[-1].write_text(file.content, encoding="utf-8")
    return read_back(*paths)


def nova_conf(tmp_path: Path, where: Site, name: str, virt_type: Any = "qemu") -> Sections:
    """What the daemons of host NAME read."""
    files = rendered(where, name, virt_type)
    return read(tmp_path, *(files[path] for path in (NOVA_CONF, COMPUTE_CONF) if path in files))


def login(url: str) -> SplitResult:
    return urlsplit(url)


# --- values ---------------------------------------------------------------------------------------


@hypothesis_settings(
    max_examples=100,
    deadline=None,  # machines differ
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(values=st.lists(SECRET_WORDS, min_size=len(AWKWARD), max_size=len(AWKWARD)))
def test_every_password_is_read_back_as_it_is(tmp_path: Path, values: list[str]) -> None:
    given_values = dict(zip(AWKWARD, values, strict=True))
    # These two may hold less; see tests/unit/test_hostile_data.py.
    for name in ("messaging_password", "database_password"):
        ascii_only = given_values[name].encode("ascii", "replace").decode()
        given_values[name] = f"<{ascii_only.replace('/', '+')}>"
    conf = nova_conf(tmp_path, site(passwords=secrets(**given_values)), "controller")
    assert conf["keystone_authtoken"]["password"] == given_values["nova_password"]
    assert conf["service_user"]["password"] == given_values["nova_password"]
    assert conf["placement"]["password"] == given_values["placement_password"]
    assert conf["neutron"]["password"] == given_values["neutron_password"]
    secret = conf["neutron"]["metadata_proxy_shared_secret"]
    assert secret == given_values["metadata_secret"]
    for section in ("database", "api_database"):
        url = login(conf[section]["connection"])
        assert unquote(url.password or "") == given_values["database_password"]
        assert (url.hostname, url.port) == ("controller", 3306)
    broker = login(conf["DEFAULT"]["transport_url"])
    assert unquote(broker.password or "") == given_values["messaging_password"]
    assert (broker.username, broker.hostname, broker.port) == ("openstack", "controller", 5672)


@pytest.mark.parametrize(
    "value", ["$my_ip", "a\\$b", "\\\\$", "$$", "\\", '"', "'", '""', "'a\"", " x ", "#x", "a=b:c"]
)
def test_an_override_is_literal(tmp_path: Path, value: str) -> None:
    where = site({"nova_conf": {"api": {"some_option": value}}})
    assert nova_conf(tmp_path, where, "controller")["api"]["some_option"] == value


def test_values_of_other_types() -> None:
    assert option(True) == "true"
    assert option(3) == "3"
    assert option(["internal", "public"]) == "internal,public"
    assert option(SecretStr("a$b")) == "a\\$b"
    with pytest.raises(ValueError, match="newline"):
        option("a\nb = c")


# --- roles ----------------------------------------------------------------------------------------


def test_the_controller_has_all_that_the_seed_gives_it(tmp_path: Path) -> None:
    conf = nova_conf(tmp_path, site(), "controller")
    assert conf["DEFAULT"]["my_ip"] == "10.0.0.11"
    assert conf["DEFAULT"]["host"] == "controller"
    assert login(conf["api_database"]["connection"]).path == "/nova_api"
    assert login(conf["database"]["connection"]).path == "/nova"
    authtoken = conf["keystone_authtoken"]
    assert authtoken["auth_url"] == "http://controller:5000/v3"
    assert authtoken["memcached_servers"] == "controller:11211"
    assert authtoken["service_token_roles_required"] == "true"
    assert conf["service_user"]["send_service_user_token"] == "true"
    assert conf["neutron"]["service_metadata_proxy"] == "true"
    assert conf["vnc"]["novncproxy_port"] == "6080"
    assert conf["oslo_concurrency"]["lock_path"] == "/var/lib/nova/tmp"
    assert conf["cinder"]["os_region_name"] == "RegionOne"
    assert "server_listen" not in conf["vnc"]
    assert "libvirt" not in conf


def test_a_compute_has_what_it_needs_and_no_more(tmp_path: Path) -> None:
    where = site()
    conf = nova_conf(tmp_path, where, "compute2")
    assert conf["vnc"] == {
        "enabled": "true",
        "server_listen": "10.0.0.32",
        "server_proxyclient_address": "10.0.0.32",
        "novncproxy_base_url": "http://controller:6080/vnc_auto.html",
    }
    assert conf["neutron"]["auth_url"] == "http://controller:5000/v3"
    assert conf["libvirt"] == {"virt_type": "qemu", "cpu_mode": "none"}
    for section in ("api_database", "database", "keystone_authtoken", "conductor", "scheduler"):
        assert section not in conf
    text = "".join(file.content for file in rendered(where, "compute2").values())
    password = database_url(where, "x").split(":")[2].rpartition("@")[0]
    for hidden in (password, AWKWARD["database_password"], AWKWARD["metadata_secret"], "mysql"):
        assert hidden not in text


LOGIN_OPTIONS = {
    *("auth_url", "auth_type", "project_domain_name", "user_domain_name", "project_name"),
    *("username", "password"),
}
UUID = "457eb676-33da-42ec-9a8c-9293d545c337"


def with_ceph(**libvirt: str) -> Site:
    given = {"computes": {"libvirt": {"rbd_secret_uuid": UUID, **libvirt}}}
    return site(group_data=given, passwords=secrets(rbd_secret_key=ceph_key()))


def test_volumes_on_ceph_need_nothing_in_nova_conf(tmp_path: Path) -> None:
    """Cinder tells user and secret with each volume."""
    assert nova_conf(tmp_path, with_ceph(), "compute1") == nova_conf(tmp_path, site(), "compute1")


def test_what_nova_itself_has_on_ceph_is_opened_as_the_user_that_is_named(tmp_path: Path) -> None:
    libvirt = nova_conf(tmp_path, with_ceph(rbd_user="cinder"), "compute1")["libvirt"]
    assert (libvirt["rbd_user"], libvirt["rbd_secret_uuid"]) == ("cinder", UUID)


def test_the_key_of_ceph_is_in_no_file() -> None:
    where = with_ceph(rbd_user="cinder")
    assert where.secrets.rbd_secret_key
    for name in where.hosts:
        for file in rendered(where, name).values():
            assert where.secrets.rbd_secret_key.get_secret_value() not in file.content


@pytest.mark.parametrize("name", ["controller", "compute1"])
def test_nova_logs_in_to_cinder_as_itself_where_no_user_asked(name: str, tmp_path: Path) -> None:
    conf = nova_conf(tmp_path, site({"keystone": {"username": "nova2"}}), name)
    assert {option: conf["cinder"][option] for option in LOGIN_OPTIONS} == {
        "auth_url": "http://controller:5000/v3",
        "auth_type": "password",
        "project_domain_name": "Default",
        "user_domain_name": "Default",
        "project_name": "service",
        "username": "nova2",
        "password": AWKWARD["nova_password"],
    }
    # Glance is only ever asked with the token of the user at hand (nova/image/glance.py).
    assert not LOGIN_OPTIONS & set(conf["glance"])


def test_cinder_is_described_only_as_far_as_it_is_set(tmp_path: Path) -> None:
    def described(**cinder: object) -> dict[str, str]:
        conf = nova_conf(tmp_path, site({"cinder": cinder}), "compute1")
        return {k: v for k, v in conf["cinder"].items() if k not in LOGIN_OPTIONS}

    assert described() == {"os_region_name": "RegionOne"}
    assert described(catalog_info="volumev3::internalURL", cross_az_attach=False) == {
        "os_region_name": "RegionOne",
        "catalog_info": "volumev3::internalURL",
        "cross_az_attach": "false",
    }


def test_all_in_one_is_the_union(tmp_path: Path) -> None:
    where = all_in_one()
    conf = nova_conf(tmp_path, where, "aio", "kvm")
    assert "database" in conf
    assert conf["vnc"]["server_listen"] == "10.0.0.5"
    assert conf["vnc"]["novncproxy_host"] == "0.0.0.0"
    assert conf["libvirt"] == {"virt_type": "kvm"}
    assert len(rendered(where, "aio")) == 7


@pytest.mark.parametrize("name", ["controller", "compute1"])
def test_no_option_is_written_twice(name: str) -> None:
    for file in rendered(site(), name).values():
        if file.path.endswith((".conf", ".ini")):
            configparser.RawConfigParser(strict=True).read_string(file.content)


def test_nothing_is_written_that_the_release_does_not_read(tmp_path: Path) -> None:
    conf = nova_conf(tmp_path, site(), "controller")
    for name in ("use_neutron", "firewall_driver", "enabled_apis"):
        assert name not in conf["DEFAULT"]


def test_enabled_apis_are_written_where_one_eventlet_server_serves_them(tmp_path: Path) -> None:
    eventlet = debian().model_copy(update={"wsgi": "eventlet"})
    files = rendered(site({"enabled_apis": ["metadata"]}), "controller", platform=eventlet)
    assert read(tmp_path, files[NOVA_CONF])["DEFAULT"]["enabled_apis"] == "metadata"


def test_libvirt_is_in_nova_conf_where_there_is_no_other_file(tmp_path: Path) -> None:
    paths = debian().paths.model_copy(update={"nova_compute_conf": None})
    platform = debian().model_copy(update={"paths": paths})
    files = rendered(site(), "compute1", platform=platform)
    assert list(files) == [NOVA_CONF]
    conf = read(tmp_path, files[NOVA_CONF])
    assert conf["libvirt"]["virt_type"] == "qemu"
    assert conf["DEFAULT"]["compute_driver"] == "libvirt.LibvirtDriver"


def test_files_are_private_where_they_hold_secrets() -> None:
    for name in ("controller", "compute1"):
        for path, file in rendered(site(), name).items():
            private = path in (NOVA_CONF, COMPUTE_CONF)
            expected = ("root", "nova", "0640") if private else ("root", "root", "0644")
            assert (file.owner, file.group, file.mode) == expected


def test_the_console_proxys_choice_is_there_before_its_package() -> None:
    files = rendered(site(), "controller")
    early = [path for path, file in files.items() if file.before_install]
    assert early == ["/etc/default/nova-consoleproxy"]
    assert "\nNOVA_CONSOLE_PROXY_TYPE=novnc\n" in files[early[0]].content


@pytest.mark.parametrize(
    ("path", "wsgi", "processes"),
    [
        ("/etc/nova/nova-api-uwsgi.ini", "/usr/bin/nova-api-wsgi", "3"),
        ("/etc/nova/nova-api-metadata-uwsgi.ini", "/usr/bin/nova-metadata-wsgi", "4"),
    ],
)
def test_uwsgi_gets_its_processes(path: str, wsgi: str, processes: str) -> None:
    where = site({"workers": {"api_processes": 3, "metadata_processes": 4}})
    parser = configparser.RawConfigParser(strict=True)
    parser.read_string(rendered(where, "controller")[path].content)
    assert parser["uwsgi"]["wsgi-file"] == wsgi
    assert parser["uwsgi"]["processes"] == processes
    assert parser["uwsgi"]["uid"] == "nova"


def test_a_host_without_nova_gets_nothing() -> None:
    groups = {"controllers": ["controller"], "computes": ["compute1"], "database": ["db"]}
    hosts = {"controller": {"my_ip": "10.0.0.1"}, "compute1": {"my_ip": "10.0.0.2"}, "db": {}}
    where = site(groups=groups, hosts=hosts)
    assert files_for(where, where.hosts["db"], debian(), "qemu") == []
    assert where.settings.database.host == "db"


# --- settings that show in the files --------------------------------------------------------------


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


# --- URLs -----------------------------------------------------------------------------------------


def nova_fills_in(template: str, url: str) -> str:
    """What nova/objects/cell_mapping.py `_format_url` makes of a mapping's template."""
    parts = urlsplit(url)
    names: dict[str, object] = {
        "username": parts.username,
        "password": parts.password,
        "hostname": parts.hostname,
        "port": None if "," in parts.netloc else parts.port,
        "scheme": parts.scheme,
    }
    for number, netloc in enumerate(parts.netloc.split(","), 1):
        userpass, _, hostport = netloc.partition("@")
        names[f"username{number}"], _, names[f"password{number}"] = userpass.partition(":")
        names[f"hostname{number}"], _, names[f"port{number}"] = hostport.partition(":")
    return template.format(**names)


@pytest.mark.parametrize("hosts", [["rabbit"], ["rabbit1", "rabbit2", "rabbit3"]])
@pytest.mark.parametrize("virtual_host", ["/", "cloud"])
def test_cell_templates_become_the_urls_of_nova_conf(hosts: list[str], virtual_host: str) -> None:
    where = site({"messaging": {"hosts": hosts, "virtual_host": virtual_host}})
    cells = cell_urls(where)
    url, database = transport_url(where), database_url(where, "nova")
    assert nova_fills_in(cells["cell1"].transport_url, url) == url
    assert nova_fills_in(cells["cell1"].database_connection, database) == database
    cell0 = nova_fills_in(cells["cell0"].database_connection, database)
    assert cell0 == database_url(where, "nova_cell0")
    assert cells["cell0"].transport_url == "none:///"
    for value in where.secrets.values():
        assert value not in repr(cells)


def test_several_brokers_are_one_url() -> None:
    where = site(
        {"messaging": {"hosts": ["r1", "r2"]}}, passwords=secrets(messaging_password="a@b,c:d%e")
    )
    userinfo = "openstack:a%40b%2Cc%3Ad%25e"
    assert transport_url(where) == f"rabbit://{userinfo}@r1:5672,{userinfo}@r2:5672/"


# --- secrecy --------------------------------------------------------------------------------------


def test_files_and_sites_do_not_show_secrets() -> None:
    where = site({"nova_conf": {"ironic": {"password": "overridden secret"}}})
    files = list(rendered(where, "controller").values())
    shown = f"{where!r} {where} {where.hosts!r} {files!r} {files[0]}"
    for value in [*where.secrets.values(), "overridden secret"]:
        assert value not in shown
        assert value.replace("$", "\\$") not in shown
    assert "transport_url" not in shown
    for thing in (files[0], where):
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(thing)
    assert copy.copy(where.settings) == where.settings
