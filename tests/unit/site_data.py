"""A small site as plain data, and nova.conf read back by oslo.config itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg

from pyinfra_nova.knowledge.platforms import Platform, platform_for
from pyinfra_nova.site.faults import SettingsError
from pyinfra_nova.site.load import build_site
from pyinfra_nova.site.secrets import Secrets
from pyinfra_nova.site.settings import Site

AWKWARD = {
    "database_password": "d@ta/b%se:$my_ip#1",
    "messaging_password": "m?ss,ging;$$ \\$x",
    "nova_password": '"quoted on both sides"',
    "placement_password": " spaces outside ",
    "neutron_password": "'n{eutron}'\\",
    "metadata_secret": "m€tadata=[secret]",
    "admin_password": "admin${HOME}`id`",
}
GROUPS = {"controllers": ["controller"], "computes": ["compute1", "compute2"]}
HOSTS: dict[str, dict[str, Any]] = {
    "controller": {"my_ip": "10.0.0.11"},
    "compute1": {"my_ip": "10.0.0.31"},
    "compute2": {"my_ip": "10.0.0.32"},
}
ALL: dict[str, Any] = {"management_network": "10.0.0.0/24"}


def secrets(**values: str) -> Secrets:
    return Secrets.model_validate({**AWKWARD, **values})


def site(
    all_data: Mapping[str, Any] | None = None,
    *,
    groups: Mapping[str, Sequence[str]] = GROUPS,
    group_data: Mapping[str, Mapping[str, Any]] | None = None,
    hosts: Mapping[str, Mapping[str, Any]] = HOSTS,
    override_data: Mapping[str, Any] | None = None,
    limit: Sequence[str] | None = None,
    passwords: Secrets | None = None,
) -> Site:
    return build_site(
        groups,
        {**ALL, **(all_data or {})},
        group_data or {},
        hosts,
        passwords or secrets(),
        override_data=override_data,
        limit=limit,
    )


def all_in_one(
    all_data: Mapping[str, Any] | None = None, *, passwords: Secrets | None = None
) -> Site:
    groups = {"controllers": ["aio"], "computes": ["aio"]}
    hosts = {"aio": {"my_ip": "10.0.0.5"}}
    return site(all_data, groups=groups, hosts=hosts, passwords=passwords)


def faults(all_data: Mapping[str, Any] | None = None, **sources: Any) -> list[str]:
    """What is wrong with a site of these, in the lines that an operator reads."""
    with pytest.raises(SettingsError) as caught:
        site(all_data, **sources)
    return [str(fault) for fault in caught.value.faults]


def host_faults(**data: Any) -> list[str]:
    """What is wrong with a site whose first compute has DATA, too."""
    return faults(hosts={**HOSTS, "compute1": {"my_ip": "10.0.0.31", **data}})


def debian() -> Platform:
    return platform_for("debian", "12", "zed")


def read_back(*files: Path) -> dict[str, dict[str, str]]:
    """What an OpenStack service reads from FILES, later ones winning, `$` substituted."""
    names: dict[str, dict[str, Any]] = {}
    for file in files:
        cfg.ConfigParser(str(file), names).parse()
    conf = cfg.ConfigOpts()
    for section, options in names.items():
        conf.register_opts([cfg.StrOpt(option) for option in options], group=section)
    conf([], project="nova", default_config_files=[str(file) for file in files])
    return {
        section: {option: getattr(getattr(conf, section), option) for option in options}
        for section, options in names.items()
    }
