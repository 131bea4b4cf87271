"""Guests that are on the way from one compute to another."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

import gevent
from gevent.lock import RLock
from pyinfra import host
from pyinfra.api.host import Host
from pyinfra.api.state import State
from pyinfra.context import ctx_host

from pyinfra_nova.resources.nova_state import NovaDatabases
from pyinfra_nova.session.host_script import NO_ANSWER, Answer, ScriptFact, ask
from pyinfra_nova.session.steps import say
from pyinfra_nova.site.names import named

FRESH = 5.0
"""Seconds for which an answer about all computes is good for each of them."""
PATIENCE = 900.0
"""Seconds for which a restart waits for guests that are on the way."""


class MovesUnderWay(ScriptFact):
    """Each guest that is on the way, with the computes between which it is."""

    script = "moves"
    uses = ("trust", "sql", "nova_state", "nova_tables")


@dataclass
class _Last:
    """The last answer of a run, for all of its computes at once."""

    answer: Answer = field(default_factory=dict)
    at: float = float("-inf")
    lock: RLock = field(default_factory=RLock)


_LAST: WeakKeyDictionary[State, _Last] = WeakKeyDictionary()


def _asked(controller: Host, databases: NovaDatabases) -> Answer:
    last = _LAST.setdefault(controller.state, _Last())
    with last.lock:
        if time.monotonic() - last.at > FRESH:
            with ctx_host.use(controller):
                last.answer = ask(controller, MovesUnderWay, databases.as_request())
            last.at = time.monotonic()
        return last.answer or {"error": NO_ANSWER, "moves": []}


def on_the_way(controller: Host, databases: NovaDatabases, compute: str) -> Answer:
    """What moves to or from COMPUTE, by its host name in Nova, as texts; or why nobody can say."""
    answer = _asked(controller, databases)
    moves = [
        f"guest {move['guest']} ({move['kind']}, {move['status']})"
        for move in answer["moves"]
        if compute in (move["source"], move["target"])
    ]
    return {"error": answer["error"], "moves": moves}


def waited(asked: Callable[[], Answer], patience: float = PATIENCE) -> str:
    """Wait until nothing is on the way any more; what keeps a restart from being made, or "".

    A restart ends what a live migration is at on either side: its guest may then run on a host of
    which Nova knows nothing, or is stopped.
    """
    over, said = time.monotonic() + patience, 0
    while True:
        answer = asked()
        moves: Sequence[str] = answer["moves"]
        if answer["error"]:
            return f"whether guests are on the way nobody can say: {answer['error']}"
        if not moves:
            return ""
        if time.monotonic() > over:
            return (
                f"not restarted: for {patience:.0f} s guests were on the way, at last "
                f"{named(list(moves))}: let them end, or abort what moves alive (`openstack "
                "server migration abort`), then deploy again"
            )
        if len(moves) != said:
            say(f"wait with the restart: {named(list(moves))} is on the way")
            said = len(moves)
        gevent.sleep(FRESH)


def of_this_host(controller: str, databases: NovaDatabases, compute: str) -> Callable[[], Answer]:
    """What ``waited`` asks on the host at hand, COMPUTE in Nova; CONTROLLER is in the inventory."""
    asked_on = host.state.inventory.get_host(controller)
    return lambda: on_the_way(asked_on, databases, compute)
