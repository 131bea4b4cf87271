"""What is done next to prove a compute with a guest: each state, and what follows of it."""

from __future__ import annotations

from typing import Any

import pytest

from pyinfra_nova.resources.smoke_guests.decision import (
    ComputeState,
    Kind,
    Proof,
    SmokeGuestState,
    State,
    VolumeState,
    decide,
)
from pyinfra_nova.site.smoke_guest import SmokeGuest

WANTED = SmokeGuest(image="tiny", network="provider", timeout=60)


def guest(**changes: Any) -> SmokeGuestState:
    made = {"uuid": "g1", "state": "active", "task": None, "fault": None, "host": "compute1"}
    return SmokeGuestState.model_validate({**made, "spoke": True, "last": "up", **changes})


def volume(status: str = "available", *, attached: bool = False) -> VolumeState:
    return VolumeState(uuid="v1", status=status, attached=attached)


ATTACHED = volume("in-use", attached=True)


def compute(**changes: Any) -> ComputeState:
    """One that is open to its own guest alone."""
    made = {"open": True, "reason": None, "isolated": True, "marked": True}
    return ComputeState.model_validate({**made, "guest": None, "volume": None, **changes})


def proof(**changes: Any) -> Proof:
    return Proof("compute1", "compute1", **changes)


def step(
    known: Proof,
    state: ComputeState,
    *,
    volumes: bool = True,
    age: float = 0,
    vnc: bool = True,
) -> Kind | None:
    found = State(computes={"compute1": state}, volumes=volumes)
    return decide(known, found, WANTED, age=age, vnc=vnc)


CLOSED = compute(open=False, reason="New compute service disabled", isolated=False, marked=False)
GREETED = {"greeted": True}


@pytest.mark.parametrize(
    ("state", "known", "wanted"),
    [
        (CLOSED, {}, "isolate"),
        (compute(open=False, reason="x"), {}, "enable"),
        (compute(isolated=False), {}, "isolate"),
        (compute(), {}, "boot"),
        (compute(guest=guest(state="building", task="spawning", spoke=False)), {}, None),
        (compute(guest=guest(spoke=False)), {}, None),
        (compute(guest=guest(task="rebooting")), {}, None),
        (compute(guest=guest(task="deleting")), {}, None),
        (compute(guest=guest(host=None, state="building", spoke=False)), {}, None),
        (compute(guest=guest()), {}, "greet"),
        (compute(guest=guest()), GREETED, "make_volume"),
        (compute(guest=guest(), volume=volume("creating")), GREETED, None),
        (compute(guest=guest(), volume=volume()), GREETED, "attach"),
        (compute(guest=guest(), volume=volume("reserved")), GREETED, None),
        (compute(guest=guest(), volume=volume("attaching", attached=True)), GREETED, None),
        (compute(guest=guest(), volume=volume("in-use")), GREETED, None),
        # What a killed run has left broken is nobody's verdict on what there is now.
        (compute(guest=guest(state="error")), {}, "delete_guest"),
        (compute(guest=guest(state="soft-delete", spoke=False)), {}, "delete_guest"),
        (compute(guest=guest(host="compute2")), {}, "delete_guest"),
        (compute(guest=guest(), volume=volume("error")), GREETED, "delete_volume"),
    ],
)
def test_a_compute_is_proven_step_by_step(
    state: ComputeState, known: dict[str, Any], wanted: str | None
) -> None:
    found = proof(**known)
    assert step(found, state) == wanted
    assert (found.works, found.cause, found.over) == (False, None, False)


def test_what_nova_has_closed_itself_is_waited_for_then_named() -> None:
    state = compute(open=False, reason="AUTO: Connection to libvirt lost")
    known = proof()
    assert step(known, state) is None
    assert step(known, state, age=61) == "close"
    assert known.reason == (
        "not proven: Nova keeps it closed (AUTO: Connection to libvirt lost) after 60 s"
    )


@pytest.mark.parametrize(
    ("state", "known", "more"),
    [
        (compute(guest=guest(), volume=ATTACHED), GREETED, {}),
        (compute(guest=guest()), GREETED, {"volumes": False}),
        (compute(guest=guest()), {}, {"volumes": False, "vnc": False}),
        (compute(guest=guest(), volume=ATTACHED), {}, {"vnc": False}),
    ],
)
def test_once_all_is_shown_that_is_asked_for_the_guest_goes(
    state: ComputeState, known: dict[str, Any], more: dict[str, Any]
) -> None:
    found = proof(**known)
    assert step(found, state, **more) == "delete_guest"
    assert found.works


WORKS = {"works": True, "greeted": True}
FAILED = {"cause": "its guest is stopped after 60 s"}
REASON = "not proven: its guest is stopped after 60 s"


@pytest.mark.parametrize(
    ("state", "wanted"),
    [
        (compute(guest=guest(), volume=ATTACHED), "delete_guest"),
        (compute(guest=guest(task="deleting"), volume=ATTACHED), None),
        (compute(volume=ATTACHED), None),
        (compute(volume=volume("detaching")), None),
        (compute(volume=volume("creating")), None),
        (compute(volume=volume()), "delete_volume"),
        (compute(volume=volume("error_deleting")), "delete_volume"),
        (compute(volume=volume("error", attached=True)), None),
        (compute(volume=volume("deleting")), None),
        (compute(), "release"),
        (compute(isolated=False), "release"),
        (compute(isolated=False, marked=False), None),
    ],
)
@pytest.mark.parametrize("known", [WORKS, FAILED, {"clears": True}])
def test_all_that_was_made_goes_one_after_the_other(
    state: ComputeState, wanted: str | None, known: dict[str, Any]
) -> None:
    found = proof(**known)
    if known is FAILED:
        state = state.model_copy(update={"open": False, "reason": REASON})
    assert step(found, state) == wanted
    assert found.over == (not state.marked)


def test_a_compute_that_is_not_proven_is_closed_before_anything_of_it_goes() -> None:
    for state in (compute(guest=guest()), compute(open=False, reason="another", guest=guest())):
        assert step(proof(**FAILED), state) == "close"
    # Whatever Nova has made of the reason: it was told.
    told = proof(**FAILED, closed=True)
    assert step(told, compute(open=False, reason="another", guest=guest())) == "delete_guest"
    assert step(told, compute(guest=guest())) == "close"  # somebody has opened it


@pytest.mark.parametrize(
    ("state", "cause"),
    [
        (
            compute(guest=guest(state="error", fault="No valid host was found.")),
            "its guest is in ERROR: No valid host was found.",
        ),
        (compute(guest=guest(state="error")), "its guest is in ERROR: no reason given"),
        (compute(guest=guest(host="compute2")), "its guest is on compute2"),
        (
            compute(guest=guest(), volume=volume("error_attaching")),
            "the volume of its guest is error_attaching: see Cinder's logs",
        ),
    ],
)
def test_what_this_run_has_begun_and_does_not_work_is_the_cause(
    state: ComputeState, cause: str
) -> None:
    known = proof(greeted=True, booted=True, made=True)
    assert step(known, state) == "close"
    assert known.cause == cause


@pytest.mark.parametrize(
    ("state", "known", "cause"),
    [
        (
            CLOSED,
            {},
            "Nova and Placement do not both have it in aggregate pyinfra-nova-joining",
        ),
        (compute(), {}, "its guest is not there"),
        (
            compute(guest=guest(state="building", task="spawning", spoke=False)),
            {},
            "its guest is spawning",
        ),
        (compute(guest=guest(state="stopped", spoke=False)), {}, "its guest is stopped"),
        (
            compute(guest=guest(spoke=False, last="no lease")),
            {},
            "its guest's console does not say that its network works, but: no lease",
        ),
        (
            compute(guest=guest(spoke=False, last="")),
            {},
            "its guest's console does not say that its network works",
        ),
        (
            compute(guest=guest(), volume=volume("creating")),
            GREETED,
            "the volume of its guest is creating",
        ),
        (compute(guest=guest()), GREETED, "it waits for its volume"),
    ],
)
def test_what_has_not_come_in_time_is_the_cause(
    state: ComputeState, known: dict[str, Any], cause: str
) -> None:
    found = proof(**known)
    step(found, state, age=60)
    assert found.cause is None
    assert step(found, state, age=60.1) == "close"
    assert found.cause == f"{cause} after 60 s"


def test_what_was_shown_in_time_is_not_too_late_while_it_is_cleared_away() -> None:
    known = proof(**WORKS)
    assert step(known, compute(guest=guest()), age=600) == "delete_guest"
    assert known.cause is None


def test_a_reason_is_one_line_that_nova_takes_whatever_a_console_has_said() -> None:
    known = proof()
    known.fails("its guest: \x1b[1;31mno\x1b[0m [0;32m lease\n\tfor 🐧 \x07 [audit] " + "é" * 300)
    assert known.reason.startswith("not proven: its guest: no lease for [audit] éé")
    assert len(known.reason) == 255
    assert known.reason.isprintable()
    short = proof()
    short.fails("x" * 242 + " y")
    assert short.reason == "not proven: " + "x" * 242


def test_each_step_is_said_once_and_opening_only_where_it_is_earned() -> None:
    known = proof()
    assert known.text("boot") == "start a guest on compute1"
    assert known.text("boot") is None
    assert known.text("greet") is None
    assert known.text("release") is None
    known.works = True
    assert known.text("release") == "open compute1 to new guests: its own works"
    failed = proof(cause="it is cold")
    assert failed.text("close") == "close compute1 to new guests: not proven: it is cold"


def test_what_is_refused_is_the_cause_while_it_proves_and_said_once_after() -> None:
    known = proof()
    assert known.refused("POST x answers 403: quota") is None
    assert known.cause == "POST x answers 403: quota"
    assert known.refused("DELETE x answers 409: locked") == "not done: DELETE x answers 409: locked"
    assert known.refused("DELETE x answers 409: locked") is None
    assert known.cause == "POST x answers 403: quota"
    clearing = proof(clears=True)
    assert clearing.refused("no") == "not done: no"
    assert clearing.cause is None
