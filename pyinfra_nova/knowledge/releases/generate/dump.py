"""Prints every option that one release's Nova reads, as JSON; ``environments.py`` runs it.

It runs with the Python of an environment in which that release is installed, and asks
oslo.config's sample generator for the options, so nothing here knows any of them. With ``--names``
it looks at the directory given instead, an unpacked Nova whose other requirements need not fit, and
prints names alone. With ``--extra-specs`` it prints the extra specs of flavors that Nova's own
validators know.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from oslo_config import cfg, generator, types

# nova's etc/nova/nova-config-generator.conf of all releases together, and what else a process of
# Nova reads from nova.conf: the audit filter, caches, key managers, volume and network plugins.
NAMESPACES = (
    "nova.conf",
    "castellan.config",
    "keystonemiddleware.audit",
    "keystonemiddleware.auth_token",
    "os_brick",
    "os_vif",
    "oslo.cache",
    "oslo.concurrency",
    "oslo.config",
    "oslo.limit",
    "oslo.log",
    "oslo.messaging",
    "oslo.middleware",
    "oslo.policy",
    "oslo.privsep",
    "oslo.reports",
    "oslo.service.periodic_task",
    "oslo.service.service",
    "oslo.versionedobjects",
    "osprofiler",
)
# Options of oslo.privsep are repeated in a section for each of its contexts, which no list names:
# `cfg_section` in nova/privsep, os_brick/privileged, vif_plug_*/privsep.py.
PRIVSEP_CONTEXTS = (
    "nova_sys_admin",
    "privsep_osbrick",
    "vif_plug_linux_bridge_privileged",
    "vif_plug_ovs_privileged",
)
# oslo.config's own examples of other sources of configuration.
EXAMPLES = "sample_"
LONGEST_DEFAULT = 60

Described = dict[str, Any]
Sections = dict[str, dict[str, Described]]


def _numbers(kind: Any) -> Iterator[tuple[str, Any]]:
    for name in ("min", "max"):
        if (value := getattr(kind, name, None)) is not None:
            yield name, value


def _choices(kind: Any) -> Iterator[tuple[str, Any]]:
    if choices := getattr(kind, "choices", None):
        yield "choices", [choice for choice in choices if choice is not None]


def _text(kind: Any) -> Iterator[tuple[str, Any]]:
    if regex := getattr(kind, "regex", None):
        yield "regex", regex.pattern
        if regex.flags & re.IGNORECASE:
            yield "ignore_case", True
    for name in ("ignore_case", "quotes", "max_length"):
        if value := getattr(kind, name, None):
            yield name, value


# From the most particular: Port is an Integer, HostDomain a HostAddress.
KINDS: tuple[tuple[str, str], ...] = (
    ("Port", "port"),
    ("Integer", "integer"),
    ("Float", "float"),
    ("Boolean", "boolean"),
    ("List", "list"),
    ("Dict", "dict"),
    ("Range", "range"),
    ("IPAddress", "ip"),
    ("HostDomain", "host domain"),
    ("HostAddress", "host address"),
    ("Hostname", "hostname"),
    ("URI", "uri"),
)


def described_type(kind: Any) -> Described:
    """KIND, a type of oslo.config, as data: its name and what a value has to satisfy."""
    name = next(
        (ours for theirs, ours in KINDS if isinstance(kind, getattr(types, theirs))), "string"
    )
    found: Described = {"type": name, **dict(_numbers(kind)), **dict(_choices(kind))}
    if name == "string":
        found.update(_text(kind))
    elif name == "ip":
        checker = getattr(kind.version_checker, "__name__", "")
        found.update({"version": int(checker[-1])} if checker[-1:].isdigit() else {})
    elif name == "uri":
        found.update({"schemes": sorted(kind.schemes)} if kind.schemes else {})
        found.update({"max_length": kind.max_length} if kind.max_length else {})
    elif name in ("list", "dict"):
        item = kind.item_type if name == "list" else kind.value_type
        found["item"] = described_type(item)
        for attribute, usual in (
            ("bounds", False),
            ("min_length", 0),
            ("key_value_separator", ":"),
        ):
            if (value := getattr(kind, attribute, usual)) != usual:
                found[attribute] = value
    return found


def _default(option: Any) -> str | None:
    """The default as nova.conf would say it; None where it is secret, long or absent."""
    value = option.default if option.sample_default is None else option.sample_default
    if option.secret or value is None:
        return None
    if isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, list | tuple):
        text = ",".join(map(str, value))
    elif isinstance(value, dict):
        text = ",".join(f"{key}:{item}" for key, item in value.items())
    else:
        text = str(value)
    # A path of the environment that this runs in is no default of the release.
    return text if len(text) <= LONGEST_DEFAULT and sys.prefix not in text else None


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())


def _former_names(option: Any) -> list[str]:
    """``section/name``, or ``name`` in the same section, under which OPTION is still read."""
    names = []
    for old in option.deprecated_opts:
        name = old.name or option.dest
        if old.group or name != option.dest:
            names.append(f"{old.group}/{name}" if old.group else name)
    return list(dict.fromkeys(names))


def described(option: Any) -> Described:
    """One option as data; what is at its usual value is left out."""
    found = described_type(option.type)
    found["default"] = _default(option)
    found["former"] = _former_names(option)
    found.update({name: True for name in ("multi", "secret", "required") if getattr(option, name)})
    if option.deprecated_for_removal:
        found["deprecated"] = _one_line(option.deprecated_reason)
        found["since"] = _one_line(str(option.deprecated_since or ""))
    return {k: v for k, v in found.items() if v not in (None, [], "") or k == "deprecated"}


def options_of(listed: Iterable[tuple[Any, Iterable[Any]]]) -> Sections:
    """What ``list_opts`` gave, by section and by the name that a file has to write."""
    sections: Sections = {}
    for group, options in listed:
        name = str(getattr(group, "name", None) or group or "DEFAULT")
        if name.startswith(EXAMPLES):
            continue
        section = sections.setdefault(name, {})
        for option in options:
            section.setdefault(option.dest, described(option))
    return sections


def _mdev_sections() -> Sections:
    """The sections that are named after a type of mediated device; ``*`` stands for the type."""
    from nova import conf

    conf.CONF.set_override("enabled_mdev_types", ["*"], group="devices")
    conf.devices.register_dynamic_opts(conf.CONF)
    return {
        name: {info["opt"].dest: described(info["opt"]) for info in group._opts.values()}
        for name, group in conf.CONF._groups.items()
        if name.endswith("_*")
    }


def _auth_plugins() -> dict[str, dict[str, Described]]:
    """The options of every way to log in to Keystone, by the name that `auth_type` has."""
    from keystoneauth1 import loading

    plugins: dict[str, dict[str, Described]] = {}
    loader: Any
    for name, loader in sorted(loading.get_available_plugin_loaders().items()):
        options = [option._to_oslo_opt() for option in loader.get_options()]
        plugins[name] = {option.dest: described(option) for option in options}
    return plugins


def _scheduler_filters() -> list[str]:
    """The classes that `filter_scheduler/enabled_filters` may name."""
    from nova.scheduler import filters

    classes = filters.HostFilterHandler().get_all_classes()
    return sorted({found.__name__ for found in classes if not found.__name__.startswith("_")})


def _shared(plugins: dict[str, dict[str, Described]]) -> dict[str, Described]:
    """The options of all PLUGINS together, each with every former name that one of them knows."""
    shared: dict[str, Described] = {}
    for options in plugins.values():
        for name, option in options.items():
            former = dict.fromkeys(
                (*shared.get(name, {}).get("former", ()), *option.get("former", ()))
            )
            kept = {k: v for k, v in option.items() if k not in ("former", "required")}
            shared[name] = {**kept, "former": list(former)} if former else kept
    return shared


def _installed(namespaces: Iterable[str]) -> list[str]:
    known = {entry.name for entry in importlib.metadata.entry_points(group="oslo.config.opts")}
    return [name for name in namespaces if name in known]


def table() -> Described:
    """Everything about the release that is installed here."""
    cfg.CONF([], project="nova", default_config_files=[], default_config_dirs=[])
    listed = generator._list_opts(_installed(NAMESPACES))
    sections = options_of(group for _, groups in listed for group in groups)
    for context in PRIVSEP_CONTEXTS:
        sections.setdefault(context, dict(sections["privsep"]))
    sections.update(_mdev_sections())
    plugins = _auth_plugins()
    logins = sorted(name for name, options in sections.items() if "auth_type" in options)
    shared = _shared(plugins)
    for name in logins:
        sections[name] = {k: v for k, v in sections[name].items() if k not in shared}
    return {
        "nova": importlib.metadata.version("nova"),
        "libraries": {
            name: importlib.metadata.version(name)
            for name in ("keystoneauth1", "keystonemiddleware", "oslo.config", "oslo.messaging")
        },
        "scheduler_filters": _scheduler_filters(),
        "sections": sections,
        "auth": {
            "sections": logins,
            "plugins": {name: sorted(options) for name, options in plugins.items()},
            "options": shared,
        },
    }


def names(directory: str) -> dict[str, dict[str, list[str]]]:
    """The options of the Nova that is unpacked in DIRECTORY, by section, with former names."""
    sys.path.insert(0, directory)
    from nova.conf import opts

    return {
        section: {name: option.get("former", []) for name, option in options.items()}
        for section, options in options_of(opts.list_opts()).items()
    }


def described_spec(validator: Any) -> Described:
    """What a validator of an extra spec accepts (nova/api/validation/extra_specs/base.py)."""
    found = {key: validator.value.get(key) for key in ("min", "max", "pattern")}
    found["type"] = {int: "integer", bool: "boolean", str: "string"}[validator.value["type"]]
    found["enum"] = [str(item) for item in validator.value.get("enum", ())]
    found["deprecated"] = validator.deprecated
    found["parameters"] = {item["name"]: item["pattern"] for item in validator.parameters}
    return {k: v for k, v in found.items() if v not in (None, [], {}, False)}


def extra_specs() -> dict[str, Described]:
    """Every extra spec by its name; a part of it in braces is one of its ``parameters``."""
    from nova.api.validation.extra_specs import validators

    return {name: described_spec(found) for name, found in validators.VALIDATORS.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--names", metavar="DIRECTORY")
    parser.add_argument("--extra-specs", action="store_true")
    arguments = parser.parse_args()
    found: Any
    if arguments.extra_specs:
        found = extra_specs()
    else:
        found = names(arguments.names) if arguments.names else table()
    json.dump(found, sys.stdout, sort_keys=True)


if __name__ == "__main__":
    main()
