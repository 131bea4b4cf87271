"""A maintenance that goes no further: where it stops, what is said then, and what is never done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pyinfra_nova.maintenance import course as course_module
from pyinfra_nova.maintenance.reason import MaintenanceError, Work
from pyinfra_nova.resources.drains.state import Guest
from pyinfra_nova.session.answering import NoAnswerError
from pyinfra_nova.site.settings import HostSettings

from .maintained_cloud import FakeCloud
from .test_maintenance_course import REASON, cloud, course


def stopped(fake: FakeCloud, **more: Any) -> str:
    failed = course(fake, **more)
    assert not failed.run()
    assert failed.outcomes["compute2"].text == "not begun with"
    return fake.said[-1]


def test_a_guest_that_cannot_move_stops_it_and_nothing_is_done_there() -> None:
    fake = cloud()
    fake.stuck = {"compute1"}
    said = stopped(fake)
    assert fake.did == ["drain compute1"]
    assert said.startswith("compute1: not drained, as said above; nothing was done there.")
    assert "call again by the same words" in said and "`./run deploy`" in said


def test_a_host_that_does_not_come_back_stops_it_before_the_next() -> None:
    fake = cloud()
    fake.away_for_good = {"compute1"}
    said = stopped(fake, work=Work(reboot=True), patience=600)
    assert fake.did == ["drain compute1", "reboot compute1"]
    assert "compute1: reboot: compute1 is not back after 600 s: no route to host" in said
    assert fake.closed["compute1"]
    # Called again while it is still away, nothing is begun anew.
    again = course(fake, work=Work(reboot=True))
    assert not again.run()
    assert "is not back" in fake.said[-1]
    assert again.outcomes["compute1"].text == "failed at the beginning"
    fake.away_for_good = set()
    assert course(fake, work=Work(reboot=True)).run()
    assert fake.did.count("reboot compute1") == 1


@pytest.mark.parametrize(("what", "change"), [("upgrade", "upgrade"), ("run", "run on")])
def test_what_fails_on_a_host_stops_it(what: str, change: str) -> None:
    fake = cloud()
    fake.fails = {f"{what} compute1": "it has ended with exit code 3"}
    said = stopped(fake)
    assert "compute1: " in said and ": it has ended with exit code 3" in said
    assert not any(did.startswith(("reboot", "deploy")) for did in fake.did)
    fake.fails = {}
    assert course(fake).run()
    assert [did for did in fake.did if did.startswith(change)]


def test_what_fails_on_one_host_of_a_batch_lets_the_others_end() -> None:
    fake = cloud()
    fake.fails = {"run compute1": "it has ended with exit code 3"}
    failed = course(fake, at_once=2, work=Work(command="date"))
    assert not failed.run()
    assert fake.did == ["drain compute1 compute2", "run on compute2: date"]
    assert "compute1: command: it has ended" in fake.said[-1]
    assert "compute2: command" not in fake.said[-1]


def test_a_host_that_is_not_proven_stays_closed_and_stops_it() -> None:
    fake = cloud()
    fake.unproven = {"compute1"}
    said = stopped(fake)
    assert fake.did[-1] == "deploy compute1"
    assert "compute1: what is to be there is not proven" in said
    assert fake.closed["compute1"] == REASON
    assert "compute1" in fake.records


def test_a_host_that_somebody_has_opened_by_hand_is_proven_all_the_same() -> None:
    """Opened is not proven, and the next host is only begun with after that."""
    fake = cloud()
    fake.unproven = {"compute1"}
    reboot = fake.reboot

    def rebooted(name: str, begun: str) -> str:
        boot = reboot(name, begun)
        fake.closed[name] = None
        return boot

    fake.reboot = rebooted  # type: ignore[method-assign]
    said = stopped(fake, work=Work(reboot=True))
    assert fake.did == ["drain compute1", "reboot compute1", "deploy compute1"]
    assert "compute1: what is to be there is not proven" in said


def test_a_guest_that_does_not_return_stops_nothing_but_is_named_at_the_end() -> None:
    fake = cloud()
    fake.stays = {"guest-of-compute1": "guest g can go nowhere: compute1 is full"}
    course_ = course(fake, returning=True)
    assert not course_.run()
    assert course_.stayed == ["guest g can go nowhere: compute1 is full"]
    assert fake.guests["compute2"] == ["guest-of-compute2"]
    assert course_.outcomes["compute2"].failed is None


def test_what_did_not_return_is_named_though_something_fails_after_that() -> None:
    fake = cloud()
    fake.stays = {"guest-of-compute1": "guest g can go nowhere: compute1 is full"}
    fake.stuck = {"compute2"}
    failed = course(fake, returning=True)
    assert not failed.run()
    assert failed.stayed == ["guest g can go nowhere: compute1 is full"]
    batch = cloud()
    batch.stays = fake.stays
    back = batch.bring_back

    def silent(host: HostSettings, guests: Sequence[Guest]) -> list[str]:
        if host.name == "compute2":
            raise NoAnswerError("Nova does not answer")
        return back(host, guests)

    batch.bring_back = silent  # type: ignore[method-assign]
    failed = course(batch, at_once=2, returning=True)
    assert not failed.run()
    assert failed.stayed == ["guest g can go nowhere: compute1 is full"]


def test_hosts_that_are_done_are_named_for_the_next_call_would_begin_them_anew() -> None:
    said = "compute1: done; leave out of the next call what is not to be anew"
    fake = cloud()
    fake.stuck = {"compute2"}
    assert not course(fake).run()
    assert fake.said[-1] == said
    fake = cloud()
    fake.stuck = {"compute2"}
    assert not course(fake, work=Work(packages=True)).run()  # there it is left alone
    assert said not in fake.said


def test_the_machine_that_this_runs_on_is_not_rebooted_by_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "boot_id").write_text("boot-1\n")
    monkeypatch.setattr(course_module, "BOOT", tmp_path / "boot_id")
    fake = cloud()
    fake.boots["compute1"] = 7
    failed = course(fake, "compute2", "compute1", work=Work(reboot=True))
    assert not failed.run()
    assert fake.did == []
    assert fake.said[-1].startswith("compute2 is the machine on which this runs")
    assert course(fake, "compute1", work=Work(reboot=True)).run()
    assert course(fake, "compute2", work=Work(command="date")).run()
    with pytest.raises(MaintenanceError, match="compute2 is the machine"):
        list(course(fake, "compute2", work=Work(reboot=True)).plan())


# --- nobody's work is under guests ----------------------------------------------------------------


@pytest.mark.parametrize("look", [2, 3, 4])
def test_a_compute_that_somebody_has_opened_is_left_alone(look: int) -> None:
    """Look 1 is the drain's; each of the three that follow is right before something is done."""
    fake = cloud()

    def opened() -> None:
        fake.closed["compute1"] = None

    fake.meanwhile = {look: opened}
    assert "compute1 is open by now, so somebody has deployed it" in stopped(fake)
    assert len(fake.did) == look - 1


@pytest.mark.parametrize("look", [2, 3, 4])
def test_a_guest_that_has_come_meanwhile_stops_it(look: int) -> None:
    fake = cloud()
    fake.meanwhile = {look: lambda: fake.guests["compute1"].append("newcomer")}
    said = stopped(fake)
    assert "compute1 is not empty, so nothing is done there:\n  newcomer\n" in said
    assert len(fake.did) == look - 1


def test_a_compute_that_somebody_has_closed_for_another_reason_is_theirs() -> None:
    fake = cloud()

    def closed() -> None:
        fake.closed["compute1"] = "mine"

    fake.meanwhile = {2: closed}
    assert "compute1 is closed for another reason (mine) by now" in stopped(fake)
