"""Stage 6: Nova's schemas and cells."""

from __future__ import annotations

from pyinfra.api.deploy import deploy

from pyinfra_nova.resources import cells
from pyinfra_nova.run.host_plan import HostPlan


@deploy("Cells")
def converge(plan: HostPlan) -> None:
    """Bring schemas, cell0 and cell1 in line, once, on the primary controller."""
    if plan.is_primary_controller:
        cells.converged(name="Bring schemas and cells in line", databases=plan.databases)
