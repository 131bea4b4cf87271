"""Connect to all hosts of an inventory and ask each for its report, twice; print what that took.

The second time the host LATE, whose processes are those of NAMESPACE, stands still for SECONDS.
usage: ask_hosts.py INVENTORY LATE NAMESPACE SECONDS
"""

from __future__ import annotations

import pyinfra_cli  # noqa: F401 # isort: skip # it has gevent replace what blocks, so it is first

import json
import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import gevent
from pyinfra.api.connect import connect_all, disconnect_all
from pyinfra.api.host import Host
from pyinfra.api.state import State, StateStage
from pyinfra.context import ctx_host, ctx_state

from bench.light_hosts import pids_of
from pyinfra_nova.session.connections import allow_open_connections, at_once, load, notice_loss
from pyinfra_nova.session.host_script import ScriptFact, ask


class LightReport(ScriptFact):
    """A host's name and clock: a script over standard input, as all facts here are."""

    script = "light_report"
    folder = Path(__file__).resolve().parent / "files"


class Watch:
    """Seconds of wall clock and of this process's CPU since it was made."""

    def __init__(self) -> None:
        self.begun, self.used = time.monotonic(), self._cpu()

    @staticmethod
    def _cpu() -> float:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime

    def read(self) -> dict[str, float]:
        wall, cpu = time.monotonic() - self.begun, self._cpu() - self.used
        return {"wall": round(wall, 2), "cpu": round(cpu, 2)}


def ask_all(state: State) -> dict[str, float]:
    """When each host had answered, in seconds."""
    begun = time.monotonic()

    def ask_one(host: Host) -> float:
        with ctx_host.use(host):
            assert ask(host, LightReport, {})["hostname"] == host.name
        return time.monotonic() - begun

    pool = at_once(state)
    jobs = {host.name: pool.spawn(ask_one, host) for host in state.inventory}
    return {name: job.get() for name, job in jobs.items()}


def stand_still(namespace: str, seconds: float) -> None:
    """Stop what runs in NAMESPACE; it goes on after SECONDS."""
    pids = pids_of(namespace)

    def send(number: signal.Signals) -> None:
        for pid in pids:
            os.kill(pid, number)

    send(signal.SIGSTOP)
    gevent.spawn_later(seconds, send, signal.SIGCONT)


def main(arguments: Sequence[str]) -> int:
    inventory, late, namespace, seconds = arguments
    allow_open_connections()
    state = load(inventory)
    with ctx_state.use(state):
        state.set_stage(StateStage.Connect)
        watch = Watch()
        connect_all(state)
        figures: dict[str, object] = {"hosts": len(state.inventory), "connect": watch.read()}
        for host in state.inventory:
            notice_loss(host)
        watch = Watch()
        ask_all(state)
        figures["ask"] = watch.read()
        stand_still(namespace, float(seconds))
        answered = ask_all(state)
        figures["late"] = round(answered.pop(late), 2)
        figures["last_of_the_others"] = round(max(answered.values()), 2)
        figures["at_once"] = state.pool.size
        disconnect_all(state)
    figures["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    json.dump(figures, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
