"""``resources.yml``: what a site wants in its cloud, as checked, typed values.

Flavors, host aggregates, server groups, quotas, keypairs and images, each by its name. Only what is
named there is looked at, and of it only the keys that are given; nothing is removed unless
``absent: true`` says so.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError

from pyinfra_nova.resources.cloud_objects.aggregates import Aggregate, AggregateCheck
from pyinfra_nova.resources.cloud_objects.flavors import Flavor, FlavorCheck
from pyinfra_nova.resources.cloud_objects.images import Image
from pyinfra_nova.resources.cloud_objects.projects import (
    Keypair,
    KeypairName,
    Quota,
    QuotaCheck,
    ServerGroup,
)
from pyinfra_nova.resources.cloud_objects.values import Found
from pyinfra_nova.site.faults import Fault, SettingsError, closest, describe
from pyinfra_nova.site.section import Section
from pyinfra_nova.site.settings import Site
from pyinfra_nova.site.value_types import Text

RESOURCES_FILE = Path("resources.yml")


class Declared(Section):
    """Everything that ``resources.yml`` names, by kind and name."""

    flavors: dict[Text, Flavor] = Field(default_factory=dict)
    aggregates: dict[Text, Aggregate] = Field(default_factory=dict)
    server_groups: dict[Text, ServerGroup] = Field(default_factory=dict)
    quotas: dict[Text, Quota] = Field(default_factory=dict)
    keypairs: dict[KeypairName, Keypair] = Field(default_factory=dict)
    images: dict[Text, Image] = Field(default_factory=dict)

    @property
    def given(self) -> dict[str, dict[str, dict[str, Any]]]:
        """By kind and name, the keys that the file gives, as plain data."""
        return {
            kind: {name: thing.given for name, thing in getattr(self, kind).items()}
            for kind in type(self).model_fields
        }


# --- reading --------------------------------------------------------------------------------------


def resources_file() -> Path | None:
    """The file that PYINFRA_NOVA_RESOURCES names, else resources.yml if it is here, else None."""
    if named := os.environ.get("PYINFRA_NOVA_RESOURCES"):
        return Path(named)
    return RESOURCES_FILE if os.path.lexists(RESOURCES_FILE) else None


def load_declared(site: Site, path: Path | None = None) -> tuple[Declared | None, list[Fault]]:
    """What PATH declares for SITE, or None without a file; and what is said but kept as it is.

    Without PATH it is the one that ``resources_file`` finds.

    Raises:
        SettingsError: with every fault of the file.
    """
    path = path or resources_file()
    if path is None:
        return None, []
    data = _parse(path)
    try:
        declared = Declared.model_validate(data)
    except ValidationError as error:
        raise SettingsError([_fault(path, details) for details in error.errors()]) from None
    faults = list(_against(site, declared, str(path)))
    if wrong := [fault for fault, is_wrong in faults if is_wrong]:
        raise SettingsError(wrong)
    return declared, [fault for fault, _ in faults]


def _parse(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise SettingsError([Fault(str(path), "", "is not UTF-8 text")]) from None
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
        raise SettingsError([Fault(str(path), "", problem)]) from None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # Such as a date that no calendar has, which YAML makes of 2026-02-31.
        mark = getattr(error, "problem_mark", None)
        line = f" (line {mark.line + 1})" if mark else ""
        raise SettingsError([Fault(str(path), "", f"is not valid YAML{line}")]) from None
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise SettingsError([Fault(str(path), "", "is not `flavors:`, `aggregates:` and so on")])
    if twice := list(_twice(node, ())):
        raise SettingsError([Fault(str(path), key, "is given more than once") for key in twice])
    return data


def _twice(node: yaml.Node | None, path: tuple[str, ...]) -> Iterator[str]:
    """The keys that are given twice, wherever they are; yaml itself takes the last one."""
    if not isinstance(node, yaml.MappingNode) or len(path) > 8:
        return
    seen = set()
    for key, value in node.value:
        here = (*path, str(key.value))
        if here in seen:
            yield ".".join(here)
        seen.add(here)
        yield from _twice(value, here)


def _fault(path: Path, details: Mapping[str, Any]) -> Fault:
    location = [str(part) for part in details["loc"] if part != "[key]"]
    key = ".".join(location)
    if details["type"] == "extra_forbidden":
        return Fault(str(path), key, "unknown key", closest(location[-1], _known(location[:-1])))
    if details["type"] in ("model_type", "model_attributes_type", "dict_type"):
        return Fault(str(path), key, "is not a list of `key: value` lines")
    return Fault(str(path), key, describe(details))


def _known(location: Sequence[str]) -> tuple[str, ...]:
    """The keys that there are at LOCATION: of the file, or of a thing of one kind."""
    kinds: dict[str, type[Section]] = {
        "flavors": Flavor,
        "aggregates": Aggregate,
        "server_groups": ServerGroup,
        "quotas": Quota,
        "keypairs": Keypair,
        "images": Image,
    }
    model = kinds.get(location[0], Section) if location else Declared
    return tuple(model.model_fields)


def _against(site: Site, declared: Declared, file: str) -> Found:
    """What in the file does not fit the site."""
    yield from FlavorCheck(site, file).faults(declared.flavors)
    yield from AggregateCheck(site, file).faults(declared.aggregates)
    yield from QuotaCheck(site, file).faults(declared.quotas)
