"""The settings of each host: its layers merged, its keys and overrides, addresses and names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address
from pathlib import Path

from pydantic import ValidationError

from pyinfra_nova.site.faults import Fault, faults_of, unknown_key
from pyinfra_nova.site.layered_data import Data, Layers
from pyinfra_nova.site.overrides import merged_overrides, override_faults
from pyinfra_nova.site.settings import HostSettings, Settings
from pyinfra_nova.site.sources import (
    ALL_FILE,
    CAPACITY_KEYS,
    COMMAND_LINE,
    HOST_KEYS,
    LAB_GROUP,
    ROLE_OF_GROUP,
    SITE_KEYS,
    STATE_KEYS,
    Sources,
    bare_name,
    pyinfra_keys,
)


class HostsBuilder:
    """Makes the hosts that SOURCES describe, and adds what is wrong with them to its faults."""

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        self.faults, self.file, self.release = sources.faults, sources.file, sources.release
        self.overrides_usable = True

    def hosts(self, settings: Settings | None) -> dict[str, HostSettings]:
        """Every host that has a part in Nova, in the inventory's order."""
        self._check_groups()
        for group in ("controllers", "computes"):
            if not self.sources.groups.get(group):
                self.faults.append(
                    Fault(self.file, group, "has no hosts", "name at least one host")
                )
        self._check_layers()
        names = list(
            dict.fromkeys(
                name for group in ROLE_OF_GROUP for name in self.sources.groups.get(group, [])
            )
        )
        hosts = {name: host for name in names if (host := self._host(name))}
        self._check_addresses(list(hosts.values()), settings)
        self._check_names(list(hosts.values()))
        self._check_states(list(hosts.values()))
        return hosts

    def _check_groups(self) -> None:
        """Groups whose names are nearly those of a role: their hosts would be left out."""
        known = [*ROLE_OF_GROUP, LAB_GROUP, "all", Path(self.file).stem]
        for group, hosts in self.sources.groups.items():
            meant = difflib.get_close_matches(group, ROLE_OF_GROUP, n=1, cutoff=0.85)
            if hosts and meant and group not in known:
                remedy = f"did you mean {meant[0]!r}?"
                self.faults.append(Fault(self.file, group, "is no group of Nova's hosts", remedy))

    def _check_layers(self) -> None:
        """Keys and overrides of the groups, each named once however many hosts it has."""
        self._check_overrides(ALL_FILE, "nova_conf", self.sources.all_data, on_compute=False)
        self._check_overrides(
            COMMAND_LINE, "nova_conf", self.sources.override_data, on_compute=False
        )
        for group, data in self.sources.group_data.items():
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
        found = list(
            override_faults(
                file,
                key,
                overrides,
                self.release,
                on_compute=on_compute,
                is_encrypted=self.sources.is_encrypted,
            )
        )
        self.faults += found
        self.overrides_usable = self.overrides_usable and not found

    def _host(self, name: str) -> HostSettings | None:
        mine = self.sources.groups_of[name]
        roles = {role for group, role in ROLE_OF_GROUP.items() if group in mine}
        self._check_host_keys(name)
        own = self.sources.host_data[name]
        controller = "controller" in roles
        self._check_overrides(self.file, f"{name}.nova_conf", own, on_compute=not controller)

        layers = Layers()
        layers.add(self.file, {"nova_host": bare_name(name)})
        for file, data in self.sources.layers_of(name):
            layers.add(file, {k: v for k, v in data.items() if k in HOST_KEYS and k != "nova_conf"})
        found = [data.get("nova_conf", {}) for _, data in self.sources.layers_of(name)]
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
        for key in self.sources.host_data[name]:
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
                if host.roles & {"controller", "compute", "retired", "dead"}:
                    problem = "is missing"
                    remedy = f'give it its management address: ("{host.name}", {{"my_ip": "..."}})'
            elif host.my_ip in seen:
                problem = f"{host.my_ip} is also that of {seen[host.my_ip]}"
            else:
                seen[host.my_ip] = host.name
                problem = _address_problem(host.my_ip, settings) if settings else None
            if problem:
                self.faults.append(Fault(self.file, f"{host.name}.my_ip", problem, remedy))

    def _check_states(self, hosts: Sequence[HostSettings]) -> None:
        for file in self._others_with_dead():
            problem = "is said of one host, in its own entry of the inventory"
            self.faults.append(Fault(file, "dead", problem, "say it there"))
        for host in hosts:
            own = self.sources.host_data[host.name]
            for key in STATE_KEYS:
                if key in own and not host.roles & {"compute", "retired", "dead"}:
                    problem = "is said of a compute alone"
                    self.faults.append(Fault(self.file, f"{host.name}.{key}", problem))
            if "state_reason" in own and host.is_compute and host.state == "open":
                problem = "says why a compute takes no guests, and this one's state is 'open'"
                remedy = "set its state, or leave it out"
                key = f"{host.name}.state_reason"
                self.faults.append(Fault(self.file, key, problem, remedy))
            self._check_death(host)
            if host.purge and host.is_compute:
                problem = "is said of a compute whose state is 'retired' alone"
                self.faults.append(Fault(self.file, f"{host.name}.purge", problem))
            if host.is_controller and host.is_retired:
                problem = "cannot be 'retired', because the host is a controller, too"
                remedy = "set 'drained', or take it out of the group computes"
                self.faults.append(Fault(self.file, f"{host.name}.state", problem, remedy))

    def _others_with_dead(self) -> list[str]:
        """Where else somebody says of hosts that they have no power, of many at once perhaps."""
        names = self.sources.groups_of.keys() & self.sources.host_data.keys()
        layers = (each for name in names for each in self.sources.layers_of(name))
        return sorted({file for file, data in layers if "dead" in data and file != self.file})

    def _check_death(self, host: HostSettings) -> None:
        found = []
        if host.disks_lost and not host.dead:
            found.append(("disks_lost", "is said of a compute that is dead alone", ""))
        if host.dead and host.state not in ("drained", "retired"):
            problem = "is said of a compute whose state is 'drained' or 'retired' alone"
            found.append(("dead", problem, "set its state, too: its guests are to leave it"))
        if host.is_dead and (others := sorted(host.roles - {"dead", "retired"})):
            problem = f"cannot be True, because the host is {' and '.join(others)}, too"
            found.append(("dead", problem, "take it out of those groups first"))
        if host.is_dead and host.purge:
            problem = "cannot be done on a host that is dead: nothing can be removed there"
            found.append(("purge", problem, "leave it out"))
        for key, problem, remedy in found:
            self.faults.append(Fault(self.file, f"{host.name}.{key}", problem, remedy))

    def _check_names(self, hosts: Sequence[HostSettings]) -> None:
        seen: dict[str, str] = {}
        for host in hosts:
            other = seen.setdefault(host.nova_host.lower(), host.name)
            if other != host.name:
                problem = f"{host.nova_host!r} is also the name of {other}"
                self.faults.append(Fault(self.file, f"{host.name}.nova_host", problem))


def _address_problem(address: IPv4Address, settings: Settings) -> str | None:
    network = settings.management_network
    if address not in network:
        return f"{address} is not in management_network {network} ({ALL_FILE})"
    if network.prefixlen < 31 and address == network.network_address:
        return f"{address} is the network itself"
    if network.prefixlen < 31 and address == network.broadcast_address:
        return f"{address} is the broadcast address"
    return None
