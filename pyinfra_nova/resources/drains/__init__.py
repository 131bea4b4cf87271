"""Computes that are to have no guests: those that they have are moved away, each by its state."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import gevent
from pyinfra import host
from pyinfra.api import StringCommand, operation
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.host import Host
from pyinfra.api.state import State
from typing_extensions import Self

from pyinfra_nova.resources.compute_api import places
from pyinfra_nova.resources.drains import arrivals
from pyinfra_nova.resources.drains.arrivals import Libvirt, Sides
from pyinfra_nova.resources.drains.decision import Decision, Run, decide
from pyinfra_nova.resources.drains.plan_lines import planned
from pyinfra_nova.resources.drains.remedies import AGAIN
from pyinfra_nova.resources.drains.state import Drained, DrainState, Seen
from pyinfra_nova.resources.drains.verdicts import Step
from pyinfra_nova.resources.keystone import KeystoneAdmin, network_login
from pyinfra_nova.resources.nova_state import NovaDatabases
from pyinfra_nova.session.connections import at_once, reached
from pyinfra_nova.session.host_script import (
    NO_ANSWER,
    Answer,
    ScriptFact,
    answered,
    ask,
    script_command,
)
from pyinfra_nova.session.steps import Commands, Heard, changing, refused, say
from pyinfra_nova.site.drain import Drain
from pyinfra_nova.site.names import named
from pyinfra_nova.site.settings import Site

USES = (
    *("trust", "rest", "keystone", "compute_api", "cloud_session", "sql", "nova_state"),
    *("nova_tables", "newest_moves", "provider_allocations", "guest_records", "arrivals"),
    *("compute_states", "drain_targets"),
)
EVERY = 5.0
"""Seconds from one look at the guests to the next."""
SAID_EVERY = 15.0
"""Seconds from one line about the guests on the way to the next."""
NAMED = 50
"""Guests that stay, in the error with which a run ends."""
PATIENCE = 60.0
"""Seconds for what is nobody's move, but may be over in a moment: a reboot, a deletion."""


class GuestsToMove(ScriptFact):
    """The guests on computes that are to have none, their moves, and where they could go."""

    script = "drains"
    uses = USES


class DomainUuids(ScriptFact):
    """The domains of a host's libvirt."""

    script = "domain_uuids"
    uses = ("host_guests",)


@dataclass(frozen=True)
class Question:
    """How the primary controller is asked about the guests of COMPUTES, and how these leave.

    Attributes:
        closing: hosts in Nova that take no guests by the time that these are moved.
        opening: those that take some by then.
        only: the guests that it is about; None where it is about all of them.
        to: the one host that they are to go to; None where Nova's scheduler chooses.
        near: the computes whose libvirt can be asked whether it has a guest that went there.
    """

    fact: ClassVar[type[ScriptFact]] = GuestsToMove
    answers: ClassVar[type[DrainState]] = DrainState

    site: Site = field(repr=False)
    databases: NovaDatabases = field(repr=False)
    computes: Sequence[Drained]
    closing: Sequence[str] = ()
    opening: Sequence[str] = ()
    only: Collection[str] | None = None
    to: str | None = None
    near: Sequence[Drained] = ()

    def as_request(self) -> dict[str, Any]:
        settings = self.site.settings
        return {
            **KeystoneAdmin.of(self.site).as_request(settings.region, places(settings)),
            "nova": {"network": network_login(self.site)},
            **self.databases.as_request(),
            "hosts": [compute.host for compute in self.computes],
            "closing": list(self.closing),
            "opening": list(self.opening),
            **({} if self.only is None else {"only": sorted(self.only)}),
        }

    def asked(self, controller: Host, run: Run, domains: Collection[str] = ()) -> Seen:
        """What Nova says, and of the guests that libvirt still has as DOMAINS."""
        more = {"placed": run.targets, "moved": run.moved, "domains": domains}
        request = {**self.as_request(), **{key: sorted(value) for key, value in more.items()}}
        answer = ask(controller, self.fact, request) or {"error": NO_ANSWER}
        state = self.answers.model_validate(answer)
        if self.to is not None:
            state.targets = {k: target.cut_to(self.to) for k, target in state.targets.items()}
        seen = Seen(self.computes, state)
        run.sides = self.sides(controller, seen, run)
        return seen

    def sides(self, controller: Host, seen: Seen, run: Run) -> Sides:
        """What libvirt says, after Nova, of guests that may run where one would not look for them.

        Of those of which Nova has refused what is to be done nobody is asked again.
        """
        known = {uuid for uuid, kind in run.refused if kind == "set_active"}
        hosts = arrivals.in_doubt(seen, known)
        if not hosts:
            return Sides()
        asked = arrivals.places(hosts, self.computes, self.near)
        return Libvirts.of(asked, controller.state, awake=True).sides

    def looked(self, controller: Host, run: Run) -> tuple[Seen, Libvirts]:
        """Libvirt's word first: what it has may have left by the time that Nova is asked."""
        libvirts = Libvirts.of(self.computes, controller.state)
        return self.asked(controller, run, libvirts.all), libvirts

    def decide(self, seen: Seen, limits: Drain, run: Run) -> Decision:
        """What is next for the guests that were SEEN."""
        return decide(seen, limits, run)

    def command(self, step: Step) -> StringCommand:
        wanted = {"kind": step.kind, "guest": step.guest.uuid, "move": step.move, "to": self.to}
        return self.commanded(step.kind, wanted)

    def commanded(self, verb: str, step: Mapping[str, Any]) -> StringCommand:
        request = {**self.as_request(), "step": step}
        return script_command(self.fact.script, verb, request, self.fact.uses)

    @property
    def finished(self) -> str:
        """What is said at the end."""
        if self.to is not None:
            return f"the guests are back on {self.to}"
        return f"no guest is left on {named([compute.name for compute in self.computes])}"

    @property
    def unfinished(self) -> str:
        """What is said where that is not so."""
        if self.to is not None:
            return f"not all guests are back on {self.to}"
        names = named([compute.name for compute in self.computes])
        return f"not drained of all guests: {names}"

    def among(self, computes: Sequence[Drained], *, opened: bool) -> Self:
        """The same of COMPUTES; what was to be opened is OPENED, so it takes what Nova sends it."""
        return replace(self, computes=computes, opening=() if opened else self.opening)


@dataclass(frozen=True)
class Libvirts:
    """What libvirt says on some computes.

    Attributes:
        domains: by the compute's host in Nova, the domains that it has.
        silent: what those say that do not answer.
        running: of the domains those that are not off.
        awake: of these those that are not paused, where that was asked.
        mute: why some say nothing, by host in Nova.
    """

    domains: dict[str, list[str]]
    silent: list[str]
    running: Mapping[str, Collection[str]] = field(default_factory=dict)
    awake: Mapping[str, Collection[str]] = field(default_factory=dict)
    mute: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, computes: Sequence[Drained], state: State, *, awake: bool = False) -> Libvirts:
        """Asked side by side: as late as the slowest. One that the run leaves out is connected."""

        def asked(compute: Drained) -> Answer:
            request = {"libvirt": compute.libvirt, **({"awake": True} if awake else {})}
            try:
                with reached(state, compute.name) as other:
                    found = ask(other, DomainUuids, request)
            except PyinfraError as error:
                return {"error": str(error)}
            return found or {"error": NO_ANSWER}

        pool = at_once(state)
        jobs = {compute: pool.spawn(asked, compute) for compute in computes}
        answers = {compute: job.get() for compute, job in jobs.items()}
        return cls(
            {c.host: list(a["uuids"]) for c, a in answers.items() if not a["error"]},
            [f"libvirt on {c.name} does not say its guests: {a['error']}"
             for c, a in answers.items() if a["error"]],
            {c.host: a.get("running") or () for c, a in answers.items()},
            {c.host: a.get("awake") or () for c, a in answers.items()},
            {c.host: str(a["error"]) for c, a in answers.items() if a["error"]},
        )  # fmt: skip

    @property
    def sides(self) -> Sides:
        """The same, host by host."""
        known = {
            name: Libvirt(uuids, self.awake.get(name, ())) for name, uuids in self.domains.items()
        }
        return Sides({**{name: Libvirt(silent=why) for name, why in self.mute.items()}, **known})

    def of_host(self, name: str) -> Self:
        """The same of the compute NAME, in Nova, alone; it has answered."""
        return replace(self, domains={name: self.domains[name]}, silent=[])

    @property
    def all(self) -> set[str]:
        return {uuid for uuids in self.domains.values() for uuid in uuids}

    def left(self, seen: Seen) -> list[str]:
        """The guests that libvirt still has where Nova has them no more.

        One that waits to be confirmed, or is on the way, is still on both sides.
        """
        return [
            f"libvirt on {name} still has guest {uuid}, which Nova has on {where}: `./run audit` "
            "says what to do about it"
            for name, uuids in self.domains.items()
            for uuid in uuids
            if (where := seen.state.domains.get(uuid)) not in (None, name)
            and (uuid not in seen.moves or seen.moves[uuid].has_ended)
        ]

    def _unknown(self, seen: Seen) -> Iterator[tuple[str, str]]:
        for name, uuids in self.domains.items():
            for uuid in uuids:
                if uuid in seen.state.domains and seen.state.domains[uuid] is None:
                    yield name, uuid

    def strange(self, seen: Seen) -> list[str]:
        """What only libvirt knows; it is not Nova's, so nobody moves it."""
        return [
            f"libvirt on {name} has {uuid}, of which Nova knows nothing: it stays there"
            for name, uuid in self._unknown(seen)
        ]

    def harmed(self, seen: Seen) -> list[str]:
        """What of that runs: a drain leaves it alone, and a reboot would end it."""
        return [
            f"libvirt on {name} runs {uuid}, of which Nova knows nothing, so nobody moves it: see "
            f"whose it is, and stop it (`virsh shutdown {uuid}`), or move it away"
            for name, uuid in self._unknown(seen)
            if uuid in self.running.get(name, ())
        ]


def faults(controller: Host, question: Question) -> list[str]:
    """What is still on the computes of QUESTION, guest by guest."""
    run = Run()
    question = question.among(question.computes, opened=True)
    seen, libvirts = question.looked(controller, run)
    if seen.state.error:
        return [seen.state.error]
    found = planned(question.decide(seen, Drain(), run), run)
    return [*found, *libvirts.left(seen), *libvirts.silent]


@operation()
def drained(question: Question, unseen: Callable[[], Collection[str]], limits: Drain) -> Commands:
    """Have no guest on the computes of QUESTION; those that are UNSEEN have none of Nova's.

    It is over where Nova has no guest there, no move from or to there is under way, and libvirt
    there has no guest of Nova's. Guests that stay end the run, with what each needs; what could be
    moved has been moved by then. Of a plan they are a part: a deploy would end with an error.
    """
    executing = host.state.is_executing
    passed = unseen()
    left = [c for c in question.computes if c.host not in passed]
    if not left:
        return
    question, run = question.among(left, opened=executing), Run()
    seen, libvirts = question.looked(host, run)
    if seen.state.error:
        yield from refused(seen.state.error)
        return
    decision = question.decide(seen, limits, run)
    lines = [*planned(decision, run), *libvirts.left(seen), *libvirts.silent]
    # While it is done, each step is said when it begins.
    told = [stay.text for stay in decision.stays] if executing else lines
    for line in (*libvirts.strange(seen), *told):
        say(line)
    if lines and executing:
        wrong = yield from moving(question, limits, run)
        if wrong:
            yield from refused(wrong)
    elif lines:
        yield StringCommand("true")  # not run: something is to be done


class _Progress:
    """What is said of the guests on the way: what has changed, and not too often."""

    def __init__(self) -> None:
        self.text, self.at = "", float("-inf")

    def begin(self) -> None:
        """What has just been begun is said by then."""
        self.at = time.monotonic()

    def say(self, decision: Decision) -> None:
        text = "; ".join(way.text for way in decision.ways)
        now = time.monotonic()
        if not text or text == self.text or now - self.at < SAID_EVERY:
            return
        left = len(decision.later)
        more = f"; {left} more to move" if left else ""
        say(text + more)
        self.text, self.at = text, now


def moving(question: Question, limits: Drain, run: Run) -> Generator[StringCommand, None, str]:
    """Move what can be moved, then return what cannot, or ""; each look is at everything anew."""
    progress, since = _Progress(), time.monotonic()
    while True:
        seen = question.asked(host, run)
        if seen.state.error:
            return seen.state.error
        decision = question.decide(seen, limits, run)
        progress.say(decision)
        yield from _done(question, decision, seen, run, progress)
        if decision.goes_on:
            since = time.monotonic()
        elif run.asks_again():
            continue
        else:
            wrong, passing = _remaining(question, decision, run)
            if not passing or time.monotonic() > since + PATIENCE:
                if not run.gives_up(decision):
                    break
                since = time.monotonic()
                continue
        gevent.sleep(EVERY)
    if wrong:
        if left := len(wrong[NAMED:]):
            wrong = [*wrong[:NAMED], f"and {left:,} more, which a plan names"]
        return "\n".join([question.unfinished, *wrong])
    say(question.finished)
    return ""


def _done(
    question: Question, decision: Decision, seen: Seen, run: Run, progress: _Progress
) -> Iterator[StringCommand]:
    for step in decision.now:
        say(step.text)
        progress.begin()
        command = Heard(changing(question.command(step)))
        yield command
        answer = answered(question.fact.script, command.lines)
        move = seen.moves.get(step.guest.uuid)
        run.note(step, run.age_of(move) if move else 0.0, answer["refused"], answer["late"])
        if words := answer["refused"] or answer["late"]:
            say(f"not done: {words}")


def _remaining(question: Question, decision: Decision, run: Run) -> tuple[list[str], bool]:
    """What keeps the computes from being empty, and whether waiting may be enough.

    Before it is said that there is nothing, libvirt has its say too.
    """
    wrong = [stay.text for stay in decision.stays]
    if count := len(decision.later):
        were = "guests were" if count > 1 else "guest was"
        wrong.append(f"{count} more {were} not begun with, because no more may move at once{AGAIN}")
    if any(not stay.passing for stay in decision.stays):
        return wrong, any(stay.passing for stay in decision.stays)
    if wrong:
        return wrong, True
    if question.to is not None:  # the computes may have other guests
        return [], False
    seen, libvirts = question.looked(host, run)
    if seen.state.error:
        return [seen.state.error], False
    again = question.decide(seen, Drain(), run)
    more = [*planned(again, run), *libvirts.left(seen), *libvirts.silent]
    return more, bool(more)
