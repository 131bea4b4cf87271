"""What a compute offers its guests: CPUs, memory pages and devices, as settings of a host."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from pyinfra_nova.site.section import Section
from pyinfra_nova.site.value_types import spelled

Ratio = Annotated[float, Field(ge=0, le=1000)]
"""0 leaves it to Nova (nova/conf/compute.py, ``*_allocation_ratio``)."""
Megabytes = Annotated[int, Field(ge=0, le=2**40)]
PageSize = Literal["64K", "2M", "16M", "32M", "512M", "1G", "16G"]
"""The sizes of huge pages that Linux has, on one CPU architecture or another."""

MDEV_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}")
ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}")
HEX_ID = re.compile(r"[0-9a-fA-F]{4}")


def cpus_of(text: str) -> frozenset[int]:
    """The CPUs that ``0-3,^2,8`` names, as Nova reads them (nova/virt/hardware.py parse_cpu_spec).

    Raises:
        ValueError: TEXT is no such list, or names no CPU.
    """
    named: set[int] = set()
    excluded: set[int] = set()
    for part in (item.strip() for item in text.split(",")):
        match = re.fullmatch(r"(\^?)([0-9]{1,4})(?:-([0-9]{1,4}))?", part)
        if not match or (match[1] and match[3]):
            raise ValueError(f"{part!r} is neither a CPU, a range such as 2-7, nor ^4")
        first, last = int(match[2]), int(match[3] or match[2])
        if last < first:
            raise ValueError(f"{part!r} ends before it begins")
        (excluded if match[1] else named).update(range(first, last + 1))
    if not named - excluded:
        raise ValueError("names no CPU")
    return frozenset(named - excluded)


def _cpu_set(text: str) -> str:
    cpus_of(text)
    return text


CpuSet = Annotated[str, AfterValidator(_cpu_set)]
MdevType = Annotated[
    str, spelled(MDEV_TYPE, "is not the name of a type of mediated device, such as nvidia-35")
]
# In a flavor it stands before a colon, and commas separate several.
AliasName = Annotated[str, spelled(ALIAS, "is not made of letters, digits, '.', '_' and '-'")]
HexId = Annotated[
    str, spelled(HEX_ID, "is not four hexadecimal digits in quotes, as lspci -nn shows them")
]


class Compute(Section):
    """How much of its CPUs and memory a compute gives to guests; names are those of nova.conf.

    Attributes:
        cpu_shared_set: host CPUs for guests that float, such as "0-1".
        cpu_dedicated_set: host CPUs for guests whose own are pinned, such as "2-7,^4".
        reserved_host_cpus: kept for the host; not together with either set.
        reserved_host_memory_mb, reserved_host_disk_mb: kept for the host, in MiB.
        cpu_allocation_ratio, ram_allocation_ratio, disk_allocation_ratio: how often what there is
            may be promised.
    """

    cpu_shared_set: CpuSet | None = None
    cpu_dedicated_set: CpuSet | None = None
    reserved_host_cpus: Annotated[int, Field(ge=0, le=4096)] | None = None
    reserved_host_memory_mb: Megabytes | None = None
    reserved_host_disk_mb: Megabytes | None = None
    cpu_allocation_ratio: Ratio | None = None
    ram_allocation_ratio: Ratio | None = None
    disk_allocation_ratio: Ratio | None = None

    @model_validator(mode="after")
    def _agree(self) -> Compute:
        # nova-compute refuses to start otherwise (virt/libvirt/driver.py,
        # _check_cpu_set_configuration).
        shared, dedicated = self.cpu_shared_set, self.cpu_dedicated_set
        if shared and dedicated and (both := cpus_of(shared) & cpus_of(dedicated)):
            text = ", ".join(str(cpu) for cpu in sorted(both))
            raise ValueError(f"CPU {text} is in cpu_shared_set and in cpu_dedicated_set")
        if (shared or dedicated) and self.reserved_host_cpus:
            raise ValueError("reserved_host_cpus excludes cpu_shared_set and cpu_dedicated_set")
        return self


class HugePages(Section):
    """Memory pages of one size, set aside when the host boots or as soon as it has room.

    Attributes:
        size: such as "2M" or "1G".
        count: how many of them, in all NUMA nodes together, or in ``node``.
        node: the NUMA node; None lets the kernel spread them.
        reserved: how many of them guests may not have; needs ``node``.
    """

    size: PageSize
    count: Annotated[int, Field(ge=0, le=2**32)]
    node: Annotated[int, Field(ge=0, le=1023)] | None = None
    reserved: Annotated[int, Field(ge=0)] = 0

    @property
    def kilobytes(self) -> int:
        """The size in KiB, as the kernel and nova.conf name it."""
        return int(self.size[:-1]) * {"K": 1, "M": 1024, "G": 1024 * 1024}[self.size[-1]]

    @model_validator(mode="after")
    def _agree(self) -> HugePages:
        if self.reserved > self.count:
            raise ValueError("reserved is more than count")
        if self.reserved and self.node is None:
            raise ValueError("reserved needs node, as reserved_huge_pages in nova.conf does")
        return self


class Devices(Section):
    """Mediated devices, such as vGPUs: the types that Nova may make, named as by mdevctl."""

    enabled_mdev_types: list[MdevType] = []


class PciDevice(Section):
    """Devices that guests may have; by address or by what they are, and their physical network."""

    vendor_id: HexId | None = None
    product_id: HexId | None = None
    address: str | None = None
    devname: str | None = None
    physical_network: str | None = None
    trusted: bool | None = None

    @model_validator(mode="after")
    def _agree(self) -> PciDevice:
        # nova/pci/devspec.py: devname and address exclude each other.
        if self.devname and self.address:
            raise ValueError("devname and address exclude each other")
        if not (self.vendor_id or self.product_id or self.address or self.devname):
            raise ValueError("needs vendor_id and product_id, address or devname")
        for text in (self.address, self.devname, self.physical_network):
            if text is not None and not re.fullmatch(r"[\w.:*/-]{1,255}", text, re.ASCII):
                raise ValueError(f"{text[:80]!r} is not an address or a name")
        return self


class PciAlias(Section):
    """The name under which flavors ask for a device (``pci_passthrough:alias``)."""

    name: AliasName
    vendor_id: HexId
    product_id: HexId
    device_type: Literal["type-PCI", "type-PF", "type-VF"] | None = None
    numa_policy: Literal["required", "preferred", "legacy", "socket"] | None = None


class Pci(Section):
    """Devices passed through to guests; every controller and compute needs the same aliases."""

    device_spec: list[PciDevice] = []
    alias: list[PciAlias] = []


def same_node_twice(pages: list[HugePages]) -> list[HugePages]:
    """PAGES, checked against each other.

    Raises:
        ValueError: one size is said twice of one node, or of a node and of all of them.
    """
    for index, entry in enumerate(pages):
        for other in pages[:index]:
            if entry.size == other.size and None in (entry.node, other.node):
                raise ValueError(f"{entry.size} is said more than once; give each its own node")
            if (entry.size, entry.node) == (other.size, other.node):
                raise ValueError(f"{entry.size} of node {entry.node} is said more than once")
    return pages
