"""Operating systems as data: ``platforms.yaml``, checked; releases are in ``releases``."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict

from pyinfra_nova import releases
from pyinfra_nova.errors import UnsupportedPlatform

TABLE = Path(__file__).with_name("platforms.yaml")

NovaRole = Literal["controller", "compute"]


class Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Packages(Row):
    """What is installed on a host of each role."""

    controller: tuple[str, ...]
    compute: tuple[str, ...]


class PlatformUnit(Row):
    """A systemd unit.

    Attributes:
        name: without ``.service``.
        role: on which hosts it runs.
        reads: the files that it reads at its start.
        port: the TCP port it serves, or None.
    """

    name: str
    role: NovaRole
    reads: tuple[str, ...] = ()
    port: int | None = None


class Paths(Row):
    """Where things are on a host; None where the platform has no such file."""

    nova_conf: str
    nova_compute_conf: str | None = None
    api_uwsgi: str | None = None
    metadata_uwsgi: str | None = None
    consoleproxy_default: str | None = None
    state: str
    log: str
    lock: str


class Migrations(Row):
    """The directories of Alembic versions; their newest is what a schema has to be at."""

    api: str
    main: str


class Platform(Row):
    """One operating system with one OpenStack release.

    Attributes:
        os: ``ID`` of /etc/os-release.
        os_version: ``VERSION_ID`` there, or its first part.
        proven: whether a deploy has run on it; otherwise only its files have been read.
        source: where the row's values come from.
        wsgi: what serves the API: its own uwsgi units, or the eventlet server nova-api.
        mkisofs: the program that makes config drives.
    """

    os: str
    os_version: str
    release: str
    nova_version: str
    proven: bool
    source: str
    packages: Packages
    units: tuple[PlatformUnit, ...]
    user: str
    group: str
    wsgi: Literal["uwsgi", "eventlet"]
    mkisofs: str
    paths: Paths
    migrations: Migrations

    def packages_for(self, roles: Iterable[str]) -> tuple[str, ...]:
        """The packages of a host with ROLES, each once."""
        wanted = set(roles)
        names = [
            *(self.packages.controller if "controller" in wanted else ()),
            *(self.packages.compute if "compute" in wanted else ()),
        ]
        return tuple(dict.fromkeys(names))

    def units_for(self, roles: Iterable[str]) -> tuple[PlatformUnit, ...]:
        """The units of a host with ROLES, in starting order."""
        wanted = set(roles)
        return tuple(unit for unit in self.units if unit.role in wanted)


class Table(Row):
    platforms: tuple[Platform, ...]


@cache
def table() -> Table:
    """platforms.yaml."""
    return Table.model_validate(yaml.safe_load(TABLE.read_text(encoding="utf-8")))


def known_releases() -> tuple[str, ...]:
    """The releases whose options are known, oldest first."""
    return tuple(releases.VERSIONS)


def platform_for(os_id: str, os_version: str, release: str) -> Platform:
    """The row for an operating system (``ID``, ``VERSION_ID`` of os-release) and a release.

    Raises:
        UnsupportedPlatform: there is none; the message lists the pairs there are.
    """
    for row in table().platforms:
        same_version = os_version == row.os_version or os_version.startswith(f"{row.os_version}.")
        if row.os == os_id and same_version and row.release == release:
            return row
    known = (f"{row.os} {row.os_version} with {row.release}" for row in table().platforms)
    raise UnsupportedPlatform(f"{os_id} {os_version}", release, known)


def platforms_of(release: str) -> tuple[Platform, ...]:
    """The rows for RELEASE."""
    return tuple(row for row in table().platforms if row.release == release)


def removed_option(section: str, option: str, release: str) -> str | None:
    """Why SECTION/OPTION is not to be written for RELEASE, or None if nothing is known."""
    row = releases.removed(section, option, release) if release in releases.VERSIONS else None
    if row is None:
        return None
    if row.reason or not row.instead:
        return row.reason or row.problem
    return f"it is {row.instead} now"


def deprecated_option(section: str, option: str, release: str) -> str | None:
    """Why SECTION/OPTION, which RELEASE still reads, is better left out, or None."""
    if release not in releases.VERSIONS:
        return None
    table = releases.load(release)
    if found := table.option(section, option):
        return found.deprecated
    now = table.renamed(section, option)
    return f"it is {now.section}/{now.name} now" if now else None
