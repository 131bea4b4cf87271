"""What more than one module asks the hosts."""

from __future__ import annotations

from dataclasses import dataclass

from pyinfra_nova.proof import host_proof
from pyinfra_nova.proof.deployed_site import DeployedSite, Outcomes
from pyinfra_nova.proof.host_proof import units_of
from pyinfra_nova.resources.units import Process, noted
from pyinfra_nova.run.host_plan import HostPlan
from pyinfra_nova.session.host_script import ScriptFact
from tasks.services import urls

Counts = Outcomes[dict[str, int]]
"""How often each unit of each host was restarted, or why the host does not say."""


class UnitStates(ScriptFact):
    """The state of units, how often systemd restarted each, and what their logs say."""

    script = "unit_states"
    uses = ("unit_logs", "units")


def requests(target: HostPlan) -> list[dict[str, object]]:
    """What scripts are told of the host's units."""
    return [unit.as_request() for unit in units_of(target)]


def restarts(cloud: DeployedSite, target: HostPlan) -> dict[str, int]:
    """How often systemd has restarted each unit since it was last started by hand."""
    request = {"units": requests(target), "causes": False}
    states = cloud.ask(target.host.name, UnitStates, request)
    return {name: state["restarts"] for name, state in states.items()}


@dataclass(frozen=True)
class HostProof:
    """What a host's units do not do, and the processes that ran them when it answered."""

    faults: list[str]
    seen: dict[str, Process]


def proof(cloud: DeployedSite, target: HostPlan) -> HostProof:
    """What the deploy asks the host; noted at once, because the age of a process grows."""
    with cloud.on(target.host.name) as host:
        answer = host_proof.asked(host, host_proof.question(target, urls(target)))
    return HostProof(host_proof.faults(answer), noted(answer["processes"]))
