"""What a whole configuration lacks, has on the wrong host, or gives away."""

from __future__ import annotations

from collections.abc import Callable

from pyinfra_nova.nova_conf.check.config import Config, Found
from pyinfra_nova.nova_conf.check.rules import (
    computes,
    controllers,
    encryption,
    every_host,
    given_away,
    wrong_host,
)


def rule_findings(config: Config) -> Found:
    """What is wrong with the files of CONFIG together, for its role."""
    for rule in RULES:
        yield from rule(config)


RULES: tuple[Callable[[Config], Found], ...] = (
    given_away.permissions,
    every_host.broker,
    computes.own_address,
    computes.driver,
    controllers.databases,
    every_host.logins,
    controllers.token_roles,
    every_host.service_token,
    controllers.metadata_secret,
    every_host.volume_region,
    computes.consoles,
    every_host.lock_path,
    controllers.scheduler_filters,
    wrong_host.misplaced,
    given_away.placeholders,
    given_away.unverified,
    encryption.plain_text,
    encryption.unverified_peers,
    encryption.weak_versions,
    encryption.migrations,
)
