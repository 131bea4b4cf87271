"""What goes in plain text where other things do not, and what is encrypted but not verified."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

from pyinfra_nova.knowledge.releases import normal
from pyinfra_nova.nova_conf.check.config import Config, Finding, Found, at, missing
from pyinfra_nova.nova_conf.check.values import TRUE
from pyinfra_nova.nova_conf.ini import Setting
from pyinfra_nova.nova_conf.plugin_name import PLUGIN

BROKER = "oslo_messaging_rabbit"
NAME = "ssl_enforce_hostname_verification"
_BROKERS = (("DEFAULT", "transport_url"), ("oslo_messaging_notifications", "transport_url"))
_URLS = ("auth_url", "api_servers", "endpoint_override")
"""Where Nova itself asks; in any section."""
_KEYS = ("auth_endpoint", "barbican_endpoint", "vault_url")
"""Where castellan does, for the keys of encrypted volumes."""
_TOLD = ("www_authenticate_uri", "novncproxy_base_url", "html5proxy_base_url", "base_url")
"""What it tells others, who may meet a proxy with TLS of its own there."""
_DATABASES = tuple(
    (section, name)
    for section in ("database", "api_database")
    for name in ("connection", "slave_connection")
)
_WEAK = ("sslv2", "sslv3", "tlsv1", "tlsv1_1")
_WEAK_CIPHERS = {
    *("NULL", "aNULL", "eNULL", "ADH", "AECDH", "COMPLEMENTOFALL", "COMPLEMENTOFDEFAULT"),
    *("EXP", "EXPORT", "EXPORT40", "EXPORT56", "LOW", "DES", "3DES", "RC2", "RC4", "MD5"),
}
"""openssl-ciphers(1): what encrypts nothing, what verifies nobody, and what is broken."""
MEANWHILE = "while other things are encrypted"
"""What is said of all that is left in plain text."""
_SCREENS = "Nova's admin guide, VNC proxy security"
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


def _database_query(config: Config, section: str, name: str) -> dict[str, list[str]]:
    """The same of a database, with what oslo.db appends (engines.py, _extend_url_parameters)."""
    more = parse_qs(config.value(section, "connection_parameters") or "")
    found = _query(config, section, name)
    return {key: [*found.get(key, ()), *more.get(key, ())] for key in (*found, *more)}


def _of_broker(config: Config, place: tuple[str, str], name: str) -> str:
    """The option NAME of the broker at PLACE.

    What its URL says wins over the section (oslo_messaging/_drivers/common.py, ConfigOptsProxy).
    """
    said = _query(config, *place).get(name)
    return said[-1] if said else config.value(BROKER, name) or ""


def _is_broker_encrypted(config: Config, place: tuple[str, str]) -> bool:
    return _of_broker(config, place, "ssl").lower() in TRUE


def _brokers(config: Config) -> Iterator[tuple[tuple[str, str], Setting]]:
    """Where brokers are named, and by what."""
    for place in _BROKERS:
        if setting := config.setting(*place):
            yield place, setting


def _is_database_encrypted(config: Config, section: str, name: str) -> bool:
    return any(key.startswith("ssl") for key in _database_query(config, section, name))


def _schemes(config: Config) -> list[str]:
    """How screens are asked, in the order of preference."""
    text = config.value("vnc", "auth_schemes") or ""
    return [item.strip().lower() for item in text.split(",")]


def is_encrypted_somewhere(config: Config) -> bool:
    """Whether anything that Nova asks or serves is encrypted."""
    return (
        any("https" in schemes for _, schemes in _url_settings(config, (*_URLS, *_KEYS)))
        or config.true(BROKER, "ssl")
        or any(_is_broker_encrypted(config, place) for place in _BROKERS)
        or any(_is_database_encrypted(config, *place) for place in _DATABASES)
        or config.true("DEFAULT", "ssl_only")
        or "vencrypt" in _schemes(config)
        or config.true("libvirt", "live_migration_with_native_tls")
        or (config.value("libvirt", "live_migration_scheme") or "").lower() == "tls"
    )


def plain_text(config: Config) -> Found:
    """What is left in plain text where something else is not."""
    if is_encrypted_somewhere(config):
        for rule in (_plain_peers, _plain_tokens, _plain_screens, _plain_migrations):
            yield from (replace(finding, in_plain_text=True) for finding in rule(config))
        yield from _screens_of_either_kind(config)


def _plain_peers(config: Config) -> Found:
    for setting, schemes in _url_settings(config, (*_URLS, *_KEYS, *_TOLD)):
        if "http" in schemes:
            text = f"http, {MEANWHILE}: {_HIDDEN}"
            yield _plain(setting, text, "give the https URL")
    for broker, url in _brokers(config):
        if _is_broker_encrypted(config, broker):
            continue
        text = f"the broker is asked in plain text, {MEANWHILE}: {_HIDDEN}"
        remedy = f"[{BROKER}] ssl = true, ssl_ca_file = the authority's certificate, and port 5671"
        if config.true(BROKER, "ssl"):
            text = f"the ssl in the URL wins over [{BROKER}] ssl = true, and {text}"
            remedy = "take ssl out of the URL"
        yield _plain(url, text, remedy)
    for place in _DATABASES:
        connection, value = config.setting(*place), config.value(*place) or ""
        over_network = "@" in value and "unix_socket=" not in value
        if connection and over_network and not _is_database_encrypted(config, *place):
            text = f"the database is asked in plain text, {MEANWHILE}"
            remedy = "end the URL with ?ssl_ca=FILE, the authority's certificate"
            yield _plain(connection, text, remedy)


def _plain_migrations(config: Config) -> Found:
    uri = config.setting("libvirt", "live_migration_uri")
    scheme, _, _ = (config.value("libvirt", "live_migration_uri") or "").lower().partition("://")
    if not (config.compute and uri and scheme.endswith("+tcp")):
        return
    text = f"the other host's libvirt is asked over plain TCP, {MEANWHILE}"
    if (config.value("libvirt", "live_migration_scheme") or "").lower() == "tls":
        text = f"wins over live_migration_scheme = tls, and {text}"
    remedy = "leave it out, and give live_migration_scheme = tls"
    yield at(uri, "insecure", "warning", text, remedy, "nova/conf/libvirt.py live_migration_scheme")


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
        text = f"what tokens say goes to memcached in plain text, {MEANWHILE}"
        yield _plain(setting, text, remedy)


def _plain_screens(config: Config) -> Found:
    if not (config.controller and config.true("vnc", "enabled")):
        return
    setting = config.setting("vnc", "auth_schemes")
    if "vencrypt" not in _schemes(config):
        text = f"guests' screens go to the proxy in plain text, with what is typed, {MEANWHILE}"
        remedy = (
            "auth_schemes = vencrypt, vencrypt_ca_certs, vencrypt_client_cert and "
            "vencrypt_client_key; vnc_tls = 1 in the computes' qemu.conf"
        )
        if setting:
            yield at(setting, "insecure", "warning", text, remedy, _SCREENS)
        else:
            name = "vnc/auth_schemes"
            yield missing(config, name, text, remedy, _SCREENS, kind="insecure", level="warning")


def _screens_of_either_kind(config: Config) -> Found:
    setting = config.setting("vnc", "auth_schemes")
    is_asked = config.controller and config.true("vnc", "enabled")
    if is_asked and setting and {"vencrypt", "none"} <= set(_schemes(config)):
        text = "a screen that asks for no encryption is taken too, and so is whoever poses as one"
        remedy = "auth_schemes = vencrypt, once no guest is left that was started before"
        yield at(setting, "insecure", "note", text, remedy, _SCREENS)


# --- encrypted, but with anybody ------------------------------------------------------------------


def unverified_peers(config: Config) -> Found:
    """Where whoever is in between can pose as the broker or the database."""
    yield from _unverified_broker(config)
    for place in _DATABASES:
        query, setting = _database_query(config, *place), config.setting(*place)
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
    """One of them is enough: what is missing goes for all."""
    places = [place for place, _ in _brokers(config)] or [_BROKERS[0]]
    encrypted = [place for place in places if _is_broker_encrypted(config, place)]
    if not encrypted:
        return
    source = "oslo_messaging/_drivers/impl_rabbit.py _fetch_ssl_params"
    if not all(_of_broker(config, place, "ssl_ca_file") for place in encrypted):
        text = "encrypted, but whoever is in between can pose as the broker"
        name, remedy = f"{BROKER}/ssl_ca_file", "ssl_ca_file = the authority's certificate"
        yield missing(config, name, text, remedy, source, kind="insecure", level="warning")
    elif any(_of_broker(config, place, NAME).lower() not in TRUE for place in encrypted):
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
    ciphers = config.setting("console", "ssl_ciphers")
    if ciphers and (weak := _weak_ciphers(config.value("console", "ssl_ciphers") or "")):
        text = f"takes {', '.join(weak)}, by which what is said can be read or changed"
        remedy = "leave it out, or name none but HIGH:!aNULL"
        yield at(ciphers, "insecure", "warning", text, remedy, "openssl-ciphers(1)")


def _weak_ciphers(text: str) -> list[str]:
    """What a list of OpenSSL's takes that is weak; what comes after ``!`` never comes back."""
    taken = dict[str, None]()
    never = set[str]()
    for word in text.replace(",", ":").replace(" ", ":").split(":"):
        name = word.lstrip("!-+")
        if word.startswith("!"):
            never.add(name)
        if word.startswith(("!", "-")):
            taken.pop(name, None)
        elif not word.startswith(("+", "@")) and name not in never:
            taken[name] = None
    # By their own names (RC4-MD5), or by what several have in common (kRSA+RC4).
    return [name for name in taken if not _WEAK_CIPHERS.isdisjoint(re.split("[+-]", name))]


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
