"""What is done about each guest of a compute that is to have none: decided of what was read."""

from __future__ import annotations

from typing import Any

import pytest

from pyinfra_nova.resources.drains.decision import Decision, Run, decide
from pyinfra_nova.resources.drains.plan_lines import planned
from pyinfra_nova.resources.drains.state import Drained, DrainState, Seen
from pyinfra_nova.site.drain import Drain

COMPUTE1, COMPUTE2 = (Drained(f"compute{n}", f"compute{n}", "qemu:///system") for n in (1, 2))
ROOM = {"compute2": {"VCPU": 8, "MEMORY_MB": 4096}, "compute3": {"VCPU": 8, "MEMORY_MB": 8192}}
ANYWHERE = {
    **{"hosts": ["compute2", "compute3"], "needs": {"VCPU": 1, "MEMORY_MB": 2048}},
    **{"free": ROOM, "why": "", "bound": None},
}


def guest(uuid: str = "g1", state: str = "active", **changes: Any) -> dict[str, Any]:
    found = {"uuid": uuid, "name": f"web-{uuid}", "host": "compute1", "state": state}
    return {**found, "task": None, "power": 1, "fault": None, **changes}


def move(uuid: str = "g1", status: str = "running", **changes: Any) -> dict[str, Any]:
    found = {"id": 7, "guest": uuid, "kind": "live-migration", "status": status}
    found |= {"source": "compute1", "target": "compute2", "age": 20.0, "same_flavor": True}
    return {**found, "total": None, "remaining": None, "cause": None, **changes}


def seen(
    *guests: dict[str, Any],
    moves: tuple[dict[str, Any], ...] = (),
    target: dict[str, Any] | None = None,
    computes: tuple[Drained, ...] = (COMPUTE1,),
    up: str = "up",
) -> Seen:
    state = {
        "error": None,
        "computes": {compute.host: up for compute in computes},
        "guests": guests,
        "moves": moves,
        "targets": {g["uuid"]: {**ANYWHERE, **(target or {})} for g in guests if not g["task"]},
    }
    return Seen(computes, DrainState.model_validate(state))


def decided(*guests: dict[str, Any], run: Run | None = None, **more: Any) -> Decision:
    limits = more.pop("limits", Drain())
    return decide(seen(*guests, **more), limits, run or Run())


def steps(decision: Decision) -> list[tuple[str, str]]:
    return [(step.kind, step.guest.uuid) for step in decision.now]


def stays(decision: Decision) -> list[str]:
    assert not decision.now
    return [stay.text for stay in decision.stays]


# --- by their state -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "power", "kind"),
    [("active", 1, "live"), ("paused", 3, "live"), ("stopped", 4, "cold")],
)
def test_what_runs_or_is_paused_moves_alive_and_what_is_off_moves_cold(
    state: str, power: int, kind: str
) -> None:
    (step,) = decided(guest(state=state, power=power)).now
    how = {"live": "alive", "cold": "cold"}[kind]
    assert step.kind == kind
    assert step.text == f"move guest web-g1 (g1) of compute1 {how}, to compute2 or compute3"


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("suspended", "is SUSPENDED: `openstack server resume g1`, then deploy again"),
        ("rescued", "is RESCUED: `openstack server unrescue g1`"),
        ("shelved", "is SHELVED, its disk still there: `openstack server unshelve --wait g1`,"),
        ("resized", "`openstack server resize confirm g1` or `openstack server resize revert g1`"),
        ("soft-delete", "`openstack server restore g1` or `openstack server delete --force g1`"),
        ("error", "is in ERROR (disk full): see `openstack server event list g1`"),
        ("building", "is building: let it end; `./run audit` says what to do where nobody is"),
    ],
)
def test_what_cannot_move_as_it_is_is_named_with_what_to_do(state: str, said: str) -> None:
    (text,) = stays(decided(guest(state=state, fault="disk full")))
    assert text.startswith("guest web-g1 (g1) on compute1 ")
    assert said in text


@pytest.mark.parametrize("task", ["deleting", "soft-deleting", "rebooting", "image_uploading"])
def test_what_is_at_something_may_be_over_in_a_moment(task: str) -> None:
    decision = decided(guest(task=task))
    assert steps(decision) == [] and not decision.goes_on
    assert [stay.passing for stay in decision.stays] == [True]


def test_a_guest_that_only_nova_thinks_to_run_is_named() -> None:
    (text,) = stays(decided(guest(power=4)))
    assert "is ACTIVE in Nova, but not for its hypervisor: `openstack server stop g1`" in text


def test_a_guest_elsewhere_is_no_concern() -> None:
    assert decided(guest(host="compute3")) == Decision()


def test_without_guests_there_is_nothing_to_do() -> None:
    assert decided() == Decision()


# --- where to -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "why",
    [
        "server group db (anti-affinity) keeps it from compute2, where its members are",
        "it was made for availability zone east, where compute2 is not",
        "no other compute has 8 vCPU, 65536 MiB of memory free: open or add one",
    ],
)
def test_what_can_go_nowhere_is_not_tried(why: str) -> None:
    decision = decided(guest(), target={"hosts": [], "why": why})
    assert stays(decision) == [f"guest web-g1 (g1) on compute1 can go nowhere: {why}"]
    assert [stay.passing for stay in decision.stays] == [False]


def test_a_pci_device_does_not_move_while_its_guest_runs() -> None:
    target = {"bound": "PCI device gpu"}
    (text,) = stays(decided(guest(), target=target))
    assert "has PCI device gpu, which does not move while it runs: `openstack server stop" in text
    assert steps(decided(guest(state="stopped", power=4), target=target)) == [("cold", "g1")]


def test_a_plan_says_where_room_may_be_short_once_others_have_moved() -> None:
    run = Run()
    guests = [guest(f"g{number}") for number in range(7)]
    lines = planned(decide(seen(*guests), Drain(), run), run)
    assert lines[0] == "move guest web-g0 (g0) of compute1 alive, to compute2 or compute3"
    # 4096 and 8192 MiB for 2048 each.
    assert [line.endswith(", if the others leave it room") for line in lines] == [False] * 6 + [
        True
    ]


# --- limits ---------------------------------------------------------------------------------------


def test_one_guest_after_the_other_leaves_a_compute() -> None:
    decision = decided(guest("g1"), guest("g2"))
    assert steps(decision) == [("live", "g1")]
    assert [step.guest.uuid for step in decision.later] == ["g2"]
    busy = decided(guest("g1", task="migrating"), guest("g2"), moves=(move(),))
    assert steps(busy) == [] and busy.goes_on


def test_several_computes_are_left_at_once_but_no_more_than_the_site_allows() -> None:
    guests = [guest("g1"), guest("g2", host="compute2"), guest("g3", host="compute2")]
    computes = (COMPUTE1, COMPUTE2)
    assert steps(decided(*guests, computes=computes)) == [("live", "g1"), ("live", "g2")]
    one = Drain(at_once=1)
    assert steps(decided(*guests, computes=computes, limits=one)) == [("live", "g1")]
    many = Drain(at_once_per_host=2)
    assert len(decided(*guests, computes=computes, limits=many).now) == 3


def test_what_comes_here_takes_no_place_of_those_that_leave() -> None:
    coming = guest("g1", host="compute3", task="migrating")
    decision = decided(coming, guest("g2"), moves=(move(source="compute3", target="compute1"),))
    assert steps(decision) == [("live", "g2")]
    assert [way.guest.uuid for way in decision.ways] == ["g1"]


# --- on the way -----------------------------------------------------------------------------------


MIGRATING = {"task": "migrating"}


def test_what_is_on_the_way_is_said_with_what_is_left() -> None:
    decision = decided(guest(**MIGRATING), moves=(move(total=4096, remaining=1024),))
    assert [way.text for way in decision.ways] == [
        "web-g1: compute1 -> compute2, running, 1,024 of 4,096 MiB to go"
    ]


def test_a_live_migration_over_its_time_is_aborted_once() -> None:
    run, late = Run(), move(age=601.0)
    (step,) = decided(guest(**MIGRATING), moves=(late,), run=run).now
    assert (step.kind, step.move) == ("abort", 7)
    run.note(step, 601.0, None, None)
    assert decided(guest(**MIGRATING), moves=(move(age=1200.0),), run=run).ways
    (text,) = stays(decided(guest(**MIGRATING), moves=(move(age=1202.0),), run=run))
    assert "is on the way for 1202 s by now, though it was told to abort" in text
    assert "`openstack server migration abort g1 7`" in text


def test_a_site_may_have_it_brought_to_its_end_instead() -> None:
    limits, late = Drain(then="force_complete", timeout=60), (move(age=61.0),)
    assert steps(decided(guest(**MIGRATING), moves=late, limits=limits)) == [
        ("force_complete", "g1")
    ]
    paused = guest(state="paused", power=3, **MIGRATING)
    assert steps(decided(paused, moves=late, limits=limits)) == [("abort", "g1")]


def test_an_abort_that_nova_refuses_is_named() -> None:
    run, late = Run(), (move(age=601.0),)
    (step,) = decided(guest(**MIGRATING), moves=late, run=run).now
    run.note(step, 601.0, "it is post-migrating", None)
    (text,) = stays(decided(guest(**MIGRATING), moves=late, run=run))
    assert "Nova does not abort it: it is post-migrating" in text


def test_a_cold_migration_is_not_waited_for_without_end() -> None:
    cold = move(kind="migration", status="migrating", age=601.0)
    (text,) = stays(decided(guest(state="stopped", task="resize_migrating"), moves=(cold,)))
    assert "(cold migration to compute2): let it end, then deploy again" in text


def test_what_somebody_else_moves_here_is_not_aborted() -> None:
    coming = move(source="compute3", target="compute1", age=601.0)
    (text,) = stays(decided(guest(host="compute3", **MIGRATING), moves=(coming,)))
    assert "let it end" in text


# --- to be confirmed ------------------------------------------------------------------------------


MOVED = guest(host="compute2", state="resized", power=4)


def test_a_cold_migration_from_here_is_confirmed() -> None:
    (step,) = decided(MOVED, moves=(move(kind="migration", status="finished"),)).now
    assert step.text == (
        "confirm the cold migration of guest web-g1 (g1) from compute1 to compute2"
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "resize", "same_flavor": False},
        {"same_flavor": False},
        {"source": "compute3", "target": "compute1"},
    ],
)
def test_what_its_owner_has_resized_is_his_to_confirm(changes: dict[str, Any]) -> None:
    finished = move(**{"kind": "migration", "status": "finished", **changes})
    host = str(finished["target"])
    (text,) = stays(decided(guest(host=host, state="resized"), moves=(finished,)))
    assert "waits (VERIFY_RESIZE) for somebody" in text


def test_a_confirmation_is_asked_for_once_and_waited_for_while_it_is_made() -> None:
    run, finished = Run(), (move(kind="migration", status="finished"),)
    (step,) = decided(MOVED, moves=finished, run=run).now
    run.note(step, 20.0, None, None)
    confirming = (move(kind="migration", status="confirming"),)
    assert decided(MOVED, moves=confirming, run=run).ways
    (text,) = stays(decided(MOVED, moves=finished, run=run))
    assert "is not confirmed: see nova-compute.log on compute1" in text


# --- what has failed ------------------------------------------------------------------------------


def test_a_guest_whose_move_has_failed_is_not_moved_again_but_named_with_the_cause() -> None:
    run = Run()
    (step,) = decided(guest(), run=run).now
    run.note(step, 0.0, None, None)
    failed = move(status="error", cause="NoValidHost: No valid host was found.", target=None)
    assert stays(decided(guest(), moves=(failed,), run=run)) == [
        "guest web-g1 (g1) on compute1 was not moved: its live migration is error: "
        "NoValidHost: No valid host was found."
    ]


def test_one_that_was_under_way_when_the_run_began_has_failed_in_this_run_too() -> None:
    run = Run()
    decided(guest(**MIGRATING), moves=(move(),), run=run)
    assert "is failed" in stays(decided(guest(), moves=(move(status="failed"),), run=run))[0]


def test_one_that_failed_in_another_run_is_tried_again() -> None:
    assert steps(decided(guest(), moves=(move(status="failed"),))) == [("live", "g1")]


def test_a_move_of_which_nova_keeps_no_record_has_failed_too() -> None:
    run = Run()
    (step,) = decided(guest(), run=run).now
    run.note(step, 0.0, None, None)
    assert "Nova does not say why" in stays(decided(guest(), run=run))[0]


def test_what_nova_refuses_is_named_and_the_others_go_on() -> None:
    run = Run()
    (step,) = decided(guest("g1"), guest("g2"), run=run).now
    run.note(step, 0.0, "POST ... answers 409: is locked", None)
    decision = decided(guest("g1"), guest("g2"), run=run)
    assert steps(decision) == [("live", "g2")]
    assert decision.stays[0].why == "is not moved by Nova: POST ... answers 409: is locked"


def test_a_step_that_comes_too_late_is_decided_anew_but_not_for_ever() -> None:
    run = Run()
    for _ in range(2):
        (step,) = decided(guest(), run=run).now
        run.note(step, 0.0, None, "it is rebooting by now")
    assert "it is rebooting by now" in stays(decided(guest(), run=run))[0]


def test_a_record_that_a_dead_process_has_left_is_not_waited_for() -> None:
    left = (move(status="running"),)
    assert steps(decided(guest(), moves=left)) == [("live", "g1")]
    elsewhere = decided(guest(host="compute2"), moves=left)
    assert "and nothing is done to it: see `./run audit`" in stays(elsewhere)[0]
    assert not elsewhere.goes_on


# --- cut off anywhere -----------------------------------------------------------------------------


STAGES = {"live-migration": ("running", "completed"), "migration": ("migrating", "finished")}


class Nova:
    """Guests that move as Nova moves them, a stage at each look."""

    def __init__(self) -> None:
        self.guests = {
            "g1": guest("g1"),
            "g2": guest("g2", "stopped", power=4),
            "g3": guest("g3", "paused", power=3),
        }
        self.moves: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[str, str]] = []

    def seen(self) -> Seen:
        return seen(*self.guests.values(), moves=tuple(self.moves.values()))

    def do(self, kind: str, uuid: str) -> None:
        self.asked.append((kind, uuid))
        mine = self.guests[uuid]
        if kind == "confirm":
            self.moves[uuid]["status"] = "confirmed"
            mine.update(state="stopped")
            return
        assert not mine["task"] and mine["host"] == "compute1"
        name = {"live": "live-migration", "cold": "migration"}[kind]
        self.moves[uuid] = move(uuid, "accepted", kind=name)
        mine.update(task="migrating" if kind == "live" else "resize_prep")

    def pass_time(self) -> None:
        for uuid, record in self.moves.items():
            mine = self.guests[uuid]
            if not mine["task"]:
                continue
            first, last = STAGES[record["kind"]]
            if record["status"] == "accepted":
                record["status"] = first
            else:
                record["status"] = last
                mine.update(task=None, host="compute2")
                if last == "finished":
                    mine.update(state="resized")


@pytest.mark.parametrize("killed_at", range(12))
def test_a_run_that_was_killed_anywhere_is_gone_on_with_by_the_next(killed_at: int) -> None:
    nova, run = Nova(), Run()
    for look in range(40):
        if look == killed_at:
            run = Run()
        decision = decide(nova.seen(), Drain(), run)
        assert decision.stays == ()
        if not decision.goes_on:
            break
        for step in decision.now:
            nova.do(step.kind, step.guest.uuid)
            run.note(step, 0.0, None, None)
        nova.pass_time()
    assert {g["host"] for g in nova.guests.values()} == {"compute2"}
    assert {u: g["state"] for u, g in nova.guests.items()} == {
        **{"g1": "active", "g2": "stopped", "g3": "paused"}
    }
    assert sorted(nova.asked) == [
        *[("cold", "g2"), ("confirm", "g2"), ("live", "g1"), ("live", "g3")]
    ]
