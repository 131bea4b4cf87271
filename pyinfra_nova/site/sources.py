"""What the inventory, group data and the command line say, each with the file that says it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, get_type_hints

from pyinfra.api.arguments import all_global_arguments
from pyinfra.api.connectors import get_all_connectors

from pyinfra_nova.site.faults import Fault
from pyinfra_nova.site.layered_data import Data
from pyinfra_nova.site.settings import Role, Settings
from pyinfra_nova.site.tls import Tls

INVENTORY_FILE = "inventory.py"
ALL_FILE = "group_data/all.py"
COMMAND_LINE = "--data"
LAB_GROUP = "lab"
"""The group whose data belongs to ``lab/``; what Nova does not know there is left alone."""

LAB_FILE = f"group_data/{LAB_GROUP}.py"
LAB_SITE_KEYS = ("tls",)
"""What the lab's own data may say of the whole site, which wins over what is said for all sites."""

ROLE_OF_GROUP: dict[str, Role] = {
    "controllers": "controller",
    "computes": "compute",
    "database": "database",
    "messaging": "messaging",
}
CAPACITY_KEYS = ("libvirt", "compute", "hugepages", "devices", "pci")
STATE_KEYS = ("state", "state_reason", "purge", "dead", "disks_lost")
"""Said of single computes: on the command line of those that --limit names."""
HOST_KEYS = ("my_ip", "nova_host", *STATE_KEYS, *CAPACITY_KEYS, "nova_conf")
SITE_KEYS = tuple(Settings.model_fields)
_GOES_ON = "a run would go on after what ends it, and end as if all had been done"
_LEFT_OUT = "hosts would be passed over, and the run end as if all had been done"
REFUSED_ARGUMENTS: Mapping[str, str] = {
    "_ignore_errors": _GOES_ON,
    "_continue_on_error": _GOES_ON,
    "_success_exit_codes": _GOES_ON,
    "_retry_until": _GOES_ON,
    "_if": _LEFT_OUT,
    "_run_once": _LEFT_OUT,
    "_stdin": "what scripts are asked, passwords included, is sent there",
    "_get_pty": "a terminal shows again what is sent to scripts, passwords included",
    "name": "all operations would be called the same",
}
"""Of pyinfra's global arguments, which data may set for all operations, those that belie a run."""


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


def own_data(data: Data) -> dict[str, Any]:
    """DATA without what pyinfra reads and without private names."""
    ignored = pyinfra_keys()
    return {k: v for k, v in data.items() if k not in ignored and not str(k).startswith("_")}


def groups_by_host(groups: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The groups of each host, in order."""
    found: dict[str, list[str]] = {}
    for group, hosts in groups.items():
        for host in dict.fromkeys(hosts):
            found.setdefault(host, []).append(group)
    return found


class Sources:
    """All that is said of a site, and the faults of all of it before any is reported.

    Attributes:
        limit: the hosts that --limit names; None without it.
        is_encrypted: whether ``tls`` is on.
    """

    def __init__(
        self,
        groups: Mapping[str, Sequence[str]],
        all_data: Data,
        group_data: Mapping[str, Data],
        host_data: Mapping[str, Data],
        override_data: Data,
        inventory_file: str,
        limit: Collection[str] | None = None,
    ) -> None:
        self.faults: list[Fault] = []
        self.limit = None if limit is None else frozenset(limit)
        self.file = inventory_file
        self._refuse_arguments(ALL_FILE, all_data)
        for name, data in group_data.items():
            self._refuse_arguments(f"group_data/{name}.py", data)
        for name, data in host_data.items():
            self._refuse_arguments(inventory_file, data, f"{name}.")
        self._refuse_arguments(COMMAND_LINE, override_data)
        self.groups = {name: list(hosts) for name, hosts in groups.items()}
        for name in ("database", "messaging"):
            self.groups.setdefault(name, self.groups.get("controllers", []))
        self.groups_of = groups_by_host(self.groups)
        self.all_data = own_data(all_data)
        self.group_data = {name: own_data(data) for name, data in group_data.items()}
        self.host_data = {name: own_data(data) for name, data in host_data.items()}
        self.override_data = own_data(override_data)
        self.lab_data = self._lab_data()
        self.is_encrypted = self._tls_mode() != "off"
        self.release = str({**self.all_data, **self.override_data}.get("release", "zed"))
        self.faults += self._state_faults()

    def _lab_data(self) -> dict[str, Any]:
        """The file is there for sites of other hosts, too."""
        data = self.group_data.get(LAB_GROUP, {}) if self.groups.get(LAB_GROUP) else {}
        return {key: value for key, value in data.items() if key in LAB_SITE_KEYS}

    def _tls_mode(self) -> Any:
        """What is said of it, or its default; whether it is one of those known is checked later."""
        for data in (self.override_data, self.lab_data, self.all_data):
            found = data.get("tls")
            if isinstance(found, Mapping) and "mode" in found:
                return found["mode"]
        return Tls.model_fields["mode"].default

    def _refuse_arguments(self, file: str, data: Data, before: str = "") -> None:
        for key in REFUSED_ARGUMENTS.keys() & data.keys():
            if data[key] not in (None, False, [0]):
                problem = f"is not to be set for all operations: {REFUSED_ARGUMENTS[key]}"
                self.faults.append(Fault(file, before + key, problem, "leave it out"))

    def site_layers(self) -> Iterator[tuple[str, Data]]:
        """What is said of the whole site, weakest first, each with the file that says it."""
        yield ALL_FILE, self.all_data
        yield LAB_FILE, self.lab_data
        yield COMMAND_LINE, self.override_data

    def names(self, group: str, otherwise: str) -> list[str]:
        """What the hosts of GROUP are called in URLs."""
        hosts = self.groups.get(group, [])
        names = [self.host_data[host].get("nova_host") or bare_name(host) for host in hosts]
        return names or [otherwise]

    def layers_of(self, name: str) -> Iterator[tuple[str, Data]]:
        """The host's sources, weakest first: all, its groups, the host, the command line."""
        yield ALL_FILE, self.all_data
        mine = self.groups_of[name]
        ordered = [group for group in ROLE_OF_GROUP if group in mine]
        for group in [*ordered, *(group for group in mine if group not in ordered)]:
            yield f"group_data/{group}.py", self.group_data.get(group, {})
        yield self.file, self.host_data[name]
        left_out = () if self._is_named_compute(name) else STATE_KEYS
        yield COMMAND_LINE, {k: v for k, v in self.override_data.items() if k not in left_out}

    def _is_named_compute(self, name: str) -> bool:
        is_named = self.limit is not None and name in self.limit
        return is_named and "computes" in self.groups_of[name]

    def _state_faults(self) -> Iterator[Fault]:
        """What the command line says of computes holds for those of the run, and for no other."""
        given = [key for key in STATE_KEYS if key in self.override_data]
        if not given:
            return
        named = [name for name in self.groups_of if self._is_named_compute(name)]
        if not named:
            remedy = "name them with --limit, or say it in the inventory"
            yield Fault(COMMAND_LINE, given[0], "is said of single computes", remedy)
        if "purge" in given or self.override_data.get("state") == "retired":
            key = "purge" if "purge" in given else "state"
            problem = "a compute is retired by the inventory, which the other hosts follow, too"
            yield Fault(COMMAND_LINE, key, problem, "say it there")
        for name in named:
            *layers, _ = self.layers_of(name)
            if {k: v for _, data in layers for k, v in data.items()}.get("state") == "retired":
                problem = f"is not said of {name}, which is 'retired' in the inventory"
                yield Fault(COMMAND_LINE, given[0], problem, "change it there")
