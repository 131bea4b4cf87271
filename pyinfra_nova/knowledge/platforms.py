"""Operating systems as data: ``platforms.yaml``, checked; releases are in ``releases``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict
from pyinfra.api.exceptions import PyinfraError

from pyinfra_nova.knowledge import releases

TABLE = Path(__file__).with_name("platforms.yaml")

NovaRole = Literal["controller", "compute"]

EndpointName = Literal["osapi_compute", "metadata", "novncproxy"]
"""What answers HTTP on a controller; where each listens is a setting (site/endpoints.py)."""


class UnsupportedPlatform(PyinfraError):  # noqa: N818 - named for what the host is
    """No row of platforms.yaml holds this operating system and release together."""

    def __init__(self, system: str, release: str, known: Iterable[str]) -> None:
        super().__init__(
            f"{system} with OpenStack {release} is not supported; possible are: " + "; ".join(known)
        )


class Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ByRole(Row):
    """Names that a host of each role needs."""

    controller: tuple[str, ...] = ()
    compute: tuple[str, ...] = ()

    def of(self, roles: Iterable[str]) -> tuple[str, ...]:
        """The names for a host with ROLES, each once."""
        wanted = set(roles)
        names = [
            *(self.controller if "controller" in wanted else ()),
            *(self.compute if "compute" in wanted else ()),
        ]
        return tuple(dict.fromkeys(names))


class Packages(ByRole):
    """What is installed on a host of each role."""


class PlatformUnit(Row):
    """A systemd unit.

    Attributes:
        name: without ``.service``; a socket with ``.socket``.
        role: on which hosts it runs.
        reads: the files that it reads at its start.
        serves: the endpoints that it answers.
        reload: it reads them again when it is reloaded.
        rereads: how it is told to read its certificate again where it runs, by SIGHUP or a reload;
            without it is restarted for a new one.
        broker: it listens at the broker as long as it runs.
        log: its log file; ``NAME.log`` in Nova's folder where it is not said.
    """

    name: str
    role: NovaRole
    reads: tuple[str, ...] = ()
    serves: tuple[EndpointName, ...] = ()
    reload: bool = False
    rereads: Literal["hup", "reload"] | None = None
    broker: bool = False
    log: str | None = None


class Repository(Row):
    """Where a release comes from that the system itself does not hold.

    Attributes:
        kind: the Ubuntu Cloud Archive or RDO.
        name: what it calls the release.
        ids: what the package manager calls it when it is enabled, and what else has to be; nothing
            where the system itself holds the release.
        newer: what later releases are called: with one of them enabled, too, the package manager
            takes its packages.
        package: the package that brings its definition and keys.
    """

    kind: Literal["cloud-archive", "rdo"]
    name: str
    ids: tuple[str, ...]
    newer: tuple[str, ...]
    package: str = "ubuntu-cloud-keyring"


class WsgiApps(Row):
    """What a WSGI server loads: a script, or for uwsgi a module and the name in it."""

    api: str
    metadata: str


class LibvirtDaemons(Row):
    """The hypervisor of a platform.

    Attributes:
        daemons: one libvirtd, or a daemon for each driver.
        version, qemu: what the system has.
        group: of the processes that guests are, and of nobody else.
    """

    daemons: Literal["monolithic", "modular"]
    version: str
    qemu: str
    group: str

    @property
    def service(self) -> str:
        """The unit of the daemon that runs guests; systemd refuses a job that names another."""
        return "libvirtd.service" if self.daemons == "monolithic" else "virtqemud.service"

    @property
    def remote(self) -> str:
        """The daemon that other hosts' libvirt speaks to; its units and its own name are this."""
        return "libvirtd" if self.daemons == "monolithic" else "virtproxyd"


class Minimum(Row):
    """The oldest libvirt and QEMU with which nova-compute of a release starts."""

    libvirt: str
    qemu: str


class Paths(Row):
    """Where things are on a host; None where the platform has no such file.

    Attributes:
        python: where the system's Python, whichever it is, finds Nova and what else packages bring.
        api_certificate, api_key: of what answers HTTP on a controller, where ``tls`` is on; the
            group of Nova has to be able to read the key.
    """

    nova_conf: str
    python: str
    nova_compute_conf: str | None = None
    nova_compute_stop: str
    api_uwsgi: str | None = None
    metadata_uwsgi: str | None = None
    api_default: str | None = None
    metadata_default: str | None = None
    api_site: str | None = None
    metadata_site: str | None = None
    api_certificate: str = "/etc/pyinfra-nova/tls/api.crt"
    api_key: str = "/etc/pyinfra-nova/tls/api.key"
    apache_log: str | None = None
    consoleproxy_default: str | None = None
    novncproxy_default: str | None = None
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
        os_version: ``VERSION_ID`` there, or its first part; "" where it has none.
        nova_version: as far as it is known, the major version at least.
        proven: whether a deploy has run on it; otherwise only its files have been read.
        source: where the row's values come from, and what could not be confirmed.
        packager: what installs packages.
        repository: None where there is but one release for the system, its own.
        rbd_packages: what QEMU opens volumes on Ceph with.
        backup_packages: what a backup is made with, by a timer on the first controller.
        wsgi: what serves the API: its own uwsgi units, the eventlet server nova-api, or Apache.
        wsgi_apps: None where no WSGI server is configured.
        mkisofs: the program that makes config drives.
        minimum: what the release's nova-compute asks of libvirt and QEMU.
        ports: what firewalld has to let in, as it names it; ``{metadata}`` is that endpoint's port.
        vnc_ports: what it has to let in for consoles.
        tls_ports: what it has to let in where libvirt and guests on the way speak TLS.
        booleans: what SELinux has to allow.
        migration: whether computes may move guests by SSH as the user of nova-compute: it has a
            shell and libvirt lets it in.
    """

    os: str
    os_version: str
    release: str
    nova_version: str
    proven: bool
    source: str
    packager: Literal["apt", "dnf"]
    repository: Repository | None
    packages: Packages
    rbd_packages: tuple[str, ...]
    backup_packages: tuple[str, ...]
    units: tuple[PlatformUnit, ...]
    user: str
    group: str
    wsgi: Literal["uwsgi", "eventlet", "apache"]
    wsgi_apps: WsgiApps | None
    mkisofs: str
    libvirt: LibvirtDaemons
    minimum: Minimum
    paths: Paths
    migrations: Migrations
    ports: ByRole = ByRole()
    vnc_ports: ByRole = ByRole()
    tls_ports: ByRole = ByRole()
    booleans: ByRole = ByRole()
    migration: bool = False

    @property
    def system(self) -> str:
        """The operating system as messages name it."""
        return f"{self.os} {self.os_version or 'sid'}"

    def packages_for(self, roles: Iterable[str]) -> tuple[str, ...]:
        """The packages of a host with ROLES, each once."""
        return self.packages.of(roles)

    def units_for(self, roles: Iterable[str]) -> tuple[PlatformUnit, ...]:
        """The units of a host with ROLES, in starting order."""
        wanted = set(roles)
        return tuple(unit for unit in self.units if unit.role in wanted)

    def unit_serving(self, endpoint: EndpointName) -> PlatformUnit:
        """The unit that answers at ENDPOINT.

        Raises:
            KeyError: none does.
        """
        for unit in self.units:
            if endpoint in unit.serves:
                return unit
        raise KeyError(endpoint)

    def log_of(self, unit: PlatformUnit) -> str:
        """Where UNIT logs."""
        return unit.log or f"{self.paths.log}/{unit.name}.log"

    def dropin_of(self, unit: PlatformUnit) -> str | None:
        """What systemd is told of UNIT beside its own file; None for nothing."""
        path = self.paths.nova_compute_stop
        return path if f"/{unit.name}.service.d/" in path else None


class Table(Row):
    platforms: tuple[Platform, ...]


# --- platforms.yaml -------------------------------------------------------------------------------

Data = Mapping[str, Any]
SHARED = ("like", "layout", "series", "version", "releases")
"""Keys that say how rows are put together, and are no part of one."""


def _over(lower: Data, upper: Data) -> dict[str, Any]:
    """UPPER laid over LOWER, mappings key by key."""
    merged = dict(lower)
    for key, value in upper.items():
        below = merged.get(key)
        both = isinstance(value, Mapping) and isinstance(below, Mapping)
        merged[key] = _over(below, value) if both and isinstance(below, Mapping) else value
    return merged


def _layout(layouts: Data, name: str) -> Data:
    layout: Data = layouts[name]
    return _over(_layout(layouts, layout["like"]), layout) if "like" in layout else layout


def _repository(data: Data | None, release: str, codenames: Data, series: str) -> Data | None:
    if data is None:
        return None

    def filled(text: str, codename: str) -> str:
        return text.format(codename=codename, series=series)

    order = tuple(releases.VERSIONS)
    later = [name for key, name in codenames.items() if order.index(key) > order.index(release)]
    name = codenames[release]
    package = {"package": filled(data["package"], name)} if "package" in data else {}
    own = [] if data.get("native") else [filled(data["id"], name)]
    return {
        "kind": data["kind"],
        "name": name,
        "ids": [*data.get("also", ()), *own],
        "newer": [filled(data["id"], codename) for codename in later],
        **package,
    }


def _rows(data: Data) -> Iterator[Data]:
    """Every row, put together from its layout, its system and what it says itself."""
    for system in data["systems"]:
        for os_id in system["os"]:
            for release, own in system["releases"].items():
                layout = _layout(data["layouts"], own.get("layout", system["layout"]))
                row = _over(_over(layout, system), own)
                series = row.get("series", "")
                found = _repository(row.get("repository"), release, data["codenames"], series)
                yield {
                    "nova_version": str(releases.VERSIONS[release]),
                    "proven": False,
                    "wsgi_apps": None,
                    **{key: value for key, value in row.items() if key not in SHARED},
                    "os": os_id,
                    "os_version": system["version"],
                    "release": release,
                    "repository": found,
                    "minimum": data["minimums"][release],
                }


@cache
def table() -> Table:
    """platforms.yaml."""
    data = yaml.safe_load(TABLE.read_text(encoding="utf-8"))
    return Table.model_validate({"platforms": list(_rows(data))})


def numbers(version: str) -> tuple[int, ...]:
    """VERSION, such as 10.0.0, in a form that compares."""
    return tuple(int(part) for part in version.split(".") if part.isdigit())


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
    raise UnsupportedPlatform(f"{os_id} {os_version}".strip(), release, pairs())


def pairs() -> tuple[str, ...]:
    """What there is, a system each: its name and all its releases."""
    found: dict[str, list[str]] = {}
    for row in table().platforms:
        found.setdefault(row.system, []).append(row.release)
    return tuple(f"{system} with {', '.join(names)}" for system, names in found.items())


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
