"""The files that a host gets, rendered from a checked ``Site``; the one place that shows secrets.

Templates are written as the files they become: every ``{{ value }}`` passes through ``option``,
which unwraps a secret and escapes it for oslo.config.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal
from weakref import WeakKeyDictionary

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pyinfra_nova.knowledge import releases
from pyinfra_nova.knowledge.platforms import Platform
from pyinfra_nova.nova_conf import migration_ssh
from pyinfra_nova.nova_conf.capacity_options import capacity_options
from pyinfra_nova.nova_conf.config_file import ConfigFile
from pyinfra_nova.nova_conf.console_proxy import proxy_files
from pyinfra_nova.nova_conf.consoles import NO_CONSOLES, Consoles, proxy_options
from pyinfra_nova.nova_conf.overriding import overridden, shared_out
from pyinfra_nova.nova_conf.tls_options import tls_options
from pyinfra_nova.nova_conf.urls import database_url, transport_url
from pyinfra_nova.nova_conf.values import option
from pyinfra_nova.site.endpoints import Endpoint, endpoints, own_address
from pyinfra_nova.site.settings import HostSettings, Site
from pyinfra_nova.site.value_types import Overrides

TEMPLATES = Path(__file__).resolve().parents[2] / "templates"

VirtType = Literal["kvm", "qemu"]

MKISOFS_CMD = "genisoimage"
"""Nova's own default (nova/conf/configdrive.py)."""


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


def _nova_values(
    site: Site,
    host: HostSettings,
    platform: Platform,
    virt_type: VirtType,
    consoles: Consoles,
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
        "endpoints": endpoints(settings, host),
        "server_listen": own_address(host, settings.vnc.server_listen),
        "server_proxyclient_address": own_address(host, settings.vnc.server_proxyclient_address),
        # The eventlet server reads how many processes it has, and for which APIs; others are told
        # in files of their own.
        "eventlet": platform.wsgi == "eventlet",
        "virt_type": virt_type,
        "cpu_mode": cpu_mode,
        "secrets": site.secrets,
        "tls": tls_options(site, platform),
        "consoles": consoles,
        "screens": proxy_options(site, host, consoles),
        "migration_uri": migration_ssh.URI.format(user=platform.user)
        if host.is_compute and migration_ssh.has_key(site, platform)
        else None,
    }
    if host.is_controller:
        values["api_database_url"] = database_url(site, settings.database.nova_api)
        values["database_url"] = database_url(site, settings.database.nova)
    return values


@dataclass(frozen=True)
class _Api:
    """One of Nova's APIs as a WSGI server runs it."""

    name: str
    app: str
    endpoint: Endpoint
    processes: int
    threads: int


def _apis(site: Site, host: HostSettings, platform: Platform) -> tuple[_Api, _Api]:
    workers, apps = site.settings.workers, platform.wsgi_apps
    found = endpoints(site.settings, host)
    if apps is None:
        raise ValueError(f"{platform.system} has no WSGI application")
    return (
        _Api(
            *("nova-api", apps.api, found["osapi_compute"]),
            *(workers.api_processes, workers.api_threads),
        ),
        _Api(
            *("nova-api-metadata", apps.metadata, found["metadata"]),
            *(workers.metadata_processes, workers.metadata_threads),
        ),
    )


def _api_files(site: Site, host: HostSettings, platform: Platform) -> list[ConfigFile]:
    """The files that tell a WSGI server of the two APIs, where there is one."""
    paths = platform.paths
    templates = {
        "uwsgi.ini.j2": (paths.api_uwsgi, paths.metadata_uwsgi),
        "nova-api-default.j2": (paths.api_default, paths.metadata_default),
        "apache-site.conf.j2": (paths.api_site, paths.metadata_site),
    }
    files = []
    tls = tls_options(site, platform)
    for template, names in templates.items():
        for path, number in zip(names, range(2), strict=True):
            if path:
                api = _apis(site, host, platform)[number]
                content = _render(template, api=api, platform=platform, paths=paths, tls=tls)
                files.append(ConfigFile(path, content, "root", "root", "0644"))
    return files


def _controller_files(
    site: Site, host: HostSettings, platform: Platform, consoles: Consoles
) -> list[ConfigFile]:
    files = _api_files(site, host, platform)
    if path := platform.paths.consoleproxy_default:
        content = _render("nova-consoleproxy.j2")
        files.append(ConfigFile(path, content, "root", "root", "0644", before_install=True))
    return files + proxy_files(site, host, platform, consoles)


GRACEFUL = "graceful_shutdown_timeout"
STOP_MARGIN = 15
"""Seconds that a process may take to end once its time to finish what it is at is over."""


def _stop_file(site: Site, host: HostSettings, platform: Platform) -> ConfigFile:
    """How long systemd waits for nova-compute to end.

    Debian's own unit gives it 15 s, less than its release takes for itself (oslo.service).
    """
    known = releases.load(site.settings.release).option("DEFAULT", GRACEFUL)
    own = host.nova_conf.get("DEFAULT", {}).get(GRACEFUL)
    text = str(own if own is not None else known and known.default)
    # What is no number the checker refuses, by the name of the option.
    graceful = int(text) if text.isdecimal() else 0
    # 0: without end (oslo_service/service.py).
    seconds = graceful + STOP_MARGIN if graceful else "infinity"
    content = _render("nova-compute-stop.conf.j2", graceful=graceful or "any", seconds=seconds)
    return ConfigFile(platform.paths.nova_compute_stop, content, "root", "root", "0644")


def _literal(site: Site, host: HostSettings) -> Overrides:
    """What HOST offers its guests, in its release's own spelling, with ``nova_conf`` over it."""
    options = capacity_options(host, site.settings.release)
    for section, overrides in host.nova_conf.items():
        options.setdefault(section, {}).update(overrides)
    return options


# What stands for a host's own values until they are filled in; no file can hold it by chance.
_MARKS = {key: f"{key}-{secrets.token_hex(16)}" for key in ("my_ip", "nova_host")}

_Models = dict[tuple[str, int, VirtType, Consoles], tuple[Platform, list[ConfigFile]]]
_MODELS: WeakKeyDictionary[Site, _Models] = WeakKeyDictionary()


def files_for(
    site: Site,
    host: HostSettings,
    platform: Platform,
    virt_type: VirtType,
    consoles: Consoles = NO_CONSOLES,
) -> list[ConfigFile]:
    """Every configuration file of HOST, rendered once for all hosts of its kind.

    VIRT_TYPE is what ``auto`` came out as; a virt_type that the settings name wins over it.
    CONSOLES is what has been found out about the site's guests.
    """
    if not (host.is_controller or host.is_compute):
        return []
    models = _MODELS.setdefault(site, {})
    key = (host.kind, id(platform), virt_type, consoles)
    if key not in models:
        own: Mapping[str, Any] = _MARKS
        model = _rendered(site, host.model_copy(update=own), platform, virt_type, consoles)
        models[key] = (platform, model)  # with the platform, lest its id be another one's
    return [replace(file, content=_filled_in(file.content, host)) for file in models[key][1]]


def _filled_in(content: str, host: HostSettings) -> str:
    for key, mark in _MARKS.items():
        content = content.replace(mark, str(getattr(host, key)))
    return content


def _rendered(
    site: Site,
    host: HostSettings,
    platform: Platform,
    virt_type: VirtType,
    consoles: Consoles,
) -> list[ConfigFile]:
    chosen: VirtType = virt_type if host.libvirt.virt_type == "auto" else host.libvirt.virt_type
    values: Mapping[str, object] = _nova_values(site, host, platform, chosen, consoles)
    compute_path = platform.paths.nova_compute_conf if host.is_compute else None
    compute = _render("nova-compute.conf.j2", **values) if compute_path else None
    for_nova, for_compute = shared_out(_literal(site, host), compute)

    release = site.settings.release
    nova = overridden(_render("nova.conf.j2", **values), for_nova, release)
    private = ("root", platform.group, "0640")
    files = [ConfigFile(platform.paths.nova_conf, nova, *private, oslo=True)]
    if compute_path and compute:
        text = overridden(compute, for_compute, release)
        files.append(ConfigFile(compute_path, text, *private, oslo=True))
    if host.is_compute:
        files.append(_stop_file(site, host, platform))
    if host.is_controller:
        files += _controller_files(site, host, platform, consoles)
    return files
