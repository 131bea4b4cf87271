"""The computes that are to have no guests, and how Nova and their libvirt are asked about them."""

from __future__ import annotations

from collections.abc import Callable

from pyinfra_nova.proof import host_proof
from pyinfra_nova.resources.drains import Question
from pyinfra_nova.resources.drains.state import Drained
from pyinfra_nova.run.host_plan import HostPlan
from pyinfra_nova.site.settings import HostSettings, Site


def question(plan: HostPlan, plan_of: Callable[[HostSettings], HostPlan]) -> Question | None:
    """What the primary controller, whose plan is PLAN, is asked; None where none is to be drained.

    Of a run with ``--limit`` these are its own computes. Retired ones are drained as long as Nova
    may have them.
    """
    computes = [
        Drained(compute.name, compute.nova_host, host_proof.libvirt_uri(plan_of(compute)))
        for compute in plan.scope.computes
        if compute.state == "drained"
    ]
    gone = plan.scope.retired
    leaving = [compute for compute in gone if compute in plan.leaving and not compute.is_dead]
    computes += map(unwritten, leaving)
    if not computes:
        return None
    return Question(plan.site, plan.databases, computes, *taking(plan), near=near(plan.site))


def near(site: Site) -> list[Drained]:
    """The computes whose libvirt can say whether a guest has arrived there."""
    return [unwritten(compute) for compute in site.computes]


def taking(plan: HostPlan) -> tuple[list[str], list[str]]:
    """Which computes take no guests, and which do, by the time that some are moved."""
    leaving = [compute for compute in plan.scope.retired if compute in plan.leaving]
    known = (*plan.scope.computes, *plan.scope.dead, *leaving)
    states = {compute.nova_host: compute.state for compute in known}
    closing = [name for name, state in states.items() if state != "open"]
    return closing, [name for name, state in states.items() if state == "open"]


def unwritten(compute: HostSettings) -> Drained:
    """A compute of which only overrides tell, as on a retired one nothing is written any more."""
    given = compute.nova_conf.get("libvirt", {}).get("connection_uri")
    uri = str(given) if given else host_proof.LIBVIRT_URI
    return Drained(compute.name, compute.nova_host, uri)
