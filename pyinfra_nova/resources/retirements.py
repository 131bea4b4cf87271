"""Computes that are to be none any more: what Nova and its neighbours still have of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from pyinfra import host
from pyinfra.api import StringCommand, operation
from pyinfra.api.host import Host

from pyinfra_nova.resources import messaging
from pyinfra_nova.resources.compute_api import places
from pyinfra_nova.resources.keystone import KeystoneAdmin
from pyinfra_nova.resources.nova_state import NovaDatabases, unread
from pyinfra_nova.session.host_script import NO_ANSWER, ScriptFact, ask, script_command
from pyinfra_nova.session.steps import Commands, Step, refused, say, taken
from pyinfra_nova.site.settings import HostSettings, Site

UNCONFIRMED = (
    "a move of guest {uuid} waits to be confirmed: `openstack server resize confirm {uuid}`, or "
    "`revert`"
)
UNCONFIRMABLE = (
    "a move of guest {uuid} waits to be confirmed, which Nova lets nobody do any more: "
    "`./run audit --repair` ends its record, or says what is to be done before"
)


class RetiredRecords(ScriptFact):
    """What is left of computes in Nova, Placement, Neutron and at the broker."""

    script = "retirements"
    uses = (
        *("trust", "rest", "keystone", "compute_api", "cloud_session"),
        *("sql", "nova_state", "nova_tables"),
        *("streams", "messaging", "provider_allocations", "retired_rows"),
    )


class Aggregate(BaseModel):
    """A host aggregate that the compute is in."""

    id: int
    name: str


class Provider(BaseModel):
    """A resource provider of the compute."""

    uuid: str
    name: str


class Agent(BaseModel):
    """An agent of Neutron's on the compute.

    Attributes:
        bound: how many routers or networks Neutron has on it, if it is dead.
    """

    id: str
    kind: str
    alive: bool
    bound: int = 0


class Left(BaseModel):
    """What is left of one compute; see ``files/retirements.py``.

    Attributes:
        moves: guests with a move from or to it that has not ended.
        unconfirmed, unconfirmable: guests with one that waits to be confirmed; the latter cannot
            be, for the guest is no longer in VERIFY_RESIZE.
        cell: that it is mapped to.
    """

    guests: list[str]
    moves: list[str]
    unconfirmed: list[str] = []
    unconfirmable: list[str] = []
    service: str | None
    nodes: list[str]
    cell: str | None
    aggregates: list[Aggregate]
    providers: list[Provider]
    agents: list[Agent]
    queues: list[str]

    @property
    def uses(self) -> list[str]:
        """Why nothing of it may go yet."""
        return [
            *(f"guest {uuid} is on it" for uuid in self.guests),
            *(f"a move of guest {uuid} is under way" for uuid in self.moves),
            *(UNCONFIRMED.format(uuid=uuid) for uuid in self.unconfirmed),
            *(UNCONFIRMABLE.format(uuid=uuid) for uuid in self.unconfirmable),
        ]

    @property
    def records(self) -> list[str]:
        """What is to go, in the order in which it goes."""
        return list(self._records())

    def _records(self) -> Iterator[str]:
        if self.aggregates:
            yield "its place in " + ", ".join(f"aggregate {each.name}" for each in self.aggregates)
        if self.service:
            yield f"service nova-compute ({self.service})"
        for uuid in self.nodes:
            yield f"compute node {uuid}"
        for provider in self.providers:
            yield f"resource provider {provider.name} ({provider.uuid}) with its allocations"
        if self.cell is not None:
            yield "its mapping to a cell"
        for queue in self.queues:
            yield f"queue {queue}"
        for agent in self.agents:
            if not agent.alive and not agent.bound:
                yield f"Neutron's dead {agent.kind} ({agent.id})"

    @property
    def staying(self) -> list[str]:
        """The agents that nobody deletes, and why."""
        alive = [agent.kind for agent in self.agents if agent.alive]
        found = [f"Neutron's {', '.join(alive)} there lives, and stays"] if alive else []
        for agent in self.agents:
            if agent.bound:
                what = f"{agent.bound} {'networks' if agent.kind == 'DHCP agent' else 'routers'}"
                found.append(
                    f"Neutron's dead {agent.kind} ({agent.id}) stays, for it has {what}: "
                    "start it, or move them to another agent and deploy again"
                )
        return found


class Records(BaseModel):
    """One answer: of each compute, by its host in Nova, what is left.

    Attributes:
        error: why nothing is known; `early` where an earlier operation of the run mends that.
    """

    error: str | None = NO_ANSWER
    early: bool = False
    left: dict[str, Left] = {}

    @property
    def is_known(self) -> bool:
        """Whether anything follows of a compute that is not in it.

        Not of a site that is still to be made, either: the same is said where a controller is made
        anew for computes that have been there for long.
        """
        return self.error is None

    def is_gone(self, compute: HostSettings) -> bool:
        """Whether it has been answered that nothing is left, agents that live aside."""
        left = self.left.get(compute.nova_host)
        return self.error is None and left is not None and not left.uses and not left.records


@dataclass(frozen=True)
class Question:
    """How the primary controller is asked about COMPUTES, whose user for nova-manage is USER."""

    site: Site = field(repr=False)
    databases: NovaDatabases = field(repr=False)
    user: str
    computes: Sequence[HostSettings]

    def as_request(self) -> dict[str, Any]:
        settings = self.site.settings
        return {
            **KeystoneAdmin.of(self.site).as_request(settings.region, places(settings)),
            **self.databases.as_request(),
            "user": self.user,
            "broker": messaging.as_nova(self.site),
            "hosts": [compute.nova_host for compute in self.computes],
        }

    def asked(self, controller: Host) -> Records:
        # Only before a first deploy has Nova no tables; else a guest would be none for want of one.
        request = {**self.as_request(), "there": controller.state.is_executing}
        return Records.model_validate(ask(controller, RetiredRecords, request))

    def of(self, compute: HostSettings) -> Question:
        return Question(self.site, self.databases, self.user, [compute])

    def command(self, compute: HostSettings) -> StringCommand:
        request = {**self.as_request(), "retire": compute.nova_host}
        return script_command(RetiredRecords.script, "retire", request, RetiredRecords.uses)


def faults(records: Records, computes: Sequence[HostSettings]) -> list[str]:
    """What RECORDS say is left of COMPUTES, a line each."""
    if records.error:
        return [records.error]
    return [
        f"{compute.name}: {text}"
        for compute in computes
        for left in [records.left[compute.nova_host]]
        for text in (*left.uses, *(f"there still is {record}" for record in left.records))
    ]


def _nothing() -> Sequence[str]:
    return ()


@operation()
def forgotten(question: Question, living: Callable[[], Sequence[str]] = _nothing) -> Commands:
    """Have nothing left of the computes of QUESTION, whose nova-compute does not run any more.

    LIVING says why that is not so of those that are dead, on which nobody could stop it.

    Each is one command, which reads everything again, deletes in an order in which the next run can
    go on from anywhere, and ends with another look.
    """
    records = question.asked(host)
    if records.error:
        if problem := unread({"error": records.error, "early": records.early}):
            yield from refused(problem)
        return
    used = [
        f"{compute.name} is not retired: {text}"
        for compute in question.computes
        for text in records.left[compute.nova_host].uses
    ]
    if used and host.state.is_executing:
        yield from refused("\n".join(used))
        return
    steps = []
    for compute in question.computes:
        left = records.left[compute.nova_host]
        texts = [f"{compute.name} goes: {record}" for record in left.records]
        for text in left.staying if texts or host.state.is_executing else ():
            say(f"{compute.name}: {text}")
        if texts:
            steps += [*map(Step, texts[:-1]), Step(texts[-1], (question.command(compute),))]
    if steps and host.state.is_executing and (wrong := living()):
        yield from refused("\n".join(wrong))
        return
    yield from taken(steps)
