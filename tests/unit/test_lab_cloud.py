"""What the lab puts beneath Nova, where Debian's releases differ."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest

from lab.cloud import Cloud
from lab.passwords import LabSecrets
from lab.settings import settings_from
from tests.unit.site_data import GROUPS, HOSTS, site

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
DROP_IN = "/etc/systemd/system/neutron-api.service.d/neutron-server.conf"


def cloud(debian: str) -> Cloud:
    data = {"release": NOVA[debian]}
    groups = {group: [(name, HOSTS[name]) for name in names] for group, names in GROUPS.items()}
    secrets = dict.fromkeys(LabSecrets.model_fields, "secret")
    return Cloud(site(data), settings_from(groups, data, {}), LabSecrets.model_validate(secrets))


def loaded(debian: str, key: str) -> dict[str, str]:
    """What uwsgi is told to load, by its file."""
    found = {}
    for file in cloud(debian).service_files("controller"):
        if Path(file.path).name.endswith("uwsgi.ini"):
            parser = configparser.ConfigParser(interpolation=None)
            parser.read_string(file.content)
            found[file.path] = parser["uwsgi"].get(key, "")
    return found


def neutron_units(debian: str) -> dict[str, tuple[str, ...]]:
    units = {
        unit.name.removesuffix(".service"): unit.reads for unit in cloud(debian).service_units()
    }
    return {name: reads for name, reads in units.items() if name in NEUTRON}


@pytest.mark.parametrize("debian", ["bookworm", "trixie"])
def test_neutron_s_own_server_runs_where_there_is_one(debian: str) -> None:
    assert DROP_IN in {file.path for file in cloud(debian).service_files("controller")}
    assert DROP_IN in neutron_units(debian)["neutron-api"]
    assert set(neutron_units(debian)) & set(cloud(debian).packages("controller")) == {"neutron-api"}
    assert cloud(debian).neutron_rpc_unit == "neutron-api.service"
    assert loaded(debian, "wsgi-file") == SCRIPTS
    assert set(loaded(debian, "module").values()) == {""}


def test_neutron_without_that_server_is_three_daemons_and_uwsgi_loads_modules() -> None:
    assert DROP_IN not in {file.path for file in cloud("sid").service_files("controller")}
    assert set(neutron_units("sid")) == NEUTRON
    assert set(cloud("sid").packages("controller")) >= NEUTRON
    assert set(cloud("sid").packages("compute1")) & NEUTRON == set()
    assert cloud("sid").neutron_rpc_unit == "neutron-rpc-server.service"
    assert loaded("sid", "module") == MODULES
    assert set(loaded("sid", "wsgi-file").values()) == {""}
