"""The files of every host, rendered."""

from __future__ import annotations

import json
from collections.abc import Mapping
from ipaddress import IPv4Interface
from pathlib import Path
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader
from pydantic import SecretStr

from lab.cloud import Cloud
from lab.cloud.ceph import CEPH_USER, DISK_SIZE, ceph_keys, ceph_request, rbd_secret_uuid
from lab.cloud.certificates import (
    GLANCE_TLS_CONF,
    GLANCE_TLS_UNIT,
    MEMCACHED_DROP_IN,
    SERVERS,
    trust_files,
)
from lab.cloud.data_stores import database_passwords
from pyinfra_nova.nova_conf.config_file import ConfigFile
from pyinfra_nova.nova_conf.render import environment

TEMPLATES = Path(__file__).resolve().parents[1] / "templates"
NEUTRON_DROP_IN = "/etc/systemd/system/neutron-api.service.d"
PROVIDER_BRIDGE = "br-provider"
SCRIPTS = {"keystone": "keystone-wsgi-public", "cinder": "cinder-wsgi"}
"""Those that are not called as their unit."""

CIPHERS = {
    "1.3": ("TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"),
    "1.2": tuple(
        f"ECDHE-{key}-{cipher}"
        for cipher in ("AES256-GCM-SHA384", "AES128-GCM-SHA256", "CHACHA20-POLY1305")
        for key in ("ECDSA", "RSA")
    ),
}
"""Authenticated ones with forward secrecy, by the version of TLS that has them."""

_PUBLIC = ("root", "root", "0644")


def agent_files(cloud: Cloud, name: str) -> list[ConfigFile]:
    """Neutron's agent and the provider bridge, on every host."""
    neutron = ("root", "neutron", "0640")
    files = [
        *trust_files(cloud),
        _file(cloud, "openvswitch_agent.ini", "/etc/neutron/plugins/ml2", neutron, name),
        _file(cloud, "br-provider.network", "/etc/systemd/network", _PUBLIC, name),
        _file(cloud, "prov0.network", "/etc/systemd/network", _PUBLIC, name),
    ]
    if not cloud.is_controller(name):
        files.append(_file(cloud, "neutron.conf", "/etc/neutron", neutron, name))
    return files


def base_files(cloud: Cloud, name: str) -> list[ConfigFile]:
    """MariaDB, RabbitMQ, memcached, on the controller."""
    files = [
        _file(cloud, "90-lab.cnf", "/etc/mysql/mariadb.conf.d", _PUBLIC, name),
        _file(cloud, "rabbitmq-env.conf", "/etc/rabbitmq", _PUBLIC, name),
        _file(cloud, "memcached.conf", "/etc", _PUBLIC, name),
    ]
    if cloud.has_tls:
        files.append(_file(cloud, "rabbitmq.conf", "/etc/rabbitmq", _PUBLIC, name))
        folder, _, template = MEMCACHED_DROP_IN.rpartition("/")
        files.append(_file(cloud, template, folder, _PUBLIC, name))
    return files


def service_files(cloud: Cloud, name: str) -> list[ConfigFile]:
    """Keystone, Glance, Placement, Neutron and the administrator's login, on the controller."""
    neutron = ("root", "neutron", "0640")
    files = [
        _file(cloud, "keystone.conf", "/etc/keystone", ("root", "keystone", "0640"), name),
        _file(cloud, "glance-api.conf", "/etc/glance", ("root", "glance", "0640"), name),
        _file(cloud, "placement.conf", "/etc/placement", ("root", "placement", "0640"), name),
        _file(cloud, "neutron.conf", "/etc/neutron", neutron, name),
        _file(cloud, "ml2_conf.ini", "/etc/neutron/plugins/ml2", neutron, name),
    ]
    for agent in ("dhcp_agent.ini", "l3_agent.ini", "metadata_agent.ini"):
        files.append(_file(cloud, agent, "/etc/neutron", neutron, name))
    files += [_uwsgi(cloud, "keystone", "keystone"), _uwsgi(cloud, "placement", "placement-api")]
    if cloud.lab.has_wsgi_modules:
        files.append(_uwsgi(cloud, "neutron", "neutron-api"))
    else:
        files.append(_file(cloud, "neutron-server.conf", NEUTRON_DROP_IN, _PUBLIC, name))
    if cloud.has_glance_proxy:
        for path in (GLANCE_TLS_CONF, GLANCE_TLS_UNIT):
            folder, _, template = path.rpartition("/")
            files.append(_file(cloud, template, folder, _PUBLIC, name))
    if cloud.block_storage:
        files += _storage_files(cloud, name)
    files.append(
        ConfigFile(
            "/root/.config/openstack/clouds.yaml", clouds_yaml(cloud), "root", "root", "0600"
        )
    )
    # The client takes the only cloud unasked in no release; pam_env gives this to every login.
    files.append(ConfigFile("/etc/environment", "OS_CLOUD=admin\n", *_PUBLIC))
    return files


def _storage_files(cloud: Cloud, name: str) -> list[ConfigFile]:
    """Cinder and Ceph, with the keys that Cinder and the administrator use."""
    keys = ceph_keys(cloud)
    return [
        _file(cloud, "cinder.conf", "/etc/cinder", ("root", "cinder", "0640"), name),
        _uwsgi(cloud, "cinder", "cinder-api"),
        _file(cloud, "ceph.conf", "/etc/ceph", _PUBLIC, name),
        _keyring("client.admin", keys, "root", "0600"),
        _keyring(f"client.{CEPH_USER}", keys, "cinder", "0640"),
    ]


def _file(
    cloud: Cloud, template: str, folder: str, owner: tuple[str, str, str], name: str
) -> ConfigFile:
    return ConfigFile(f"{folder}/{template}", _render(cloud, template, name), *owner)


def _uwsgi(cloud: Cloud, project: str, unit: str) -> ConfigFile:
    script = SCRIPTS.get(project, unit)
    module = f"{project}.wsgi.api:application" if cloud.lab.has_wsgi_modules else None
    content = (
        _environment()
        .get_template("uwsgi.ini.j2")
        .render(
            project=project,
            unit=unit,
            script=script,
            module=module,
            has_tls=cloud.has_tls,
            minimum_version=cloud.site.settings.tls.minimum_version,
        )
    )
    return ConfigFile(f"/etc/{project}/{unit}-uwsgi.ini", content, *_PUBLIC)


def _render(cloud: Cloud, template: str, name: str) -> str:
    host, tls = cloud.host(name), cloud.site.settings.tls
    versions = ["1.3"] if tls.minimum_version == "1.3" else ["1.3", "1.2"]
    query = f"?ssl_ca={cloud.cafile}" if cloud.cafile else ""
    return (
        _environment()
        .get_template(f"{template}.j2")
        .render(
            site=cloud.site.settings,
            passwords=cloud.site.secrets,
            controller=cloud.controller,
            is_controller=cloud.is_controller(name),
            has_neutron_server=not cloud.lab.has_wsgi_modules,
            provider_address=provider_address(cloud, name),
            tunnel_address=cloud.lab.provider.address(host.offset),
            provider_bridge=PROVIDER_BRIDGE,
            neutron_transport_url=f"rabbit://neutron:{_quoted(cloud.secrets.neutron_messaging)}"
            f"@{cloud.broker}/",
            database_url={
                service: f"mysql+pymysql://{service}:{_quoted(password)}@{cloud.controller}"
                f"/{service}{query}"
                for service, password in database_passwords(cloud).items()
            },
            glance_password=cloud.secrets.glance_password,
            cinder_password=cloud.secrets.cinder_password,
            cinder_transport_url=f"rabbit://cinder:{_quoted(cloud.secrets.cinder_messaging)}"
            f"@{cloud.broker}/",
            ceph=ceph_request(cloud),
            ceph_user=CEPH_USER,
            disk_size=DISK_SIZE,
            rbd_secret_uuid=rbd_secret_uuid(cloud),
            cafile=cloud.cafile,
            certificate=SERVERS if cloud.has_tls else None,
            my_ip=cloud.site.primary_controller.my_ip,
            memcache_secret=cloud.secrets.memcache_secret,
            minimum_version=tls.minimum_version,
            has_glance_proxy=cloud.has_glance_proxy,
            has_memcached_tls=cloud.has_memcached_tls,
            mysql_versions=",".join(f"TLSv{version}" for version in versions),
            rabbitmq_versions=[f"tlsv{version}" for version in versions],
            rabbitmq_ciphers=[cipher for version in versions for cipher in CIPHERS[version]],
        )
    )


def provider_address(cloud: Cloud, name: str) -> IPv4Interface:
    network = cloud.lab.provider
    return IPv4Interface(f"{network.address(cloud.host(name).offset)}/{network.cidr.prefixlen}")


def clouds_yaml(cloud: Cloud) -> str:
    """The administrator's login, as the openstack client reads it."""
    admin = cloud.site.settings.keystone.admin
    login: dict[str, object] = {
        "auth": {
            "auth_url": cloud.site.settings.keystone.auth_url,
            "username": admin.username,
            "password": cloud.site.secrets.admin_password.get_secret_value(),
            "project_name": admin.project_name,
            "user_domain_name": admin.user_domain_name,
            "project_domain_name": admin.project_domain_name,
        },
        "region_name": cloud.site.settings.region,
        "identity_api_version": 3,
        "interface": "internal",
    }
    if cloud.cafile:
        login["cacert"] = cloud.cafile
    # JSON is YAML.
    return json.dumps({"clouds": {"admin": login}}, indent=1) + "\n"


def _keyring(user: str, keys: Mapping[str, str], group: str, mode: str) -> ConfigFile:
    text = f"[{user}]\n\tkey = {keys[user]}\n"
    return ConfigFile(f"/etc/ceph/ceph.{user}.keyring", text, "root", group, mode)


def _quoted(password: SecretStr) -> str:
    return quote(password.get_secret_value(), safe="")


def _environment() -> Environment:
    return environment().overlay(loader=FileSystemLoader(TEMPLATES))
