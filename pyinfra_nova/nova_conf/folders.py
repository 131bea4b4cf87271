"""Where Nova has its files on a host, as far as settings say it."""

from __future__ import annotations

from pyinfra_nova.nova_conf.ini import expanded
from pyinfra_nova.site.settings import HostSettings

STATE = "/var/lib/nova"


def instances_path(host: HostSettings) -> str:
    """Where Nova on HOST has the folders of guests."""
    own = host.nova_conf.get("DEFAULT", {}).get("instances_path")
    values = {
        "DEFAULT/state_path": [STATE],
        "DEFAULT/instances_path": [str(own or "$state_path/instances")],
    }
    return expanded("DEFAULT/instances_path", values) or f"{STATE}/instances"
