"""After the proof: what the site wants in its cloud, where resources.yml says so."""

from __future__ import annotations

from pyinfra.api.deploy import deploy

from pyinfra_nova.resources import cloud_objects
from pyinfra_nova.resources.compute_api import places
from pyinfra_nova.resources.keystone import KeystoneAdmin
from pyinfra_nova.run.host_plan import HostPlan


@deploy("Declared resources")
def converge(plan: HostPlan) -> None:
    """Bring flavors, aggregates and so on in line, once, on the primary controller."""
    if plan.declared is None or not plan.is_primary_controller:
        return
    cloud_objects.converged(
        name="Bring declared resources in line",
        declaration=cloud_objects.Declaration(
            KeystoneAdmin.of(plan.site),
            plan.site.settings.region,
            plan.declared,
            places(plan.site.settings),
            tuple(host.nova_host for host in plan.scope.left_out if host.is_compute),
        ),
    )
