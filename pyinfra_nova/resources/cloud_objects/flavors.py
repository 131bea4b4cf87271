"""Flavors in ``resources.yml``, and what of them does not fit the site."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from pyinfra_nova.resources.cloud_objects.values import (
    Check,
    Found,
    Number,
    Object,
    Positive,
    Texts,
    Value,
    as_text,
    matching,
    wanted,
)
from pyinfra_nova.site.capacity import ALIAS, cpus_of
from pyinfra_nova.site.faults import closest

# nova/api/validation/parameter_types.py.
FLAVOR_ID = re.compile(r"(?! )[a-zA-Z0-9. _-]{1,255}(?<! )")
FlavorId = Annotated[
    str,
    BeforeValidator(as_text),
    AfterValidator(
        partial(matching, FLAVOR_ID, "is not made of letters, digits, '.', '_', '-' and spaces")
    ),
]


class Flavor(Object):
    """A size of guests. Nova changes no number of a flavor, only its description and extra specs.

    Attributes:
        vcpus: virtual CPUs. ram: MiB. disk, ephemeral: GiB. swap: MiB.
        id: what Nova makes up if it is not given.
        is_public: whether every project sees it.
        replace: a flavor whose numbers differ is deleted and made again under its id; guests keep
            what they were made with.
    """

    vcpus: Positive | None = None
    ram: Positive | None = None
    disk: Number | None = None
    ephemeral: Number = 0
    swap: Number = 0
    id: FlavorId | None = None
    is_public: bool = True
    description: Value | None = None
    extra_specs: Texts = Field(default_factory=dict)
    replace: bool = False

    @model_validator(mode="after")
    def _complete(self) -> Flavor:
        self.needs("vcpus", "ram", "disk")
        return self


class FlavorCheck(Check):
    """Extra specs that no host of the site can meet, and identifiers that are given twice."""

    def faults(self, flavors: Mapping[str, Flavor]) -> Found:
        for name, flavor in wanted(flavors):
            yield from self._flavor(name, flavor)
        seen: dict[str, str] = {}
        for name, flavor in wanted(flavors):
            other = seen.setdefault(flavor.id or f" {name}", name)
            if other != name:
                yield self.wrong(f"flavors.{name}.id", f"is also that of {other}")

    def _flavor(self, name: str, flavor: Flavor) -> Found:
        specs = {key: value for key, value in flavor.extra_specs.items() if value is not None}
        for key, value in flavor.extra_specs.items():
            # One that is to be taken away may be any.
            problem, remedy = self.specs.problem(key, value) if value is not None else ("", "")
            if problem:
                yield self.wrong(f"flavors.{name}.extra_specs.{key}", problem, remedy)
        yield from self._pinning(f"flavors.{name}", flavor, specs)
        yield from self._pages(f"flavors.{name}", specs)
        yield from self._devices(f"flavors.{name}", specs)

    def _pinning(self, key: str, flavor: Flavor, specs: Mapping[str, str]) -> Found:
        policy = specs.get("hw:cpu_policy")
        asked = "hw:cpu_policy" if policy in ("dedicated", "mixed") else "resources:PCPU"
        if asked not in specs:
            return
        here = f"{key}.extra_specs.{asked}"
        sets = [
            text
            for host in self.site.computes
            if (text := self.option(host, "compute", "cpu_dedicated_set"))
        ]
        if not sets:
            remedy = 'set compute = {"cpu_dedicated_set": ...} for computes'
            yield self.wrong(here, "no compute has CPUs to pin guests to", remedy)
            return
        most = max(_count(str(text)) for text in sets)
        wanted = flavor.vcpus if policy == "dedicated" else None
        if asked == "resources:PCPU" and specs[asked].isdigit():
            wanted = int(specs[asked])
        if wanted is not None and wanted > most:
            problem = f"needs {wanted} dedicated CPUs, and no compute has more than {most}"
            yield self.wrong(here, problem, "see cpu_dedicated_set of the computes")

    def _pages(self, key: str, specs: Mapping[str, str]) -> Found:
        size = specs.get("hw:mem_page_size", "small")
        if size in ("small", "any"):
            return
        here = f"{key}.extra_specs.hw:mem_page_size"
        pages = [page for host in self.site.computes for page in host.hugepages if page.count]
        if not pages:
            # They may have been set aside elsewhere, on the kernel's command line.
            remedy = 'set hugepages = [{"size": "2M", "count": ...}] for computes'
            yield self.doubtful(here, "no compute is said to have huge pages", remedy)
        elif size != "large" and (wanted := _kilobytes(size)) is not None:
            have = {page.kilobytes: page.size for page in pages}
            if wanted not in have and wanted > 4:
                text = ", ".join(have.values())
                yield self.doubtful(here, f"no compute is said to have such pages, only {text}")

    def _devices(self, key: str, specs: Mapping[str, str]) -> Found:
        for name in specs:
            if re.fullmatch(r"resources[a-zA-Z0-9_-]*:VGPU", name) and not any(
                self.option(host, "devices", "enabled_mdev_types") for host in self.site.computes
            ):
                remedy = 'set devices = {"enabled_mdev_types": [...]} for computes'
                yield self.wrong(f"{key}.extra_specs.{name}", "no compute offers vGPUs", remedy)
        aliases = {alias.name for host in self.site.controllers for alias in host.pci.alias}
        if any("alias" in host.nova_conf.get("pci", {}) for host in self.site.controllers):
            return  # written literally there, and not read here
        for part in filter(None, specs.get("pci_passthrough:alias", "").split(",")):
            alias = part.partition(":")[0].strip()
            if ALIAS.fullmatch(alias) and alias not in aliases:
                remedy = (
                    closest(alias, aliases) or 'set pci = {"alias": [...]} in group_data/all.py'
                )
                problem = f"no controller knows a PCI alias {alias}"
                yield self.wrong(f"{key}.extra_specs.pci_passthrough:alias", problem, remedy)


def _count(text: str) -> int:
    try:
        return len(cpus_of(text))
    except ValueError:  # an override, which the checker of nova.conf looks at
        return 0


def _kilobytes(size: str) -> int | None:
    """A page size as in ``hw:mem_page_size``, in KiB (nova/virt/hardware.py); a bare one is KiB."""
    match = re.fullmatch(r"([0-9]+)(?:([kKMGT])i?)?(?:B|b|bit)?", size)
    if not match:
        return None
    factor = {None: 1, "k": 1, "K": 1, "M": 1024, "G": 1024**2, "T": 1024**3}[match[2]]
    return int(match[1]) * factor
