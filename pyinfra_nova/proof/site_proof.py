"""What shows that the services of a site work together: heartbeats, nodes, queues and the APIs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from pyinfra.api.host import Host

from pyinfra_nova.resources import messaging
from pyinfra_nova.resources.compute_api import ComputeApi, ComputeApiState
from pyinfra_nova.resources.compute_states import Closed
from pyinfra_nova.resources.units import Process
from pyinfra_nova.run.host_plan import HostPlan
from pyinfra_nova.run.preflight import CLOCK_TOLERANCE
from pyinfra_nova.session.host_script import Answer, ScriptFact, ask
from pyinfra_nova.site.settings import HostSettings, Site

MARGIN = 1.5
"""Seconds; MariaDB keeps the time of a heartbeat in whole ones."""
DELAY = 30.0
"""Seconds that one host's age may take to get here and on to the primary controller."""
GONE = (
    "is in Nova, not in the inventory: name it there, or, if it is gone for good, "
    "`openstack compute service delete ID` (`openstack compute service list` has the ID; for a "
    "mapping alone, `nova-manage cell_v2 delete_host`)"
)


class SiteProof(ScriptFact):
    """What the services have not shown, the computes that are not mapped, and strangers."""

    script = "site_proof"
    uses = (
        *("trust", "rest", "keystone", "compute_api"),
        *("streams", "messaging", "sql", "nova_state"),
    )


NOTHING: Answer = {
    "missing": {},
    "unmapped": [],
    "flagged": False,
    "strangers": [],
    "closed": {},
    "unseen": [],
    "joining": [],
    "api": None,
    "error": "the primary controller answered nothing",
    "early": False,
}


def asked(host: Host, request: Mapping[str, Any]) -> Answer:
    """What the primary controller HOST answers."""
    return ask(host, SiteProof, request) or {
        **NOTHING,
        "unmapped": list(request["computes"]),
        "unseen": list(request["computes"]),
    }


def _ages(
    hosts: Sequence[HostSettings], binary: str, seen: Mapping[str, Mapping[str, Process]]
) -> dict[str, float | None]:
    """How long the process of BINARY has run on each host; None where nobody has looked.

    EL's units have the same names with ``openstack-`` before them.
    """
    now = time.monotonic()
    ages: dict[str, float | None] = {}
    for host in hosts:
        born = (p.born for unit, p in seen.get(host.name, {}).items() if unit.endswith(binary))
        ages[host.nova_host] = next((now - moment for moment in born), None)
    return ages


def _controllers(plan: HostPlan) -> list[HostSettings]:
    """The controllers of the run, and the primary one: a run waits for no other."""
    mine = {host.name for host in (*plan.scope.hosts, plan.site.primary_controller)}
    return [host for host in plan.site.controllers if host.name in mine]


def _margin(controllers: Sequence[HostSettings]) -> float:
    """By how much the clock that writes heartbeats may be ahead of the one that reads them."""
    return MARGIN + (2 * CLOCK_TOLERANCE if len(controllers) > 1 else 0)


def known(site: Site) -> dict[str, list[str]]:
    """Where the inventory has each service."""
    controllers = [host.nova_host for host in site.controllers]
    computes = [host.nova_host for host in site.all_computes]
    services = {"nova-conductor": controllers, "nova-scheduler": controllers}
    return {**services, "nova-compute": computes}


def _queues(controllers: Sequence[str], computes: Sequence[str]) -> dict[str, int | None]:
    """The queues on which calls arrive, and how many may listen there."""
    queues: dict[str, int | None] = {}
    for name in controllers:
        queues |= {f"conductor.{name}": None, f"scheduler.{name}": None}
    # One process for a compute; a second consumer is another host's that has taken its name.
    return queues | {f"compute.{name}": 1 for name in computes}


def question(
    plan: HostPlan,
    seen: Mapping[str, Mapping[str, Process]],
    *,
    wait: float = 0,
    whole: bool = False,
) -> dict[str, Any]:
    """What SiteProof is asked on the primary controller, whose plan is PLAN.

    Args:
        seen: the processes that have to have shown something, by host and unit.
        wait: seconds for what is missing to come.
        whole: ask the broker and the APIs, too.
    """
    site, scope = plan.site, plan.scope
    computes = {host.nova_host: str(host.my_ip) for host in scope.computes}
    retired = [host.nova_host for host in site.retired]
    dead = [host.nova_host for host in site.dead if not host.is_retired]
    controllers = _controllers(plan)
    services = known(site)
    # What is left of a retired compute is seen to by other means.
    services["nova-compute"] += retired
    return {
        **plan.databases.as_request(),
        "known": services,
        "retired": [*retired, *dead],
        "joining": site.settings.smoke_guest is not None,
        "services": {
            "nova-conductor": _ages(controllers, "nova-conductor", seen),
            "nova-scheduler": _ages(controllers, "nova-scheduler", seen),
            "nova-compute": _ages(scope.computes, "nova-compute", seen),
        },
        "computes": computes,
        "margin": _margin(site.controllers),
        "delay": DELAY + len(computes) / 10,
        "down_time": site.settings.service_down_time,
        "wait": wait,
        "broker": messaging.as_nova(site) if whole else None,
        "queues": _queues([host.nova_host for host in controllers], list(computes)),
        "api": {**ComputeApi.of(site).as_request(), "inventories": list(computes)}
        if whole
        else None,
    }


def waits_for_a_person(answer: Answer) -> bool:
    """Whether all that is missing is what somebody has forced down, which no waiting changes."""
    return all("is forced down" in text for texts in answer["missing"].values() for text in texts)


def closed(answer: Answer) -> Closed:
    """The computes that take no new guests."""
    return Closed(answer["closed"], frozenset(answer["unseen"]))


def forced(answer: Answer) -> Mapping[str, int]:
    """The computes that are forced down, and what each still has of guests evacuated from it."""
    found: Mapping[str, int] = answer.get("forced", {})
    return found


def strangers(answer: Answer) -> list[str]:
    """What Nova has that the inventory does not name, with the remedy."""
    return [f"{what} {GONE}" for what in answer["strangers"]]


def api_faults(
    state: ComputeApiState, controllers: Sequence[str], computes: Mapping[str, str]
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
    hypervisors = {hypervisor.host: hypervisor for hypervisor in state.hypervisors}
    for name, address in computes.items():
        hypervisor = hypervisors.get(name)
        if hypervisor is None:
            found.append(f"{name} is not in the hypervisor list: it is not mapped to a cell")
        elif hypervisor.state != "up":
            found.append(f"hypervisor {name} is {hypervisor.state}")
        elif hypervisor.address != address:
            found.append(f"hypervisor {name} has address {hypervisor.address} instead of {address}")
        # With cpu_dedicated_set alone there are no others (virt/libvirt _get_vcpu_available).
        elif not {"VCPU", "PCPU"} & set(state.inventories.get(hypervisor.name, ())):
            found.append(f"hypervisor {name} has no inventory in Placement")
    return found


def faults(answer: Answer, plan: HostPlan) -> list[str]:
    """What keeps a site's ANSWER from proving it, host by host."""
    if answer["error"]:
        return [answer["error"]]
    found = [
        f"{host}: {text}" for host, texts in sorted(answer["missing"].items()) for text in texts
    ]
    if answer["api"] is None or found:
        return found
    controllers = [host.nova_host for host in _controllers(plan)]
    computes = {host.nova_host: str(host.my_ip) for host in plan.scope.computes}
    return api_faults(ComputeApiState.model_validate(answer["api"]), controllers, computes)
