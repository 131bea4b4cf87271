"""Stage 4, on computes: memory pages that guests may ask for."""

from __future__ import annotations

from pyinfra.api.deploy import deploy

from pyinfra_nova.resources import hugepages
from pyinfra_nova.target import Target


@deploy("Huge pages")
def set_aside(target: Target) -> None:
    """Set aside the huge pages of a compute that is said to have some."""
    if target.host.is_compute and target.host.hugepages:
        hugepages.set_aside(name="Set huge pages aside", pages=target.host.hugepages)
