"""What an operator may set, as checked, typed values; every password is in ``secrets`` instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, model_validator

from pyinfra_nova.site.capacity import Compute, Devices, HugePages, Pci, same_node_twice
from pyinfra_nova.site.care import Care
from pyinfra_nova.site.drain import Drain
from pyinfra_nova.site.libvirt import Libvirt
from pyinfra_nova.site.secrets import Secrets
from pyinfra_nova.site.section import Section
from pyinfra_nova.site.smoke_guest import SmokeGuest
from pyinfra_nova.site.tls import Tls
from pyinfra_nova.site.value_types import (
    EVERYWHERE,
    MY_IP,
    Address,
    CatalogInfo,
    Count,
    HostName,
    Interfaces,
    ListedUrl,
    ListenAddress,
    Login,
    Network,
    Overrides,
    Port,
    Reason,
    Seconds,
    Server,
    SqlName,
    Text,
    UnitName,
    Url,
    VirtualHost,
)

Role = Literal["controller", "compute", "database", "messaging", "retired", "dead"]
"""What a host is for; a retired compute is a compute no more, and a dead one cannot be asked."""
Api = Literal["osapi_compute", "metadata"]
ComputeState = Literal["open", "closed", "drained", "retired"]
"""Whether a compute takes new guests, keeps those that it has, and is one at all."""


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
    virtual_host: VirtualHost = "/"


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


class Backup(Section):
    """What a backup holds beside Nova's own databases.

    Attributes:
        also: names of databases on the same server, each with the units on controllers that use
            it and stand still while it is restored; None leaves one out.
    """

    also: dict[SqlName, list[UnitName] | None] = {
        "placement": ["placement-api"],
        "neutron": [
            "neutron-server",
            "neutron-api",
            "neutron-rpc-server",
            "neutron-periodic-workers",
        ],
    }

    @property
    def others(self) -> dict[str, list[str]]:
        return {name: units for name, units in self.also.items() if units is not None}


class Settings(Section):
    """What holds for the whole site: ``group_data/all.py``.

    Attributes:
        report_interval: seconds between two reports of a service that it is there.
        service_down_time: seconds without a report after which a service is called down.
        enable_new_services: whether a new compute takes guests before a deploy has proven it.
        drain: how guests are moved away from computes that are to have none.
        smoke_guest: what proves a new compute before it takes guests; None for the proof alone.
        tls: whether what goes between hosts is encrypted.
    """

    # Unquoted, 2025.1 is a number.
    release: Annotated[Text, BeforeValidator(lambda v: str(v) if type(v) is float else v)] = "zed"
    region: Text = "RegionOne"
    management_network: Network
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
    enable_new_services: bool = False
    drain: Drain = Drain()
    smoke_guest: SmokeGuest | None = None
    care: Care = Care()
    backup: Backup = Backup()
    tls: Tls = Tls()
    enabled_apis: Annotated[list[Api], Field(min_length=1)] = [
        "osapi_compute",
        "metadata",
    ]


class HostSettings(Section):
    """One host: what ``inventory.py`` says of it and what its groups add.

    Attributes:
        name: the name in the inventory.
        roles: what the host is for; an all-in-one host is controller and compute.
        my_ip: its address on the management network; None only on a host that runs no Nova.
        nova_host: the name Nova knows it by (DEFAULT/host); must never change on a compute.
        state: whether a compute takes new guests, keeps those that it has, and is one at all.
        state_reason: why it does not take any, as Nova keeps and shows it.
        purge: whether a retired compute loses Nova's configuration and packages, too.
        dead: the operator's word that it has no power: its guests are evacuated.
        disks_lost: his word that the disks which only a dead one had are lost.
        libvirt: how guests run, on a compute.
        compute: the CPUs and the memory that it gives to guests.
        hugepages: memory pages set aside for guests.
        devices: types of mediated devices (vGPU) that it makes.
        pci: devices that it passes through.
        nova_conf: options written literally, {section: {option: value}}; None removes an option.
    """

    name: str
    roles: frozenset[Role]
    my_ip: Address | None = None
    nova_host: HostName
    state: ComputeState = "open"
    state_reason: Reason = "closed in the inventory"
    purge: StrictBool = False
    dead: StrictBool = False
    disks_lost: StrictBool = False
    libvirt: Libvirt = Libvirt()
    compute: Compute = Compute()
    hugepages: Annotated[list[HugePages], AfterValidator(same_node_twice)] = []
    devices: Devices = Devices()
    pci: Pci = Pci()
    nova_conf: Annotated[Overrides, Field(repr=False)] = {}

    @model_validator(mode="before")
    @classmethod
    def _follow_from_state(cls, values: dict[str, Any]) -> dict[str, Any]:
        state = values.get("state")
        if state not in ("drained", "retired"):
            return values
        is_dead = values.get("dead") is True
        said = "dead" if is_dead else state
        values = {"state_reason": f"{said} in the inventory", **values}
        roles = set(values.get("roles", ()))
        if "compute" in roles and (is_dead or state == "retired"):
            roles -= {"compute"}
            roles |= {"dead"} if is_dead else set()
            roles |= {"retired"} if state == "retired" else set()
            values["roles"] = roles
        return values

    @property
    def is_controller(self) -> bool:
        return "controller" in self.roles

    @property
    def is_compute(self) -> bool:
        return "compute" in self.roles

    @property
    def is_retired(self) -> bool:
        """Whether it was a compute, and is to be none any more."""
        return "retired" in self.roles

    @property
    def is_dead(self) -> bool:
        """Whether it is a compute, or was one, that has no power."""
        return "dead" in self.roles

    @cached_property
    def kind(self) -> str:
        """The same for hosts that differ in nothing but their names and their address."""
        own = {"name", "roles", "my_ip", "nova_host", "state", "state_reason", "purge"}
        own |= {"dead", "disks_lost"}
        return f"{sorted(self.roles)} {self.model_dump_json(exclude=own)}"


@dataclass(frozen=True, eq=False)
class Site:
    """A whole deployment, checked: the one thing that everything else reads.

    Attributes:
        secrets_file: where an operator finds what messages say of secrets.
    """

    settings: Settings
    secrets: Secrets
    hosts: Mapping[str, HostSettings]
    secrets_file: str = "secrets.yml"

    def host(self, name: str) -> HostSettings | None:
        """The host with inventory name NAME, or None if it has no part in Nova."""
        return self.hosts.get(name)

    @cached_property
    def _by_role(self) -> dict[Role, tuple[HostSettings, ...]]:
        roles: tuple[Role, ...] = get_args(Role)
        hosts = self.hosts.values()
        return {role: tuple(host for host in hosts if role in host.roles) for role in roles}

    def with_role(self, role: Role) -> tuple[HostSettings, ...]:
        """The hosts of a role, in the inventory's order; looked for once, not by every host."""
        return self._by_role[role]

    @property
    def controllers(self) -> tuple[HostSettings, ...]:
        return self.with_role("controller")

    @property
    def computes(self) -> tuple[HostSettings, ...]:
        return self.with_role("compute")

    @property
    def retired(self) -> tuple[HostSettings, ...]:
        """What were computes, and are to be none any more."""
        return self.with_role("retired")

    @property
    def dead(self) -> tuple[HostSettings, ...]:
        """Computes, and such as are retired, that have no power; nobody connects to them."""
        return self.with_role("dead")

    @cached_property
    def all_computes(self) -> tuple[HostSettings, ...]:
        """The computes, those that are dead included, in the inventory's order."""
        hosts = self.hosts.values()
        return tuple(h for h in hosts if h.is_compute or (h.is_dead and not h.is_retired))

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
