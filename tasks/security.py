"""Stage 4: what SELinux and firewalld have to allow, on systems that have them."""

from __future__ import annotations

from pyinfra.api.deploy import deploy

from pyinfra_nova.resources import security
from pyinfra_nova.target import Target


@deploy("Security")
def allow(target: Target) -> None:
    """Switch on booleans and open ports; systems that declare none are not asked."""
    booleans, ports = target.booleans, target.ports
    if booleans or ports:
        security.allowed(
            name="Allow what Nova needs in SELinux and firewalld",
            booleans=booleans,
            ports=ports,
            address=str(target.host.my_ip),
        )
