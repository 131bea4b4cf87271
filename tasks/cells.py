"""Stage 6: Nova's schemas and cells."""

from __future__ import annotations

from pyinfra.api.deploy import deploy

from pyinfra_nova.resources import cells
from pyinfra_nova.target import Target


@deploy("Cells")
def converge(target: Target) -> None:
    """Bring schemas, cell0 and cell1 in line, once, on the primary controller."""
    if target.is_primary_controller:
        cells.converged(name="Bring schemas and cells in line", databases=target.databases)
