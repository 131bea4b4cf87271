"""A deployed cloud, asked: every host about itself, the primary controller about all the rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import gevent
from pydantic import ValidationError
from pyinfra.api.state import State
from pyinfra.context import ctx_config, ctx_inventory, ctx_state

from pyinfra_nova.audit import elsewhere, question
from pyinfra_nova.audit.report import Audit, Repair
from pyinfra_nova.session.answering import NoAnswerError, answering
from pyinfra_nova.session.connections import at_once, notice_loss, using
from pyinfra_nova.session.host_script import Answer, ScriptFact, ask, order
from pyinfra_nova.site.names import named
from pyinfra_nova.site.settings import Site

DEADLINE = 60
"""Seconds that one host may take to be connected to and to answer for itself."""
Question = tuple[type[ScriptFact], Mapping[str, Any]]
T = TypeVar("T")


class AuditedCloud:
    """The hosts of a site, over one connection for each.

    Attributes:
        unreachable: why hosts have not answered when they were asked last, by name.
    """

    def __init__(self, state: State, site: Site, say: Callable[[str], None]) -> None:
        self.state = state
        self.site = site
        self.say = say
        self.unreachable: dict[str, str] = {}

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Pyinfra's context set to this site; all connections are closed at the end."""
        with (
            using(ctx_state, self.state),
            using(ctx_inventory, self.state.inventory),
            using(ctx_config, self.state.config),
        ):
            try:
                yield
            finally:
                for host in self.state.inventory.hosts.values():
                    if host.connected:
                        host.disconnect()

    def audit(self) -> Audit:
        """What is found now.

        Raises:
            NoAnswerError: the primary controller gives none.
        """
        request = self._request()
        name = self.site.primary_controller.name
        if name in self.unreachable:
            raise NoAnswerError(self.unreachable[name])
        self.say(f"asking {name} about the cloud")
        with answering(self.state, name) as host:
            answer = ask(host, question.CloudAudit, request)
        return _read(name, lambda: Audit(**answer, unreachable=self.unreachable))

    def repair(self, keys: Sequence[str]) -> list[Repair]:
        """What has come of repairing the findings KEYS.

        Raises:
            NoAnswerError: the primary controller gives none; what it did, the next audit shows.
        """
        request = {**self._request(), "repairs": list(keys)}
        name = self.site.primary_controller.name
        self.say(f"repairing on {name}")
        with answering(self.state, name) as host:
            answer = order(host, question.Repairs, "repair", request)
        return _read(name, lambda: [Repair(**each) for each in answer["repairs"]])

    def _request(self) -> dict[str, Any]:
        """What the primary controller is asked, with what the hosts have just said."""
        questions = self._questions()
        self.say(f"asking {named(list(questions))} about themselves")
        began = time.monotonic()
        answers = self._side_by_side(questions)
        hosts = {name: found["host"] for name, found in answers.items() if "host" in found}
        request = question.of_cloud(self.site, hosts)
        request["hosts_took"] = time.monotonic() - began
        for found in answers.values():
            if "queues" in found:
                queues = found["queues"]
                request["queues"] = queues.get("queues")
                request["queues_error"] = queues.get("error")
            if "placement" in found:
                request["placement"] = found["placement"].get("placement")
        return request

    def _questions(self) -> dict[str, dict[str, Question]]:
        """What each host is asked: about itself, and what the primary controller cannot see."""
        site = self.site
        questions: dict[str, dict[str, Question]] = {
            host.name: {"host": (question.HostEvidence, question.of_host(site, host))}
            for host in site.hosts.values()
            if host.is_controller or host.is_compute
        }
        primary, broker, database = site.primary_controller, site.messaging_host, site.database_host
        if broker and "messaging" not in primary.roles:
            of_broker = questions.setdefault(broker.name, {})
            of_broker["queues"] = (elsewhere.Queues, elsewhere.of_broker(site))
        if database and "database" not in primary.roles:
            of_database = questions.setdefault(database.name, {})
            of_database["placement"] = (elsewhere.Placement, elsewhere.of_placement(site))
        return questions

    def _side_by_side(
        self, questions: Mapping[str, Mapping[str, Question]]
    ) -> dict[str, dict[str, Answer]]:
        self.unreachable = {}
        pool = at_once(self.state)
        jobs = {name: pool.spawn(partial(self._asked, name, of)) for name, of in questions.items()}
        return {name: job.get() for name, job in jobs.items()}

    def _asked(self, name: str, questions: Mapping[str, Question]) -> dict[str, Answer]:
        """What the host NAME answers; why not, in place of each answer that it does not give."""
        answers: dict[str, Answer] = {}
        late = NoAnswerError(f"{name} has not answered within {DEADLINE} s")
        try:
            with gevent.Timeout(DEADLINE, late), answering(self.state, name) as host:
                notice_loss(host)
                for what, (fact, request) in questions.items():
                    answers[what] = ask(host, fact, request)
                    if not answers[what]:
                        raise NoAnswerError(f"{name} answers nothing")
        except NoAnswerError as error:
            self.unreachable[name] = str(error)
            missing = {what: {"error": str(error)} for what in questions if not answers.get(what)}
            answers.update(missing)
        return answers


def _read(name: str, read: Callable[[], T]) -> T:
    """What READ makes of an answer of the host NAME.

    Raises:
        NoAnswerError: it is none.
    """
    try:
        return read()
    except (ValidationError, TypeError, KeyError) as error:
        raise NoAnswerError(f"{name} gives no answer that can be read: {error!r:.200}") from None
