"""What Nova builds on, as files and desired state: no host is touched here."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from ipaddress import IPv4Interface
from pathlib import Path
from urllib.parse import quote
from uuid import NAMESPACE_DNS, uuid5

from jinja2 import Environment, FileSystemLoader
from pydantic import SecretStr

from lab.passwords import LabSecrets
from lab.settings import LabHost, LabSettings
from pyinfra_nova.nova_conf.config_file import ConfigFile
from pyinfra_nova.nova_conf.render import environment
from pyinfra_nova.resources.databases import DatabaseUser
from pyinfra_nova.resources.http_answers import Answering
from pyinfra_nova.resources.keystone import (
    KeystoneAdmin,
    KeystoneEndpoint,
    KeystoneEntries,
    KeystoneService,
    KeystoneUser,
)
from pyinfra_nova.resources.messaging import BrokerUser
from pyinfra_nova.resources.units import Unit
from pyinfra_nova.site.faults import Fault, SettingsError
from pyinfra_nova.site.settings import Site

TEMPLATES = Path(__file__).resolve().parent / "templates"
GUEST = Path(__file__).resolve().parent / "guest"
GUEST_IMAGE = "tiny"
GUEST_FOLDER = "/var/lib/pyinfra-nova-lab"
"""On the controller: where the guest image is built."""

AGENT_PACKAGES = ("neutron-openvswitch-agent", "openvswitch-switch")
"""On every host."""

CONTROLLER_PACKAGES = (
    "mariadb-server", "rabbitmq-server", "memcached",
    "keystone", "glance-api", "placement-api",
    "neutron-api",
    "neutron-dhcp-agent", "neutron-l3-agent", "neutron-metadata-agent",
    "python3-openstackclient", "python3-memcache", "uwsgi-plugin-python3",
    # What the guest image is built with.
    "mtools", "syslinux", "syslinux-common", "qemu-utils",
)  # fmt: skip

STORAGE_PACKAGES = (
    "cinder-api", "cinder-scheduler", "cinder-volume", "python3-rbd",
    "ceph-mon", "ceph-mgr", "ceph-osd",
)  # fmt: skip
POOL = "volumes"
CEPH_USER = "cinder"
DISK_SIZE = 20 * 2**30
"""Bytes that volumes may use in all; the file grows with what is written."""

NEUTRON_DAEMONS = ("neutron-rpc-server", "neutron-periodic-workers")
"""Packages and units: what is beside neutron-api where there is no neutron-server."""
NEUTRON_DROP_IN = "/etc/systemd/system/neutron-api.service.d"
PROVIDER_BRIDGE = "br-provider"
SCRIPTS = {"keystone": "keystone-wsgi-public", "cinder": "cinder-wsgi"}
"""Those that are not called as their unit."""

SERVICES = (
    KeystoneService("identity", "keystone", "OpenStack Identity"),
    KeystoneService("image", "glance", "OpenStack Image"),
    KeystoneService("placement", "placement", "OpenStack Placement"),
    KeystoneService("network", "neutron", "OpenStack Networking"),
)
PORTS = {"identity": "5000/v3", "image": "9292", "placement": "8778", "network": "9696"}
STORAGE_TYPES = {"block-storage": "cinder", "volumev3": "cinderv3"}
"""What Cinder is registered as in its installation guides, and by which name."""
STORAGE_PORT = "8776"


@dataclass(frozen=True)
class Cloud:
    """The prerequisites of one lab.

    Attributes:
        site: what the Nova deployment expects of them.
        lab: the hosts and ranges.
        secrets: passwords that only the prerequisites know.
        block_storage: whether Cinder, and the Ceph that its volumes are on, are among them.
    """

    site: Site
    lab: LabSettings
    secrets: LabSecrets
    block_storage: bool = False

    @property
    def controller(self) -> str:
        """The name that services are reached by."""
        return self.site.settings.controller_host

    def is_controller(self, name: str) -> bool:
        return name == self.site.primary_controller.name

    def host(self, name: str) -> LabHost:
        return next(host for host in self.lab.hosts if host.name == name)

    def packages(self, name: str) -> tuple[str, ...]:
        if not self.is_controller(name):
            return AGENT_PACKAGES
        daemons = NEUTRON_DAEMONS if self.lab.has_wsgi_modules else ()
        storage = STORAGE_PACKAGES if self.block_storage else ()
        return (*AGENT_PACKAGES, *CONTROLLER_PACKAGES, *daemons, *storage)

    # --- files ------------------------------------------------------------------------------------

    def agent_files(self, name: str) -> list[ConfigFile]:
        """Neutron's agent and the provider bridge, on every host."""
        neutron = ("root", "neutron", "0640")
        files = [
            self._file("openvswitch_agent.ini", "/etc/neutron/plugins/ml2", neutron, name),
            self._file("br-provider.network", "/etc/systemd/network", _PUBLIC, name),
            self._file("prov0.network", "/etc/systemd/network", _PUBLIC, name),
        ]
        if not self.is_controller(name):
            files.append(self._file("neutron.conf", "/etc/neutron", neutron, name))
        return files

    def base_files(self, name: str) -> list[ConfigFile]:
        """MariaDB, RabbitMQ, memcached, on the controller."""
        return [
            self._file("90-lab.cnf", "/etc/mysql/mariadb.conf.d", _PUBLIC, name),
            self._file("rabbitmq-env.conf", "/etc/rabbitmq", _PUBLIC, name),
            self._file("memcached.conf", "/etc", _PUBLIC, name),
        ]

    def service_files(self, name: str) -> list[ConfigFile]:
        """Keystone, Glance, Placement, Neutron and the administrator's login, on the controller."""
        neutron = ("root", "neutron", "0640")
        files = [
            self._file("keystone.conf", "/etc/keystone", ("root", "keystone", "0640"), name),
            self._file("glance-api.conf", "/etc/glance", ("root", "glance", "0640"), name),
            self._file("placement.conf", "/etc/placement", ("root", "placement", "0640"), name),
            self._file("neutron.conf", "/etc/neutron", neutron, name),
            self._file("ml2_conf.ini", "/etc/neutron/plugins/ml2", neutron, name),
        ]
        for agent in ("dhcp_agent.ini", "l3_agent.ini", "metadata_agent.ini"):
            files.append(self._file(agent, "/etc/neutron", neutron, name))
        files += [self._uwsgi("keystone", "keystone"), self._uwsgi("placement", "placement-api")]
        if self.lab.has_wsgi_modules:
            files.append(self._uwsgi("neutron", "neutron-api"))
        else:
            files.append(self._file("neutron-server.conf", NEUTRON_DROP_IN, _PUBLIC, name))
        if self.block_storage:
            files += self._storage_files(name)
        files.append(
            ConfigFile(
                "/root/.config/openstack/clouds.yaml", self.clouds_yaml(), "root", "root", "0600"
            )
        )
        # The client takes the only cloud unasked in no release; pam_env gives this to every login.
        files.append(ConfigFile("/etc/environment", "OS_CLOUD=admin\n", *_PUBLIC))
        return files

    def _storage_files(self, name: str) -> list[ConfigFile]:
        """Cinder and Ceph, with the keys that Cinder and the administrator use."""
        keys = self._ceph_keys()
        return [
            self._file("cinder.conf", "/etc/cinder", ("root", "cinder", "0640"), name),
            self._uwsgi("cinder", "cinder-api"),
            self._file("ceph.conf", "/etc/ceph", _PUBLIC, name),
            _keyring("client.admin", keys, "root", "0600"),
            _keyring(f"client.{CEPH_USER}", keys, "cinder", "0640"),
        ]

    def _file(
        self, template: str, folder: str, owner: tuple[str, str, str], name: str
    ) -> ConfigFile:
        return ConfigFile(f"{folder}/{template}", self._render(template, name), *owner)

    def _uwsgi(self, project: str, unit: str) -> ConfigFile:
        script = SCRIPTS.get(project, unit)
        module = f"{project}.wsgi.api:application" if self.lab.has_wsgi_modules else None
        content = (
            _environment()
            .get_template("uwsgi.ini.j2")
            .render(project=project, unit=unit, script=script, module=module)
        )
        return ConfigFile(f"/etc/{project}/{unit}-uwsgi.ini", content, *_PUBLIC)

    def _render(self, template: str, name: str) -> str:
        host = self.host(name)
        return (
            _environment()
            .get_template(f"{template}.j2")
            .render(
                site=self.site.settings,
                passwords=self.site.secrets,
                controller=self.controller,
                is_controller=self.is_controller(name),
                has_neutron_server=not self.lab.has_wsgi_modules,
                provider_address=self.provider_address(name),
                tunnel_address=self.lab.provider.address(host.offset),
                provider_bridge=PROVIDER_BRIDGE,
                neutron_transport_url=f"rabbit://neutron:{_quoted(self.secrets.neutron_messaging)}"
                f"@{self.controller}:5672/",
                database_url={
                    service: f"mysql+pymysql://{service}:{_quoted(password)}@{self.controller}/{service}"
                    for service, password in self._database_passwords().items()
                },
                glance_password=self.secrets.glance_password,
                cinder_password=self.secrets.cinder_password,
                cinder_transport_url=f"rabbit://cinder:{_quoted(self.secrets.cinder_messaging)}"
                f"@{self.controller}:5672/",
                ceph=self.ceph(),
                ceph_user=CEPH_USER,
                disk_size=DISK_SIZE,
                rbd_secret_uuid=self.rbd_secret_uuid,
            )
        )

    def provider_address(self, name: str) -> IPv4Interface:
        network = self.lab.provider
        return IPv4Interface(f"{network.address(self.host(name).offset)}/{network.cidr.prefixlen}")

    def clouds_yaml(self) -> str:
        """The administrator's login, as the openstack client reads it."""
        admin = self.site.settings.keystone.admin
        cloud = {
            "auth": {
                "auth_url": self.site.settings.keystone.auth_url,
                "username": admin.username,
                "password": self.site.secrets.admin_password.get_secret_value(),
                "project_name": admin.project_name,
                "user_domain_name": admin.user_domain_name,
                "project_domain_name": admin.project_domain_name,
            },
            "region_name": self.site.settings.region,
            "identity_api_version": 3,
            "interface": "internal",
        }
        # JSON is YAML.
        return json.dumps({"clouds": {"admin": cloud}}, indent=1) + "\n"

    # --- state ------------------------------------------------------------------------------------

    def _database_passwords(self) -> Mapping[str, SecretStr]:
        secrets = self.secrets
        storage = {"cinder": secrets.cinder_database} if self.block_storage else {}
        return {
            **storage,
            "keystone": secrets.keystone_database,
            "glance": secrets.glance_database,
            "placement": secrets.placement_database,
            "neutron": secrets.neutron_database,
        }

    def database_users(self) -> list[DatabaseUser]:
        return [
            DatabaseUser(service, password, (service,))
            for service, password in self._database_passwords().items()
        ]

    def broker_users(self) -> list[BrokerUser]:
        users = [BrokerUser("neutron", self.secrets.neutron_messaging)]
        if self.block_storage:
            users.append(BrokerUser("cinder", self.secrets.cinder_messaging))
        return users

    @property
    def rbd_secret_uuid(self) -> str | None:
        """Under which the computes' libvirt knows the key of Cinder's user."""
        return next((host.libvirt.rbd_secret_uuid for host in self.site.computes), None)

    def _ceph_keys(self) -> dict[str, str]:
        """Every user of Ceph and its key."""
        mine, key = self.secrets, self.site.secrets.rbd_secret_key
        if key is None or self.rbd_secret_uuid is None:
            problem = "is missing, and the lab has Cinder with volumes on Ceph"
            remedy = "docs/storage.md says what it is"
            fault = Fault("group_data/lab.py", "libvirt.rbd_secret_uuid", problem, remedy)
            raise SettingsError([fault])
        keys = {
            "mon.": mine.ceph_monitor,
            "client.admin": mine.ceph_admin,
            f"mgr.{self.site.primary_controller.name}": mine.ceph_manager,
            "osd.0": mine.ceph_disk,
            f"client.{CEPH_USER}": key,
        }
        return {user: secret.get_secret_value() for user, secret in keys.items()}

    def ceph(self) -> dict[str, object]:
        """The request that `files/ceph.py` takes; empty without block storage."""
        if not self.block_storage:
            return {}
        host = self.site.primary_controller
        address = str(host.my_ip)
        return {
            "name": host.name,
            "address": address,
            # Made of the address: a Ceph that is made again after an interruption is the same one.
            "fsid": str(uuid5(NAMESPACE_DNS, f"ceph.{address}")),
            "osd_uuid": str(uuid5(NAMESPACE_DNS, f"osd.0.{address}")),
            "pool": POOL,
            "keys": self._ceph_keys(),
        }

    def keystone_admin(self) -> KeystoneAdmin:
        """The administrator's login, asked on the controller itself."""
        settings = self.site.settings.keystone
        return KeystoneAdmin(
            settings.auth_url,
            settings.admin.username,
            self.site.secrets.admin_password,
            settings.admin.project_name,
            settings.admin.user_domain_name,
            settings.admin.project_domain_name,
        )

    def answers(self, *types: str) -> list[Answering]:
        """The URLs of services by their type: each answers with a document of its versions."""
        return [
            Answering(type_, f"http://{self.controller}:{PORTS[type_]}/", '"version')
            for type_ in types
        ]

    def bootstrap_command(self) -> list[str]:
        """What makes the administrator, or sets the password that OS_BOOTSTRAP_PASSWORD holds."""
        admin = self.keystone_admin()
        words = ["keystone-manage", "bootstrap", "--bootstrap-username", admin.username]
        words += ["--bootstrap-project-name", admin.project]
        words += ["--bootstrap-region-id", self.site.settings.region]
        for interface in ("admin", "internal", "public"):
            words += [f"--bootstrap-{interface}-url", admin.auth_url]
        return words

    def schemas(self) -> list[dict[str, object]]:
        """The services that `files/schemas.py` takes."""
        keys = ["--keystone-user", "keystone", "--keystone-group", "keystone"]
        password = self.site.secrets.admin_password.get_secret_value()
        neutron = ["neutron-db-manage", "--config-file=/etc/neutron/neutron.conf"]
        neutron += ["--config-file=/etc/neutron/plugins/ml2/ml2_conf.ini", "upgrade", "head"]
        return [
            {
                "name": "keystone",
                "package": "keystone",
                "commands": [
                    ["keystone-manage", "db_sync"],
                    ["keystone-manage", "fernet_setup", *keys],
                    ["keystone-manage", "credential_setup", *keys],
                    self.bootstrap_command(),
                ],
                "environment": {"OS_BOOTSTRAP_PASSWORD": password},
            },
            _schema("glance", "glance-common", ["glance-manage", "db_sync"]),
            _schema("placement", "placement-common", ["placement-manage", "db", "sync"]),
            _schema("neutron", "neutron-common", neutron),
            *(
                [_schema("cinder", "cinder-common", ["cinder-manage", "db", "sync"])]
                if self.block_storage
                else []
            ),
        ]

    def keystone_entries(self) -> KeystoneEntries:
        """Everything but Nova's own: that is what the deployment under test makes."""
        secrets = self.site.secrets
        passwords = {
            "glance": self.secrets.glance_password,
            self.site.settings.placement.username: secrets.placement_password,
            self.site.settings.neutron.username: secrets.neutron_password,
        }
        services, urls = list(SERVICES), dict(PORTS)
        if self.block_storage:
            passwords["cinder"] = self.secrets.cinder_password
            services.append(self.storage_service)
            urls[self.storage_service.type] = f"{STORAGE_PORT}/{self._storage_path}"
        return KeystoneEntries(
            projects=("service",),
            roles=("service",),
            users=tuple(
                KeystoneUser(name, password, "service", ("admin", "service"))
                for name, password in passwords.items()
            ),
            services=tuple(services),
            endpoints=tuple(
                KeystoneEndpoint(
                    type_, interface, f"http://{self.controller}:{port}", self.site.settings.region
                )
                for type_, port in urls.items()
                for interface in ("public", "internal", "admin")
            ),
        )

    @property
    def storage_service(self) -> KeystoneService:
        """Cinder, as the installation guide of this release has it in the catalogue."""
        type_ = "block-storage" if self.lab.cinder_is_block_storage else "volumev3"
        return KeystoneService(type_, STORAGE_TYPES[type_], "OpenStack Block Storage")

    @property
    def _storage_path(self) -> str:
        return "v3" if self.lab.cinder_is_block_storage else "v3/%(project_id)s"

    def service_type(self) -> dict[str, object]:
        """The request that `files/service_type.py` takes: Cinder once, under this type."""
        login = asdict(self.keystone_admin())
        login["password"] = self.site.secrets.admin_password.get_secret_value()
        wanted = self.storage_service
        others = [type_ for type_ in STORAGE_TYPES if type_ != wanted.type]
        return {"login": login, "type": wanted.type, "name": wanted.name, "formerly": others}

    def network_and_image(self) -> dict[str, object]:
        """The request that `files/network_and_image.py` takes."""
        login = asdict(self.keystone_admin())
        login["password"] = self.site.secrets.admin_password.get_secret_value()
        network = self.lab.provider
        return {
            "login": login,
            "region": self.site.settings.region,
            "network": {
                "name": "provider",
                "physical_network": "provider",
                "cidr": str(network.cidr),
                "gateway": str(network.gateway),
                **self._pool(),
            },
            "image": {
                "name": GUEST_IMAGE,
                "path": f"{GUEST_FOLDER}/{GUEST_IMAGE}-{_digest(guest_sources())}.qcow2",
                "properties": {"min_ram": 128, "hw_rng_model": "virtio"},
            },
        }

    def guest_image(self) -> dict[str, object]:
        """The request that `files/guest_image.py` takes."""
        sources = guest_sources()
        return {
            "folder": GUEST_FOLDER,
            "name": GUEST_IMAGE,
            "digest": _digest(sources),
            "files": {name: b64encode(data).decode() for name, data in sources.items()},
        }

    def _pool(self) -> dict[str, str]:
        """The upper half of the provider range without the hosts' own addresses."""
        network = self.lab.provider
        first = max([network.cidr.num_addresses // 2, *(h.offset + 1 for h in self.lab.hosts)])
        return {
            "first": str(network.address(first)),
            "last": str(network.address(network.cidr.num_addresses - 2)),
        }

    def base_units(self) -> list[Unit]:
        return [
            Unit("mariadb.service", ("/etc/mysql/mariadb.conf.d/90-lab.cnf",)),
            Unit("rabbitmq-server.service", ("/etc/rabbitmq/rabbitmq-env.conf",)),
            Unit("memcached.service", ("/etc/memcached.conf",)),
        ]

    def service_units(self) -> list[Unit]:
        return [
            Unit(
                "keystone.service",
                ("/etc/keystone/keystone.conf", "/etc/keystone/keystone-uwsgi.ini"),
            ),
            Unit("glance-api.service", ("/etc/glance/glance-api.conf",)),
            Unit(
                "placement-api.service",
                ("/etc/placement/placement.conf", "/etc/placement/placement-api-uwsgi.ini"),
            ),
            *self._neutron_units(),
        ]

    def _neutron_units(self) -> list[Unit]:
        reads = ("/etc/neutron/neutron.conf", "/etc/neutron/plugins/ml2/ml2_conf.ini")
        if not self.lab.has_wsgi_modules:
            drop_in = f"{NEUTRON_DROP_IN}/neutron-server.conf"
            return [Unit("neutron-api.service", (*reads, drop_in))]
        return [
            Unit("neutron-api.service", (*reads, "/etc/neutron/neutron-api-uwsgi.ini")),
            *(Unit(f"{daemon}.service", reads) for daemon in NEUTRON_DAEMONS),
        ]

    @property
    def neutron_rpc_unit(self) -> str:
        """The unit that takes the agents' calls."""
        name = "neutron-rpc-server" if self.lab.has_wsgi_modules else "neutron-api"
        return f"{name}.service"

    def ceph_units(self) -> list[Unit]:
        name = self.site.primary_controller.name
        names = (f"ceph-mon@{name}", f"ceph-mgr@{name}", "ceph-osd@0")
        return [Unit(f"{name}.service", ("/etc/ceph/ceph.conf",)) for name in names]

    def cinder_units(self) -> list[Unit]:
        conf, keyring = "/etc/cinder/cinder.conf", f"/etc/ceph/ceph.client.{CEPH_USER}.keyring"
        return [
            Unit("cinder-scheduler.service", (conf,)),
            Unit("cinder-volume.service", (conf, "/etc/ceph/ceph.conf", keyring)),
            Unit("cinder-api.service", (conf, "/etc/cinder/cinder-api-uwsgi.ini")),
        ]

    def cinder_answers(self) -> list[Answering]:
        return [Answering("cinder", f"http://{self.controller}:{STORAGE_PORT}/", '"version')]

    def agent_units(self, name: str) -> list[Unit]:
        """Neutron's agents; on the controller also those that serve all networks."""
        neutron = "/etc/neutron/neutron.conf"
        agents = [
            Unit(
                "neutron-openvswitch-agent.service",
                (neutron, "/etc/neutron/plugins/ml2/openvswitch_agent.ini"),
            )
        ]
        if not self.is_controller(name):
            return agents
        return [
            *agents,
            Unit("neutron-dhcp-agent.service", (neutron, "/etc/neutron/dhcp_agent.ini")),
            Unit("neutron-l3-agent.service", (neutron, "/etc/neutron/l3_agent.ini")),
            Unit("neutron-metadata-agent.service", (neutron, "/etc/neutron/metadata_agent.ini")),
        ]


_PUBLIC = ("root", "root", "0644")


def guest_sources() -> dict[str, bytes]:
    """What the guest image is built from: path below lab/guest -> content."""
    return {
        str(path.relative_to(GUEST)): path.read_bytes()
        for path in sorted(GUEST.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }


def _digest(sources: Mapping[str, bytes]) -> str:
    total = hashlib.sha256()
    for name, data in sources.items():
        total.update(name.encode() + b"\0" + hashlib.sha256(data).digest())
    return total.hexdigest()[:12]


def _keyring(user: str, keys: Mapping[str, str], group: str, mode: str) -> ConfigFile:
    text = f"[{user}]\n\tkey = {keys[user]}\n"
    return ConfigFile(f"/etc/ceph/ceph.{user}.keyring", text, "root", group, mode)


def _schema(name: str, package: str, command: list[str]) -> dict[str, object]:
    return {"name": name, "package": package, "commands": [command], "environment": {}}


def _quoted(password: SecretStr) -> str:
    return quote(password.get_secret_value(), safe="")


def _environment() -> Environment:
    return environment().overlay(loader=FileSystemLoader(TEMPLATES))
