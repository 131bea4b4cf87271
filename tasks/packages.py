"""Stage 3: packages, where they come from, and what has to stand there before them."""

from __future__ import annotations

from pyinfra.api.deploy import deploy

from pyinfra_nova.resources import config_files, packages, repositories
from pyinfra_nova.run.host_plan import HostPlan


@deploy("Packages")
def install(plan: HostPlan) -> None:
    """Install what the host's roles need; no daemon starts before it is configured."""
    early = [file for file in plan.files if file.before_install]
    if early:
        config_files.written(name="Write what packages read while they are installed", files=early)
    wanted = plan.packages
    if wanted and plan.platform.repository:
        repositories.enabled(
            name="Enable the repository of the release", repository=plan.platform.repository
        )
    if wanted:
        packages.installed(
            name="Install packages", packages=wanted, packager=plan.platform.packager
        )
