"""The preflight of a run: hosts asked side by side, once, and judged by what they answered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from pyinfra.api import Config, Inventory, State
from pyinfra.api.state import StateStage
from pyinfra.connectors.fake import FakeConnector
from pyinfra.context import ctx_config, ctx_host, ctx_state

from pyinfra_nova.run.verdicts import PreflightError
from pyinfra_nova.site.run_scope import RunScope, scope_of
from tasks import preflight
from tests.plan.fake_hosts import preflight as report
from tests.unit.site_data import site

NAMES = ["controller", *(f"compute{i}" for i in range(1, 9))]
AT_ONCE = 3


class Network:
    """Hosts that answer with the time of this machine's clock; how late they do is said here."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.ahead: dict[str, float] = {}
        self.there: dict[tuple[str, str], float] = {}
        self.back: dict[tuple[str, str], float] = {}
        self.held: dict[str, gevent.event.Event] = {}
        self.asked: list[tuple[str, str]] = []
        self.busy = 0
        self.most_busy = 0

    def answer(self, name: str, command: str) -> str:
        kind = "date" if command.startswith("date") else "report"
        self.asked.append((name, kind))
        self.busy += 1
        self.most_busy = max(self.most_busy, self.busy)
        gevent.sleep(0)
        if name in self.held:
            self.held[name].wait()
        self.now += self.there.get((name, kind), 0.1)
        told = self.now + self.ahead.get(name, 0.0)
        self.now += self.back.get((name, kind), 0.1)
        self.busy -= 1
        if kind == "date":
            return f"{told:.9f}"
        address = f"10.0.0.{11 + NAMES.index(name)}"
        return json.dumps({**report(name, address), "time": told})


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    made = Network()
    monkeypatch.setattr(preflight, "time", SimpleNamespace(time=lambda: made.now))

    def run(connector: FakeConnector, command: Any, **_: Any) -> tuple[bool, Any]:
        name = connector.host.name.removeprefix("@fake/")
        text = made.answer(name, str(command))
        connector.data["fake_responses"] = {"": text}
        return connector._lookup_response("")

    monkeypatch.setattr(FakeConnector, "run_shell_command", run)
    return made


@pytest.fixture
def state(network: Network) -> Iterator[State]:
    hosts = [f"@fake/{name}" for name in NAMES]
    made = State(Inventory((hosts, {})), Config(PARALLEL=AT_ONCE))
    for host in made.inventory:
        host.connected = True
        made.activate_host(host)
    made.current_stage = StateStage.Prepare
    before = ctx_state.get(), ctx_config.get(), ctx_host.get()
    ctx_state.set(made)
    ctx_config.set(made.config)
    yield made
    for context, value in zip((ctx_state, ctx_config, ctx_host), before, strict=True):
        context.set(value)


def scope() -> RunScope:
    hosts = {f"@fake/{name}": {"my_ip": f"10.0.0.{11 + i}"} for i, name in enumerate(NAMES)}
    names = list(hosts)
    whole = site(groups={"controllers": names[:1], "computes": names[1:]}, hosts=hosts)
    return scope_of(whole, whole.hosts)


def skews(state: State) -> dict[str, float]:
    _, found = preflight._ask_all(state, scope(), dict(state.inventory.hosts))
    return {name.removeprefix("@fake/"): skew for name, skew in found.items()}


def test_a_host_that_waits_its_turn_is_not_slow_by_that(state: State, network: Network) -> None:
    """Each answer takes a minute, so the last host is asked minutes after the first."""
    network.there = {(name, "report"): 30.0 for name in NAMES}
    network.back = {(name, "report"): 30.0 for name in NAMES}
    assert set(skews(state).values()) == {0.0}
    assert {name for name, kind in network.asked if kind == "date"} == set(NAMES)


@pytest.mark.parametrize("ahead", [-45.0, 45.0])
def test_a_clock_that_is_wrong_is_found_through_a_slow_answer(
    state: State, network: Network, ahead: float
) -> None:
    network.ahead["compute1"] = ahead
    network.there = {("compute1", "report"): 60.0}
    network.back = {("compute1", "report"): 60.0}
    found = skews(state)
    assert found["compute1"] == pytest.approx(ahead, abs=1)
    assert all(skew == 0.0 for name, skew in found.items() if name != "compute1")


def test_hosts_that_answer_at_once_are_asked_once(state: State, network: Network) -> None:
    skews(state)
    assert sorted(network.asked) == sorted((name, "report") for name in NAMES)


def test_a_host_that_never_answers_soon_is_asked_a_few_times_and_not_accused(
    state: State, network: Network
) -> None:
    for kind in ("report", "date"):
        network.back[("compute1", kind)] = 100.0
    assert skews(state)["compute1"] == 0.0
    dates = [name for name, kind in network.asked if kind == "date" and name == "compute1"]
    assert len(dates) == preflight.SAMPLES


def test_no_more_hosts_are_asked_at_once_than_pyinfra_works_on(
    state: State, network: Network
) -> None:
    skews(state)
    assert network.most_busy == AT_ONCE


def test_a_host_that_answers_late_holds_up_no_other(state: State, network: Network) -> None:
    network.held["controller"] = gevent.event.Event()
    asking = gevent.spawn(skews, state)
    while len(network.asked) < len(NAMES) or network.busy > 1:
        gevent.sleep(0)
    assert not asking.ready()
    network.held["controller"].set()
    assert set(asking.get()) == set(NAMES)


def test_a_preflight_that_fails_is_made_once_for_all_hosts(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[State] = []

    def fails(state: State) -> Any:
        made.append(state)
        gevent.sleep(0)
        raise PreflightError([])

    monkeypatch.setattr(preflight, "_prepare", fails)
    loads = [gevent.spawn(preflight.host_plans) for _ in NAMES]
    gevent.joinall(loads)
    assert made == [state]
    assert len({id(load.exception) for load in loads}) == 1
    assert isinstance(loads[0].exception, PreflightError)
