"""What the lab puts beneath Nova, where Debian's releases differ."""

from __future__ import annotations

import configparser
from dataclasses import replace
from pathlib import Path

import pytest

from lab.cloud import Cloud, catalogue, ceph, daemons, data_stores, rendered_files
from lab.cloud.package_names import packages_of
from lab.passwords import LabSecrets
from lab.settings import settings_from
from pyinfra_nova.site.faults import SettingsError
from pyinfra_nova.site.secrets import ceph_key
from tests.unit.site_data import GROUPS, HOSTS, site
from tests.unit.site_data import secrets as passwords

NOVA = {"bookworm": "zed", "trixie": "2025.1", "sid": "2026.2"}
SCRIPTS = {
    "/etc/keystone/keystone-uwsgi.ini": "/usr/bin/keystone-wsgi-public",
    "/etc/placement/placement-api-uwsgi.ini": "/usr/bin/placement-api",
}
MODULES = {
    "/etc/keystone/keystone-uwsgi.ini": "keystone.wsgi.api:application",
    "/etc/placement/placement-api-uwsgi.ini": "placement.wsgi.api:application",
    "/etc/neutron/neutron-api-uwsgi.ini": "neutron.wsgi.api:application",
}
NEUTRON = {"neutron-api", "neutron-rpc-server", "neutron-periodic-workers"}
TLS_SECRET = "what authorities of these tests are made of"
UUID = "457eb676-33da-42ec-9a8c-9293d545c337"
DROP_IN = "/etc/systemd/system/neutron-api.service.d/neutron-server.conf"


def cloud(
    debian: str, *, block_storage: bool = False, tls: str = "off", **more_of_tls: str
) -> Cloud:
    data = {"release": NOVA[debian], "tls": {"mode": tls, **more_of_tls}}
    groups = {group: [(name, HOSTS[name]) for name in names] for group, names in GROUPS.items()}
    secrets = dict.fromkeys(LabSecrets.model_fields, "secret")
    computes = {"computes": {"libvirt": {"rbd_secret_uuid": UUID}}}
    where = site(
        data,
        group_data=computes,
        passwords=passwords(rbd_secret_key=ceph_key(), tls_secret=TLS_SECRET),
    )
    lab = settings_from(groups, data, {})
    return Cloud(where, lab, LabSecrets.model_validate(secrets), block_storage=block_storage)


def loaded(debian: str, key: str) -> dict[str, str]:
    """What uwsgi is told to load, by its file."""
    found = {}
    for file in rendered_files.service_files(cloud(debian), "controller"):
        if Path(file.path).name.endswith("uwsgi.ini"):
            parser = configparser.ConfigParser(interpolation=None)
            parser.read_string(file.content)
            found[file.path] = parser["uwsgi"].get(key, "")
    return found


def neutron_units(debian: str) -> dict[str, tuple[str, ...]]:
    units = {
        unit.name.removesuffix(".service"): unit.reads
        for unit in daemons.service_units(cloud(debian))
    }
    return {name: reads for name, reads in units.items() if name in NEUTRON}


@pytest.mark.parametrize("debian", ["bookworm", "trixie"])
def test_neutron_s_own_server_runs_where_there_is_one(debian: str) -> None:
    assert DROP_IN in {
        file.path for file in rendered_files.service_files(cloud(debian), "controller")
    }
    assert DROP_IN in neutron_units(debian)["neutron-api"]
    assert set(neutron_units(debian)) & set(packages_of(cloud(debian), "controller")) == {
        "neutron-api"
    }
    assert daemons.neutron_rpc_unit(cloud(debian)) == "neutron-api.service"
    assert loaded(debian, "wsgi-file") == SCRIPTS
    assert set(loaded(debian, "module").values()) == {""}


def test_neutron_without_that_server_is_three_daemons_and_uwsgi_loads_modules() -> None:
    assert DROP_IN not in {
        file.path for file in rendered_files.service_files(cloud("sid"), "controller")
    }
    assert set(neutron_units("sid")) == NEUTRON
    assert set(packages_of(cloud("sid"), "controller")) >= NEUTRON
    assert set(packages_of(cloud("sid"), "compute1")) & NEUTRON == set()
    assert daemons.neutron_rpc_unit(cloud("sid")) == "neutron-rpc-server.service"
    assert loaded("sid", "module") == MODULES
    assert set(loaded("sid", "wsgi-file").values()) == {""}


def named(where: Cloud) -> set[str]:
    """Everything of the controller that has a name."""
    entries = [catalogue.keystone_entries(where)]
    entries += [catalogue.storage_entries(where)] if where.block_storage else []
    return {
        *packages_of(where, "controller"),
        *(file.path for file in rendered_files.service_files(where, "controller")),
        *(user.name for user in data_stores.database_users(where)),
        *(user.name for user in data_stores.broker_users(where)),
        *(user.name for each in entries for user in each.users),
        *(service.type for each in entries for service in each.services),
        *(str(schema["name"]) for schema in data_stores.schemas(where)),
    }


def test_cinder_is_there_where_it_was_asked_for_and_nowhere_else() -> None:
    without, with_it = named(cloud("bookworm")), named(cloud("bookworm", block_storage=True))
    assert without < with_it
    assert with_it - without == {
        *("cinder-api", "cinder-scheduler", "cinder-volume", "python3-rbd"),
        *("ceph-mon", "ceph-mgr", "ceph-osd", "cinder", "volumev3"),
        *("/etc/cinder/cinder.conf", "/etc/cinder/cinder-api-uwsgi.ini", "/etc/ceph/ceph.conf"),
        *("/etc/ceph/ceph.client.admin.keyring", "/etc/ceph/ceph.client.cinder.keyring"),
    }
    assert packages_of(cloud("bookworm", block_storage=True), "compute1") == packages_of(
        cloud("bookworm"), "compute1"
    )


@pytest.mark.parametrize(
    ("debian", "type_", "name", "path"),
    [
        ("bookworm", "volumev3", "cinderv3", "v3/%(project_id)s"),
        ("trixie", "volumev3", "cinderv3", "v3/%(project_id)s"),
        ("sid", "block-storage", "cinder", "v3"),
    ],
)
def test_cinder_is_registered_as_the_guide_of_its_release_says(
    debian: str, type_: str, name: str, path: str
) -> None:
    where = cloud(debian, block_storage=True)
    entries = catalogue.storage_entries(where)
    assert [service.name for service in entries.services if service.type == type_] == [name]
    urls = {one.interface: one.url for one in entries.endpoints if one.type == type_}
    assert urls == dict.fromkeys(
        ("public", "internal", "admin"), f"http://{where.controller}:8776/{path}"
    )
    request = catalogue.service_type(where)
    assert (request["type"], request["name"]) == (type_, name)
    assert set(request["formerly"]) == {"volumev3", "block-storage"} - {type_}  # type: ignore[call-overload]


@pytest.mark.parametrize("debian", NOVA)
def test_neutron_offers_trunks(debian: str) -> None:
    files = {
        file.path: file.content
        for file in rendered_files.service_files(cloud(debian), "controller")
    }
    assert "service_plugins = router,trunk\n" in files["/etc/neutron/neutron.conf"]


def test_cinder_ceph_and_libvirt_agree_on_the_key_and_where_it_is() -> None:
    where = cloud("bookworm", block_storage=True)
    key = where.site.secrets.rbd_secret_key
    assert key is not None
    files = {
        Path(file.path).name: file for file in rendered_files.service_files(where, "controller")
    }
    assert key.get_secret_value() in files["ceph.client.cinder.keyring"].content
    assert files["ceph.client.cinder.keyring"].mode == "0640"
    assert f"rbd_secret_uuid = {UUID}\n" in files["cinder.conf"].content
    request = ceph.ceph_request(where)
    assert request["keys"]["client.cinder"] == key.get_secret_value()  # type: ignore[index]
    assert f"fsid = {request['fsid']}\n" in files["ceph.conf"].content
    assert ceph.ceph_request(where)["fsid"] == request["fsid"]


def test_cinder_without_a_key_for_the_computes_is_refused_by_name() -> None:
    where = cloud("bookworm", block_storage=True)
    bare = replace(where, site=site({"release": "zed"}))
    with pytest.raises(SettingsError, match=r"group_data/lab.py: libvirt.rbd_secret_uuid"):
        rendered_files.service_files(bare, "controller")
