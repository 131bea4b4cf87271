"""Those of the lab's servers that read a new certificate where they run, and how each is told.

Seen with the packages of Debian 12 and 13: connections that there are stay, and the process does.
"""

from __future__ import annotations

from collections.abc import Sequence

from lab.cloud import Cloud
from lab.cloud.catalogue import PORTS, STORAGE_PORT
from lab.cloud.certificates import GLANCE_TLS, SERVERS, rereads
from pyinfra_nova.nova_conf.config_file import ConfigFile
from pyinfra_nova.resources.renewed_certificates import Server, shown_of

# From MariaDB 10.4 on. By itself it reads them at its start alone. By the socket and without
# TLS: a client that trusts the next authority already refuses what is still shown.
FLUSH_SSL = ("mariadb", "--skip-ssl", "-e", "FLUSH SSL")
# RabbitMQ's Erlang looks at its files every two minutes; until then it has what it has read.
CLEAR_PEM_CACHE = ("rabbitmqctl", "eval", "ssl:clear_pem_cache().")
BASE = ("mysql", "rabbitmq")
SERVICES = ("keystone", "glance", "placement", "neutron")
STORAGE = ("cinder",)


def servers(cloud: Cloud, files: Sequence[ConfigFile], users: Sequence[str]) -> list[Server]:
    """Of those of USERS that do, what each is to show once it has read its certificate in FILES."""
    contents = {file.path: file.content for file in files}
    found = ((user, contents.get(SERVERS[user].path)) for user in users if rereads(cloud, user))
    return [_server(cloud, user, shown_of(content)) for user, content in found if content]


def _server(cloud: Cloud, user: str, wanted: tuple[str, ...]) -> Server:
    address, settings = str(cloud.site.primary_controller.my_ip), cloud.site.settings
    if user == "mysql":
        port = settings.database.port
        return Server("mariadb.service", address, port, wanted, FLUSH_SSL, "mysql")
    if user == "rabbitmq":
        port = cloud.broker_port
        return Server("rabbitmq-server.service", address, port, wanted, CLEAR_PEM_CACHE)
    unit, at = {
        "keystone": ("keystone.service", PORTS["identity"]),
        "glance": (GLANCE_TLS if cloud.has_glance_proxy else "glance-api.service", PORTS["image"]),
        "placement": ("placement-api.service", PORTS["placement"]),
        "neutron": ("neutron-api.service", PORTS["network"]),
        "cinder": ("cinder-api.service", STORAGE_PORT),
    }[user]
    return Server(unit, address, int(at.partition("/")[0]), wanted, "hup")
