"""A maintenance: its steps in their order, what is skipped, and a second call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from pyinfra_nova.maintenance.course import Course
from pyinfra_nova.maintenance.reason import MaintenanceError, Work
from pyinfra_nova.site.settings import HostSettings

from .maintained_cloud import BEGUN, FakeCloud, KilledError
from .site_data import HOSTS, site

ALL = Work(packages=True, command="date", reboot=True)
REASON = f"maintenance since {BEGUN}: {ALL.text}"


def cloud(**states: Mapping[str, Any]) -> FakeCloud:
    """Two computes with a guest each; STATES are what the inventory says of some."""
    hosts = {name: {**data, **states.get(name, {})} for name, data in HOSTS.items()}
    found = FakeCloud(site(hosts=hosts))
    for name in found.guests:
        found.guests[name] = [f"guest-of-{name}"]
        found.upgrades[name] = ["linux-image"]
    return found


def hosts(fake: FakeCloud, *names: str) -> list[HostSettings]:
    return [fake.site.hosts[name] for name in names or ("compute1", "compute2")]


def course(fake: FakeCloud, *names: str, work: Work = ALL, **more: Any) -> Course:
    return Course(fake, hosts(fake, *names), work, **more)


def test_one_host_after_the_other_goes_through_all_steps() -> None:
    fake = cloud()
    assert course(fake, returning=True).run()
    assert fake.did == [
        step.format(name)
        for name in ("compute1", "compute2")
        for step in (
            *("drain {}", "upgrade {}", "run on {}: date", "reboot {}", "deploy {}", "forget {}"),
            "return guest-of-{0} to {0}",
        )
    ]
    assert fake.closed == {"compute1": None, "compute2": None}
    assert fake.guests == {name: [f"guest-of-{name}"] for name in fake.guests}


def test_the_hosts_of_a_batch_share_its_steps() -> None:
    fake = cloud()
    assert course(fake, work=Work(reboot=True), at_once=2).run()
    assert fake.did[0] == "drain compute1 compute2"
    assert set(fake.did[1:3]) == {"reboot compute1", "reboot compute2"}
    assert fake.did[3] == "deploy compute1 compute2"


def test_guests_stay_where_they_went_unless_told_otherwise() -> None:
    fake = cloud()
    assert course(fake, "compute1").run()
    assert fake.guests["compute1"] == []


def test_the_reason_in_nova_says_when_it_began_and_what_for() -> None:
    fake = cloud()
    fake.dies_at = 1
    with pytest.raises(KilledError):
        course(fake, "compute1").run()
    assert fake.closed["compute1"] == REASON


# --- a second call --------------------------------------------------------------------------------


def changes(fake: FakeCloud) -> list[str]:
    """What a maintenance of both computes changes, in order."""
    assert course(fake, returning=True).run()
    return fake.did


WHOLE = changes(cloud())
ONCE = ("upgrade", "run on", "reboot")


@pytest.mark.parametrize("at", range(1, len(WHOLE)))
def test_killed_after_any_change_a_second_call_goes_on(at: int) -> None:
    fake = cloud()
    fake.dies_at = at
    with pytest.raises(KilledError):
        course(fake, returning=True).run()
    was_open = fake.closed["compute1"] is None and at < WHOLE.index("drain compute2")
    fake.dies_at, fake.now = 0, fake.now + 900
    names = ("compute2",) if at >= WHOLE.index("drain compute2") else ("compute1", "compute2")
    again = course(fake, *names, returning=True)
    again.check()
    assert again.run()
    assert all(closed is None for closed in fake.closed.values())
    # Once a compute is open its maintenance is over, and the next call is another one.
    over = was_open or (at > WHOLE.index("deploy compute2"))
    for change in WHOLE:
        if change.startswith(ONCE) and not over:
            assert fake.did.count(change) == 1, change


@pytest.mark.parametrize("at", range(1, WHOLE.index("deploy compute1")))
def test_guests_that_an_earlier_call_has_moved_away_return_too(at: int) -> None:
    fake = cloud()
    fake.dies_at = at
    with pytest.raises(KilledError):
        course(fake, "compute1", returning=True).run()
    fake.dies_at = 0
    assert course(fake, "compute1", returning=True).run()
    assert fake.guests["compute1"] == ["guest-of-compute1"]


def test_what_is_skipped_is_said_with_the_reason() -> None:
    fake = cloud()
    fake.dies_at = 4
    with pytest.raises(KilledError):
        course(fake, "compute1").run()
    fake.dies_at = 0
    again = course(fake, "compute1")
    assert again.run()
    assert fake.said[: fake.said.index("compute1: open")][-5:] == [
        f"compute1: go on with the {REASON}",
        f"compute1: drain: skipped, closed since {BEGUN} for this, and no guest is left",
        "compute1: packages: skipped, nothing is to be upgraded",
        f"compute1: command: skipped, was run in the maintenance since {BEGUN}",
        f"compute1: reboot: skipped, was rebooted in the maintenance since {BEGUN}",
    ]
    assert again.outcomes["compute1"].text == "done open; skipped drain, packages, command, reboot"


def test_after_the_end_the_same_call_is_another_maintenance() -> None:
    fake = cloud()
    work = Work(command="date")
    for _ in range(2):
        assert course(fake, "compute1", work=work).run()
        fake.now += 60
    assert fake.did.count("run on compute1: date") == 2


def test_a_drain_that_was_not_ended_is_gone_on_with() -> None:
    fake = cloud()
    fake.closed["compute1"] = REASON
    fake.now += 3600
    assert course(fake, "compute1").run()
    assert fake.did[0] == "drain compute1"
    assert f"compute1: go on with the {REASON}" in fake.said


# --- what the inventory says stays ----------------------------------------------------------------


@pytest.mark.parametrize("state", ["closed", "drained"])
def test_what_the_inventory_closes_is_maintained_and_stays_closed(state: str) -> None:
    fake = cloud(compute1={"state": state, "state_reason": "a fan"})
    again = course(fake, "compute1", returning=True)
    again.check()
    assert again.run()
    assert fake.did == [
        *("drain compute1", "upgrade compute1", "run on compute1: date", "reboot compute1"),
        *("deploy compute1", "forget compute1"),
    ]
    assert fake.closed["compute1"] == "a fan"
    assert f"compute1: return: skipped, the inventory has it {state}" in fake.said


@pytest.mark.parametrize(
    ("closed", "said"),
    [
        ("a fan", "compute1 was closed by somebody (a fan): ask them"),
        ("", "compute1 was closed by somebody (without a reason)"),
        ("AUTO: no libvirt", "compute1 was closed by Nova itself (AUTO: no libvirt): mend its"),
        (
            f"maintenance since {BEGUN}: reboot",
            f"compute1 is in maintenance since {BEGUN} for reboot, not for packages, command",
        ),
    ],
)
def test_a_compute_that_is_closed_for_something_else_is_refused_first(
    closed: str, said: str
) -> None:
    fake = cloud()
    fake.closed["compute1"] = closed
    with pytest.raises(MaintenanceError) as refused:
        course(fake).check()
    assert str(refused.value).startswith(said)
    assert fake.did == []


# --- packages alone -------------------------------------------------------------------------------


def test_where_nothing_is_to_be_upgraded_no_guest_has_to_move() -> None:
    fake = cloud()
    fake.upgrades["compute1"] = []
    found = course(fake, work=Work(packages=True))
    assert found.run()
    assert fake.did[0] == "drain compute2"
    assert fake.guests["compute1"] == ["guest-of-compute1"]
    assert found.outcomes["compute1"].text == "skipped all"


def test_a_maintenance_that_was_begun_is_ended_though_nothing_is_to_be_upgraded() -> None:
    fake = cloud()
    fake.upgrades["compute1"] = []
    fake.closed["compute1"] = f"maintenance since {BEGUN}: packages"
    fake.guests["compute1"] = []
    assert course(fake, "compute1", work=Work(packages=True)).run()
    assert fake.did == ["deploy compute1", "forget compute1"]


@pytest.mark.parametrize(("reboot", "said"), [(False, True), (True, False)])
def test_a_host_that_wants_a_reboot_is_named_unless_it_gets_one(reboot: bool, said: bool) -> None:
    fake = cloud()
    fake.wants = "/run/reboot-required is there"
    assert course(fake, "compute1", work=Work(packages=True, reboot=reboot)).run()
    text = "compute1 wants to be rebooted (/run/reboot-required is there): --reboot does it"
    assert (text in fake.said) is said


def test_a_plan_leaves_a_host_alone_on_which_nothing_is_to_be_upgraded() -> None:
    fake = cloud()
    fake.upgrades["compute1"] = []
    lines = list(course(fake, "compute1", work=Work(packages=True)).plan())
    assert lines == ["compute1:", "  compute1: is left alone, nothing is to be upgraded"]


# --- the plan -------------------------------------------------------------------------------------


def test_a_plan_says_every_step_and_changes_nothing() -> None:
    fake = cloud(compute2={"state": "closed", "state_reason": "a fan"})
    assert list(course(fake, returning=True).plan()) == [
        "compute1:",
        f"  drain: close compute1 to new guests, {REASON}",
        "  drain: move guest guest-of-compute1",
        "  packages: upgrade on compute1: linux-image, by the lists that it has now",
        "  command: run on compute1: date",
        "  reboot: reboot compute1",
        "  open: deploy compute1, proven and open",
        "  return: move back to compute1 the guests that have left it",
        "compute2:",
        f"  drain: close compute2 to new guests, {REASON}",
        "  drain: move guest guest-of-compute2",
        "  packages: upgrade on compute2: linux-image, by the lists that it has now",
        "  command: run on compute2: date",
        "  reboot: reboot compute2",
        "  open: deploy compute2, proven and closed",
        "  return: skip compute2, the inventory has it closed",
    ]
    assert fake.did == []


def test_a_plan_of_what_was_begun_says_what_is_skipped() -> None:
    fake = cloud()
    fake.dies_at = 2
    with pytest.raises(KilledError):
        course(fake, "compute1").run()
    assert [line for line in course(fake, "compute1").plan() if "skip" in line] == [
        f"  drain: skip compute1, closed since {BEGUN} for this, and no guest is left",
        "  packages: skip compute1, nothing is to be upgraded",
    ]
