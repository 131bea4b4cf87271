"""After all else: computes that are to be none any more go, once they have no guests."""

from __future__ import annotations

from collections.abc import Sequence

from pyinfra import host
from pyinfra.api.deploy import deploy
from pyinfra.context import ctx_host

from pyinfra_nova.nova_conf.certificate_files import written_certificate_files
from pyinfra_nova.nova_conf.config_file import AbsentFile
from pyinfra_nova.nova_conf.database_plugin import written_plugin_files
from pyinfra_nova.nova_conf.hypervisor_files import written_hypervisor_files
from pyinfra_nova.nova_conf.migration_ssh import written_migration_files
from pyinfra_nova.nova_conf.render import files_for
from pyinfra_nova.proof import dead_computes, drained_computes
from pyinfra_nova.resources import (
    config_files,
    drains,
    hugepages,
    libvirt_secrets,
    libvirt_tls,
    packages,
    retirements,
    stopped_units,
)
from pyinfra_nova.run.host_plan import HostPlan
from pyinfra_nova.run.retired import question_of
from pyinfra_nova.session.barrier import barrier
from pyinfra_nova.site.settings import HostSettings
from tasks.preflight import host_plans

MARKER = "# Written by pyinfra-nova.*"


def retire(plan: HostPlan | None) -> None:
    """Stop nova-compute, then delete what is left, then forget; a barrier after each.

    Every host of the run passes this, those without a PLAN included, because of the barriers.
    """
    of_run = next(iter(host_plans().values()), None)  # the scope is the same for all
    if not of_run or not of_run.scope.retired:
        return
    barrier(name="The computes are drained")
    if plan and plan.host.is_retired:
        _stop(plan=plan)
    barrier(name="No retired compute runs nova-compute")
    if plan and plan.is_primary_controller:
        _delete(plan=plan)
    barrier(name="Nova has no retired compute")
    if plan and plan.host.is_compute:
        _forget(plan=plan)
    if plan and plan.host.is_retired and plan.host.purge:
        _purge(plan=plan)


@deploy("Retirement")
def _stop(plan: HostPlan) -> None:
    stopped_units.stopped(
        name="Stop nova-compute for good",
        units=[unit.name for unit in plan.platform.units_for(["compute"]) if unit.broker],
        in_use=lambda: _uses(plan),
    )


def _uses(plan: HostPlan) -> Sequence[str]:
    """What keeps nova-compute of the retired host of PLAN from being stopped, as of now."""
    compute, primary = plan.host, host_plans()[plan.site.primary_controller.name]
    controller = host.state.inventory.get_host(primary.host.name)
    with ctx_host.use(controller):
        records = question_of(primary, [compute]).asked(controller)
        if records.error:
            return [records.error]
        left = records.left[compute.nova_host]
        if not left.service:
            return [f"{compute.name} is not retired: {text}" for text in left.uses]
        drained = [drained_computes.unwritten(compute)]
        near = drained_computes.near(plan.site)
        question = drains.Question(plan.site, primary.databases, drained, near=near)
        return drains.faults(controller, question)


@deploy("Retirement")
def _delete(plan: HostPlan) -> None:
    if plan.scope.retired:
        plans, has_dead = host_plans(), any(compute.is_dead for compute in plan.scope.retired)
        retirements.forgotten(
            name="Delete what is left of retired computes",
            question=question_of(plan, plan.scope.retired),
            living=lambda: dead_computes.refusals(plans, None) if has_dead else (),
        )


@deploy("Retirement")
def _forget(plan: HostPlan) -> None:
    """What let retired computes move guests hither, which only now is needed no more."""
    files = plan.files_at_the_end
    if files:
        config_files.written(name="Forget retired computes", files=files)
        if plan.libvirt_tls and plan.site.settings.tls.is_on:
            libvirt_tls.spoken(
                name="Have libvirt and guests refuse retired computes", wanted=plan.libvirt_tls
            )


@deploy("Retirement")
def _purge(plan: HostPlan) -> None:
    """Nova's packages and what this project wrote; libvirt, guests' disks and compute_id stay."""
    if plan.written.get("hugepages"):
        hugepages.set_aside(
            name="Take huge pages back", pages=[], libvirtd=plan.platform.libvirt.service
        )
    if plan.written_secrets:
        libvirt_secrets.kept(
            name="Take the key of Ceph out of libvirt", secret=None, unwanted=plan.written_secrets
        )
    if plan.written.get("hypervisor_tls"):
        files = written_hypervisor_files(plan.platform)
        config_files.written(name="Remove what libvirt reads of TLS", files=[], absent=files)
        libvirt_tls.spoken(name="Take TLS from libvirt", wanted=plan.libvirt_tls_for(wanted=False))
    packages.removed(
        name="Remove Nova's packages",
        packages=plan.platform.packages_for(["compute"]),
        packager=plan.platform.packager,
        others=plan.platform.packages_for(["controller"]),
    )
    config_files.written(name="Remove Nova's configuration", files=[], absent=_written(plan))


def _written(plan: HostPlan) -> list[AbsentFile]:
    """All that was ever written there while it was a compute."""
    compute: HostSettings = plan.host.model_copy(update={"roles": frozenset({"compute"})})
    paths = [file.path for file in files_for(plan.site, compute, plan.platform, "qemu")]
    own = [AbsentFile(path, MARKER, "marker") for path in paths]
    platform = plan.platform
    encrypted = [*written_certificate_files(platform), *written_plugin_files(platform)]
    return [*own, *written_migration_files(platform), *encrypted]
