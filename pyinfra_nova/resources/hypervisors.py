"""Computes on their way into the cloud: registered by themselves, then mapped to their cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyinfra import host
from pyinfra.api import operation

from pyinfra_nova.resources.cells import nova_manage
from pyinfra_nova.resources.compute_api import ComputeApi, ComputeApiState
from pyinfra_nova.resources.nova_state import NovaDatabases, NovaState
from pyinfra_nova.session.host_script import ask, script_command
from pyinfra_nova.session.steps import Commands, changing, refused, say

REGISTRATION_DEADLINE = 120
"""Seconds from the start of nova-compute to its service being up with a compute node."""


@operation()
def registered(
    databases: NovaDatabases, computes: Mapping[str, str], deadline: int = REGISTRATION_DEADLINE
) -> Commands:
    """Wait until every one of COMPUTES is up and has a compute node with its address.

    A service registers before its node does; a discovery in between finds nothing and says so with
    exit code 0, so both are waited for.
    """
    found = ask(host, NovaState, databases.as_request()).get("computes", {})
    waiting = [
        name
        for name, address in computes.items()
        if not (name in found and found[name]["up"] and found[name]["address"] == address)
    ]
    if waiting:
        say(f"wait for {', '.join(waiting)} to register")
        request = {**databases.as_request(computes), "wait": deadline}
        yield script_command("nova_state", "wait", request)


@operation()
def mapped(databases: NovaDatabases, computes: Sequence[str]) -> Commands:
    """Map COMPUTES to their cell, with one discovery and only where one of them is not.

    A discovery looks at nodes that are not flagged as mapped. One that is, but has lost its
    mapping, is found only by its service (nova/objects/host_mapping.py).
    """
    found = ask(host, NovaState, databases.as_request()).get("computes", {})
    unmapped = [name for name in computes if not found.get(name, {}).get("mapped")]
    if unmapped:
        say(f"map {', '.join(unmapped)} to cell1")
        lost = any(found.get(name, {}).get("flagged") for name in unmapped)
        more = ("--by-service",) if lost else ()
        yield changing(nova_manage("cell_v2", "discover_hosts", "--verbose", *more))


def faults(
    state: ComputeApiState, controllers: Sequence[str], computes: dict[str, str]
) -> list[str]:
    """What keeps the APIs' answers from proving the deployment.

    Args:
        state: the answers of the compute and placement APIs.
        controllers: the hosts that run nova-conductor and nova-scheduler.
        computes: the management address of every expected compute, by its host name in Nova.
    """
    if state.error:
        return [state.error]
    up = {(service.binary, service.host) for service in state.services if service.state == "up"}
    wanted = [
        (binary, name) for name in controllers for binary in ("nova-conductor", "nova-scheduler")
    ]
    wanted += [("nova-compute", name) for name in computes]
    found = [f"{binary} on {name} is not up" for binary, name in wanted if (binary, name) not in up]
    for name, address in computes.items():
        hypervisor = next((h for h in state.hypervisors if h.host == name), None)
        if hypervisor is None:
            found.append(f"{name} is not in the hypervisor list: it is not mapped to a cell")
        elif hypervisor.state != "up":
            found.append(f"hypervisor {name} is {hypervisor.state}")
        elif hypervisor.address != address:
            found.append(f"hypervisor {name} has address {hypervisor.address} instead of {address}")
        elif "VCPU" not in state.inventories.get(hypervisor.name, ()):
            found.append(f"hypervisor {name} has no inventory in Placement")
    return found


@operation()
def proven(api: ComputeApi, controllers: Sequence[str], computes: dict[str, str]) -> Commands:
    """See through the APIs that every service is up and every hypervisor listed; change nothing.

    Nothing is asked in a plan: what is not deployed yet cannot be proven.
    Every fault ends the run and is named.
    """
    if host.state.is_executing:
        state = ComputeApiState.of(host, api)
        wrong = faults(state, controllers, computes)
        if wrong:
            yield from refused("; ".join(wrong))
