"""Computes that were forced down, and count again once their nova-compute is seen to run."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pyinfra.api import StringCommand

from pyinfra_nova.resources.compute_api import places
from pyinfra_nova.resources.keystone import KeystoneAdmin
from pyinfra_nova.resources.nova_state import NovaDatabases
from pyinfra_nova.session.host_script import script_command
from pyinfra_nova.session.steps import Step
from pyinfra_nova.site.settings import HostSettings, Site

USES = (
    *("trust", "rest", "keystone", "compute_api", "cloud_session", "sql", "nova_state"),
    *("streams", "messaging", "site_proof"),
)
PATIENCE = 120
"""Seconds in which nova-compute has sent a heartbeat, and taken away what was evacuated."""


def steps(
    site: Site,
    databases: NovaDatabases,
    computes: Collection[HostSettings],
    forced: Mapping[str, int],
) -> list[Step]:
    """What has those of COMPUTES count again that are FORCED down; all that are count side by side.

    FORCED says of how many guests, evacuated from there, something is left on each.
    """
    found = [compute for compute in computes if compute.nova_host in forced]
    texts = [_said(compute, forced[compute.nova_host]) for compute in found]
    if not texts:
        return []
    settings = site.settings
    request = {
        **KeystoneAdmin.of(site).as_request(settings.region, places(settings)),
        **databases.as_request(),
        "hosts": [compute.nova_host for compute in found],
        "wait": PATIENCE + 2 * settings.report_interval,
    }
    command: StringCommand = script_command("forced_down", "lift", request, USES)
    return [*map(Step, texts[:-1]), Step(texts[-1], (command,))]


def _said(compute: HostSettings, evacuated: int) -> str:
    text = f"{compute.name} was forced down: let it count again"
    if evacuated:
        guests = f"{evacuated} guests" if evacuated > 1 else "1 guest"
        text += f", once its nova-compute has taken away what is left there of {guests} evacuated"
    return text
