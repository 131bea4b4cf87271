"""The files that a host gets, rendered from a checked ``Site``; the one place that shows secrets.

Templates are written as the files they become: every ``{{ value }}`` passes through ``option``,
which unwraps a secret and escapes it for oslo.config.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal, NoReturn
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Undefined
from pydantic import SecretStr

from pyinfra_nova import migration
from pyinfra_nova.capacity_options import capacity_options
from pyinfra_nova.platforms import Platform, removed_option
from pyinfra_nova.releases import load
from pyinfra_nova.secrets import forbidden_character
from pyinfra_nova.settings import MY_IP, HostSettings, OptionValue, Overrides, Site

TEMPLATES = Path(__file__).resolve().parents[1] / "templates"

VirtType = Literal["kvm", "qemu"]

MKISOFS_CMD = "genisoimage"
"""Nova's own default (nova/conf/configdrive.py)."""


@dataclass(frozen=True)
class ConfigFile:
    """A file as it should be on a host; shown, printed or compared in a log it hides its content.

    Attributes:
        path: absolute.
        content: may hold secrets.
        owner, group: names.
        mode: octal digits, such as "0640".
        before_install: it has to be there before the package that reads it is installed.
        oslo: oslo.config reads it; of several such files the later ones win.
        hidden: all of it is a secret, so no diff of it is shown.
    """

    path: str
    content: str = field(repr=False)
    owner: str
    group: str
    mode: str
    before_install: bool = False
    oslo: bool = False
    hidden: bool = False

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("configuration files hold secrets and are not pickled")


@dataclass(frozen=True)
class CellUrls:
    """What a cell mapping holds: templates that Nova fills from its own nova.conf, no secret."""

    transport_url: str
    database_connection: str


# --- values ---------------------------------------------------------------------------------------


def option(value: object) -> str:
    r"""VALUE as oslo.config reads it back unchanged.

    oslo.config substitutes ``$name``, and reads ``\$`` and ``$$`` as a dollar sign, the former even
    after another backslash; it strips outer white space, then one pair of equal outer quotes
    (oslo_config/cfg.py ``_substitute``, iniparser.py ``_split_key_value``).

    Raises:
        ValueError: the text does not fit on one line, or not into a list.
    """
    if isinstance(value, Undefined):
        return str(value)  # StrictUndefined raises
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        items = [option(item) for item in value]
        # oslo.config has no way to write these (oslo_config/types.py, List).
        if any("," in item or item[:1] in "\"'" for item in items):
            raise ValueError("an item of a list is empty, quoted or holds a comma")
        return ",".join(items)
    text = str(value)
    if found := forbidden_character(text):
        raise ValueError(f"an option value contains {found}")
    text = text.replace("$", "\\$")
    quoted = text[:1] in ("'", '"') and text[0] == text[-1]
    return f'"{text}"' if quoted or text != text.strip() else text


def _quoted(value: str | SecretStr) -> str:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    return quote(text, safe="")


def database_url(site: Site, name: str) -> str:
    """SQLAlchemy's URL of database NAME, with Nova's user and password."""
    server = site.settings.database
    login = f"{_quoted(server.user)}:{_quoted(site.secrets.database_password)}"
    return f"mysql+pymysql://{login}@{server.host}:{server.port}/{name}"


def _virtual_host(site: Site) -> str:
    name = site.settings.messaging.virtual_host
    return "" if name == "/" else name


def transport_url(site: Site) -> str:
    """oslo.messaging's URL of the broker, all its nodes in it."""
    broker = site.settings.messaging
    login = f"{_quoted(broker.user)}:{_quoted(site.secrets.messaging_password)}"
    nodes = ",".join(f"{login}@{host}:{broker.port}" for host in broker.hosts)
    return f"rabbit://{nodes}/{_virtual_host(site)}"


def cell_urls(site: Site) -> dict[str, CellUrls]:
    """What the mappings of cell0 and cell1 have to hold.

    The templates are those of nova's admin guide (cells, "Template URLs"): with one broker node its
    parts are named ``{username}`` and so on, with several they are numbered.
    """
    database = "{scheme}://{username}:{password}@{hostname}:{port}/"
    brokers = site.settings.messaging.hosts
    numbers = [""] if len(brokers) == 1 else [str(n + 1) for n in range(len(brokers))]
    nodes = ",".join(
        f"{{username{n}}}:{{password{n}}}@{{hostname{n}}}:{{port{n}}}" for n in numbers
    )
    return {
        "cell0": CellUrls("none:///", database + site.settings.database.nova_cell0),
        "cell1": CellUrls(
            f"{{scheme}}://{nodes}/{_virtual_host(site)}", database + site.settings.database.nova
        ),
    }


# --- overrides ------------------------------------------------------------------------------------

_SECTION = re.compile(r"\[(.+)\]")
_OPTION = re.compile(r"(\w+) =")


def overridden(text: str, overrides: Overrides, release: str) -> str:
    """TEXT, a rendered file, with OVERRIDES put in: replaced, added, or removed where None.

    A list becomes one line with commas for an option that is a list in RELEASE, and several lines
    for one that is given several times, as ``pci/device_spec``.
    """
    sections = _split(text)
    for name, options in overrides.items():
        lines = sections.setdefault(name, [])
        for key, value in options.items():
            several = isinstance(value, list) and not _is_list(release, name, key)
            _set(lines, key, value, several=several)
    if set(sections) == {""}:
        return text
    return (
        "\n\n".join(
            "\n".join(([f"[{name}]"] if name else []) + lines)
            for name, lines in sections.items()
            if lines
        )
        + "\n"
    )


def _split(text: str) -> dict[str, list[str]]:
    """The lines of each section by its name; those before the first are under ""."""
    sections: dict[str, list[str]] = {"": []}
    lines = sections[""]
    for line in text.splitlines():
        if match := _SECTION.fullmatch(line):
            lines = sections.setdefault(match[1], [])
        elif line:
            lines.append(line)
    return sections


def option_values(text: str) -> dict[str, list[str]]:
    """The values of every ``section/option`` of a rendered file, as oslo.config's parser has them.

    Outer quotes are gone, ``$`` is still escaped (oslo_config/iniparser.py, cfg.ConfigParser).
    """
    values: dict[str, list[str]] = {}
    for section, lines in _split(text).items():
        for line in lines:
            if match := _OPTION.match(line):
                value = line[match.end() :].strip()
                if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
                    value = value[1:-1]
                values.setdefault(f"{section}/{match[1]}", []).append(value)
    return values


def _is_list(release: str, section: str, name: str) -> bool:
    table = load(release)
    found = table.option(section, name) or table.renamed(section, name)
    return found is not None and found.data["type"] == "list" and not found.multi


def _set(lines: list[str], key: str, value: OptionValue, *, several: bool) -> None:
    found = [i for i, line in enumerate(lines) if (m := _OPTION.match(line)) and m[1] == key]
    position = found[0] if found else len(lines)
    for index in reversed(found):
        del lines[index]
    values = value if several and isinstance(value, list) else [] if value is None else [value]
    lines[position:position] = [f"{key} = {option(item)}" for item in values]


# --- files ----------------------------------------------------------------------------------------


@cache
def environment() -> Environment:
    """Jinja2 as the templates expect it; an undefined name is an error."""
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        finalize=option,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - no HTML; `option` escapes for oslo.config
    )


def _render(template: str, **values: object) -> str:
    return environment().get_template(template).render(values)


def own_address(host: HostSettings, address: str) -> str:
    """ADDRESS, or where it stands for the host's own, that."""
    return str(host.my_ip) if address == MY_IP else address


def _nova_values(
    site: Site, host: HostSettings, platform: Platform, virt_type: VirtType
) -> dict[str, object]:
    settings = site.settings
    # Without a mode Nova asks for host-model, whose features software emulation may not have
    # (virt/libvirt/driver.py _get_guest_cpu_model_config).
    cpu_mode = host.libvirt.cpu_mode or ("none" if virt_type == "qemu" else None)
    values: dict[str, object] = {
        "site": settings,
        "host": host,
        "paths": platform.paths,
        "mkisofs_cmd": platform.mkisofs if platform.mkisofs != MKISOFS_CMD else None,
        "controller": host.is_controller,
        "compute": host.is_compute,
        "roles": " and ".join(r for r in ("controller", "compute") if r in host.roles),
        "transport_url": transport_url(site),
        "novncproxy_host": own_address(host, settings.vnc.novncproxy_host),
        "server_listen": own_address(host, settings.vnc.server_listen),
        "server_proxyclient_address": own_address(host, settings.vnc.server_proxyclient_address),
        # The eventlet server reads how many processes it has, and for which APIs; others are told
        # in files of their own.
        "eventlet": platform.wsgi == "eventlet"
        and removed_option("DEFAULT", "enabled_apis", settings.release) is None,
        "virt_type": virt_type,
        "cpu_mode": cpu_mode,
        "secrets": site.secrets,
        "migration_uri": migration.URI.format(user=platform.user)
        if migration.wanted(site, host, platform)
        else None,
    }
    if host.is_controller:
        values["api_database_url"] = database_url(site, settings.database.nova_api)
        values["database_url"] = database_url(site, settings.database.nova)
    return values


def _shared_out(overrides: Overrides, second: str | None) -> tuple[Overrides, Overrides]:
    """OVERRIDES for nova.conf, and those for SECOND: it wins over nova.conf with what it holds."""
    if second is None:
        return overrides, {}
    held = {
        (name, match[1])
        for name, lines in _split(second).items()
        for line in lines
        if (match := _OPTION.match(line))
    }
    first: Overrides = {}
    last: Overrides = {}
    for section, options in overrides.items():
        for key, value in options.items():
            target = last if (section, key) in held else first
            target.setdefault(section, {})[key] = value
    return first, last


@dataclass(frozen=True)
class _Api:
    """One of Nova's APIs as a WSGI server runs it."""

    name: str
    app: str
    port: int
    processes: int
    threads: int


def _apis(site: Site, platform: Platform) -> tuple[_Api, _Api]:
    workers, apps = site.settings.workers, platform.wsgi_apps
    if apps is None:
        raise ValueError(f"{platform.system} has no WSGI application")
    return (
        _Api("nova-api", apps.api, 8774, workers.api_processes, workers.api_threads),
        _Api(
            *("nova-api-metadata", apps.metadata, 8775),
            *(workers.metadata_processes, workers.metadata_threads),
        ),
    )


def _api_files(site: Site, platform: Platform) -> list[ConfigFile]:
    """The files that tell a WSGI server of the two APIs, where there is one."""
    paths = platform.paths
    templates = {
        "uwsgi.ini.j2": (paths.api_uwsgi, paths.metadata_uwsgi),
        "apache-site.conf.j2": (paths.api_site, paths.metadata_site),
    }
    files = []
    for template, names in templates.items():
        for path, number in zip(names, range(2), strict=True):
            if path:
                api = _apis(site, platform)[number]
                content = _render(template, api=api, platform=platform, paths=paths)
                files.append(ConfigFile(path, content, "root", "root", "0644"))
    return files


def _controller_files(site: Site, platform: Platform) -> list[ConfigFile]:
    files = _api_files(site, platform)
    if path := platform.paths.consoleproxy_default:
        content = _render("nova-consoleproxy.j2")
        files.append(ConfigFile(path, content, "root", "root", "0644", before_install=True))
    return files


def _literal(site: Site, host: HostSettings) -> Overrides:
    """What HOST offers its guests, in its release's own spelling, with ``nova_conf`` over it."""
    options = capacity_options(host, site.settings.release)
    for section, overrides in host.nova_conf.items():
        options.setdefault(section, {}).update(overrides)
    return options


def files_for(
    site: Site, host: HostSettings, platform: Platform, virt_type: VirtType
) -> list[ConfigFile]:
    """Every configuration file of HOST.

    VIRT_TYPE is what ``auto`` came out as; a virt_type that the settings name wins over it.
    """
    if not (host.is_controller or host.is_compute):
        return []
    chosen: VirtType = virt_type if host.libvirt.virt_type == "auto" else host.libvirt.virt_type
    values: Mapping[str, object] = _nova_values(site, host, platform, chosen)
    compute_path = platform.paths.nova_compute_conf if host.is_compute else None
    compute = _render("nova-compute.conf.j2", **values) if compute_path else None
    for_nova, for_compute = _shared_out(_literal(site, host), compute)

    release = site.settings.release
    nova = overridden(_render("nova.conf.j2", **values), for_nova, release)
    private = ("root", platform.group, "0640")
    files = [ConfigFile(platform.paths.nova_conf, nova, *private, oslo=True)]
    if compute_path and compute:
        text = overridden(compute, for_compute, release)
        files.append(ConfigFile(compute_path, text, *private, oslo=True))
    if host.is_controller:
        files += _controller_files(site, platform)
    return files


def migration_files(
    site: Site,
    host: HostSettings,
    platform: Platform,
    host_keys: Mapping[str, Sequence[str]],
) -> list[ConfigFile]:
    """What HOST needs to send guests to other computes and to take theirs.

    HOST_KEYS are those of the computes of this run; what is known of others is left alone.
    """
    secret = site.secrets.migration_secret
    if secret is None or not migration.wanted(site, host, platform):
        return []
    private, public = migration.key_pair(secret.get_secret_value())
    user, group, root = platform.user, platform.group, ("root", "root", "0644")
    files = [
        ConfigFile(migration.KEY, private, user, group, "0600", hidden=True),
        ConfigFile(
            f"{platform.paths.state}/.ssh/authorized_keys",
            migration.authorized_keys(site, public),
            *("root", group, "0640"),
        ),
        ConfigFile(migration.SSH_CONFIG, migration.ssh_config(site, user), *root),
    ]
    for other in site.computes:
        if keys := host_keys.get(other.name):
            path = migration.KNOWN_HOSTS + other.nova_host
            files.append(ConfigFile(path, migration.known_hosts(other, keys), *root))
    return files
