"""Stage 3: packages, with what has to stand there before they are installed."""

from __future__ import annotations

from pyinfra.api.deploy import deploy

from pyinfra_nova.resources import config_files, packages
from pyinfra_nova.target import Target


@deploy("Packages")
def install(target: Target) -> None:
    """Install what the host's roles need; no daemon starts before it is configured."""
    early = [file for file in target.files if file.before_install]
    if early:
        config_files.written(name="Write what packages read while they are installed", files=early)
    wanted = target.platform.packages_for(target.host.roles)
    if wanted:
        packages.installed(name="Install packages", packages=wanted)
