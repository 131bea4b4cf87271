"""Stage 4, on computes: memory pages that guests may ask for."""

from __future__ import annotations

from pyinfra.api.deploy import deploy

from pyinfra_nova.resources import hugepages
from pyinfra_nova.run.host_plan import HostPlan


@deploy("Huge pages")
def set_aside(plan: HostPlan) -> None:
    """Set aside the huge pages of a compute that is said to have some."""
    if plan.host.is_compute and plan.host.hugepages:
        hugepages.set_aside(name="Set huge pages aside", pages=plan.host.hugepages)
