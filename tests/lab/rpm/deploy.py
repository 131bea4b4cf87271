"""What a deploy does first on Rocky 9, on a host that is none: repository and packages."""

from pyinfra_nova.knowledge.platforms import platform_for
from pyinfra_nova.resources import packages, repositories

row = platform_for("rocky", "9", "2023.1")
assert row.repository
repositories.enabled(name="Enable the repository of the release", repository=row.repository)
packages.installed(
    name="Install packages",
    packages=row.packages_for({"controller", "compute"}),
    packager=row.packager,
)
