"""Stage 4, on computes: memory pages that guests may ask for."""

from __future__ import annotations

from pyinfra.api.deploy import deploy

from pyinfra_nova.resources import hugepages
from pyinfra_nova.run.host_plan import HostPlan


@deploy("Huge pages")
def set_aside(plan: HostPlan) -> None:
    """Set aside the huge pages of a compute, and take back those that it is to have no more."""
    if plan.concerns_hugepages:
        hugepages.set_aside(
            name="Set huge pages aside",
            pages=plan.hugepages,
            libvirtd=plan.platform.libvirt.service,
        )
