"""The certificates of the lab's servers: where each is, and who reads its key."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

from lab.cloud import Cloud
from pyinfra_nova.certificates.issued import Issued, wanted
from pyinfra_nova.certificates.purposes import PURPOSES
from pyinfra_nova.certificates.trust import folder_of
from pyinfra_nova.nova_conf.certificate_files import trust_file
from pyinfra_nova.nova_conf.config_file import AbsentFile, ConfigFile
from pyinfra_nova.site.faults import Fault, SettingsError

LOCAL_NAMES = ("localhost", "127.0.0.1")


@dataclass(frozen=True)
class Server:
    """One that shows a certificate.

    Attributes:
        user: as it runs, and of its folder in /etc. The folders below it are those in which
            Debian's init scripts look for what makes them start uwsgi with TLS: any *.pem in
            ssl/private, any *.crt in ssl/public (openstack-pkg-tools).
    """

    user: str

    @property
    def path(self) -> str:
        return f"/etc/{self.user}/ssl/public/{self.user}.crt"

    @property
    def key_path(self) -> str:
        return f"/etc/{self.user}/ssl/private/{self.user}.pem"

    @property
    def reads(self) -> tuple[str, str]:
        return (self.path, self.key_path)


_ALWAYS = ("mysql", "rabbitmq", "keystone", "glance", "placement", "neutron")
SERVERS: Mapping[str, Server] = {user: Server(user) for user in (*_ALWAYS, "cinder", "memcache")}


def servers(cloud: Cloud) -> list[Server]:
    """Those of the controller."""
    storage = ("cinder",) if cloud.block_storage else ()
    memcached = ("memcache",) if cloud.has_memcached_tls else ()
    return [SERVERS[user] for user in (*_ALWAYS, *storage, *memcached)]


def rereads(cloud: Cloud, user: str) -> bool:
    """Whether USER's process reads a new certificate where it runs.

    Neutron's own server, which is no uwsgi, would begin anew with all its workers; what memcached
    keeps can be lost.
    """
    return user != "memcache" and (user != "neutron" or cloud.lab.has_wsgi_modules)


def reads(cloud: Cloud, user: str) -> tuple[str, ...]:
    """The files of USER's certificate, if its process reads them when it starts alone."""
    server = SERVERS[user]
    is_here = cloud.has_tls and server in servers(cloud)
    return server.reads if is_here and not rereads(cloud, user) else ()


def certificate_paths(cloud: Cloud) -> list[str]:
    """What is read of the controller before its certificates are known."""
    return [server.path for server in servers(cloud)] if cloud.has_tls else []


def trust_files(cloud: Cloud) -> list[ConfigFile]:
    """The authorities that every host takes the certificates of services from."""
    return [trust_file(cloud.site)] if cloud.has_tls else []


def certificate_files(
    cloud: Cloud, name: str, found: Mapping[str, str], now: dt.datetime
) -> list[ConfigFile]:
    """A certificate for each server of the controller NAME: those FOUND there while they are right.

    Raises:
        SettingsError: the secret that they are made of is missing, or one that is to be provided
            cannot be used.
    """
    files = []
    for server in servers(cloud) if cloud.has_tls else ():
        issued = _issued(cloud, name, server, found.get(server.path), now)
        # The key first: an init script that finds only one of the two starts without TLS.
        key, group = issued.key_pem, server.user
        files.append(ConfigFile(server.key_path, key, "root", group, "0640", hidden=True))
        files.append(ConfigFile(server.path, issued.certificate_pem, "root", "root", "0644"))
    return files


def _issued(cloud: Cloud, name: str, server: Server, found: str | None, now: dt.datetime) -> Issued:
    """A certificate of SERVER's own; of those that a site provides all servers show the same."""
    purpose, names = PURPOSES["service"], _names(cloud, name)
    if folder := folder_of(cloud.site):
        return folder.issued(purpose, name, names, found, now)
    secret, tls = cloud.site.secrets.tls_secret, cloud.site.settings.tls
    if secret is None:
        problem = "is missing, and the lab's certificates are made of it"
        remedy = "`python -m pyinfra_nova.secrets add-tls-secret` adds it"
        raise SettingsError([Fault("secrets.yml", "tls_secret", problem, remedy)])
    value, whose = secret.get_secret_value(), f"{name} {server.user}"
    return wanted(value, purpose, whose, names, found, now, tls.days, tls.renew_days)


def _names(cloud: Cloud, name: str) -> list[str]:
    """What the controller is called by, and its address."""
    address = str(cloud.site.primary_controller.my_ip)
    return list(dict.fromkeys((name, cloud.controller, address, *LOCAL_NAMES)))


def unwanted_files(cloud: Cloud) -> list[AbsentFile]:
    """What is left of TLS where it is off; Debian's init scripts would go on with it."""
    if cloud.has_tls:
        return []
    public, private = "-----BEGIN CERTIFICATE-----", "-----BEGIN PRIVATE KEY-----"
    marker = "[#;] Written by the lab of pyinfra-nova.*"
    return [
        *(AbsentFile(server.path, public, "marker") for server in SERVERS.values()),
        *(AbsentFile(s.key_path, private, "marker", hidden=True) for s in SERVERS.values()),
        AbsentFile("/etc/rabbitmq/rabbitmq.conf", marker, "marker"),
        AbsentFile(MEMCACHED_DROP_IN, marker, "marker"),
        AbsentFile(GLANCE_TLS_CONF, marker, "marker"),
        AbsentFile(GLANCE_TLS_UNIT, marker, "marker"),
    ]


MEMCACHED_DROP_IN = "/etc/systemd/system/memcached.service.d/patient.conf"
GLANCE_TLS = "glance-tls.service"
GLANCE_TLS_CONF = "/etc/glance/glance-tls.conf"
GLANCE_TLS_UNIT = f"/etc/systemd/system/{GLANCE_TLS}"
