"""Computes that join are proven: what is done and said, and what is left."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from pyinfra_nova.resources import smoke_guests
from pyinfra_nova.resources.compute_states import Closed
from pyinfra_nova.resources.smoke_guests.decision import Proof
from pyinfra_nova.resources.units import Unit

from . import smoke_stand_in
from .drain_stand_in import HOST, STATE, TASK
from .serving import Json
from .site_data import site
from .smoke_runs import Run, host, is_open, prepared
from .smoke_stand_in import NEW, Cloud


@pytest.fixture
def run(joining: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    yield prepared(Run(joining), monkeypatch)
    assert joining.disturbed in ("", "allowed")


BOTH = ("compute1", "compute2")
IN_ORDER: list[str] = [
    *("isolate", "enable", "boot", "greet", "make_volume", "attach"),
    *("delete_guest", "delete_volume", "release"),
]


def test_a_new_compute_is_proven_with_a_guest_then_open_and_nothing_is_left(run: Run) -> None:
    assert run.run() == []
    assert run.did == [f"{kind} compute1" for kind in IN_ORDER]
    assert is_open(run.cloud)
    assert run.said == [
        "prove compute1 with a guest of image tiny on network provider, then open to new guests",
        "keep all guests but its own from compute1",
        "let the guest of its own onto compute1",
        "start a guest on compute1",
        "make a volume for the guest on compute1",
        "give the guest on compute1 its volume",
        "open compute1 to new guests: its own works",
    ]


def test_of_a_cloud_without_cinder_and_screens_the_guest_alone_is_asked_for(run: Run) -> None:
    run.cloud.types = ("compute", "placement", "network", "image")
    assert run.run(proxy=None) == []
    assert [kind.split()[0] for kind in run.did] == [
        *("isolate", "enable", "boot", "delete_guest", "release")
    ]
    assert is_open(run.cloud)


def test_computes_that_join_together_are_proven_side_by_side(run: Run) -> None:
    assert run.run(BOTH) == []
    assert run.did[:4] == [
        *("isolate compute1", "isolate compute2", "enable compute1", "enable compute2")
    ]
    assert is_open(run.cloud) and is_open(run.cloud, "compute2")


def test_no_more_are_proven_at_once_than_the_site_says(run: Run) -> None:
    assert run.run(BOTH, wanted={"at_once": 1}) == []
    assert run.did.index("release compute1") < run.did.index("isolate compute2")
    assert is_open(run.cloud, "compute2")


def test_a_plan_says_it_and_asks_and_changes_nothing(run: Run) -> None:
    assert run.run(executing=False) == ["true"]
    assert run.said == [
        "prove compute1 with a guest of image tiny on network provider, then open to new guests"
    ]
    assert (run.looks, run.cloud.asked) == (0, [])


def test_where_nothing_joins_nothing_is_asked(run: Run) -> None:
    for executing in (True, False):
        run.host.state = SimpleNamespace(is_executing=executing)
        assert list(smoke_guests.proven(run.question(), [])) == []
    assert (run.said, run.looks) == ([], 0)


# --- not proven -----------------------------------------------------------------------------------


def test_a_guest_that_never_speaks_leaves_the_compute_closed_with_the_cause(run: Run) -> None:
    run.cloud.console = "no lease\n"
    (error,) = run.run(BOTH)
    cause = (
        "not proven: its guest's console does not say that its network works, but: no lease after "
        "60 s"
    )
    assert f"compute1 is closed: {cause}" in error and f"compute2 is closed: {cause}" in error
    assert run.cloud.left() == []
    for name in BOTH:
        found = run.cloud.services[name]
        assert (found["status"], found["disabled_reason"]) == ("disabled", cause)


def test_one_that_fails_holds_up_no_other(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    made = run.cloud.make_guest

    def broken(query: Json, body: Json) -> Json:
        found = made(query, body)
        guest = run.cloud.guests[found["server"]["id"]]
        if guest[HOST] == "compute1":
            guest.update({STATE: "error", TASK: None, "fault": {"message": "No valid host"}})
        return found

    answers = {"POST compute servers": lambda _, *words: broken(*words)}
    monkeypatch.setattr(smoke_stand_in, "ROUTES", {**smoke_stand_in.ROUTES, **answers})
    (error,) = run.run(BOTH)
    assert "compute1 is closed: not proven: its guest is in ERROR: No valid host" in error
    assert "compute2" not in error
    assert is_open(run.cloud, "compute2")
    assert run.cloud.services["compute1"]["status"] == "disabled"


def test_a_compute_that_was_not_proven_is_open_once_it_is(run: Run) -> None:
    run.cloud.console = "no lease\n"
    assert len(run.run()) == 1
    closed = Closed({"compute1": run.cloud.services["compute1"]["disabled_reason"]})
    assert smoke_guests.joins(host("compute1"), closed, ())
    run.cloud.console = "198.51.100.7\n"
    assert run.run() == []
    assert is_open(run.cloud)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("POST compute servers", "POST {url}/compute/servers answers 403: that is not done"),
        ("POST volumev3 volumes", "POST {url}/volumev3/volumes answers 403: that is not done"),
    ],
)
def test_what_a_service_refuses_is_the_cause(run: Run, place: str, said: str) -> None:
    run.cloud.says_no = {place: 403}
    (error,) = run.run()
    wanted = "not proven: " + said.format(url=run.cloud.url)
    assert f"compute1 is closed: {wanted}" in error
    assert run.cloud.services["compute1"]["disabled_reason"] == wanted
    assert run.cloud.left() == []


def test_a_guest_that_does_not_go_ends_the_run_and_keeps_the_compute_from_others(
    run: Run,
) -> None:
    run.cloud.guest()
    run.cloud.says_no = {"POST compute servers g1 action": 409}
    run.cloud.isolate()
    run.cloud.open()
    # Its console is not there either, so it is not proven; what is left stays until it can go.
    (error,) = run.run()
    assert "what was made to prove compute1 is not gone after 300 s" in error
    assert run.cloud.services["compute1"]["status"] == "disabled"
    assert [text for text in run.said if text.startswith("not done: ")] == [
        f"not done: POST {run.cloud.url}/compute/servers/g1/action answers 409: that is not done"
    ]
    run.cloud.says_no = {}
    assert run.run() == []
    assert is_open(run.cloud)


def test_what_is_wrong_with_the_settings_ends_it_before_anything_is_begun(run: Run) -> None:
    run.cloud.images.clear()
    (error,) = run.run()
    assert "no image is called" in error
    assert run.cloud.acted == []
    assert run.cloud.services["compute1"]["disabled_reason"] == NEW


def test_schedulers_that_are_left_out_keep_a_compute_closed(run: Run) -> None:
    unsure = [host("compute2").model_copy(update={"name": "controller2"})]
    said = "compute1 cannot be proven with a guest: schedulers on controller2"
    (error,) = run.run(unsure=unsure)
    assert said in error and "run without --limit" in error
    assert run.cloud.acted == []
    assert run.run(unsure=unsure, executing=False) == ["true"]
    assert run.said[0].startswith(said)


# --- what is left of one that is no longer to be open ---------------------------------------------


def test_what_a_killed_run_has_left_of_a_compute_that_is_to_be_closed_goes(run: Run) -> None:
    run.cloud.isolate()
    run.cloud.guest()
    run.cloud.volume()
    run.cloud.services["compute1"]["disabled_reason"] = "new memory"
    closed = {"compute1": {"my_ip": "10.0.0.31", "state": "closed", "state_reason": "new memory"}}
    question = run.question(clearing=["compute1"], hosts=closed)
    assert smoke_guests.left(question.clearing[0], Closed({}), ["compute1"])
    run.host.state = SimpleNamespace(is_executing=False)
    assert [str(command) for command in smoke_guests.proven(question, [])] == ["true"]
    assert run.said == ["take away what was made to prove compute1"]
    run.cloud.images.clear()  # nothing is begun with it
    assert run.run((), clearing=["compute1"], hosts=closed) == []
    assert run.cloud.left() == []
    assert run.cloud.services["compute1"]["disabled_reason"] == "new memory"


# --- which computes join --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("closed", "joining", "joins"),
    [
        (Closed({}), (), False),
        (Closed({}, frozenset({"compute1"})), (), True),
        (Closed({"compute1": NEW}), (), True),
        (Closed({"compute1": "not proven: its guest is in ERROR: x"}), (), True),
        (Closed({"compute1": "new memory"}), (), False),
        (Closed({"compute1": "AUTO: libvirt is away"}), (), False),
        (Closed({"compute1": ""}), (), False),
        (Closed({"compute2": NEW}), ("compute2",), False),
        (Closed({}), ("compute1",), True),
    ],
)
def test_a_compute_joins_that_is_new_or_that_an_earlier_run_was_at(
    closed: Closed, joining: Any, joins: bool
) -> None:
    assert smoke_guests.joins(host("compute1"), closed, joining) is joins
    for state in ("closed", "drained"):
        other = host("compute1", state=state, state_reason="new memory")
        assert not smoke_guests.joins(other, closed, joining)
        assert smoke_guests.left(other, closed, joining) is ("compute1" in joining)
    assert not smoke_guests.left(host("compute1"), closed, joining)


def test_of_a_compute_that_nova_no_longer_has_nothing_is_left() -> None:
    other = host("compute1", state="closed", state_reason="new memory")
    gone = Closed({}, frozenset({"compute1"}))
    assert not smoke_guests.left(other, gone, ["compute1"])


def test_a_dead_compute_is_left_to_its_evacuation() -> None:
    """Nobody waits there for a guest to go."""
    other = host("compute1", dead=True, state="drained")
    assert not smoke_guests.left(other, Closed({}), ["compute1"])
    retired = host("compute1", dead=True, state="retired")
    assert not smoke_guests.left(retired, Closed({}), ["compute1"])


# --- how it is asked ------------------------------------------------------------------------------


def test_cinder_is_looked_for_where_nova_does() -> None:
    def places(**cinder: Any) -> Json:
        guest = {"image": "tiny", "network": "provider"}
        found = site({"smoke_guest": guest, "cinder": cinder, "release": "2025.1"})
        wanted = found.settings.smoke_guest
        assert wanted is not None
        question = smoke_guests.Question(found, wanted, [], [], Unit("x"), None)
        return question.as_request(["compute1"])

    usual = places()
    assert usual["volumes_at"] == ["volumev3", "block-storage"]
    assert usual["places"]["volumev3"]["interfaces"] == ["public", "internal"]
    assert usual["same_zone"] is False
    other = places(catalog_info="block-storage::internalURL", cross_az_attach=False)
    assert other["places"]["block-storage"]["interfaces"] == ["internal", "public"]
    assert (other["volumes_at"], other["same_zone"]) == (["block-storage", "volumev3"], True)
    assert other["places"]["network"]["region"] == "RegionOne"


def test_no_secret_is_in_what_is_printed_of_a_question() -> None:
    found = site({"smoke_guest": {"image": "tiny", "network": "provider"}})
    wanted = found.settings.smoke_guest
    assert wanted is not None
    question = smoke_guests.Question(found, wanted, [], [], Unit("x"), None)
    password = found.secrets.admin_password.get_secret_value()
    assert password in str(question.as_request([]))
    assert password not in repr(question)
    assert password not in str(question.command(Proof("a", "a"), "boot"))


def test_a_look_that_is_not_answered_ends_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoke_guests, "ask", lambda *_: {})
    (error,) = run.run()
    assert "nothing was answered" in error
