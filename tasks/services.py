"""Stages 7 and 8: services, each with the configuration that its file holds now."""

from __future__ import annotations

from collections.abc import Callable

from pyinfra import host
from pyinfra.api.deploy import deploy

from pyinfra_nova.resources import (
    compute_identity,
    http_answers,
    libvirt_tls,
    moves,
    renewed_certificates,
    units,
)
from pyinfra_nova.resources.http_answers import Answering
from pyinfra_nova.run.host_plan import HostPlan
from pyinfra_nova.session.host_script import Answer


@deploy("Controller services")
def start_controller(plan: HostPlan) -> None:
    """Have the controller's daemons run, then wait until the APIs answer."""
    if not plan.host.is_controller:
        return
    units.running(
        name="Enable and start the controller's units",
        units=plan.units("controller"),
        databases=plan.databases,
        seen=plan.seen,
    )
    if servers := plan.rereading:
        renewed_certificates.read(name="Have new certificates read", servers=servers)
    http_answers.answering(name="Wait for the APIs", urls=urls(plan))


@deploy("Compute services")
def start_compute(plan: HostPlan) -> None:
    """Have libvirt and nova-compute run."""
    if plan.libvirt_tls:
        libvirt_tls.spoken(
            name="Have libvirt speak TLS" if plan.libvirt_tls.wanted else "Take TLS from libvirt",
            wanted=plan.libvirt_tls,
            moving=_moving(plan),
        )
    if plan.host.is_compute:
        _keep_identity(plan)
        units.running(
            name="Enable and start the compute's units",
            units=plan.units("compute"),
            seen=plan.seen,
            moving=_moving(plan),
        )


def _moving(plan: HostPlan) -> Callable[[], Answer]:
    """What tells which guests are on the way to or from the compute."""
    return moves.of_this_host(
        plan.site.primary_controller.name, plan.databases, plan.host.nova_host
    )


def _keep_identity(plan: HostPlan) -> None:
    """See that nova-compute starts as who Nova takes it for, where the preflight left that open."""
    known, compute = plan.known, plan.host
    if known and (known.is_pending or known.outcome(compute).lost):
        controller = host.state.inventory.get_host(plan.site.primary_controller.name)
        compute_identity.kept(
            name="Keep who the compute is",
            found=lambda: known.settled(compute, controller),
            platform=plan.platform,
        )


def urls(plan: HostPlan) -> list[Answering]:
    """What a controller answers at."""
    return [Answering(e.title, e.url + e.page, e.holds) for e in plan.endpoints.values()]
