"""Whether computes are who Nova takes them for: decided before nova-compute decides it.

A compute comes back in many ways: reinstalled, in other hardware, under another name, as a copy.
nova-compute finds some of them out when it starts, each release others, and ends; of the rest it
makes a second node, or guests that are lost. What Nova does: nova/compute/manager.py ``init_host``
with what it calls, nova/virt/node.py, nova/compute/resource_tracker.py ``_init_compute_node``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from pyinfra_nova.nova_conf.folders import instances_path
from pyinfra_nova.resources.compute_identity import Node, NovaComputes, Outcome, Presence
from pyinfra_nova.site.names import named
from pyinfra_nova.site.settings import HostSettings

FILE_SINCE = 27
"""The first Nova that knows its node by the file ``compute_id``."""
NEW_ONES_SINCE = 29
"""The first one that does not start as new where libvirt has domains."""
NODE_IDENTITY_VERSION = 65
"""Of a service that has written the file itself (nova/objects/service.py)."""


@dataclass(frozen=True)
class Compute:
    """One compute, what it has, and what Nova has of it.

    Attributes:
        version: that of the Nova which the site has.
        inventory: the hosts of the inventory by their name in Nova.
        holders: the computes of the run by the UUIDs in their files.
    """

    host: HostSettings
    presence: Presence
    nova: NovaComputes
    version: int
    inventory: Mapping[str, str]
    holders: Mapping[str, Sequence[str]]

    @property
    def outcome(self) -> Outcome:
        """What is right for it: the first thing that is wrong, or nothing, or a file."""
        fault = next(self._faults(), None)
        if fault:
            return Outcome(fault=fault)
        if self._has_lost_its_file:
            (own,) = self._own
            return Outcome(lost=own.uuid, said="compute_id is put back")
        return Outcome(said="as Nova has it" if self._own else "new to Nova")

    def _faults(self) -> Iterator[str]:
        if self._old_name:
            yield self._renamed(self._old_name, "its nova.conf says so")
        if self.version >= FILE_SINCE:
            yield from self._file_faults()
        yield from self._node_faults()
        if not self.presence.running:
            yield from self._guest_faults()

    # --- names ------------------------------------------------------------------------------------

    @cached_property
    def _own(self) -> Sequence[Node]:
        """The nodes that Nova has of this host."""
        return self.nova.by_host.get(self.host.nova_host, ())

    @property
    def _old_name(self) -> str | None:
        """Under which Nova still has this host, by the nova.conf that this run would replace."""
        old = self.presence.host
        is_other = old not in (None, self.host.nova_host) and old not in self.inventory
        return old if is_other and old in self.nova.by_host else None

    def _renamed(self, old: str, why: str) -> str:
        return (
            f"Nova has this host as {old}, which the inventory has not ({why}): it was renamed. "
            f"Give it its name back (`hostnamectl set-hostname {old}`, and nova_host = {old!r}); "
            f"or do that, retire {old}, and rename it then (docs/computes.md)"
        )

    def _is_called(self, name: str) -> bool:
        """Whether libvirt gives the host NAME; until Nova 27 it was MariaDB that compared."""
        if self.version >= FILE_SINCE:
            return name == self.presence.name
        return name.lower() == self.presence.name.lower()

    def _node_faults(self) -> Iterator[str]:
        mine = self._by_file or [node for node in self._own if self._is_called(node.name)]
        # Where it runs, libvirt has told nova-compute itself; what is worked out here may be wrong.
        asks = self._own and not self.presence.running
        if asks and not any(self._is_called(node.name) for node in mine):
            names = ", ".join(node.name for node in self._by_file or self._own)
            yield (
                f"Nova has its node as {names}, but libvirt calls the host {self.presence.name}: "
                "nova-compute would not start, or make a second node. Give it that name back in "
                "/etc/hostname, /etc/hosts or DNS, or retire it first (docs/computes.md)"
            )
        other = self.nova.by_name.get(self.presence.name.lower())
        if other and not self._own:
            if other.host not in self.inventory:
                yield self._renamed(other.host, f"its node is called {other.name}")
            yield (
                f"libvirt calls the host {self.presence.name}, as it does {other.host}, whose node "
                "has that name in Nova: give one of them another name"
            )

    # --- the file ---------------------------------------------------------------------------------

    @cached_property
    def _uuid(self) -> str | None:
        """What its files say, once they are known to agree."""
        return next((file.uuid for file in self.presence.identities), None)

    @property
    def _by_file(self) -> Sequence[Node]:
        node = self.nova.by_uuid.get(self._uuid or "")
        is_mine = self.version >= FILE_SINCE and node and node.host == self.host.nova_host
        return [node] if node and is_mine else []

    @property
    def _paths(self) -> str:
        return " and ".join(file.path for file in self.presence.identities)

    @property
    def _own_uuid(self) -> str | None:
        return self._own[0].uuid if len(self._own) == 1 else None

    def _instead(self) -> str:
        """What becomes of a host whose wrong file has been removed."""
        if self._own_uuid:
            return f"and the deploy puts {self._own_uuid} back"
        if self._own:
            uuids = named([node.uuid for node in self._own])
            return f"and write the right one of {uuids} there"
        return "and nova-compute makes a node of its own"

    def _file_faults(self) -> Iterator[str]:
        for file in self.presence.identities:
            if file.problem:
                yield f"{file.path} {file.problem}: remove it, {self._instead()}"
        found = {file.uuid for file in self.presence.identities}
        if len(found) > 1:
            texts = ", ".join(f"{file.path}: {file.uuid}" for file in self.presence.identities)
            yield f"its files do not agree ({texts}): remove those that are wrong{self._right}"
        if self._uuid:
            yield from self._foreign(self._uuid)
        else:
            yield from self._without_file()

    @property
    def _right(self) -> str:
        return f"; Nova has this host as {self._own_uuid}" if self._own_uuid else ""

    def _foreign(self, uuid: str) -> Iterator[str]:
        node = self.nova.by_uuid.get(uuid)
        if node and node.host != self.host.nova_host:
            if node.host not in self.inventory:
                yield self._renamed(node.host, f"by {self._paths}, {uuid}")
            yield (
                f"{self._paths} has the identity of {node.host} ({uuid}), so its disk is a copy of "
                f"that: remove the file here, {self._instead()}"
            )
        if node:
            return
        if self._own:
            yield (
                f"{self._paths} has {uuid}, which is no node that Nova has, but Nova has this host "
                f"as {named([own.uuid for own in self._own])}: remove the file, {self._instead()}; "
                "or retire the compute first (docs/computes.md)"
            )
        others = [name for name in self.holders.get(uuid, ()) if name != self.host.name]
        if others:
            yield (
                f"{self._paths} has the same identity as {named(others)} ({uuid}), so one disk is "
                "a copy of the other: remove the file on all but one"
            )

    def _without_file(self) -> Iterator[str]:
        """Where Nova would not start, or not as the node that it has been."""
        service = self.nova.services.get(self.host.nova_host)
        if service is None and self._own:
            yield (
                f"Nova has its compute node ({self._uuids}), but no service, and the host no "
                f"compute_id: write the right UUID into {self._place}"
            )
        if service is not None and len(self._own) != 1:
            what = f"{len(self._own)} nodes ({self._uuids})" if self._own else "no node"
            yield (
                f"it has lost its compute_id, and Nova has its service, but {what}, so which it "
                f"was nobody can tell: write the right UUID into {self._place}, or, where it has "
                "no guests, `openstack compute service delete` what Nova has of it"
            )

    @property
    def _uuids(self) -> str:
        return named([node.uuid for node in self._own])

    @property
    def _place(self) -> str:
        return "/var/lib/nova/compute_id"

    @property
    def _has_lost_its_file(self) -> bool:
        """Whether it is to get back what Nova wants it to have; of an older one it writes it."""
        service = self.nova.services.get(self.host.nova_host)
        is_written = service is not None and service >= NODE_IDENTITY_VERSION
        return self.version >= FILE_SINCE and not self._uuid and is_written

    # --- guests -----------------------------------------------------------------------------------

    def _guest_faults(self) -> Iterator[str]:
        of_nova = self.nova.guests.get(self.host.nova_host, [])
        there = self.presence.guests
        count = f"{len(of_nova)} guest{'s' if len(of_nova) > 1 else ''} ({named(of_nova)})"
        folder = instances_path(self.host)
        if of_nova and there is None:
            yield f"whether {count} of it are there nobody can say: {self.presence.unread}"
        if of_nova and there is not None and not there and not self._domains & set(of_nova):
            yield (
                f"Nova has {count} here, and neither libvirt nor {folder} has one of them, so it "
                "was reinstalled, or is other hardware under a used name: put the disk back, or "
                f"mount {folder}; or, as long as nova-compute is stopped, `openstack server "
                "evacuate` or `openstack server delete` them"
            )
        is_new = self.host.nova_host not in self.nova.services
        if is_new and self._domains and self.version >= NEW_ONES_SINCE:
            domains = named(sorted(self._domains))
            yield (
                f"libvirt has domains ({domains}), and Nova no nova-compute here, which does not "
                "start as new beside them: move what is needed, then `virsh undefine` them; or put "
                "back what Nova has forgotten"
            )

    @property
    def _domains(self) -> set[str]:
        return set(self.presence.domains or ())
