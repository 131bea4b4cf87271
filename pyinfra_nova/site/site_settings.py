"""The settings that hold for the whole site: what follows from others, and what does not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from pyinfra_nova.knowledge import releases
from pyinfra_nova.knowledge.platforms import known_releases
from pyinfra_nova.site.faults import Fault, faults_of
from pyinfra_nova.site.layered_data import Data, Layers
from pyinfra_nova.site.settings import Apis, Settings, Vnc
from pyinfra_nova.site.sources import ALL_FILE, HOST_KEYS, Sources
from pyinfra_nova.site.value_types import shown

AMQPS = 5671
"""The port that IANA gives to AMQP over TLS."""
DERIVED = ""
"""In place of a file: the value follows from another one, where a fault of it is reported."""

URLS: Mapping[str, Sequence[str]] = {
    "keystone": ("auth_url", "www_authenticate_uri"),
    "endpoints": ("public", "internal", "admin"),
    "placement": ("auth_url",),
    "neutron": ("auth_url",),
    "glance": ("api_servers",),
    "vnc": ("novncproxy_base_url",),
}
"""Settings that are URLs, or lists of them, by section."""


def site_settings(sources: Sources) -> Settings | None:
    """The site's settings, or None with at least one fault."""
    controller = sources.names("controllers", "controller")[0]
    database = sources.names("database", controller)[0]
    brokers = sources.names("messaging", controller)
    given, layers = Layers(), Layers()
    for file, data in sources.site_layers():
        given.add(file, _without_host_keys(data))
    layers.add(sources.file, {"controller_host": controller})
    layers.add(DERIVED, _defaults(sources, given.merged, controller, database, brokers))
    for file, data in sources.site_layers():
        layers.add(file, _without_host_keys(data))
    if sources.release not in known_releases():
        sources.faults.append(
            Fault(
                layers.origin(["release"], ALL_FILE),
                "release",
                f"{shown(sources.release)} is not a release known here",
                f"known are {', '.join(known_releases())}",
            )
        )
    try:
        settings = Settings.model_validate(layers.merged)
    except ValidationError as error:
        found = list(faults_of(error, Settings, layers, ALL_FILE, sources.release))
        sources.faults += [f for f in found if f.file != DERIVED] or found
        return None
    _check_site(sources, settings, layers)
    return settings


def _defaults(
    sources: Sources, data: Data, controller: str, database: str, brokers: Sequence[str]
) -> dict[str, Any]:
    """What follows from other settings, as the lowest layer of ``group_data/all.py``."""
    host = data.get("controller_host", controller)
    region = data.get("region", "RegionOne")

    def given(section: str, key: str, otherwise: Any) -> Any:
        found = data.get(section)
        return found.get(key, otherwise) if isinstance(found, Mapping) else otherwise

    scheme = "https" if sources.is_encrypted else "http"
    auth_url = given("keystone", "auth_url", f"{scheme}://{host}:5000/v3")
    key = "osapi_compute_listen_port"
    compute_port = given("apis", key, Apis.model_fields[key].default)
    proxy_port = given("vnc", "novncproxy_port", Vnc.model_fields["novncproxy_port"].default)
    compute_url = f"{scheme}://{host}:{compute_port}/v2.1"
    return {
        "database": {"host": host if database == controller else database},
        "messaging": {
            "hosts": [host if broker == controller else broker for broker in brokers],
            **({"port": AMQPS} if sources.is_encrypted else {}),
        },
        "memcached_servers": [f"{host}:11211"],
        "keystone": {"auth_url": auth_url, "www_authenticate_uri": auth_url},
        "endpoints": {"public": compute_url, "internal": compute_url, "admin": compute_url},
        "placement": {"auth_url": auth_url, "region_name": region},
        "neutron": {"auth_url": auth_url, "region_name": region},
        "glance": {"region_name": region},
        "cinder": {"os_region_name": region},
        "vnc": {"novncproxy_base_url": f"{scheme}://{host}:{proxy_port}/vnc_auto.html"},
    }


def _without_host_keys(data: Data) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key not in HOST_KEYS}


def _check_site(sources: Sources, settings: Settings, layers: Layers) -> None:
    _check_catalog_info(sources, settings, layers)
    _check_numbers(sources, settings, layers)
    _check_schemes(sources, settings, layers)
    database = settings.database
    names = [database.nova_api, database.nova, database.nova_cell0]
    if len(set(names)) < len(names):
        file = layers.origin(["database"], ALL_FILE)
        problem = f"nova_api, nova and nova_cell0 are not three names: {', '.join(names)}"
        sources.faults.append(Fault(file, "database", problem))
    for group in ("database", "messaging"):
        key = f"manage_{group}"
        # Without controllers both are empty for that reason.
        if (
            getattr(settings, key)
            and sources.groups.get("controllers")
            and not sources.groups[group]
        ):
            remedy = f"name a host, or set {key} = False in {ALL_FILE}"
            sources.faults.append(Fault(sources.file, group, "is an empty group", remedy))


def _check_catalog_info(sources: Sources, settings: Settings, layers: Layers) -> None:
    found = settings.cinder.catalog_info or ""
    # nova/conf/cinder.py takes a hyphen since Nova 28.
    if "-" in found and releases.VERSIONS[settings.release] < 28:
        problem = f"{found!r} has a hyphen, which Nova of {settings.release} does not take"
        file = layers.origin(["cinder", "catalog_info"], ALL_FILE)
        remedy = "take volumev3, and have Cinder in the catalogue under that type"
        sources.faults.append(Fault(file, "cinder.catalog_info", problem, remedy))


def _check_schemes(sources: Sources, settings: Settings, layers: Layers) -> None:
    """Refuse what an operator has named in plain text where everything is to be encrypted."""
    if not settings.tls.is_on:
        return
    for section, keys in URLS.items():
        for key in keys:
            file = layers.origin([section, key], DERIVED)
            value = getattr(getattr(settings, section), key)
            urls = [value] if isinstance(value, str) else value
            plain = [url for url in urls if urlsplit(url).scheme != "https"]
            if plain and file != DERIVED:
                problem = f"{shown(plain[0])} is not encrypted, and tls.mode is {settings.tls.mode}"
                remedy = "give the https URL, or leave it out where it is the default's"
                sources.faults.append(Fault(file, f"{section}.{key}", problem, remedy))


def _check_numbers(sources: Sources, settings: Settings, layers: Layers) -> None:
    apis, vnc = settings.apis, settings.vnc
    ports = [apis.osapi_compute_listen_port, apis.metadata_listen_port]
    key = ["vnc", "novncproxy_port"]
    if ports[0] == ports[1] or not layers.origin(key, ""):
        key = ["apis"]
    ports += [vnc.novncproxy_port] if vnc.enabled else []
    if len(set(ports)) < len(ports):
        problem = f"the APIs and the console proxy need a port each, not {ports}"
        sources.faults.append(Fault(layers.origin(key, ALL_FILE), ".".join(key), problem))
    # Nova replaces one that is not larger (nova/service.py); twice, as a report may be late.
    if settings.service_down_time < 2 * settings.report_interval:
        origins = (layers.origin([key], "") for key in ("service_down_time", "report_interval"))
        file = next(filter(None, origins), ALL_FILE)
        problem = f"is less than twice report_interval, which is {settings.report_interval}"
        sources.faults.append(Fault(file, "service_down_time", problem))
