"""The hosts of a site as a backup and a restore see them, over one connection for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import gevent
from pyinfra.api.state import State
from pyinfra.context import ctx_config, ctx_inventory, ctx_state

from pyinfra_nova.backup.question import RestoredHost, of_look
from pyinfra_nova.backup.seal import BackupError
from pyinfra_nova.session.answering import NoAnswerError, answering
from pyinfra_nova.session.connections import at_once, notice_loss
from pyinfra_nova.session.host_script import Answer, ScriptFact, ask, order
from pyinfra_nova.site.settings import Site

Requests = Mapping[str, Mapping[str, Any]]
"""What each host is asked or told, by its name."""
DEADLINE = 60
WORK = 300
"""Seconds that a host may take to answer, and to start and stop units."""


def _whole(outcome: tuple[dict[str, Answer], list[str]]) -> dict[str, Answer]:
    answers, problems = outcome
    if problems:
        raise BackupError("\n".join(problems))
    return answers


class Hosts:
    """The hosts of SITE; all are asked side by side, each for itself."""

    def __init__(self, state: State, site: Site) -> None:
        self.state, self.site = state, site

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Pyinfra's context set to this site; all connections are closed at the end."""
        state = self.state
        with ctx_state.use(state), ctx_inventory.use(state.inventory), ctx_config.use(state.config):
            try:
                yield
            finally:
                for host in state.inventory.hosts.values():
                    if host.connected:
                        host.disconnect()

    def seen(self, names: Sequence[str]) -> tuple[dict[str, Answer], list[str]]:
        """What the hosts NAMES say of themselves, and why the others do not."""
        return self._all({name: of_look() for name in names}, self._asked)

    def look(self, units: Mapping[str, Sequence[str]] | None = None) -> dict[str, Answer]:
        """What controllers and computes say of themselves.

        Raises:
            BackupError: one does not, with every such host.
        """
        wanted = units or {}
        hosts = [h.name for h in self.site.hosts.values() if h.is_controller or h.is_compute]
        return _whole(
            self._all({name: of_look(wanted.get(name, ())) for name in hosts}, self._asked)
        )

    def tell(self, verb: str, requests: Requests) -> dict[str, Answer]:
        """What hosts say after each was told something.

        Raises:
            BackupError: one has not done it, with every such host.
        """
        told = {name: {**request, "verb": verb} for name, request in requests.items()}
        return _whole(self._all(told, self._told))

    def _all(
        self, requests: Requests, do: Callable[[str, Mapping[str, Any]], Answer | NoAnswerError]
    ) -> tuple[dict[str, Answer], list[str]]:
        pool = at_once(self.state)
        jobs = {name: pool.spawn(partial(do, name, each)) for name, each in requests.items()}
        found = {name: job.get() for name, job in jobs.items()}
        answers = {k: each for k, each in found.items() if not isinstance(each, NoAnswerError)}
        return answers, [str(each) for each in found.values() if isinstance(each, NoAnswerError)]

    def _asked(self, name: str, request: Mapping[str, Any]) -> Answer | NoAnswerError:
        return self._outcome(name, DEADLINE, lambda host: ask(host, RestoredHost, request))

    def _told(self, name: str, request: Mapping[str, Any]) -> Answer | NoAnswerError:
        def work(host: Any) -> Answer:
            return order(host, RestoredHost, str(request["verb"]), request)

        return self._outcome(name, WORK, work)

    def _outcome(
        self, name: str, deadline: int, work: Callable[[Any], Answer]
    ) -> Answer | NoAnswerError:
        late = NoAnswerError(f"{name} has not answered within {deadline} s")
        try:
            with gevent.Timeout(deadline, late), answering(self.state, name) as host:
                notice_loss(host)
                answer = work(host)
        except NoAnswerError as error:
            return error
        return answer or NoAnswerError(f"{name} answers nothing")

    def ask(self, name: str, fact: type[ScriptFact], request: Mapping[str, Any]) -> Answer:
        """What one host answers.

        Raises:
            NoAnswerError: nothing.
        """
        with answering(self.state, name) as host:
            return ask(host, fact, request)

    def order(
        self, name: str, fact: type[ScriptFact], verb: str, request: Mapping[str, Any]
    ) -> Answer:
        """What one host answers after it has done something.

        Raises:
            NoAnswerError: nothing, or it failed.
        """
        with answering(self.state, name) as host:
            return order(host, fact, verb, request)

    def data(self, name: str) -> dict[str, Any]:
        """How the inventory reaches a host."""
        return dict(self.state.inventory.get_host(name).data.dict())
