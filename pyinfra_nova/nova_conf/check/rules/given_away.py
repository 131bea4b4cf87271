"""What gives something away: known passwords, unverified certificates, open permissions."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from pyinfra_nova.knowledge.releases import normal
from pyinfra_nova.nova_conf.check.config import Config, Finding, Found, at
from pyinfra_nova.nova_conf.ini import Setting

_PLACEHOLDER = re.compile(
    r"[A-Z_]*PASS(WORD)?|[A-Z_]*SECRET|CHANGE[_-]?ME|changeme|<[^>]*>|password|secret|guest|\*+"
)


def _secret_of(setting: Setting, secret: bool) -> str | None:
    """The secret that SETTING holds: its value, or the password of the URL that it is."""
    if "://" in setting.value:
        try:
            return urlsplit(setting.value.partition(",")[0]).password
        except ValueError:
            return None
    return setting.value if secret else None


def placeholders(config: Config) -> Found:
    for setting in config.settings():
        option = config.table.option(setting.section, setting.name)
        if option is None:
            continue
        value = _secret_of(setting, option.secret)
        if value and _PLACEHOLDER.fullmatch(value):
            yield at(
                setting,
                "insecure",
                "error",
                "a guide's placeholder, or a password that everybody knows",
                "set the account's own password",
            )


def unverified(config: Config) -> Found:
    for setting in config.settings():
        name = setting.name
        if name in ("insecure", "api_insecure") and config.true(normal(setting.section), name):
            yield at(
                setting,
                "insecure",
                "warning",
                "certificates are not verified: whoever is in between can pose as the service",
                "insecure = false, and cafile = the authority's certificate",
                "keystoneauth1",
            )
    strategy = config.setting("api", "auth_strategy")
    if strategy and strategy.value != "keystone":
        text = "the API asks for no proof of who a user is"
        yield at(strategy, "insecure", "error", text, "leave it out", "nova/conf/api.py")


def _holds_secrets(config: Config, file: str) -> bool:
    options = (
        config.table.option(setting.section, setting.name)
        for setting in config.parsed[file].settings
        if setting.value
    )
    return any(option is not None and option.secret for option in options)


def permissions(config: Config) -> Found:
    for file in config.files:
        if file.mode is not None and file.mode & 0o007 and _holds_secrets(config, file.name):
            yield Finding(
                file.name,
                0,
                "",
                "",
                "insecure",
                "error",
                f"everybody on the host may use it (mode {file.mode:04o}); it holds passwords",
                f"chown root:nova {file.name} && chmod 0640 {file.name}",
                "OpenStack security guide, file permissions of Compute",
            )
