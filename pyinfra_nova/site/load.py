"""From pyinfra's inventory, group data and the secrets file to one checked ``Site``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import ValidationError
from pyinfra.api.arguments import all_global_arguments
from pyinfra.api.connectors import get_all_connectors
from pyinfra.api.inventory import Inventory

from pyinfra_nova.knowledge import releases
from pyinfra_nova.knowledge.platforms import known_releases
from pyinfra_nova.site.faults import Fault, SecretsError, SettingsError, faults_of, unknown_key
from pyinfra_nova.site.layered_data import Data, Layers
from pyinfra_nova.site.overrides import merged_overrides, override_faults
from pyinfra_nova.site.secrets import Secrets, load_secrets
from pyinfra_nova.site.settings import Apis, HostSettings, Role, Settings, Site, Vnc
from pyinfra_nova.site.value_types import shown

INVENTORY_FILE = "inventory.py"
ALL_FILE = "group_data/all.py"
COMMAND_LINE = "--data"
DERIVED = ""
"""In place of a file: the value follows from another one, where a fault of it is reported."""
LAB_GROUP = "lab"
"""The group whose data belongs to ``lab/``; what Nova does not know there is left alone."""

ROLE_OF_GROUP: dict[str, Role] = {
    "controllers": "controller",
    "computes": "compute",
    "database": "database",
    "messaging": "messaging",
}
CAPACITY_KEYS = ("libvirt", "compute", "hugepages", "devices", "pci")
HOST_KEYS = ("my_ip", "nova_host", *CAPACITY_KEYS, "nova_conf")
SITE_KEYS = tuple(Settings.model_fields)


def bare_name(inventory_name: str) -> str:
    """An inventory name without pyinfra's connector: ``@fake/compute1`` is ``compute1``."""
    if inventory_name.startswith("@") and "/" in inventory_name:
        return inventory_name.split("/", 1)[1]
    return inventory_name


@cache
def pyinfra_keys() -> frozenset[str]:
    """The data keys that pyinfra itself reads: its connectors' and its global arguments."""
    keys = {name for name, _ in all_global_arguments()}
    for connector in get_all_connectors().values():
        keys |= set(get_type_hints(connector.data_cls)) if hasattr(connector, "data_cls") else set()
    return frozenset(keys)


def _own_data(data: Data) -> dict[str, Any]:
    """DATA without what pyinfra reads and without private names."""
    ignored = pyinfra_keys()
    return {k: v for k, v in data.items() if k not in ignored and not str(k).startswith("_")}


# --- the site -------------------------------------------------------------------------------------


def _defaults(data: Data, controller: str, database: str, brokers: Sequence[str]) -> dict[str, Any]:
    """What follows from other settings, as the lowest layer of ``group_data/all.py``."""
    host = data.get("controller_host", controller)
    region = data.get("region", "RegionOne")

    def given(section: str, key: str, otherwise: Any) -> Any:
        found = data.get(section)
        return found.get(key, otherwise) if isinstance(found, Mapping) else otherwise

    auth_url = given("keystone", "auth_url", f"http://{host}:5000/v3")
    key = "osapi_compute_listen_port"
    compute_port = given("apis", key, Apis.model_fields[key].default)
    proxy_port = given("vnc", "novncproxy_port", Vnc.model_fields["novncproxy_port"].default)
    compute_url = f"http://{host}:{compute_port}/v2.1"
    return {
        "database": {"host": host if database == controller else database},
        "messaging": {"hosts": [host if broker == controller else broker for broker in brokers]},
        "memcached_servers": [f"{host}:11211"],
        "keystone": {"auth_url": auth_url, "www_authenticate_uri": auth_url},
        "endpoints": {"public": compute_url, "internal": compute_url, "admin": compute_url},
        "placement": {"auth_url": auth_url, "region_name": region},
        "neutron": {"auth_url": auth_url, "region_name": region},
        "glance": {"region_name": region},
        "cinder": {"os_region_name": region},
        "vnc": {"novncproxy_base_url": f"http://{host}:{proxy_port}/vnc_auto.html"},
    }


def _address_problem(address: IPv4Address, settings: Settings) -> str | None:
    network = settings.management_network
    if address not in network:
        return f"{address} is not in management_network {network} ({ALL_FILE})"
    if network.prefixlen < 31 and address == network.network_address:
        return f"{address} is the network itself"
    if network.prefixlen < 31 and address == network.broadcast_address:
        return f"{address} is the broadcast address"
    return None


def _groups_of(groups: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The groups of each host, in order."""
    found: dict[str, list[str]] = {}
    for group, hosts in groups.items():
        for host in dict.fromkeys(hosts):
            found.setdefault(host, []).append(group)
    return found


class _Builder:
    """Collects the faults of all sources before any of them is reported."""

    def __init__(
        self,
        groups: Mapping[str, Sequence[str]],
        all_data: Data,
        group_data: Mapping[str, Data],
        host_data: Mapping[str, Data],
        override_data: Data,
        inventory_file: str,
    ) -> None:
        self.faults: list[Fault] = []
        self.overrides_usable = True
        self.file = inventory_file
        self.groups = {name: list(hosts) for name, hosts in groups.items()}
        for name in ("database", "messaging"):
            self.groups.setdefault(name, self.groups.get("controllers", []))
        self.groups_of = _groups_of(self.groups)
        self.all_data = _own_data(all_data)
        self.group_data = {name: _own_data(data) for name, data in group_data.items()}
        self.host_data = {name: _own_data(data) for name, data in host_data.items()}
        self.override_data = _own_data(override_data)
        self.release = str({**self.all_data, **self.override_data}.get("release", "zed"))

    def settings(self) -> Settings | None:
        """The site's settings, or None with at least one fault."""
        controller = self._names("controllers", "controller")[0]
        database = self._names("database", controller)[0]
        brokers = self._names("messaging", controller)
        given = Layers()
        given.add(ALL_FILE, self._without_host_keys(self.all_data))
        given.add(COMMAND_LINE, self._without_host_keys(self.override_data))
        layers = Layers()
        layers.add(self.file, {"controller_host": controller})
        layers.add(DERIVED, _defaults(given.merged, controller, database, brokers))
        layers.add(ALL_FILE, self._without_host_keys(self.all_data))
        layers.add(COMMAND_LINE, self._without_host_keys(self.override_data))
        if self.release not in known_releases():
            self.faults.append(
                Fault(
                    layers.origin(["release"], ALL_FILE),
                    "release",
                    f"{shown(self.release)} is not a release known here",
                    f"known are {', '.join(known_releases())}",
                )
            )
        try:
            settings = Settings.model_validate(layers.merged)
        except ValidationError as error:
            found = list(faults_of(error, Settings, layers, ALL_FILE, self.release))
            self.faults += [f for f in found if f.file != DERIVED] or found
            return None
        self._check_site(settings, layers)
        return settings

    def _names(self, group: str, otherwise: str) -> list[str]:
        """What the hosts of GROUP are called in URLs."""
        hosts = self.groups.get(group, [])
        names = [self.host_data.get(host, {}).get("nova_host") or bare_name(host) for host in hosts]
        return names or [otherwise]

    @staticmethod
    def _without_host_keys(data: Data) -> dict[str, Any]:
        return {key: value for key, value in data.items() if key not in HOST_KEYS}

    def _check_site(self, settings: Settings, layers: Layers) -> None:
        self._check_catalog_info(settings, layers)
        self._check_numbers(settings, layers)
        database = settings.database
        names = [database.nova_api, database.nova, database.nova_cell0]
        if len(set(names)) < len(names):
            file = layers.origin(["database"], ALL_FILE)
            problem = f"nova_api, nova and nova_cell0 are not three names: {', '.join(names)}"
            self.faults.append(Fault(file, "database", problem))
        for group in ("database", "messaging"):
            key = f"manage_{group}"
            if getattr(settings, key) and not self.groups[group]:
                remedy = f"name a host, or set {key} = False in {ALL_FILE}"
                self.faults.append(Fault(self.file, group, "is an empty group", remedy))

    def _check_catalog_info(self, settings: Settings, layers: Layers) -> None:
        found = settings.cinder.catalog_info or ""
        # nova/conf/cinder.py takes a hyphen since Nova 28.
        if "-" in found and releases.VERSIONS[settings.release] < 28:
            problem = f"{found!r} has a hyphen, which Nova of {settings.release} does not take"
            file = layers.origin(["cinder", "catalog_info"], ALL_FILE)
            remedy = "take volumev3, and have Cinder in the catalogue under that type"
            self.faults.append(Fault(file, "cinder.catalog_info", problem, remedy))

    def _check_numbers(self, settings: Settings, layers: Layers) -> None:
        apis, vnc = settings.apis, settings.vnc
        ports = [apis.osapi_compute_listen_port, apis.metadata_listen_port]
        ports += [vnc.novncproxy_port] if vnc.enabled else []
        if len(set(ports)) < len(ports):
            problem = f"the APIs and the console proxy need a port each, not {ports}"
            self.faults.append(Fault(layers.origin(["apis"], ALL_FILE), "apis", problem))
        # Nova replaces one that is not larger (nova/service.py); twice, as a report may be late.
        if settings.service_down_time < 2 * settings.report_interval:
            file = layers.origin(["service_down_time"], ALL_FILE)
            problem = f"is less than twice report_interval, which is {settings.report_interval}"
            self.faults.append(Fault(file, "service_down_time", problem))

    def hosts(self, settings: Settings | None) -> dict[str, HostSettings]:
        """Every host that has a part in Nova, in the inventory's order."""
        for group in ("controllers", "computes"):
            if not self.groups.get(group):
                self.faults.append(
                    Fault(self.file, group, "has no hosts", "name at least one host")
                )
        self._check_layers()
        names = list(
            dict.fromkeys(name for group in ROLE_OF_GROUP for name in self.groups.get(group, []))
        )
        hosts = {name: host for name in names if (host := self._host(name))}
        self._check_addresses(list(hosts.values()), settings)
        self._check_names(list(hosts.values()))
        return hosts

    def _check_layers(self) -> None:
        """Keys and overrides of the groups, each named once however many hosts it has."""
        self._check_overrides(ALL_FILE, "nova_conf", self.all_data, on_compute=False)
        self._check_overrides(COMMAND_LINE, "nova_conf", self.override_data, on_compute=False)
        for group, data in self.group_data.items():
            if group == "all":
                continue
            file = f"group_data/{group}.py"
            for key in data if group != LAB_GROUP else ():
                if key in SITE_KEYS:
                    remedy = f"set it in {ALL_FILE}"
                    self.faults.append(Fault(file, key, "holds for the whole site", remedy))
                elif key not in HOST_KEYS:
                    self.faults.append(unknown_key(file, [str(key)], HOST_KEYS, self.release))
            self._check_overrides(file, "nova_conf", data, on_compute=group == "computes")

    def _check_overrides(self, file: str, key: str, data: Data, *, on_compute: bool) -> None:
        if "nova_conf" not in data:
            return
        overrides = data["nova_conf"]
        found = list(override_faults(file, key, overrides, self.release, on_compute=on_compute))
        self.faults += found
        self.overrides_usable = self.overrides_usable and not found

    def _layers_of(self, name: str) -> Iterator[tuple[str, Data]]:
        """The host's sources, weakest first: all, its groups, the host, the command line."""
        yield ALL_FILE, self.all_data
        mine = [group for group in self.groups_of[name] if group != "all"]
        ordered = [group for group in ROLE_OF_GROUP if group in mine]
        for group in [*ordered, *(group for group in mine if group not in ordered)]:
            yield f"group_data/{group}.py", self.group_data.get(group, {})
        yield self.file, self.host_data.get(name, {})
        yield COMMAND_LINE, self.override_data

    def _host(self, name: str) -> HostSettings | None:
        mine = self.groups_of[name]
        roles = {role for group, role in ROLE_OF_GROUP.items() if group in mine}
        self._check_host_keys(name)
        own = self.host_data.get(name, {})
        controller = "controller" in roles
        self._check_overrides(self.file, f"{name}.nova_conf", own, on_compute=not controller)

        layers = Layers()
        layers.add(self.file, {"nova_host": bare_name(name)})
        for file, data in self._layers_of(name):
            layers.add(file, {k: v for k, v in data.items() if k in HOST_KEYS and k != "nova_conf"})
        found = [data.get("nova_conf", {}) for _, data in self._layers_of(name)]
        overrides = (
            merged_overrides(found, self.release, controller=controller)
            if self.overrides_usable
            else {}
        )
        values = {**layers.merged, "name": name, "roles": roles, "nova_conf": overrides}
        try:
            return HostSettings.model_validate(values)
        except ValidationError as error:
            faults = faults_of(error, HostSettings, layers, self.file, self.release)
            self._add_host_faults(name, faults)
        # Its address and name can still be compared with the other hosts'.
        for key in CAPACITY_KEYS:
            values.pop(key, None)
        try:
            return HostSettings.model_validate(values)
        except ValidationError:
            return None

    def _check_host_keys(self, name: str) -> None:
        for key in self.host_data.get(name, {}):
            if key in SITE_KEYS:
                remedy = f"set it in {ALL_FILE}"
                fault = Fault(self.file, f"{name}.{key}", "holds for the whole site", remedy)
                self.faults.append(fault)
            elif key not in HOST_KEYS:
                known = {*HOST_KEYS, *pyinfra_keys()}
                self.faults.append(unknown_key(self.file, [name, str(key)], known, self.release))

    def _add_host_faults(self, name: str, faults: Iterable[Fault]) -> None:
        for fault in faults:
            key = f"{name}.{fault.key}" if fault.file == self.file else fault.key
            self.faults.append(Fault(fault.file, key, fault.problem, fault.remedy))

    def _check_addresses(self, hosts: Sequence[HostSettings], settings: Settings | None) -> None:
        seen: dict[IPv4Address, str] = {}
        for host in hosts:
            problem, remedy = None, ""
            if host.my_ip is None:
                if host.is_controller or host.is_compute:
                    problem = "is missing"
                    remedy = f'give it its management address: ("{host.name}", {{"my_ip": "..."}})'
            elif host.my_ip in seen:
                problem = f"{host.my_ip} is also that of {seen[host.my_ip]}"
            else:
                seen[host.my_ip] = host.name
                problem = _address_problem(host.my_ip, settings) if settings else None
            if problem:
                self.faults.append(Fault(self.file, f"{host.name}.my_ip", problem, remedy))

    def _check_names(self, hosts: Sequence[HostSettings]) -> None:
        seen: dict[str, str] = {}
        for host in hosts:
            other = seen.setdefault(host.nova_host.lower(), host.name)
            if other != host.name:
                problem = f"{host.nova_host!r} is also the name of {other}"
                self.faults.append(Fault(self.file, f"{host.name}.nova_host", problem))


def _missing_secrets(secrets: Secrets, hosts: Iterable[HostSettings]) -> Iterator[Fault]:
    """The secrets that only some settings need."""
    uuid = next((h.libvirt.rbd_secret_uuid for h in hosts if h.libvirt.rbd_secret_uuid), None)
    if uuid and secrets.rbd_secret_key is None:
        problem = f"is missing, and libvirt.rbd_secret_uuid {uuid} says that there is one"
        remedy = (
            "add what `ceph auth get-key client.USER` prints, of the user that Cinder has; for a "
            "Ceph that is still to be made, `python -m pyinfra_nova.secrets add-ceph-key`"
        )
        yield Fault("secrets.yml", "rbd_secret_key", problem, remedy)


def build_site(
    groups: Mapping[str, Sequence[str]],
    all_data: Data,
    group_data: Mapping[str, Data],
    host_data: Mapping[str, Data],
    secrets: Secrets | SecretsError,
    *,
    override_data: Data | None = None,
    inventory_file: str = INVENTORY_FILE,
) -> Site:
    """The site that plain data describe.

    Args:
        groups: the inventory names of each group, in order.
        all_data: ``group_data/all.py``.
        group_data: the data of each other group by its name.
        host_data: the data of each host by its inventory name.
        secrets: the passwords, or why there are none.
        override_data: what came from the command line; wins over everything.
        inventory_file: the file that faults of hosts and groups name.

    Raises:
        SettingsError: with every fault of every source.
    """
    builder = _Builder(groups, all_data, group_data, host_data, override_data or {}, inventory_file)
    settings = builder.settings()
    hosts = builder.hosts(settings)
    # A group's fault shows in every host of it.
    faults = list(dict.fromkeys(builder.faults))
    if isinstance(secrets, SecretsError):
        raise SettingsError([*faults, *secrets.faults])
    faults += _missing_secrets(secrets, hosts.values())
    if faults or settings is None:
        raise SettingsError(faults)
    return Site(settings=settings, secrets=secrets, hosts=hosts)


def site_of(
    inventory: Inventory,
    secrets_file: Path | None = None,
    inventory_file: str = INVENTORY_FILE,
) -> Site:
    """The site that a loaded pyinfra inventory and SECRETS_FILE describe.

    Without SECRETS_FILE it is the one that ``secret_files.secrets_file`` finds.

    Raises:
        SettingsError: with every fault of inventory, group data and secrets.
    """
    groups: dict[str, list[str]] = {name: [] for name in inventory.group_data}
    for name, hosts in inventory.groups.items():
        groups[name] = [host.name for host in hosts]
    secrets: Secrets | SecretsError
    try:
        secrets = load_secrets(secrets_file)
    except SecretsError as error:
        secrets = error
    return build_site(
        groups,
        inventory.get_data(),
        {name: inventory.get_group_data(name) for name in groups},
        {name: inventory.get_host_data(name) for name in inventory.hosts},
        secrets,
        override_data=inventory.get_override_data(),
        inventory_file=inventory_file,
    )
