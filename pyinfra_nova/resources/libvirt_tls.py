"""libvirt's TLS socket, and the certificates that libvirt and running guests have read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import Any

from pyinfra import host
from pyinfra.api import StringCommand, operation
from pyinfra.api.command import QuoteString

from pyinfra_nova.resources import moves
from pyinfra_nova.session.host_script import NO_ANSWER, Answer, ScriptFact, ask, script_command
from pyinfra_nova.session.steps import Commands, Step, refused, say, taken
from pyinfra_nova.site.names import named


@dataclass(frozen=True)
class LibvirtService:
    """A service of libvirt: its unit, what it reads when it starts, and what systemd is told."""

    name: str
    reads: tuple[str, ...] = ()
    dropin: str | None = None


@dataclass(frozen=True)
class LibvirtTls:
    """How libvirt of a compute speaks TLS to others.

    Attributes:
        wanted: whether it is to.
        socket: the unit at which it does.
        mark: what systemd is told of that unit; where it is, the unit is this project's to stop.
        address: where it listens, and nowhere else.
        services: the first serves the socket.
        daemon: what that one calls itself.
        libvirt: the files that it reads again without a restart.
        screens: those that the VNC servers of running guests do.
    """

    wanted: bool
    socket: str
    mark: str
    address: str
    port: int
    services: tuple[LibvirtService, ...]
    daemon: str
    libvirt: tuple[str, ...]
    screens: tuple[str, ...]


class LibvirtTlsDifferences(ScriptFact):
    """What of it is not as it should be, and who has not read the certificates that are there."""

    script = "libvirt_tls"
    uses = ("unit_logs", "units", "guest_screens")


def _systemctl(verb: str, *units: str) -> StringCommand:
    return StringCommand("systemctl", verb, *map(QuoteString, units))


def _restart(name: str) -> StringCommand:
    journal = StringCommand("journalctl -q -n 5 -o cat -u", QuoteString(name))
    return StringCommand(_systemctl("restart", name), "|| {", journal, ">&2; exit 1; }")


def _at_once(wanted: LibvirtTls, found: Mapping[str, Any]) -> list[Step]:
    """What touches no process."""
    steps = []
    if found["daemon_reload"]:
        command = _systemctl("daemon-reload")
        steps.append(Step("have systemd read its unit files again", (command,)))
    for verb in ("enable", "disable"):
        if found[verb]:
            steps.append(Step(f"{verb} {wanted.socket}", (_systemctl(verb, wanted.socket),)))
    return steps


def _restarts(wanted: LibvirtTls, found: Mapping[str, Any]) -> list[Step]:
    """Guests run on: systemd ends the daemon alone (KillMode=process)."""
    steps = []
    if found["stop"]:
        steps.append(Step(f"stop {wanted.socket}", (_systemctl("stop", wanted.socket),)))
    for service in found["restart"]:
        text = f"restart {service['name']} ({service['reason']})"
        steps.append(Step(text, (_restart(service["name"]),)))
    return steps


def _forgotten(mark: str) -> Step:
    """Last, because it says that there is something to stop."""
    folder = QuoteString(str(PurePath(mark).parent))
    emptied = StringCommand("rmdir --ignore-fail-on-non-empty", folder)
    remove = StringCommand("rm -f", QuoteString(mark))
    return Step(f"remove {mark}", (remove, emptied, _systemctl("daemon-reload")))


def _reread(wanted: LibvirtTls, found: Mapping[str, Any]) -> list[Step]:
    if not found["reread"]:
        return []
    request = {**asdict(wanted), "verb": "reread"}
    command = script_command(
        LibvirtTlsDifferences.script, "reread", request, LibvirtTlsDifferences.uses
    )
    who = named(found["reread"])
    return [Step(f"have {who} read its certificates again, without a restart", (command,))]


@operation()
def spoken(wanted: LibvirtTls, moving: Callable[[], Answer] | None = None) -> Commands:
    """Have libvirt speak TLS to others as is WANTED, and all have read the certificates there are.

    A service that runs is restarted once no guest is on the way, which MOVING says.
    """
    found = ask(host, LibvirtTlsDifferences, asdict(wanted))
    if not found:
        yield from refused(NO_ANSWER)
        return
    if found["plain"]:
        say(
            f"the screens of {named(found['plain'])} speak no TLS: they will once the guest is "
            "started anew (openstack server reboot --hard), or has moved here from elsewhere"
        )
    restarts = _restarts(wanted, found)
    rest = [*_reread(wanted, found), *([_forgotten(wanted.mark)] if found["disable"] else [])]
    running: Sequence[Mapping[str, Any]] = [each for each in found["restart"] if each["running"]]
    if running and moving and host.state.is_executing:
        yield from taken(_at_once(wanted, found))
        if problem := moves.waited(moving):
            yield from refused(problem)
            return
        yield from taken([*restarts, *rest])
    else:
        yield from taken([*_at_once(wanted, found), *restarts, *rest])
