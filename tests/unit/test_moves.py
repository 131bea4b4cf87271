"""A restart of a compute waits for the guests that are on the way to it or from it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import moves as script
import pytest
from pyinfra.context import ctx_host

from pyinfra_nova.resources import moves, units

from .test_unanswered import Run

LIVE = {"guest": "g1", "kind": "live-migration", "status": "running"}
LIVE |= {"source": "compute1", "target": "compute2"}
SAID = "guest g1 (live-migration, running)"


def row(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "instance_uuid": "g1",
        "migration_type": "live-migration",
        "status": "running",
    }
    found |= {"source_compute": "compute1", "dest_compute": "compute2", "confirms": 0}
    return {**found, **changes}


@pytest.fixture
def under_way(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the script finds in rows of cell1, guests at something among them."""

    def found(
        migrations: list[dict[str, Any]],
        busy: tuple[str, ...] = ("g1",),
        resized: tuple[str, ...] = (),
    ) -> Any:
        guests: list[dict[str, Any]] = [{"uuid": uuid, "task_state": "migrating"} for uuid in busy]
        guests += [{"uuid": uuid, "task_state": None} for uuid in resized]
        tables = {"migrations": migrations, "instances": guests}

        def rows(_: Any, name: str, table: str, what: str, where: str) -> list[dict[str, Any]]:
            assert name == "nova"
            assert "deleted = 0" in where
            assert ("task_state IS NOT NULL" in where) == (table == "instances")
            assert "vm_state = 'resized'" in where or table == "migrations"
            assert script.CONFIRMS in what or table == "instances"
            over = [s for s in script.OVER if f"'{s}'" in where]
            return [each for each in tables[table] if each.get("status") not in over]

        monkeypatch.setattr(script.nova_state, "read_if_there", rows)
        return script.under_way(None, {"names": {"cell1": "nova"}})

    return found


def test_a_guest_that_moves_is_found_with_both_its_computes(under_way: Any) -> None:
    assert under_way([row()]) == [LIVE]


@pytest.mark.parametrize("status", script.OVER)
def test_what_has_ended_or_waits_for_a_person_is_not_on_the_way(
    under_way: Any, status: str
) -> None:
    assert under_way([row(status=status)]) == []


@pytest.mark.parametrize(
    "status", ["accepted", "queued", "preparing", "pre-migrating", "migrating", "post-migrating"]
)
def test_every_other_status_is(under_way: Any, status: str) -> None:
    assert [each["status"] for each in under_way([row(status=status)])] == [status]


def test_a_record_that_a_dead_process_has_left_is_not(under_way: Any) -> None:
    assert under_way([row()], busy=("g2",)) == []


def test_a_resize_that_is_being_confirmed_is_though_its_guest_is_at_nothing(
    under_way: Any,
) -> None:
    """A restart of its source in the middle of that would leave the guest at it for good."""
    row_ = row(migration_type="migration", status="confirming", confirms=1)
    (found,) = under_way([row_], busy=(), resized=("g1",))
    assert (found["guest"], found["kind"], found["status"]) == ("g1", "migration", "confirming")


@pytest.mark.parametrize("confirms", [0, None])
def test_one_that_a_dead_process_has_left_at_it_keeps_no_restart_from_being_made(
    under_way: Any, confirms: int | None
) -> None:
    row_ = row(migration_type="migration", status="confirming", confirms=confirms)
    assert under_way([row_], busy=(), resized=("g1",)) == []
    assert under_way([row(migration_type="migration", status="confirming", confirms=1)], ()) == []


def test_databases_that_do_not_answer_are_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = (None, OSError("1205: Lock wait timeout"), False)
    monkeypatch.setattr(script.nova_state, "look", lambda *_: refused)
    assert script.answer({}) == {"moves": [], "error": "1205: Lock wait timeout"}


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    texts: list[str] = []
    monkeypatch.setattr(moves, "say", texts.append)
    monkeypatch.setattr(moves, "FRESH", 0.01)
    return texts


def answers(*found: list[str] | str) -> Any:
    """One after the other; a text is an error."""
    left: Iterator[list[str] | str] = iter(found)

    def asked() -> dict[str, Any]:
        answer = next(left)
        if isinstance(answer, str):
            return {"error": answer, "moves": []}
        return {"error": None, "moves": answer}

    return asked


def test_where_nothing_is_on_the_way_nothing_is_waited_for(said: list[str]) -> None:
    assert moves.waited(answers([])) == ""
    assert said == []


def test_it_is_waited_for_and_said_once_until_the_last_has_arrived(said: list[str]) -> None:
    assert moves.waited(answers([SAID, "g2"], [SAID, "g2"], [SAID], [])) == ""
    assert said == [
        f"wait with the restart: {SAID}, g2 is on the way",
        f"wait with the restart: {SAID} is on the way",
    ]


def test_what_does_not_end_keeps_the_restart_from_being_made(said: list[str]) -> None:
    """Where guests come and go all the time, the last of them may have begun just now."""
    asked = answers(*[[f"g{number}"] for number in range(100)], [SAID])
    problem = moves.waited(asked, patience=0.05)
    assert re.match(r"not restarted: for 0 s guests were on the way, at last g\d+: let ", problem)
    assert "openstack server migration abort" in problem


def test_without_an_answer_nothing_is_restarted(said: list[str]) -> None:
    problem = moves.waited(answers([SAID], "2013: Lost connection"))
    assert problem == "whether guests are on the way nobody can say: 2013: Lost connection"


def unit(name: str, verb: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "actions": [verb], "reason": "a reason", **more}


def test_what_stands_still_is_started_before_a_restart_is_waited_for(
    said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guest may wait for the very nova-compute that is to be started."""
    cut = unit("libvirtd", "restart", running=True)
    answer = {"units": [cut, unit("nova-compute", "start")], "processes": {}}
    told: list[str] = []
    here = SimpleNamespace(
        name="compute1",
        state=Run(is_executing=True),
        get_fact=lambda *_, **__: answer,
        print_prefix="",
    )

    def run(problem: str) -> Iterator[str]:
        def waited(_: object) -> str:
            told.append("waited")
            return problem

        monkeypatch.setattr(moves, "waited", waited)
        with ctx_host.use(here):
            for command in units.running._inner([units.Unit("x")], moving=answers()):
                yield str(command)

    begun = run("")
    assert "start --no-block nova-compute" in next(begun) and told == []
    assert "restart --no-block libvirtd" in next(begun) and told == ["waited"]
    assert "units wait" in next(begun)
    first, last = run("not restarted")
    assert "start --no-block nova-compute" in first and last.endswith("exit 1")
