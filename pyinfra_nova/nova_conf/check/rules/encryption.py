"""What goes in plain text where other things do not, and what is encrypted but not verified."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

from pyinfra_nova.knowledge.releases import normal
from pyinfra_nova.nova_conf.check.config import Config, Finding, Found, at, missing
from pyinfra_nova.nova_conf.check.values import TRUE
from pyinfra_nova.nova_conf.ini import Setting
from pyinfra_nova.nova_conf.plugin_name import PLUGIN

BROKER = "oslo_messaging_rabbit"
NAME = "ssl_enforce_hostname_verification"
_URLS = ("auth_url", "api_servers", "endpoint_override")
"""Where Nova itself asks; in any section."""
_TOLD = ("www_authenticate_uri", "novncproxy_base_url", "html5proxy_base_url", "base_url")
"""What it tells others, who may meet a proxy with TLS of its own there."""
_DATABASES = tuple(
    (section, name)
    for section in ("database", "api_database")
    for name in ("connection", "slave_connection")
)
_WEAK = ("sslv2", "sslv3", "tlsv1", "tlsv1_1")
_HIDDEN = "whoever is on the way reads it, passwords included, and can change it"


def _url_settings(config: Config, names: tuple[str, ...]) -> Iterator[tuple[Setting, list[str]]]:
    """The options of NAMES that are read, and the schemes of the URLs in each."""
    for setting in config.settings():
        if setting.name not in names:
            continue
        option = config.table.option(setting.section, setting.name) or config.table.renamed(
            setting.section, setting.name
        )
        if option and config.setting(option.section, option.name) is setting:
            text = config.expanded(option.section, setting.value).text or ""
            yield setting, [url.strip().partition("://")[0].lower() for url in text.split(",")]


def _query(config: Config, section: str, name: str) -> dict[str, list[str]]:
    """What follows the ``?`` in the URL that an option is."""
    try:
        return parse_qs(urlsplit(config.value(section, name) or "").query)
    except ValueError:
        return {}


def _is_broker_encrypted(config: Config) -> bool:
    said = _query(config, "DEFAULT", "transport_url").get("ssl", [""])[-1]
    return config.true(BROKER, "ssl") or said.lower() in TRUE


def _is_database_encrypted(config: Config, section: str, name: str) -> bool:
    return any(key.startswith("ssl") for key in _query(config, section, name))


def _schemes(config: Config) -> list[str]:
    """How screens are asked, in the order of preference."""
    text = config.value("vnc", "auth_schemes") or ""
    return [item.strip().lower() for item in text.split(",")]


def is_encrypted_somewhere(config: Config) -> bool:
    """Whether anything that Nova asks or serves is encrypted."""
    return (
        any("https" in schemes for _, schemes in _url_settings(config, _URLS))
        or _is_broker_encrypted(config)
        or any(_is_database_encrypted(config, *place) for place in _DATABASES)
        or config.true("DEFAULT", "ssl_only")
        or "vencrypt" in _schemes(config)
        or config.true("libvirt", "live_migration_with_native_tls")
    )


def plain_text(config: Config) -> Found:
    """What is left in plain text where something else is not."""
    if not is_encrypted_somewhere(config):
        return
    for setting, schemes in _url_settings(config, (*_URLS, *_TOLD)):
        if "http" in schemes:
            text = f"http, while other things are encrypted: {_HIDDEN}"
            yield _plain(setting, text, "give the https URL")
    url = config.setting("DEFAULT", "transport_url")
    if url and not _is_broker_encrypted(config):
        text = f"the broker is asked in plain text, while other things are encrypted: {_HIDDEN}"
        remedy = f"[{BROKER}] ssl = true, ssl_ca_file = the authority's certificate, and port 5671"
        yield _plain(url, text, remedy)
    for place in _DATABASES:
        connection, value = config.setting(*place), config.value(*place) or ""
        over_network = "@" in value and "unix_socket=" not in value
        if connection and over_network and not _is_database_encrypted(config, *place):
            text = "the database is asked in plain text, while other things are encrypted"
            remedy = "end the URL with ?ssl_ca=FILE, the authority's certificate"
            yield _plain(connection, text, remedy)
    yield from _plain_tokens(config)
    yield from _plain_screens(config)


def _plain(setting: Setting, problem: str, remedy: str) -> Finding:
    return at(setting, "insecure", "warning", problem, remedy, "OpenStack security guide, TLS")


def _plain_tokens(config: Config) -> Found:
    section = "keystone_authtoken"
    setting = config.setting(section, "memcached_servers")
    strategy = (config.value(section, "memcache_security_strategy") or "").upper()
    if setting and not config.true(section, "memcache_tls_enabled") and strategy != "ENCRYPT":
        has_tls = config.table.option(section, "memcache_tls_enabled") is not None
        remedy = (
            "memcache_tls_enabled = true and memcache_tls_cafile"
            if has_tls
            else "memcache_security_strategy = ENCRYPT and a random memcache_secret_key"
        )
        text = "what tokens say goes to memcached in plain text, while other things are encrypted"
        yield _plain(setting, text, remedy)


def _plain_screens(config: Config) -> Found:
    if not (config.controller and config.true("vnc", "enabled")):
        return
    source = "Nova's admin guide, VNC proxy security"
    setting, schemes = config.setting("vnc", "auth_schemes"), _schemes(config)
    if "vencrypt" not in schemes:
        text = (
            "guests' screens go to the proxy in plain text, with what is typed, while other things "
            "are encrypted"
        )
        remedy = (
            "auth_schemes = vencrypt, vencrypt_ca_certs, vencrypt_client_cert and "
            "vencrypt_client_key; vnc_tls = 1 in the computes' qemu.conf"
        )
        if setting:
            yield at(setting, "insecure", "warning", text, remedy, source)
        else:
            name = "vnc/auth_schemes"
            yield missing(config, name, text, remedy, source, kind="insecure", level="warning")
    elif setting and "none" in schemes:
        text = "a screen that asks for no encryption is taken too, and so is whoever poses as one"
        remedy = "auth_schemes = vencrypt, once no guest is left that was started before"
        yield at(setting, "insecure", "note", text, remedy, source)


# --- encrypted, but with anybody ------------------------------------------------------------------


def unverified_peers(config: Config) -> Found:
    """Where whoever is in between can pose as the broker or the database."""
    yield from _unverified_broker(config)
    for place in _DATABASES:
        query, setting = _query(config, *place), config.setting(*place)
        if not (setting and (config.value(*place) or "").startswith("mysql")):
            continue
        off = {
            key
            for key in ("ssl_check_hostname", "ssl_verify_cert", "ssl_verify_identity")
            if query.get(key, ["true"])[-1].lower() not in TRUE
        }
        is_asked = any(key.startswith("ssl") for key in query)
        if is_asked and (off or not {"ssl_ca", "ssl_capath"} & set(query)):
            text = "encrypted, but whoever is in between can pose as the database"
            remedy = "name ssl_ca in the URL, and nothing that takes the verification back"
            yield at(setting, "insecure", "warning", text, remedy, "pymysql/connections.py")
        elif is_asked and PLUGIN not in query.get("plugin", ()):
            yield from _downgraded(setting, config.value(*place) or "")
    yield from _system_authorities(config)


def _downgraded(setting: Setting, url: str) -> Found:
    if url.startswith("mysql+pymysql:"):
        text = (
            "PyMySQL before 1.2 tells the password in plain text to whoever answers that he has no "
            "TLS, whatever ssl_ca is"
        )
        remedy = f"plugin={PLUGIN} with the files of this project's `tls`, or a newer PyMySQL"
        yield at(setting, "insecure", "note", text, remedy, "pymysql/connections.py")


def _unverified_broker(config: Config) -> Found:
    if not _is_broker_encrypted(config):
        return
    source = "oslo_messaging/_drivers/impl_rabbit.py _fetch_ssl_params"
    if not config.has(BROKER, "ssl_ca_file"):
        text = "encrypted, but whoever is in between can pose as the broker"
        name, remedy = f"{BROKER}/ssl_ca_file", "ssl_ca_file = the authority's certificate"
        yield missing(config, name, text, remedy, source, kind="insecure", level="warning")
    elif not config.true(BROKER, NAME):
        text = (
            "any certificate of the authority passes for the broker's, whatever name is in it "
            "(CVE-2026-44393)"
        )
        remedy = f"{NAME} = true, and a package that has the fix"
        if setting := config.setting(BROKER, NAME):
            yield at(setting, "insecure", "warning", text, remedy, source)
        else:
            name = f"{BROKER}/{NAME}"
            yield missing(config, name, text, remedy, source, kind="insecure", level="warning")


def _system_authorities(config: Config) -> Found:
    for setting, schemes in _url_settings(config, ("auth_url",)):
        section = normal(setting.section)
        # `insecure` is said already.
        is_said = config.has(section, "cafile") or config.true(section, "insecure")
        if "https" in schemes and not is_said:
            text = "verified with the authorities that the host's system trusts"
            remedy = "cafile = the authority's certificate, where it is the site's own"
            yield at(setting, "missing", "note", text, remedy, "keystoneauth1")


# --- versions and migrations ----------------------------------------------------------------------


def weak_versions(config: Config) -> Found:
    """Versions of TLS that are broken (RFC 8996)."""
    places = (
        (BROKER, "ssl_version", "leave it out: the newest that both know is taken"),
        ("console", "ssl_minimum_version", "ssl_minimum_version = tlsv1_2"),
    )
    for section, name, remedy in places:
        setting = config.setting(section, name)
        value = (config.value(section, name) or "").lower()
        if setting and value in _WEAK:
            text = f"{value} is broken, and newer OpenSSL refuses it"
            yield at(setting, "insecure", "warning", text, remedy, "RFC 8996")


def migrations(config: Config) -> Found:
    """One half of native TLS without the other."""
    if not config.compute:
        return
    source = "Nova's admin guide, secure live migration with QEMU-native TLS"
    native = config.setting("libvirt", "live_migration_with_native_tls")
    scheme = config.setting("libvirt", "live_migration_scheme")
    uri = config.value("libvirt", "live_migration_uri") or ""
    is_native = config.true("libvirt", "live_migration_with_native_tls")
    is_scheme = (config.value("libvirt", "live_migration_scheme") or "").lower() == "tls"
    if native and is_native and not is_scheme and not uri.startswith("qemu+"):
        text = (
            "without live_migration_scheme = tls the other host's libvirt is asked over plain TCP, "
            "which says nothing of it"
        )
        yield at(native, "insecure", "warning", text, "live_migration_scheme = tls", source)
    if scheme and is_scheme and not is_native:
        text = "only libvirt's commands are encrypted: guests' memory goes in plain text"
        remedy = "live_migration_with_native_tls = true"
        yield at(scheme, "insecure", "warning", text, remedy, source)
