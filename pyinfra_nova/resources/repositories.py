"""Package repositories: the one of the wanted release enabled, and none of a later one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from pyinfra import host
from pyinfra.api import FactBase, StringCommand, operation
from typing_extensions import override

from pyinfra_nova.knowledge.platforms import Repository
from pyinfra_nova.session.host_script import shell_command
from pyinfra_nova.session.steps import Commands, changing, refused, say

Kind = Literal["cloud-archive", "rdo"]

# Neither asks the network, or changes what is cached.
LISTED = {
    "cloud-archive": "apt-get indextargets --format '$(RELEASE)' 'Created-By: Packages'",
    "rdo": "dnf --quiet --cacheonly repolist --enabled",
}


class EnabledRepositories(FactBase[set[str]]):
    """What apt or dnf itself says is enabled: suites, or the ids of repositories.

    apt lists those that it has fetched, and passes over any other. Empty where neither is there.
    """

    default = set

    @override
    def command(self, kind: Kind) -> StringCommand:
        return StringCommand(LISTED[kind], "2>/dev/null; true")

    @override
    def process(self, output: Iterable[str]) -> set[str]:
        return {line.split()[0] for line in output if line.strip()}


def _enable(repository: Repository) -> StringCommand:
    script = f"enable_{repository.kind.replace('-', '_')}"
    return shell_command(script, repository.package, *repository.ids)


@operation()
def enabled(repository: Repository) -> Commands:
    """Have REPOSITORY enabled.

    With one of a later release enabled, too, its packages would be taken: that ends the run, as
    does an upgrade by mistake.
    """
    found: set[str] = host.get_fact(EnabledRepositories, kind=repository.kind)
    if later := [name for name in repository.newer if name in found]:
        yield from refused(
            f"{', '.join(later)} is enabled, so packages would come from there and not from "
            f"{repository.name}: take it out, or set release in group_data/all.py"
        )
        return
    missing = [name for name in repository.ids if name not in found]
    if missing:
        say(f"enable {', '.join(missing)}, of package {repository.package}")
        yield changing(_enable(repository))
