"""``nova_conf``: options of nova.conf written literally, checked before they are believed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from pyinfra_nova.knowledge.platforms import removed_option
from pyinfra_nova.site.faults import Fault
from pyinfra_nova.site.layered_data import Data
from pyinfra_nova.site.secrets import forbidden_character
from pyinfra_nova.site.settings import Overrides

CONTROLLER_SECTIONS = ("api_database", "database", "keystone_authtoken")
"""Sections that no compute gets: its nova-compute has no business with what they hold."""

OPTION_NAME = re.compile(r"[A-Za-z]\w*", re.ASCII)
SECTION_NAME = re.compile(r"[A-Za-z][\w.:-]*", re.ASCII)

# Options that the settings decide. Written past them, other places would not follow.
OWNED_OPTIONS = {
    "DEFAULT/transport_url": "set `messaging` and secrets.yml",
    "DEFAULT/my_ip": "set `my_ip` of the host",
    "DEFAULT/host": "set `nova_host` of the host",
    "database/connection": "set `database` and secrets.yml",
    "api_database/connection": "set `database` and secrets.yml",
    "keystone_authtoken/password": "set nova_password in secrets.yml",
    "service_user/password": "set nova_password in secrets.yml",
    "placement/password": "set placement_password in secrets.yml",
    "neutron/password": "set neutron_password in secrets.yml",
    "neutron/metadata_proxy_shared_secret": "set metadata_secret in secrets.yml",
    "libvirt/virt_type": "set `libvirt` in group_data/computes.py or of the host",
    "libvirt/cpu_mode": "set `libvirt` in group_data/computes.py or of the host",
    "libvirt/cpu_models": "set `libvirt` in group_data/computes.py or of the host",
    "libvirt/rbd_user": "set `libvirt` in group_data/computes.py or of the host",
    "libvirt/rbd_secret_uuid": "set `libvirt` in group_data/computes.py or of the host",
}


def _section_name(name: str) -> str:
    # oslo.config compares group names in lower case, DEFAULT apart.
    return name if name == "DEFAULT" else name.lower()


def override_faults(
    file: str, key: str, data: object, release: str, *, on_compute: bool
) -> Iterator[Fault]:
    """What is wrong with one ``nova_conf``; KEY is where it is in FILE."""
    if not isinstance(data, Mapping):
        yield Fault(file, key, "is not {section: {option: value}}")
        return
    for section, options in data.items():
        here = f"{key}.{section}"
        if not isinstance(section, str) or not SECTION_NAME.fullmatch(section):
            yield Fault(file, here, "is not a section name")
        elif section != "DEFAULT" and section.lower() == "default":
            yield Fault(file, here, "unknown section", "did you mean 'DEFAULT'?")
        elif on_compute and _section_name(section) in CONTROLLER_SECTIONS:
            yield Fault(file, here, "a compute gets no such section", "set it for the controllers")
        elif not isinstance(options, Mapping):
            yield Fault(file, here, "is not {option: value}")
        else:
            for option, value in options.items():
                problem, remedy = _option_fault(_section_name(section), option, value, release)
                if problem:
                    yield Fault(file, f"{here}.{option}", problem, remedy)


def _option_fault(section: str, option: object, value: object, release: str) -> tuple[str, str]:
    if not isinstance(option, str) or not OPTION_NAME.fullmatch(option):
        return "is not an option name", "write it as nova.conf does, with _ rather than -"
    if remedy := OWNED_OPTIONS.get(f"{section}/{option}"):
        return "is decided by the settings", remedy
    if reason := removed_option(section, option, release):
        return reason, "leave it out"
    texts = value if isinstance(value, list) else [value] if isinstance(value, str) else []
    if not isinstance(value, str | bool | int | float | list | None) or not all(
        isinstance(text, str) for text in texts
    ):
        return "is not a text, number, boolean, list of texts or None", ""
    if isinstance(value, int) and value.bit_length() > 64:
        return "is a number of more than 64 bits", ""
    for text in texts:
        if found := forbidden_character(text):
            return f"contains {found}", ""
    return "", ""


def merged_overrides(layers: Iterable[Data], *, controller: bool) -> Overrides:
    """LAYERS laid over one another, option by option, for a CONTROLLER or for a mere compute."""
    merged: Overrides = {}
    for layer in layers:
        for section, options in layer.items():
            name = _section_name(section)
            if controller or name not in CONTROLLER_SECTIONS:
                merged.setdefault(name, {}).update(options)
    return merged
