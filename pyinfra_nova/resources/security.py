"""SELinux and firewalld: what Nova needs allowed, only where they run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pyinfra import host
from pyinfra.api import StringCommand, operation
from pyinfra.api.command import QuoteString

from pyinfra_nova.session.host_script import NO_ANSWER, ScriptFact, ask
from pyinfra_nova.session.steps import Commands, Step, refused, taken


class SecurityState(ScriptFact):
    """Whether SELinux and firewalld run, and what they keep from working."""

    script = "security"


def _add(zone: str, ports: Sequence[str], *, permanent: bool) -> StringCommand:
    kind = ("--permanent",) if permanent else ()
    added = (QuoteString(f"--add-port={port}") for port in ports)
    return StringCommand("firewall-cmd", *kind, QuoteString(f"--zone={zone}"), *added)


def steps(state: Mapping[str, Any]) -> Iterator[Step]:
    """What is to be changed; nothing about what does not run."""
    if names := state.get("booleans"):
        settings = (QuoteString(f"{name}=on") for name in names)
        command = StringCommand("setsebool -P", *settings)
        yield Step(f"SELinux ({state['selinux']}): switch on {', '.join(names)}", (command,))
    if not state.get("firewalld"):
        return
    zone = state["zone"]
    for key, permanent, how in (("ports", False, "now"), ("permanent", True, "for good")):
        if ports := state[key]:
            command = _add(zone, ports, permanent=permanent)
            yield Step(f"firewalld: open {', '.join(ports)} in zone {zone} {how}", (command,))


@operation()
def allowed(booleans: Sequence[str], ports: Sequence[str], address: str | None) -> Commands:
    """Have SELinux's BOOLEANS on and firewalld's PORTS open on the interface with ADDRESS.

    Nothing else of either is changed, and nothing where it does not run. Ports are opened for the
    running firewall and for its next start apart, so that nobody else's change to either is lost.
    """
    request = {"booleans": list(booleans), "ports": list(ports), "address": address}
    state = ask(host, SecurityState, request)
    if not state:
        yield from refused(NO_ANSWER)
        return
    yield from taken(list(steps(state)))
