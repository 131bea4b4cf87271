"""After the proof: what the site wants in its cloud, where resources.yml says so."""

from __future__ import annotations

from pyinfra.api.deploy import deploy

from pyinfra_nova.resources import declared
from pyinfra_nova.resources.compute_api import places
from pyinfra_nova.resources.keystone import KeystoneAdmin
from pyinfra_nova.target import Target


@deploy("Declared resources")
def converge(target: Target) -> None:
    """Bring flavors, aggregates and so on in line, once, on the primary controller."""
    if target.declared is None or not target.is_primary_controller:
        return
    declared.converged(
        name="Bring declared resources in line",
        declaration=declared.Declaration(
            KeystoneAdmin.of(target.site),
            target.site.settings.region,
            target.declared,
            places(target.site.settings),
            tuple(host.nova_host for host in target.part.left_out if host.is_compute),
        ),
    )
