"""Guests that have arrived though Nova has them in ERROR: what is decided of them, and done."""

from __future__ import annotations

from typing import Any

import pytest
from typing_extensions import override

from pyinfra_nova.resources.drains.arrivals import Libvirt, Sides
from pyinfra_nova.resources.drains.decision import Run
from pyinfra_nova.resources.drains.state import Drained

from . import test_drains
from .test_drains_decision import COMPUTE1, COMPUTE2, decided, guest, move, stays, steps

FAULT = "Failed to activate binding for port p1 on host compute2"
RUNS = Libvirt({"g1"}, {"g1"})
PROVEN = Sides({"compute1": Libvirt(), "compute2": RUNS})
SET = (
    "guest web-g1 (g1) is in ERROR, though it runs on compute2: set it active (Neutron was told "
    "twice at once that it had arrived); `./run audit` says whether compute1 keeps a folder of it"
)
FREE = (
    "give back what the live migration to compute2 of guest web-g1 (g1) still holds in Placement "
    "on compute1"
)
BY_HAND = (
    f"guest web-g1 (g1) on compute2 was moved there, and is in ERROR ({FAULT}): where it runs "
    "there, `openstack server set --state active g1`; then see `./run audit`; it is not done here, "
    "because "
)


def arrived(**changes: Any) -> dict[str, Any]:
    return guest(**{"host": "compute2", "state": "error", "fault": FAULT, **changes})


def twice(**changes: Any) -> tuple[dict[str, Any], ...]:
    return (move(**{"status": "error", "twice": True, **changes}),)


# --- decided --------------------------------------------------------------------------------------


@pytest.mark.parametrize("moved", [set(), {"g1"}])
def test_one_that_runs_there_and_only_there_is_set_active_by_this_run_or_the_next(
    moved: set[str],
) -> None:
    (step,) = decided(arrived(), moves=twice(), run=Run(moved=moved, sides=PROVEN)).now
    assert (step.kind, step.source, step.move, step.text) == ("set_active", "compute1", 7, SET)
    assert not step.moves


@pytest.mark.parametrize(
    ("sides", "why"),
    [
        ({"compute2": Libvirt()}, "libvirt on compute2: it is not there"),
        ({"compute2": Libvirt({"g1"})}, "libvirt on compute2: it is there, and does not run"),
        (
            {"compute2": Libvirt(silent="virsh: no such socket")},
            "libvirt on compute2: nobody could say: virsh: no such socket",
        ),
        ({}, "libvirt on compute2: nobody could say: compute2 was not asked"),
        (
            {"compute2": RUNS, "compute1": Libvirt(silent="timed out")},
            "libvirt on compute1: nobody could say: timed out",
        ),
        ({"compute2": RUNS}, "libvirt on compute1: nobody could say: compute1 was not asked"),
        ({"compute2": RUNS, "compute1": RUNS}, "libvirt on compute1: it runs"),
        (
            {"compute2": RUNS, "compute1": Libvirt({"g1"})},
            "libvirt on compute1: it is there, and does not run",
        ),
    ],
)
def test_one_of_which_that_is_not_shown_is_named_with_why(
    sides: dict[str, Libvirt], why: str
) -> None:
    (text,) = stays(decided(arrived(), moves=twice(), run=Run(sides=Sides(sides))))
    assert text == BY_HAND + why


def test_one_that_is_at_something_is_left_to_it() -> None:
    run = Run(sides=PROVEN)
    assert decided(arrived(task="rebooting"), moves=twice(), run=run).now == ()


def test_what_its_move_holds_is_given_back_once_it_is_well() -> None:
    well = guest(host="compute2")
    (step,) = decided(well, moves=twice(twice=False, holds=True)).now
    assert (step.kind, step.text) == ("free", FREE)
    assert decided(well, moves=twice(twice=False)).now == ()
    both = (COMPUTE1, COMPUTE2)
    found = decided(well, moves=twice(twice=False, holds=True), computes=both)
    assert steps(found) == [("free", "g1")]


def test_where_nova_does_not_do_it_it_is_not_tried_without_end() -> None:
    run = Run(sides=PROVEN)
    for _ in range(2):
        (step,) = decided(arrived(), moves=twice(), run=run).now
        run.note(step, 20.0, None, "its port p1 is not bound to compute2")
    (text,) = stays(decided(arrived(), moves=twice(), run=run))
    assert text == BY_HAND + "its port p1 is not bound to compute2"
    run = Run(sides=PROVEN)
    (step,) = decided(arrived(), moves=twice(), run=run).now
    run.note(step, 20.0, None, None)
    (text,) = stays(decided(arrived(), moves=twice(), run=run))
    assert text == BY_HAND + "it was done, and is as before"


def test_one_that_nova_has_on_the_source_while_it_runs_on_the_target_is_only_named() -> None:
    here = arrived(host="compute1")
    failed = twice(twice=False)
    (text,) = stays(decided(here, moves=failed, run=Run(sides=PROVEN)))
    assert text == (
        f"guest web-g1 (g1) on compute1 is in ERROR ({FAULT}), and Nova has it there, but by "
        "libvirt it runs on compute2: do not start, rebuild or evacuate it, or it runs twice. Have "
        "host and node of its row in the cell's table instances be those of compute2, then "
        "`openstack server set --state active g1`, then deploy again"
    )
    (text,) = stays(decided(here, moves=failed))
    assert "see `openstack server event list g1`; once it is mended" in text


# --- done -----------------------------------------------------------------------------------------


class Nova(test_drains.Nova):
    """One in which Neutron is told twice at once of each guest that arrives.

    Attributes:
        libvirts: by host what its libvirt has; one that is not here does not answer.
        dies_after: the step after which the run is killed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.near = [Drained("compute2", "compute2", "qemu:///system")]
        self.libvirts: dict[str, list[str]] = {"compute1": [], "compute2": []}
        self.dies_after = ""

    @override
    def libvirt(self, _host: str, _request: dict[str, Any]) -> dict[str, Any]:
        if _host not in self.libvirts:
            return {"uuids": None, "error": "virsh: no such socket"}
        awake = {"awake": self.libvirts[_host]} if _request.get("awake") else {}
        return {"uuids": self.libvirts[_host], "error": None, **awake}

    @override
    def pass_time(self) -> None:
        super().pass_time()
        for uuid, each in self.moves.items():
            if each["status"] == "completed":
                each.update(status="error", twice=True)
                self.guests[uuid].update(state="error", fault=FAULT)
                self.libvirts.get("compute2", []).append(uuid)

    @override
    def do(self, kind: str, uuid: str) -> dict[str, Any]:
        if kind == "set_active":
            self.did.append((kind, uuid))
            self.guests[uuid].update(state="active", fault=None)
            self.moves[uuid].update(twice=False, holds=True)
        elif kind == "free":
            self.did.append((kind, uuid))
            assert self.guests[uuid]["state"] == "active"
            self.moves[uuid]["holds"] = False
        else:
            return super().do(kind, uuid)
        if kind == self.dies_after:
            self.dies_after = ""
            raise KeyboardInterrupt
        return {"refused": None, "late": None}


@pytest.fixture
def nova(monkeypatch: pytest.MonkeyPatch) -> Nova:
    found = Nova()
    test_drains.put_in_place(found, monkeypatch)
    return found


def test_a_guest_that_arrives_so_is_well_by_the_end_of_the_run(nova: Nova) -> None:
    nova.guest("g1")
    assert nova.run() == []
    assert nova.did == [("live", "g1"), ("set_active", "g1"), ("free", "g1")]
    assert nova.guests["g1"]["state"] == "active"
    assert [line for line in nova.said if line in (SET, FREE)] == [SET, FREE]
    assert nova.said[-1] == "no guest is left on compute1"
    asked = len(nova.asked)
    assert nova.run(executing=False) == []
    assert nova.asked[asked:] == ["compute1 libvirt", "nova"]


@pytest.mark.parametrize("killed", ["set_active", "free"])
def test_a_run_that_is_killed_there_is_gone_on_with(nova: Nova, killed: str) -> None:
    nova.guest("g1")
    nova.dies_after = killed
    with pytest.raises(KeyboardInterrupt):
        nova.run()
    assert nova.run() == []
    assert nova.did == [("live", "g1"), ("set_active", "g1"), ("free", "g1")]


def test_of_one_that_an_earlier_run_has_left_so_the_plan_says_what_is_done(nova: Nova) -> None:
    nova.guest("g1", "error", host="compute2", fault=FAULT)
    nova.moves["g1"] = twice()[0]
    nova.libvirts["compute2"] = ["g1"]
    assert nova.run(executing=False) == ["true"]
    assert nova.said == [SET] and nova.did == []
    assert nova.run() == []
    assert nova.did == [("set_active", "g1"), ("free", "g1")]


@pytest.mark.parametrize("silent", ["compute1", "compute2"])
def test_where_a_libvirt_does_not_answer_it_is_named_and_nothing_done(
    nova: Nova, silent: str
) -> None:
    nova.guest("g1")
    del nova.libvirts[silent]
    (error,) = nova.run()
    assert BY_HAND in error
    assert f"libvirt on {silent}: nobody could say: virsh: no such socket" in error
    assert nova.did == [("live", "g1")]
