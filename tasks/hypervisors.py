"""Stages 9 to 11: every expected hypervisor registered, mapped, proven; some without guests."""

from __future__ import annotations

from pyinfra.api.deploy import deploy

from pyinfra_nova.proof import dead_computes, drained_computes, stage
from pyinfra_nova.resources import drains, evacuations
from pyinfra_nova.run.host_plan import HostPlan
from tasks.preflight import host_plans
from tasks.services import urls


def _proofs(plan: HostPlan) -> stage.Proofs:
    return stage.Proofs(host_plans(), plan.seen)


@deploy("Hypervisors")
def discover(plan: HostPlan) -> None:
    """Wait for the computes to register, then map them, once, on the primary controller."""
    if plan.is_primary_controller:
        stage.mapped(name="Map the computes to cell1", plan=plan, proofs=_proofs(plan))


@deploy("Hypervisors")
def close(plan: HostPlan) -> None:
    """Have no new guests sent to computes that are to be closed, whatever else is wrong there."""
    if plan.is_primary_controller:
        stage.closed(name="Close computes", plan=plan)


@deploy("Hypervisors")
def count_again(plan: HostPlan) -> None:
    """Have computes that were dead, and forced down, count again: they run by now."""
    if plan.is_primary_controller:
        stage.counted_again(name="Let computes count again", plan=plan)


@deploy("Hypervisors")
def open_up(plan: HostPlan) -> None:
    """Have new guests sent to the computes that are open, now that they are proven."""
    if plan.is_primary_controller:
        stage.opened(name="Open computes", plan=plan)


@deploy("Hypervisors")
def join(plan: HostPlan) -> None:
    """Prove new computes with a guest of their own, then have others' guests sent to them."""
    if plan.is_primary_controller and plan.site.settings.smoke_guest:
        stage.joined(name="Prove new computes with a guest", plan=plan)


@deploy("Hypervisors")
def name_unproven(plan: HostPlan) -> None:
    """Say which new computes are not proven; that has kept nothing else from being done."""
    if plan.is_primary_controller and plan.site.settings.smoke_guest:
        stage.all_joined(name="See that new computes are proven")


@deploy("Hypervisors")
def evacuate(plan: HostPlan) -> None:
    """Have guests elsewhere that are on computes of the run which have no power."""
    if not plan.is_primary_controller:
        return
    plans, question = host_plans(), dead_computes.question(plan)
    if question:
        evacuations.evacuated(
            name="Evacuate dead computes",
            question=question,
            unseen=lambda: stage.unseen(plan),
            shared=lambda guests: dead_computes.shared(plans, guests),
            living=lambda seen: dead_computes.refusals(plans, seen),
            limits=plan.site.settings.drain,
        )


@deploy("Hypervisors")
def drain(plan: HostPlan) -> None:
    """Move the guests away from the computes of the run that are to have none."""
    if not plan.is_primary_controller:
        return
    plans = host_plans()
    question = drained_computes.question(plan, lambda compute: plans[compute.name])
    if question:
        drains.drained(
            name="Drain computes",
            question=question,
            unseen=lambda: stage.unseen(plan),
            limits=plan.site.settings.drain,
        )


@deploy("Proof")
def of_hosts(plan: HostPlan) -> None:
    """See on each host that its units do what they are for."""
    if plan.is_deployed and (plan.host.is_controller or plan.host.is_compute):
        stage.host_proven(
            name="See what each unit is for", plan=plan, urls=urls(plan), seen=plan.seen
        )


@deploy("Proof")
def of_site(plan: HostPlan) -> None:
    """See that services, hypervisors and APIs work together, once, on the primary controller."""
    if plan.is_primary_controller:
        stage.site_proven(
            name="Ask for every service and hypervisor", plan=plan, proofs=_proofs(plan)
        )
