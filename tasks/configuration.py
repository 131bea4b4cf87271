"""Stage 4: configuration files, each role only what it reads."""

from __future__ import annotations

from pyinfra.api.deploy import deploy

from pyinfra_nova.resources import config_files
from pyinfra_nova.run.host_plan import HostPlan


@deploy("Configuration")
def write(plan: HostPlan) -> None:
    """Write nova.conf and what stands beside it, and take away what is no longer wanted there."""
    files = [file for file in plan.files if not file.before_install]
    if files:
        config_files.written(name="Write configuration files", files=files, absent=plan.absent)


@deploy("Configuration")
def take_away(plan: HostPlan) -> None:
    """Remove certificates, once nobody reads them any more."""
    if absent := plan.absent_at_the_end:
        config_files.written(
            name="Remove certificates that nobody reads any more", files=[], absent=absent
        )
