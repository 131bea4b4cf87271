"""The passwords of what the lab puts beneath Nova, kept with the lab and not with a checkout."""

from __future__ import annotations

import secrets as random_source
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, SecretStr

from lab import state
from pyinfra_nova.site.secrets import ceph_key


class LabSecrets(BaseModel):
    """Passwords that Nova never sees.

    Attributes:
        keystone_database, glance_database, placement_database, neutron_database: of the services'
            MariaDB users.
        neutron_messaging: of Neutron's RabbitMQ user.
        cinder_database, cinder_messaging, cinder_password: of Cinder's users in MariaDB, RabbitMQ
            and Keystone.
        glance_password: of Glance's Keystone user.
        ceph_monitor, ceph_manager, ceph_disk, ceph_admin: keys of Ceph's own users.
        memcache_secret: what services but Nova encrypt with what they keep in memcached.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    keystone_database: SecretStr
    glance_database: SecretStr
    placement_database: SecretStr
    neutron_database: SecretStr
    neutron_messaging: SecretStr
    glance_password: SecretStr
    cinder_database: SecretStr
    cinder_messaging: SecretStr
    cinder_password: SecretStr
    ceph_monitor: SecretStr
    ceph_manager: SecretStr
    ceph_disk: SecretStr
    ceph_admin: SecretStr
    memcache_secret: SecretStr


def lab_secrets(path: Path = state.LAB / "secrets.yml") -> LabSecrets:
    """The lab's own passwords; made on first use."""
    known = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    values = dict(known) if isinstance(known, dict) else {}
    missing = [name for name in LabSecrets.model_fields if not values.get(name)]
    for name in missing:
        # No character that a URL has to escape: Keystone 22 cannot read a `%` in its database URL
        # (keystone/common/sql/upgrades.py hands it to configparser as it is).
        values[name] = ceph_key() if name.startswith("ceph_") else random_source.token_urlsafe(24)
    if missing:
        state.write(path, yaml.safe_dump(values), 0o600)
    return LabSecrets.model_validate(values)
