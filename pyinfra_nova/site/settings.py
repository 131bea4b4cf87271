"""What an operator may set, as checked, typed values; every password is in ``secrets`` instead."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from pyinfra_nova.site.capacity import Compute, Devices, HugePages, Pci, same_node_twice
from pyinfra_nova.site.secrets import Secrets, forbidden_character

Role = Literal["controller", "compute", "database", "messaging"]
Api = Literal["osapi_compute", "metadata"]

# RFC 1123 host names; Nova uses them as oslo.messaging topics and in URLs.
HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9-]{1,63}(?<!-))*")
SQL_NAME = re.compile(r"[A-Za-z0-9_]{1,64}")
# nova's rabbit driver puts the name into kombu's URL unquoted (oslo.messaging, impl_rabbit.py).
VIRTUAL_HOST = re.compile(r"/|(?!-)[A-Za-z0-9._-]{1,255}")
# MariaDB's limit is 80; rabbitmqctl prints other characters escaped, and takes - for an option.
LOGIN = re.compile(r"(?!-)[A-Za-z0-9._@+-]{1,80}")
CPU_MODEL = re.compile(r"[A-Za-z0-9._+-]{1,255}")
# Less than nova/conf/cinder.py lets pass: an interface that is none ends in an empty catalogue.
CATALOG_INFO = re.compile(r"[\w-]+:\w*:(public|internal|admin)(URL)?", re.ASCII)
UUID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
# RFC 3986, section 2: what a URL is made of. Brackets are there for addresses of IPv6.
URL_CHARACTERS = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")
# Keystone's longest names, of users and regions (keystone/identity/schema.py).
MAXIMUM_LENGTH = 255


def _shown(text: str) -> str:
    """TEXT for a message: cut where it is long, hidden where it may hold a password."""
    if re.search(":.*@", text, re.DOTALL):
        return "the value"
    return repr(text if len(text) <= 80 else text[:80] + "…")


def _host_name(text: str) -> str:
    if not HOST_NAME.fullmatch(text) or len(text) > 253:
        raise ValueError(f"{_shown(text)} is not a host name")
    return text


def _server(text: str) -> str:
    """HOST or HOST:PORT."""
    host, colon, port = text.partition(":")
    _host_name(host)
    if colon and not (re.fullmatch("[0-9]{1,5}", port) and 0 < int(port) < 65536):
        raise ValueError(f"{_shown(text)} is not a host name and a port")
    return text


def _sql_name(text: str) -> str:
    if not SQL_NAME.fullmatch(text):
        raise ValueError(f"{_shown(text)} is not a plain SQL name (letters, digits, _)")
    return text


def _virtual_host(text: str) -> str:
    if not VIRTUAL_HOST.fullmatch(text):
        made_of = "made of letters, digits, '.', '_' and '-'"
        raise ValueError(f"{_shown(text)} is neither / nor {made_of}")
    return text


def _login(text: str) -> str:
    if not LOGIN.fullmatch(text):
        raise ValueError("is not made of at most 80 letters, digits, '.', '_', '-', '+' and '@'")
    return text


def _cpu_model(text: str) -> str:
    if not CPU_MODEL.fullmatch(text):
        raise ValueError(f"{_shown(text)} is not the name of a CPU model")
    return text


def _one_line(text: str) -> str:
    if not text.strip():
        raise ValueError("is empty")
    if found := forbidden_character(text):
        raise ValueError(f"contains {found}")
    if text != text.strip():
        raise ValueError("begins or ends with a space")
    if len(text) > MAXIMUM_LENGTH:
        raise ValueError(f"is longer than {MAXIMUM_LENGTH} characters")
    return text


def _url(text: str) -> str:
    if not URL_CHARACTERS.fullmatch(text):
        raise ValueError(f"{_shown(text)} holds a character that no URL has")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError(f"{_shown(text)} is not a URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ValueError(f"{_shown(text)} is not a URL like http://controller:5000/v3")
    if parts.password is not None or parts.username is not None:
        raise ValueError("holds a user name or password, which belong in secrets.yml")
    return text


def _listed_url(text: str) -> str:
    # oslo.config separates the items of a list by commas and has no way to escape one.
    if "," in text:
        raise ValueError(f"{_shown(text)} holds a comma")
    return text


def _catalog_info(text: str) -> str:
    if not CATALOG_INFO.fullmatch(text):
        raise ValueError(f"{_shown(text)} is not like volumev3::internalURL")
    return text


def _uuid(text: str) -> str:
    """TEXT as libvirt and Cinder write a UUID."""
    if not UUID.fullmatch(text):
        raise ValueError(f"{_shown(text)} is not a UUID (`uuidgen` makes one)")
    return text.lower()


def _listen_address(text: str) -> str:
    if text != MY_IP:
        try:
            IPv4Address(text)
        except ValueError:
            raise ValueError(f"{_shown(text)} is neither {MY_IP} nor an IPv4 address") from None
    return text


MY_IP = "$my_ip"
"""In the addresses of ``apis`` and ``vnc``: the host's own ``my_ip``."""
EVERYWHERE = "0.0.0.0"  # noqa: S104 - what others have to reach listens on every address

HostName = Annotated[str, AfterValidator(_host_name)]
SqlName = Annotated[str, AfterValidator(_sql_name)]
Text = Annotated[str, AfterValidator(_one_line)]
Login = Annotated[str, AfterValidator(_login)]
Server = Annotated[str, AfterValidator(_server)]
CpuModel = Annotated[str, AfterValidator(_cpu_model)]
Url = Annotated[str, AfterValidator(_url)]
ListedUrl = Annotated[Url, AfterValidator(_listed_url)]
CatalogInfo = Annotated[str, AfterValidator(_catalog_info)]
Uuid = Annotated[str, AfterValidator(_uuid)]
ListenAddress = Annotated[str, AfterValidator(_listen_address)]
Port = Annotated[int, Field(ge=1, le=65535)]
Count = Annotated[int, Field(ge=1, le=1024)]
Seconds = Annotated[int, Field(ge=1, le=3600)]
Interfaces = Annotated[list[Literal["public", "internal", "admin"]], Field(min_length=1)]
OptionValue = str | bool | int | float | list[str] | None
Overrides = dict[str, dict[str, OptionValue]]


class Section(BaseModel):
    """A group of settings; a key that it does not name is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Database(Section):
    """Nova's MariaDB server and the names Nova has on it."""

    host: HostName
    port: Port = 3306
    user: Login = "nova"
    nova_api: SqlName = "nova_api"
    nova: SqlName = "nova"
    nova_cell0: SqlName = "nova_cell0"


class Messaging(Section):
    """Nova's RabbitMQ: all nodes of one cluster, and the user there."""

    hosts: Annotated[list[HostName], Field(min_length=1)]
    port: Port = 5672
    user: Login = "openstack"
    virtual_host: Annotated[str, AfterValidator(_virtual_host)] = "/"


class Account(Section):
    """A Keystone user that Nova logs in as, and the project it does so in."""

    username: Text
    project_name: Text = "service"
    user_domain_name: Text = "Default"
    project_domain_name: Text = "Default"


class Admin(Account):
    """The Keystone administrator, needed to create Nova's user, service and endpoints."""

    username: Text = "admin"
    project_name: Text = "admin"


class Keystone(Account):
    """Where Keystone is, and Nova's own user there."""

    username: Text = "nova"
    auth_url: Url
    www_authenticate_uri: Url
    admin: Admin = Admin()


class Endpoints(Section):
    """The URLs of the compute service in Keystone's catalogue."""

    public: Url
    internal: Url
    admin: Url


class Placement(Account):
    """How Nova reaches Placement."""

    username: Text = "placement"
    auth_url: Url
    region_name: Text
    valid_interfaces: Interfaces = ["internal", "public"]


class Neutron(Account):
    """How Nova reaches Neutron, and whether its metadata service trusts Neutron's proxy."""

    username: Text = "neutron"
    auth_url: Url
    region_name: Text
    valid_interfaces: Interfaces = ["internal", "public"]
    service_metadata_proxy: bool = True


class Glance(Section):
    """How Nova reaches Glance: through the catalogue, or at fixed ``api_servers``."""

    region_name: Text
    valid_interfaces: Interfaces = ["internal", "public"]
    api_servers: list[ListedUrl] = []


class Cinder(Section):
    """Which Cinder endpoint Nova takes from the catalogue, and for which guests.

    Attributes:
        catalog_info: ``TYPE:NAME:INTERFACE`` as Nova has it; None is its volumev3::publicURL.
        cross_az_attach: whether a volume may be in another availability zone than its guest; None
            is Nova's choice, which is yes.
    """

    os_region_name: Text
    catalog_info: CatalogInfo | None = None
    cross_az_attach: bool | None = None


class Apis(Section):
    """Where the two APIs listen on controllers; names are those of nova.conf."""

    osapi_compute_listen: ListenAddress = EVERYWHERE
    osapi_compute_listen_port: Port = 8774
    metadata_listen: ListenAddress = EVERYWHERE
    metadata_listen_port: Port = 8775


class Vnc(Section):
    """The console: the proxy on controllers, the VNC servers of guests on computes."""

    enabled: bool = True
    novncproxy_host: ListenAddress = EVERYWHERE
    novncproxy_port: Port = 6080
    novncproxy_base_url: Url
    server_listen: ListenAddress = MY_IP
    server_proxyclient_address: ListenAddress = MY_IP


class Workers(Section):
    """How many processes serve; threads are per process; the eventlet server has none."""

    api_processes: Count = 2
    api_threads: Count = 1
    metadata_processes: Count = 2
    metadata_threads: Count = 8
    conductor: Count = 2
    scheduler: Count = 2


class Settings(Section):
    """What holds for the whole site: ``group_data/all.py``.

    Attributes:
        report_interval: seconds between two reports of a service that it is there.
        service_down_time: seconds without a report after which a service is called down.
    """

    # Unquoted, 2025.1 is a number.
    release: Annotated[Text, BeforeValidator(lambda v: str(v) if type(v) is float else v)] = "zed"
    region: Text = "RegionOne"
    management_network: IPv4Network
    controller_host: HostName
    manage_database: bool = True
    manage_messaging: bool = True
    manage_identity: bool = True
    database: Database
    messaging: Messaging
    memcached_servers: Annotated[list[Server], Field(min_length=1)]
    keystone: Keystone
    endpoints: Endpoints
    placement: Placement
    neutron: Neutron
    glance: Glance
    cinder: Cinder
    apis: Apis = Apis()
    vnc: Vnc
    workers: Workers = Workers()
    report_interval: Seconds = 10
    service_down_time: Seconds = 60
    enabled_apis: Annotated[list[Api], Field(min_length=1)] = [
        "osapi_compute",
        "metadata",
    ]


class Libvirt(Section):
    """How guests run on a compute.

    Attributes:
        virt_type: ``auto`` is kvm where the host can, else qemu (software emulation).
        cpu_mode: what guests see of the CPU; None leaves it to Nova, except that qemu gets none.
        cpu_models: for cpu_mode custom.
        rbd_secret_uuid: under which libvirt knows the key of Ceph, ``rbd_secret_key`` of the
            secrets; Cinder has the same in its ``rbd_secret_uuid`` and tells it with each volume.
        rbd_user: whose key that is, without ``client.``; only for what Nova itself has on Ceph,
            such as guests' disks with images_type rbd. Nova has both options only with it.
    """

    virt_type: Literal["auto", "kvm", "qemu"] = "auto"
    cpu_mode: Literal["host-model", "host-passthrough", "custom", "none"] | None = None
    cpu_models: list[CpuModel] = []
    rbd_secret_uuid: Uuid | None = None
    rbd_user: Login | None = None

    @model_validator(mode="after")
    def _agree(self) -> Libvirt:
        # nova-compute refuses to start otherwise (virt/libvirt/driver.py _check_cpu_compatibility).
        if (self.cpu_mode == "custom") != bool(self.cpu_models):
            raise ValueError("cpu_mode custom and cpu_models need each other")
        if self.virt_type == "qemu" and self.cpu_mode == "host-passthrough":
            raise ValueError("cpu_mode host-passthrough needs virt_type kvm")
        if self.rbd_user and not self.rbd_secret_uuid:
            raise ValueError("rbd_user needs rbd_secret_uuid")
        return self


class HostSettings(Section):
    """One host: what ``inventory.py`` says of it and what its groups add.

    Attributes:
        name: the name in the inventory.
        roles: what the host is for; an all-in-one host is controller and compute.
        my_ip: its address on the management network; None only on a host that runs no Nova.
        nova_host: the name Nova knows it by (DEFAULT/host); must never change on a compute.
        libvirt: how guests run, on a compute.
        compute: the CPUs and the memory that it gives to guests.
        hugepages: memory pages set aside for guests.
        devices: types of mediated devices (vGPU) that it makes.
        pci: devices that it passes through.
        nova_conf: options written literally, {section: {option: value}}; None removes an option.
    """

    name: str
    roles: frozenset[Role]
    my_ip: IPv4Address | None = None
    nova_host: HostName
    libvirt: Libvirt = Libvirt()
    compute: Compute = Compute()
    hugepages: Annotated[list[HugePages], AfterValidator(same_node_twice)] = []
    devices: Devices = Devices()
    pci: Pci = Pci()
    nova_conf: Annotated[Overrides, Field(repr=False)] = {}

    @property
    def is_controller(self) -> bool:
        return "controller" in self.roles

    @property
    def is_compute(self) -> bool:
        return "compute" in self.roles


@dataclass(frozen=True)
class Site:
    """A whole deployment, checked: the one thing that everything else reads."""

    settings: Settings
    secrets: Secrets
    hosts: Mapping[str, HostSettings]

    def host(self, name: str) -> HostSettings | None:
        """The host with inventory name NAME, or None if it has no part in Nova."""
        return self.hosts.get(name)

    def with_role(self, role: Role) -> tuple[HostSettings, ...]:
        """The hosts of a role, in the inventory's order."""
        return tuple(host for host in self.hosts.values() if role in host.roles)

    @property
    def controllers(self) -> tuple[HostSettings, ...]:
        return self.with_role("controller")

    @property
    def computes(self) -> tuple[HostSettings, ...]:
        return self.with_role("compute")

    @property
    def primary_controller(self) -> HostSettings:
        """The controller on which schemas, cells and Keystone entries are seen to."""
        return self.controllers[0]

    @property
    def database_host(self) -> HostSettings | None:
        """The host on which databases are made; None where the site only uses them."""
        return next(iter(self.with_role("database")), None)

    @property
    def messaging_host(self) -> HostSettings | None:
        """The host on which the broker's user is made; None where the site only uses it."""
        return next(iter(self.with_role("messaging")), None)
