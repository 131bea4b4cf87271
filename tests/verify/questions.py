"""What more than one module asks the hosts."""

from __future__ import annotations

from typing import get_args

from pyinfra_nova.knowledge.platforms import NovaRole
from pyinfra_nova.proof.deployed_site import DeployedSite, Outcomes
from pyinfra_nova.resources.units import Unit
from pyinfra_nova.run.host_plan import HostPlan
from pyinfra_nova.session.host_script import ScriptFact

Counts = Outcomes[dict[str, int]]
"""How often each unit of each host was restarted, or why the host does not say."""


class UnitStates(ScriptFact):
    """The state of units, how often systemd restarted each, and what their logs say."""

    script = "unit_states"
    uses = ("units",)


def units_of(target: HostPlan) -> list[Unit]:
    """The units of all the host's roles."""
    roles: tuple[NovaRole, ...] = get_args(NovaRole)
    return [unit for role in roles if role in target.host.roles for unit in target.units(role)]


def requests(target: HostPlan) -> list[dict[str, object]]:
    """What scripts are told of the host's units."""
    return [unit.as_request() for unit in units_of(target)]


def restarts(cloud: DeployedSite, target: HostPlan) -> dict[str, int]:
    """How often systemd has restarted each unit since it was last started by hand."""
    request = {"units": requests(target), "causes": False}
    states = cloud.ask(target.host.name, UnitStates, request)
    return {name: state["restarts"] for name, state in states.items()}
