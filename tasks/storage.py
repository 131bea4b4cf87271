"""Stage 8, on computes: the key with which QEMU opens volumes on Ceph."""

from __future__ import annotations

from pyinfra.api.deploy import deploy

from pyinfra_nova.resources import libvirt_secrets
from pyinfra_nova.run.host_plan import HostPlan


@deploy("Block storage")
def let_in(plan: HostPlan) -> None:
    """Have the key in libvirt, where the site says under which UUID, and under no earlier one."""
    # A retired compute keeps its secret until it is purged: guests may still need it.
    if plan.ceph_secret or (plan.unwanted_secrets and not plan.host.is_retired):
        libvirt_secrets.kept(
            name="Have the key of Ceph in libvirt",
            secret=plan.ceph_secret,
            unwanted=plan.unwanted_secrets,
        )
