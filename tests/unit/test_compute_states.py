"""Which computes are opened and closed, and what is said of them."""

from __future__ import annotations

from typing import Any

import pytest

from pyinfra_nova.resources.compute_states import Closed, steps
from pyinfra_nova.site.faults import SettingsError
from pyinfra_nova.site.settings import Site

from .site_data import HOSTS, faults, site

BY_CONFIG = "New compute service disabled due to config option."


def where(all_data: dict[str, Any] | None = None, **compute1: Any) -> Site:
    return site(all_data, hosts={**HOSTS, "compute1": {**HOSTS["compute1"], **compute1}})


def said(of: Site, reasons: dict[str, str] | None = None, *unseen: str) -> list[str]:
    found = steps(of, of.computes, Closed(reasons or {}, frozenset(unseen)))
    assert [len(step.commands) for step in found] == [0] * (len(found) - 1) + [1] * bool(found)
    return [step.text for step in found]


def test_what_is_so_is_left_alone() -> None:
    assert said(site()) == []
    closed = where(state="closed", state_reason="new memory")
    assert said(closed, {"compute1": "new memory"}) == []


def test_what_somebody_has_closed_is_opened_and_why_it_was_closed_is_said() -> None:
    assert said(site(), {"compute2": "fan"}) == ["open compute2 to new guests (was closed: fan)"]


def test_a_compute_that_nova_has_closed_itself_opens_by_itself() -> None:
    reason = "AUTO: Connection to libvirt lost: 1"
    assert said(site(), {"compute2": reason}) == []
    # To be closed it has to have a reason that Nova does not take back.
    assert said(where(state="closed"), {"compute1": reason}) == [
        f"close compute1 to new guests, closed in the inventory (was closed: {reason})"
    ]


def test_a_compute_is_closed_for_the_reason_that_the_inventory_has() -> None:
    closed = where(state="closed", state_reason="new memory")
    assert said(closed) == ["close compute1 to new guests, new memory (was open)"]
    assert said(closed, {"compute1": "fan"}) == [
        "close compute1 to new guests, new memory (was closed: fan)"
    ]


def test_a_compute_that_is_drained_takes_no_new_guests() -> None:
    drained = where(state="drained")
    assert said(drained) == ["close compute1 to new guests, drained in the inventory (was open)"]
    assert said(drained, {"compute1": "drained in the inventory"}) == []
    mine = where(state="drained", state_reason="new memory")
    assert said(mine) == ["close compute1 to new guests, new memory (was open)"]
    # One that was closed before says why it is closed now.
    assert said(drained, {"compute1": "a fan"}) == [
        "close compute1 to new guests, drained in the inventory (was closed: a fan)"
    ]


@pytest.mark.parametrize(
    ("drain", "message"),
    [
        ({"timeout": 5}, r"drain\.timeout: "),
        ({"at_once": 0}, r"drain\.at_once: "),
        ({"at_once_per_host": "two"}, r"drain\.at_once_per_host: "),
        ({"then": "kill"}, r"drain\.then: must be 'abort' or 'force_complete'"),
        ({"time_out": 60}, r"drain\.time_out: unknown key; did you mean 'timeout'"),
    ],
)
def test_limits_of_drains_that_cannot_be_meant_are_refused_by_name(
    drain: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        site({"drain": drain})


def test_a_run_may_have_other_limits() -> None:
    given = site({"drain": {"timeout": 60}}, override_data={"drain": {"then": "force_complete"}})
    drain = given.settings.drain
    assert (drain.timeout, drain.then, drain.at_once) == (60, "force_complete", 4)


def test_computes_that_join_are_opened_together() -> None:
    joined = dict.fromkeys(("compute1", "compute2"), BY_CONFIG)
    assert said(site(), joined) == [
        f"open compute1, compute2 to new guests (was closed: {BY_CONFIG})"
    ]


def test_a_plan_says_of_computes_that_are_not_there_yet_what_will_be_done() -> None:
    new = ("compute1", "compute2")
    assert said(site(), {}, *new) == ["open compute1, compute2 to new guests (is new)"]
    assert said(site({"enable_new_services": True}), {}, *new) == []
    assert said(where({"enable_new_services": True}, state="closed"), {}, *new) == [
        "close compute1 to new guests, closed in the inventory (is new)"
    ]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"state": "shut"}, "compute1.state: must be 'open', 'closed', 'drained' or 'retired'"),
        ({"state_reason": "AUTO: later"}, "compute1.state_reason: begins as Nova's own reasons do"),
        ({"state_reason": "x" * 256}, "compute1.state_reason: is longer than 255 characters"),
        ({"state_reason": ""}, "compute1.state_reason: is empty"),
        ({"state_reason": "\U0001f525"}, "which Nova's database cannot keep"),
        ({"state_reason": "two\nlines"}, "compute1.state_reason: contains"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message.replace("(", r"\(")):
        where(**values)


@pytest.mark.parametrize("key", ["state", "state_reason"])
def test_a_controller_alone_has_no_such_state(key: str) -> None:
    hosts = {**HOSTS, "controller": {**HOSTS["controller"], key: "closed"}}
    assert faults(hosts=hosts) == [f"inventory.py: controller.{key}: is said of a compute alone"]
