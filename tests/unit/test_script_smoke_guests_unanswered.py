"""files/smoke_guests.py: what is refused, and what goes unanswered, at each request in turn."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import rest
import smoke_guests
import smoke_servers

from .serving import FAULTS, Json
from .smoke_runs import DONE, kept, screen, step
from .smoke_stand_in import NEW, TRAIT, Cloud

__all__ = ["screen"]
REFUSABLE = {
    "boot": "POST compute servers",
    "greet": "POST compute servers g1 remote-consoles",
    "make_volume": "POST volumev3 volumes",
    "attach": "POST compute servers g1 os-volume_attachments",
    "delete_guest": "POST compute servers g1 action",
    "delete_volume": "DELETE volumev3 volumes v1",
}


def prepared(cloud: Cloud, kind: str) -> None:
    cloud.isolate()
    if kind in ("greet", "make_volume", "attach", "delete_guest"):
        cloud.guest()
    if kind in ("attach", "delete_volume"):
        cloud.volume()


@pytest.mark.parametrize("status", smoke_servers.NOS)
@pytest.mark.parametrize("kind", REFUSABLE)
def test_what_is_not_done_is_the_services_answer(joining: Cloud, kind: str, status: int) -> None:
    prepared(joining, kind)
    joining.says_no[REFUSABLE[kind]] = status
    assert str(step(joining, kind)["refused"]).endswith(f"answers {status}: that is not done")


@pytest.mark.parametrize("status", [401, 429, 500, 503])
@pytest.mark.parametrize("kind", REFUSABLE)
def test_any_other_error_says_nothing_of_the_compute(
    joining: Cloud, kind: str, status: int
) -> None:
    prepared(joining, kind)
    joining.says_no[REFUSABLE[kind]] = status
    with pytest.raises(SystemExit, match=f"answers {status}"):
        step(joining, kind)


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        ("boot", "GET image v2 images"),
        ("boot", "GET network v2.0 networks"),
        ("boot", "GET compute flavors detail"),
        ("boot", "POST compute flavors"),
        ("isolate", "POST compute os-aggregates"),
        ("isolate", f"PUT placement traits {TRAIT}"),
        ("close", "PUT compute os-services id-compute1"),
    ],
)
def test_a_no_to_anything_else_is_an_error_of_the_run(
    joining: Cloud, kind: str, place: str
) -> None:
    joining.says_no[place] = 403
    with pytest.raises(SystemExit, match="answers 403"):
        step(joining, kind)


def everything(cloud: Cloud) -> None:
    cloud.isolate()
    cloud.guest()
    cloud.volume()


def restore(cloud: Cloud, before: Json) -> None:
    for name, value in deepcopy(before).items():
        setattr(cloud, name, value)


LOOK = 9
"""A login, guests, services, aggregates, hypervisors, two of Placement's, volumes, a console."""


def test_the_requests_of_a_look_are_all_there_are(joining: Cloud) -> None:
    everything(joining)
    assert smoke_guests.answer(joining.request())["error"] is None
    assert len(joining.asked) == LOOK


@pytest.mark.parametrize("fault", sorted(FAULTS.keys() - {"hang"}))
@pytest.mark.parametrize("at", range(1, LOOK + 1))
def test_what_goes_unanswered_ends_the_look_with_the_words(
    joining: Cloud, fault: str, at: int
) -> None:
    everything(joining)
    joining.fail(at, fault)
    found = smoke_guests.answer(joining.request())
    assert found["computes"] == {}
    assert FAULTS[fault] in found["error"]
    assert len(joining.asked) == at


@pytest.mark.parametrize("fault", sorted(FAULTS.keys() - {"hang"}))
@pytest.mark.parametrize("kind", smoke_guests.STEPS)
def test_what_goes_unanswered_ends_a_step_and_is_no_verdict(
    joining: Cloud, screen: list[Any], kind: str, fault: str
) -> None:
    """Each request in turn; done again, the step ends as it would have undisturbed."""
    if kind != "isolate":
        prepared(joining, kind)
    if kind == "close":
        joining.open()
    before = kept(joining)
    step(joining, kind)
    requests, after = len(joining.asked), kept(joining)
    for at in range(1, requests + 1):
        restore(joining, before)
        joining.fail(at, fault)
        try:
            found = step(joining, kind)
        except SystemExit as error:
            assert FAULTS[fault] in str(error)
        else:
            # A service that was told is read again where no good answer comes.
            assert (kind, found) in (("enable", DONE), ("close", DONE))
        if kept(joining) == before:
            continue
        joining.fail(0, "")
        assert step(joining, kind) == DONE
        assert kept(joining) == after
    assert joining.disturbed == "" or kind == "close"


@pytest.mark.parametrize("kind", ["isolate", "boot", "make_volume", "release"])
def test_a_step_whose_answer_is_lost_is_not_done_twice(joining: Cloud, kind: str) -> None:
    if kind != "isolate":
        prepared(joining, kind)
    before = kept(joining)
    step(joining, kind)
    requests, after = len(joining.asked), kept(joining)
    for at in range(1, requests + 1):
        restore(joining, before)
        joining.fail(at, "lost")
        with pytest.raises(SystemExit, match="does not answer"):
            step(joining, kind)
        joining.fail(0, "")
        assert step(joining, kind) == DONE
        assert kept(joining) == after


def test_a_request_that_hangs_ends(joining: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest, "TIMEOUT", 0.2)
    joining.fail(3, "hang")
    assert FAULTS["hang"] in smoke_guests.answer(joining.request())["error"]
    assert joining.services["compute1"]["disabled_reason"] == NEW
    assert joining.guests == {}
