"""Stage 3: packages, where they come from, and what has to stand there before them."""

from __future__ import annotations

from pyinfra.api.deploy import deploy

from pyinfra_nova.resources import config_files, packages, repositories
from pyinfra_nova.target import Target


@deploy("Packages")
def install(target: Target) -> None:
    """Install what the host's roles need; no daemon starts before it is configured."""
    early = [file for file in target.files if file.before_install]
    if early:
        config_files.written(name="Write what packages read while they are installed", files=early)
    wanted = target.packages
    if wanted and target.platform.repository:
        repositories.enabled(
            name="Enable the repository of the release", repository=target.platform.repository
        )
    if wanted:
        packages.installed(
            name="Install packages", packages=wanted, packager=target.platform.packager
        )
