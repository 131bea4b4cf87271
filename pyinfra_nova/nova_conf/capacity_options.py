"""What a host offers its guests, as options of nova.conf in the spelling of a release."""

from __future__ import annotations

import json
from collections.abc import Iterator

from pydantic import BaseModel

from pyinfra_nova.knowledge.releases import Table, load
from pyinfra_nova.site.settings import HostSettings
from pyinfra_nova.site.value_types import OptionValue, Overrides

# Where Nova reads what is a setting of `compute` here (nova/conf/compute.py).
IN_COMPUTE = ("cpu_shared_set", "cpu_dedicated_set")


def capacity_options(host: HostSettings, release: str) -> Overrides:
    """The options that HOST gets, {section: {option: value}}; a list is written several times."""
    options: Overrides = {}
    for section, name, value in _options(host, load(release)):
        options.setdefault(section, {})[name] = value
    return options


def _options(host: HostSettings, table: Table) -> Iterator[tuple[str, str, OptionValue]]:
    if host.pci.alias:
        yield "pci", "alias", [_json(alias) for alias in host.pci.alias]
    if not host.is_compute:
        return
    for name, value in host.compute.model_dump(exclude_none=True).items():
        yield "compute" if name in IN_COMPUTE else "DEFAULT", name, value
    reserved = [page for page in host.hugepages if page.reserved]
    if reserved:
        yield (
            "DEFAULT",
            "reserved_huge_pages",
            [f"node:{page.node},size:{page.kilobytes},count:{page.reserved}" for page in reserved],
        )
    if host.devices.enabled_mdev_types:
        yield "devices", "enabled_mdev_types", ",".join(host.devices.enabled_mdev_types)
    if host.pci.device_spec:
        # Nova 25 has the former name alone.
        name = "device_spec" if table.option("pci", "device_spec") else "passthrough_whitelist"
        yield "pci", name, [_json(device) for device in host.pci.device_spec]


def _json(thing: BaseModel) -> str:
    return json.dumps(
        {
            # nova/pci/devspec.py reads "true" and "false" as texts.
            key: str(value).lower() if isinstance(value, bool) else value
            for key, value in thing.model_dump(exclude_none=True).items()
        }
    )
