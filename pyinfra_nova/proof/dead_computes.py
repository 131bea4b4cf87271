"""The computes of a run that are dead: what is asked about them, and whether anything there lives.

Whoever asks is one of a few: this machine, the controllers of the run, and some of its computes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from pyinfra import host
from pyinfra.api.state import State
from pyinfra.connectors.ssh import SSHConnector
from pyinfra.context import ctx_host, ctx_state

from pyinfra_nova.nova_conf.folders import instances_path
from pyinfra_nova.proof.drained_computes import taking, unwritten
from pyinfra_nova.resources import shared_folders
from pyinfra_nova.resources.drains.state import Guest, Seen
from pyinfra_nova.resources.evacuations import Question, state_of
from pyinfra_nova.resources.evacuations.decision import Dead, EvacuationRun
from pyinfra_nova.resources.evacuations.signs import Looks, Sought, looked, of_nova
from pyinfra_nova.run.host_plan import HostPlan
from pyinfra_nova.run.verdicts import Verdict
from pyinfra_nova.session.steps import say
from pyinfra_nova.site.names import FEW
from pyinfra_nova.site.settings import HostSettings, Site

WITNESSES = 3
"""Computes that are asked whether anything answers to them, beside the controllers."""
SSH = 22
RBD_POOL = "rbd"
"""Nova's own images_rbd_pool."""
DEAD = "dead"


def question(plan: HostPlan) -> Question | None:
    """What the primary controller, whose plan is PLAN, is asked; None where none is dead.

    Retired ones are asked about as long as Nova may have them.
    """
    computes = [
        Dead(
            *(compute.name, compute.nova_host, ""),
            lost=compute.disks_lost,
            elsewhere=_on_ceph(plan.site, compute),
        )
        for compute in plan.scope.dead
        if not compute.is_retired or compute in plan.leaving
    ]
    if not computes:
        return None
    near = [unwritten(compute) for compute in plan.scope.computes]
    return Question(plan.site, plan.databases, computes, *taking(plan), near=near)


def _on_ceph(site: Site, compute: HostSettings) -> bool:
    """Whether Nova makes disks on Ceph, there and wherever a guest may go, in the same pool.

    On Ceph it takes a disk for there without a look, and makes one where there is none
    (nova/virt/libvirt/driver.py, instance_on_disk).
    """
    found = [each.nova_conf.get("libvirt", {}) for each in (compute, *site.computes)]
    on_ceph = all(options.get("images_type") == "rbd" for options in found)
    return on_ceph and len({options.get("images_rbd_pool", RBD_POOL) for options in found}) == 1


def _sought(state: State, computes: Sequence[HostSettings]) -> list[Sought]:
    found = []
    for compute in computes:
        data = state.inventory.get_host(compute.name).data
        other = data.get("ssh_hostname")
        addresses = [str(compute.my_ip), *([str(other)] if other else [])]
        port = int(data.get("ssh_port") or SSH)
        reached = str(other or compute.name)
        found.append(Sought(compute.name, compute.nova_host, addresses, port, reached))
    return found


def living(
    state: State,
    plans: Mapping[str, HostPlan],
    before: Seen | None = None,
    *,
    needs_nova: bool = True,
) -> dict[str, list[str]]:
    """By the name of each dead compute of a run what lives there, asked now; BEFORE was earlier.

    Without NEEDS_NOVA, before anything is done, there may be no Nova yet, or it does not answer:
    what is done to guests asks it again.
    """
    plan = next(plan for plan in plans.values() if plan.is_primary_controller)
    computes = plan.scope.dead
    controller = state.inventory.get_host(plan.host.name)
    asking, seen = question(plan), None
    if asking:
        with ctx_state.use(state), ctx_host.use(controller):
            seen = replace(asking, addresses=True).asked(controller, EvacuationRun())
    if seen and seen.state.error and needs_nova:
        return {compute.name: [seen.state.error] for compute in computes}
    known = seen if seen and not seen.state.error else None
    looks = _looks(state, plans, known)
    found = {}
    down_time = plan.site.settings.service_down_time
    for one in _sought(state, computes):
        found[one.name] = looks.lives(one)
        if known:
            here = next((c for c in known.computes if c.host == one.host), None)
            earlier = state_of(before) if before else None
            found[one.name] += of_nova(state_of(known), here, down_time, earlier) if here else []
    return found


def _looks(state: State, plans: Mapping[str, HostPlan], seen: Seen | None) -> Looks:
    scope = next(iter(plans.values())).scope
    controllers = [p.host.name for p in plans.values() if p.host.is_controller]
    others = [c.name for c in scope.computes if c.name in plans and c.name not in controllers]
    evacuated = {m.guest for m in seen.state.moves if not m.has_ended} if seen else set()
    # One that is being evacuated may answer from where it goes.
    guests = [g for g in seen.state.guests if g.uuid not in evacuated] if seen else []
    ours = {str(host.my_ip) for host in scope.site.hosts.values()} if guests else set()
    guests = [_without(guest, ours) for guest in guests]
    # What this machine reaches in no other way than by SSH, it would hear of.
    names = [compute.name for compute in scope.dead]
    is_near = all(
        issubclass(state.inventory.get_host(name).connector_cls, SSHConnector) for name in names
    )
    sought = _sought(state, scope.dead)
    looks = looked(state, sought, guests, controllers, others[:WITNESSES], here=is_near)
    with ctx_state.use(state), ctx_host.use(state.inventory.get_host(controllers[0])):
        for reason in dict.fromkeys(looks.unasked[:FEW]):
            say(f"not asked whether a dead compute lives: {reason}")
    return looks


def _without(guest: Guest, ours: Collection[str]) -> Guest:
    """GUEST, not asked at the addresses that are OURS: there a host of the site would answer."""
    places = [
        place.model_copy(update={"direct": place.direct and place.address not in ours})
        for place in guest.addresses
    ]
    return guest.model_copy(update={"addresses": places})


def verdicts(state: State, plans: Mapping[str, HostPlan]) -> list[Verdict]:
    """Whether the dead computes of a run are, before anything is changed."""
    return [
        Verdict(name, DEAD, not texts, "; ".join(texts) or "no sign of life")
        for name, texts in living(state, plans, needs_nova=False).items()
    ]


def refusals(plans: Mapping[str, HostPlan], before: Seen | None) -> list[str]:
    """The same in lines, once more, after what was seen BEFORE; on the host at hand."""
    found = living(host.state, plans, before)
    return [f"{name} is not dead: {text}" for name, texts in found.items() for text in texts]


def shared(plans: Mapping[str, HostPlan], guests: Collection[str]) -> Mapping[str, frozenset[str]]:
    """Of GUESTS the open computes of the run that have their folders on shared storage."""
    asked = {
        name: plan
        for name, plan in plans.items()
        if plan.host.is_compute and plan.host.state == "open"
    }
    folders = {name: instances_path(plan.host) for name, plan in asked.items()}
    found = shared_folders.seen(host.state, folders, guests)
    return {
        uuid: frozenset(asked[name].host.nova_host for name in names)
        for uuid, names in found.items()
    }
