"""What hosts get by their roles, read back by oslo.config rather than compared as text."""

from __future__ import annotations

import configparser
import copy
import pickle
from pathlib import Path

import pytest

from pyinfra_nova.nova_conf.render import files_for
from pyinfra_nova.nova_conf.urls import database_url
from pyinfra_nova.run.preflight import check_files
from pyinfra_nova.site.faults import SettingsError
from pyinfra_nova.site.secrets import ceph_key
from pyinfra_nova.site.settings import Site
from tests.unit.rendered_conf import COMPUTE_CONF, NOVA_CONF, login, nova_conf, read, rendered
from tests.unit.site_data import AWKWARD, all_in_one, debian, secrets, site


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


@pytest.mark.parametrize(
    ("release", "given", "seconds"),
    [
        ("zed", None, "75"),  # Debian's own unit has 15
        ("2026.1", None, "195"),
        ("zed", 300, "315"),
        ("zed", "20", "35"),
        ("zed", 0, "infinity"),  # nova-compute waits without end for what it is at
    ],
)
def test_systemd_gives_nova_compute_the_time_that_it_takes_to_end(
    release: str, given: int | str | None, seconds: str
) -> None:
    overrides = {} if given is None else {"DEFAULT": {"graceful_shutdown_timeout": given}}
    where = site({"release": release, "nova_conf": overrides})
    path = "/etc/systemd/system/nova-compute.service.d/pyinfra-nova.conf"
    content = rendered(where, "compute1")[path].content
    assert f"\n[Service]\nTimeoutStopSec={seconds}\n" in content
    takes = "any" if seconds == "infinity" else int(seconds) - 15
    assert f"# nova-compute takes {takes} s to end what it is at" in content
    assert path not in rendered(where, "controller")


def test_a_time_to_end_that_is_no_number_is_named_by_the_checker() -> None:
    where = site({"nova_conf": {"DEFAULT": {"graceful_shutdown_timeout": "soon"}}})
    with pytest.raises(SettingsError, match="graceful_shutdown_timeout: 'soon' is not an integer"):
        check_files(where)


@pytest.mark.parametrize(("name", "roles"), [("controller", "controller"), ("compute1", "compute")])
def test_nova_conf_says_at_its_top_what_the_host_is_for(name: str, roles: str) -> None:
    assert rendered(site(), name)[NOVA_CONF].content.splitlines()[1] == f"# {roles}, OpenStack zed"


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
    first = rendered(where, "aio")[NOVA_CONF].content.splitlines()[1]
    assert first == "# controller and compute, OpenStack zed"
    assert conf["vnc"]["server_listen"] == "10.0.0.5"
    assert conf["vnc"]["novncproxy_host"] == "0.0.0.0"
    assert conf["libvirt"] == {"virt_type": "kvm"}
    assert len(rendered(where, "aio")) == 8


def test_hosts_of_a_kind_differ_in_their_names_and_addresses_alone(tmp_path: Path) -> None:
    where = site()
    first, second = (nova_conf(tmp_path, where, name) for name in ("compute1", "compute2"))
    assert (first["DEFAULT"]["my_ip"], first["DEFAULT"]["host"]) == ("10.0.0.31", "compute1")
    assert (second["DEFAULT"]["my_ip"], second["DEFAULT"]["host"]) == ("10.0.0.32", "compute2")
    own = ({"my_ip", "host"}, {"server_listen", "server_proxyclient_address"})
    for section, names in zip(("DEFAULT", "vnc"), own, strict=True):
        for name in names:
            del first[section][name], second[section][name]
    assert first == second


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
    assert [path for path in files if path.startswith("/etc/nova")] == [NOVA_CONF]
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
    name = path.removeprefix("/etc/nova/").removesuffix("-uwsgi.ini")
    # The unit, its program's arguments in /etc/default and logrotate know it by this name.
    assert parser["uwsgi"]["name"] == name
    assert parser["uwsgi"]["logto"] == f"/var/log/nova/{name}.log"


def test_a_host_without_nova_gets_nothing() -> None:
    groups = {"controllers": ["controller"], "computes": ["compute1"], "database": ["db"]}
    hosts = {"controller": {"my_ip": "10.0.0.1"}, "compute1": {"my_ip": "10.0.0.2"}, "db": {}}
    where = site(groups=groups, hosts=hosts)
    assert files_for(where, where.hosts["db"], debian(), "qemu") == []
    assert where.settings.database.host == "db"


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
