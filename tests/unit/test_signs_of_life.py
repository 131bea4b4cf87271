"""What is concluded of signs of life: who was asked, what was heard, and what nobody could ask."""

from __future__ import annotations

from typing import Any

import pytest

from pyinfra_nova.resources.evacuations import EvacuationState
from pyinfra_nova.resources.evacuations.decision import Dead
from pyinfra_nova.resources.evacuations.signs import (
    PATIENCE,
    REMEDY,
    Looks,
    Sought,
    _asked_here,
    of_nova,
)

SOUGHT = Sought("compute2", "compute2", ("10.0.0.32", "10.0.0.32"), 22, "10.0.0.32")
DEAD = Dead("compute2", "compute2", "")
SILENCE: dict[str, Any] = {"signs": {"compute2": []}, "asked": {"compute2": ["ping"]}}
SILENCE |= {"unasked": []}
UNASKED = {**SILENCE, "asked": {"compute2": []}, "unasked": ["ping is not installed"]}


def looks(**answers: dict[str, Any]) -> Looks:
    found = Looks()
    for who, answer in answers.items():
        found.add(who, answer)
    return found


def state(**service: Any) -> EvacuationState:
    found = {"id": "s", "forced_down": False, "beat": "2026-01-01 10:00:00", "age": 600.0}
    up = service.pop("up", "down")
    agents = service.pop("agents", [])
    return EvacuationState.model_validate(
        {
            **{"error": None, "computes": {"compute2": up}, "agents": {"compute2": agents}},
            "services": {"compute2": {**found, **service}},
        }
    )


def test_a_host_is_asked_at_each_of_its_addresses_once() -> None:
    assert SOUGHT.as_request() == {"name": "compute2", "addresses": ["10.0.0.32"], "port": 22}


def test_this_machine_asks_it_where_it_would_connect_to_it_and_nowhere_else() -> None:
    """At home 10.0.0.32 may be a printer; and a host without its management network may live."""
    sought = Sought("compute2", "compute2", ("10.0.0.32",), 22, "compute2.example.org")
    assert sought.as_request(here=True)["addresses"] == ["compute2.example.org"]
    assert sought.as_request()["addresses"] == ["10.0.0.32"]


def test_silence_everywhere_is_no_sign() -> None:
    assert looks(controller=SILENCE, compute1=SILENCE).lives(SOUGHT) == []


def test_one_sign_is_enough_and_is_said_with_who_has_heard_it() -> None:
    sign = {**SILENCE, "signs": {"compute2": ["10.0.0.32 replies to a ping"]}}
    assert looks(controller=SILENCE, compute1=sign).lives(SOUGHT) == [
        f"10.0.0.32 replies to a ping, asked by compute1: {REMEDY}"
    ]


def test_what_one_could_not_ask_another_may_have_asked() -> None:
    found = looks(controller=UNASKED, compute1=SILENCE)
    assert found.lives(SOUGHT) == []
    assert found.unasked == ["controller: ping is not installed"]


def test_where_nobody_could_ask_it_is_not_taken_for_dead() -> None:
    found = looks(controller=UNASKED, compute1={"error": "timed out"})
    assert found.lives(SOUGHT) == [
        "nobody could look whether it lives: controller: ping is not installed; compute1: timed out"
    ]


def test_a_silent_guest_is_no_silence_of_its_host() -> None:
    of_guests = {**UNASKED, "asked": {"compute2": ["ping of guests"]}}
    (why,) = looks(controller=of_guests).lives(SOUGHT)
    assert why.startswith("nobody could look whether it lives: ")


def test_this_machine_asks_in_a_process_of_its_own() -> None:
    """Without a host there is nothing to ask; it is the script that answers."""
    found = _asked_here({"hosts": [], "guests": []})
    assert found == {"signs": {}, "asked": {}, "unasked": []}


# --- what Nova and Neutron hear -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({}, None),
        ({"age": None, "beat": None}, None),
        ({"forced_down": True}, None),
        ({"age": 60.0}, "its nova-compute has sent a heartbeat 60 s ago"),
        ({"age": 10.0, "forced_down": True}, "its nova-compute has sent a heartbeat 10 s ago"),
        ({"up": "up"}, "Nova calls its nova-compute up"),
        ({"agents": ["L3 agent", "DHCP agent"]}, "Neutron hears its L3 agent, DHCP agent"),
    ],
)
def test_what_is_heard_of_it(now: dict[str, Any], said: str | None) -> None:
    found = of_nova(state(**now), DEAD, 60)
    assert found == ([f"{said}: {PATIENCE}{REMEDY}"] if said else [])


def test_a_heartbeat_that_moves_is_one_however_old() -> None:
    """The clocks of its conductor and of who looks may differ."""
    before = state(beat="2026-01-01 09:59:50")
    (text,) = of_nova(state(), DEAD, 60, before)
    assert text.startswith("its nova-compute sends heartbeats")
    assert of_nova(state(), DEAD, 60, state()) == []


def test_of_one_that_nova_does_not_have_nothing_is_heard() -> None:
    assert of_nova(EvacuationState(error=None), DEAD, 60) == []
