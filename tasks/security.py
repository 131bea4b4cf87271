"""Stage 4: what SELinux and firewalld have to allow, on systems that have them."""

from __future__ import annotations

from pyinfra.api.deploy import deploy

from pyinfra_nova.resources import security
from pyinfra_nova.run.host_plan import HostPlan


@deploy("Security")
def allow(plan: HostPlan) -> None:
    """Switch on booleans and open ports; systems that declare none are not asked."""
    booleans, ports = plan.booleans, plan.ports
    if booleans or ports:
        security.allowed(
            name="Allow what Nova needs in SELinux and firewalld",
            booleans=booleans,
            ports=ports,
            address=str(plan.host.my_ip),
        )
