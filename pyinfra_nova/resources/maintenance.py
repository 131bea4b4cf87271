"""What is done on a host that is maintained, and what has been: read there, never remembered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pyinfra.api import StringCommand
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.host import Host

from pyinfra_nova.resources.packages import PACKAGERS, PackagerName
from pyinfra_nova.session.host_script import (
    NO_ANSWER,
    LostError,
    ScriptFact,
    answered,
    ask,
    carried_out,
    script_command,
    shell_command,
)
from pyinfra_nova.session.steps import changing

COMMAND_LOST = (
    "Once the host answers, the next call says so if it still runs, and runs it again unless it "
    "has ended with 0 by then; a command that reboots its host never has: --reboot does that"
)
UPGRADE_LOST = "Once the host answers, the next call waits for it, and upgrades what is left"


class HostMaintenance(ScriptFact):
    """The boot, what has been done in a maintenance, and what an upgrade would bring."""

    script = "maintenance"


class HostState(BaseModel):
    """One answer; see ``files/maintenance.py``.

    Attributes:
        boot: which boot this is.
        starting: whether the host is on its way up or down.
        rebooted: whether it was rebooted in this maintenance.
        done: the marks of the commands that were run in it.
        upgrades: what an upgrade of all packages would bring; None where nobody asked.
        nova: the version of Nova that it would bring; None where that stays as it is.
        wants_reboot: why the system wants to be rebooted.
    """

    boot: str
    starting: bool
    rebooted: bool
    done: list[str]
    upgrades: list[str] | None
    nova: str | None = None
    wants_reboot: str | None


def state_of(
    host: Host, begun: str, packager: PackagerName | None = None, *, refresh: bool = False
) -> HostState:
    """What HOST says of the maintenance that has BEGUN then.

    Raises:
        PyinfraError: nothing.
    """
    request = {"begun": begun, "packager": packager, "refresh": refresh}
    answer = ask(host, HostMaintenance, request)
    if not answer:
        raise PyinfraError(NO_ANSWER)
    return HostState.model_validate(answer)


def reboot(host: Host, begun: str) -> str:
    """Have HOST go down in two seconds, if it has not been rebooted; the boot that is to end.

    Raises:
        PyinfraError: it does not.
    """
    lines = carried_out(host, changing(_command("reboot", {"begun": begun})))
    return str(answered(HostMaintenance.script, lines)["boot"])


def forget(host: Host, begun: str) -> None:
    """Have HOST forget what was done: the maintenance is over."""
    carried_out(host, changing(_command("forget", {"begun": begun})))


def run(host: Host, begun: str, command: str, mark: str) -> str:
    """Run COMMAND on HOST, which keeps its MARK; what it prints is shown. How it failed, or ""."""
    request = {"begun": begun, "command": command, "mark": mark}
    return _shown(host, _command("command", request), COMMAND_LOST)


def upgrade(host: Host, packager: PackagerName) -> str:
    """Upgrade all packages of HOST, and show what is printed; how that has failed, or ""."""
    return _shown(host, shell_command(PACKAGERS[packager].upgrader), UPGRADE_LOST)


def _shown(host: Host, command: StringCommand, lost: str) -> str:
    """How COMMAND has failed, or ""; where its connection was LOST, what that means."""
    try:
        carried_out(host, changing(command), shown=True)
    except LostError as error:
        return f"{error}. {lost}"
    except PyinfraError as error:
        return str(error)
    return ""


def _command(verb: str, request: Mapping[str, Any]) -> StringCommand:
    return script_command(HostMaintenance.script, verb, {**request, "verb": verb})
