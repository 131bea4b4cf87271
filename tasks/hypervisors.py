"""Stages 9 and 10: every expected hypervisor registered, mapped and proven."""

from __future__ import annotations

from pyinfra.api.deploy import deploy

from pyinfra_nova.resources import hypervisors
from pyinfra_nova.run.host_plan import HostPlan


@deploy("Hypervisors")
def discover(plan: HostPlan) -> None:
    """Wait for the computes to register, then map them, once, on the primary controller."""
    if not plan.is_primary_controller:
        return
    databases, computes = plan.databases, _addresses(plan)
    hypervisors.registered(
        name="Wait for the computes to register", databases=databases, computes=computes
    )
    hypervisors.mapped(
        name="Map the computes to cell1", databases=databases, computes=list(computes)
    )


@deploy("Proof")
def prove(plan: HostPlan) -> None:
    """See through the APIs that services are up and hypervisors listed with their inventory."""
    if not plan.is_primary_controller:
        return
    hypervisors.proven(
        name="Ask the APIs for every service and hypervisor",
        api=plan.compute_api,
        controllers=[host.nova_host for host in plan.site.controllers],
        computes=_addresses(plan),
    )


def _addresses(plan: HostPlan) -> dict[str, str]:
    """The computes of this run by their name in Nova, with their addresses."""
    return {host.nova_host: str(host.my_ip) for host in plan.scope.computes}
