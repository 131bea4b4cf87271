"""Have the stubs, or with ``--data remove=1`` none any more; Debian's dnf and rpm stay."""

from pathlib import Path

from pyinfra import host
from pyinfra.api import operation
from pyinfra.operations import apt

from pyinfra_nova.session.host_script import script_command
from pyinfra_nova.session.steps import Commands
from tests.lab.rpm.stubs import request

TOOLS = ["dnf", "dnf-plugins-core", "rpm", "createrepo-c"]


@operation()
def stubbed(remove: bool) -> Commands:
    folder = Path("tests/lab/rpm").resolve()
    yield script_command("stub_rpms", "build", request(remove=remove), folder=folder)


remove = bool(host.data.get("remove"))
if not remove:
    apt.packages(name="Install Debian's dnf and rpm", packages=TOOLS, no_recommends=True)
stubbed(name="Build or remove the stubs", remove=remove)
