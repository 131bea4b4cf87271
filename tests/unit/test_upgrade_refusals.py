"""With what the cloud says of itself an upgrade is begun, and with what it is not."""

from __future__ import annotations

from typing import Any

import kinds
import pytest

from pyinfra_nova.site.settings import Site
from pyinfra_nova.upgrade import refusals
from pyinfra_nova.upgrade.course import Course, Installed
from pyinfra_nova.upgrade.facts import (
    ARCHIVES,
    DATA,
    HARMFUL,
    PROGRAMS,
    SLOWING,
    Facts,
    Place,
    paths_of,
    question,
)

from .site_data import site as built

RECIPIENT = "age1w6s8lwq7strkfyxv46slu5sn4694ayrglwp2mvk56ctlcljjrc2s82t5nq"
JAMMY = ("ubuntu", "22.04")
NOW = 1_800_000_000.0
NONE = {"count": 0, "few": []}


def site(**settings: Any) -> Site:
    return built({"release": "2023.1", "care": {"backup": {"recipient": RECIPIENT}}, **settings})


def course(*, wanted: str = "2023.1", ahead: bool = False) -> Course:
    mine = wanted if ahead else "zed"
    hosts = [Installed("controller", (mine,), JAMMY, is_controller=True)]
    hosts += [
        Installed(name, ("zed",), JAMMY, is_compute=True) for name in ("compute1", "compute2")
    ]
    return Course(hosts, wanted)


def facts(**changes: Any) -> Facts:
    found = Facts.of(
        {
            "findings": [],
            "silent": {},
            "guests": {"ERROR": NONE, "MIGRATING": NONE, "VERIFY_RESIZE": NONE},
            "computes": {"compute1": 64, "compute2": 64},
            "linux_bridges": [],
            "room": {},
            "rows": {"matched": 0, "left": 0, "few": []},
            "bytes": 1000,
            "backup": {"outcome": "done", "said": "", "done": NOW - 3600},
            "at": NOW,
            **changes,
        }
    )
    assert found is not None
    return found


def refused(of: Course | None = None, where: Site | None = None, **changes: Any) -> list[str]:
    found = refusals.of_cloud(where or site(), of or course(), facts(**changes))
    return [f"{one.what}: {one.detail}" for one in found if not one.ok]


def test_a_healthy_cloud_is_refused_nothing() -> None:
    assert refused() == []


@pytest.mark.parametrize("state", ["ERROR", "MIGRATING", "VERIFY_RESIZE"])
def test_guests_between_two_states_are_named_with_what_to_do(state: str) -> None:
    guests = {state: {"count": 3, "few": ["web (1)"]}}
    assert refused(guests=guests) == [
        f"guests in {state}: web (1) and 2 more: {refusals.REMEDIES[state]}"
    ]


def test_every_kind_of_finding_that_matters_is_one_of_an_audit() -> None:
    assert {*HARMFUL, *SLOWING} <= set(kinds.EFFECTS)
    assert not {*HARMFUL} & {*SLOWING}


@pytest.mark.parametrize("kind", HARMFUL)
def test_a_finding_that_would_hurt_is_refused_with_its_remedy(kind: str) -> None:
    finding = {"kind": kind, "where": "c", "what": "it is so", "remedy": "mend it"}
    assert refused(findings=[finding]) == [f"{kind}: it is so; remedy: mend it"]


def test_services_that_an_upgrade_has_left_silent_do_not_keep_it_from_going_on() -> None:
    finding = {"kind": "service-silent", "where": "c", "what": "it is so", "remedy": "start it"}
    assert len(refused(findings=[finding])) == 1
    assert refused(course(ahead=True), findings=[finding]) == []


def test_what_only_takes_longer_is_no_refusal() -> None:
    finding = {"kind": SLOWING[0], "where": "c", "what": "many", "remedy": "archive"}
    assert refused(findings=[finding]) == []


def test_databases_that_are_silent_are_no_leave_to_go_on() -> None:
    assert refused(silent={"databases": "2002"}, backup=None) == [
        "upgrade: what Nova's databases hold is not known: 2002"
    ]


def test_a_compute_that_is_in_no_inventory_and_too_old_is_refused() -> None:
    (said,) = refused(computes={"compute1": 64, "old": 57})
    assert said.startswith(
        "nova-compute: controllers of 2023.1 do not start beside nova-compute of"
    )
    assert "old (version 57)" in said


def test_a_compute_with_new_packages_whose_old_process_runs_is_refused() -> None:
    hosts = [Installed("compute1", ("2024.1",), JAMMY, is_compute=True)]
    hosts.append(Installed("controller", ("2023.1",), JAMMY, is_controller=True))
    (said,) = refused(Course(hosts, "2024.1"), computes={"compute1": 64})
    assert "compute1 (version 64, zed)" in said


# --- Linux bridges --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "is_refused"), [("2024.2", False), ("2025.1", True), ("2026.2", True)]
)
def test_linux_bridges_are_refused_from_the_release_without_a_driver_on(
    wanted: str, is_refused: bool
) -> None:
    found = refused(course(wanted=wanted), linux_bridges=["compute1"])
    assert any("Neutron has agents for them on compute1" in line for line in found) == is_refused
    silent = {"network": "403"}
    found = refused(course(wanted=wanted), linux_bridges=None, silent=silent)
    assert any("is not known: 403" in line for line in found) == is_refused


# --- backups --------------------------------------------------------------------------------------


def test_without_a_daily_backup_nothing_is_begun() -> None:
    (said,) = refused(where=site(care={}))
    assert said.startswith(
        "backup: no backup is made each day: set care.backup in group_data/all.py"
    )


@pytest.mark.parametrize(
    ("backup", "said"),
    [
        (None, "there is none yet: `systemctl start nova-care-backup` on controller"),
        (
            {"outcome": "put off", "said": "a deploy changed this host 5 s ago", "done": None},
            "there is none yet (put off: a deploy changed this host 5 s ago): `systemctl start",
        ),
        (
            {"outcome": "failed", "said": "age does not run", "done": NOW - 3600},
            "the last one is 1 h old, and one has failed since: age does not run",
        ),
        ({"outcome": "done", "done": NOW - 90_000}, "the last one is 25 h old: `systemctl start"),
    ],
)
def test_a_backup_has_to_be_there_and_of_today(backup: Any, said: str) -> None:
    (found,) = refused(backup=backup)
    assert found.startswith(f"backup: {said}")


def test_once_it_has_begun_the_backup_of_before_counts() -> None:
    backup = {"outcome": "done", "done": NOW - 90_000}
    assert refused(course(ahead=True), backup=backup) == []


# --- room -----------------------------------------------------------------------------------------


def room(**free: float) -> list[str]:
    places = {
        "usr": (PROGRAMS, 1),
        "cache": (ARCHIVES, 1),
        "var": ("/var/backups", 2),
        "data": (DATA, 3),
    }
    given = {
        places[name][0]: Place(disk=places[name][1], free=int(bytes_))
        for name, bytes_ in free.items()
    }
    return [v.detail for v in refusals.of_room("controller", given, 5_000_000_000) if not v.ok]


def test_folders_of_one_disk_share_its_room() -> None:
    assert room(usr=1.6e9) == []
    assert room(usr=1.6e9, cache=1.6e9) == [
        "1.6 GB free for /usr, /var/cache, and an upgrade takes up to 1.9 GB: make room there"
    ]


@pytest.mark.parametrize("place", ["var", "data"])
def test_a_dump_and_tables_that_change_take_as_much_as_the_databases(place: str) -> None:
    assert room(**{place: 5e9}) == []
    assert len(room(**{place: 4e9})) == 1


def test_each_host_is_asked_for_the_folders_that_it_uses() -> None:
    where = site()
    assert paths_of(where, where.hosts["compute1"]) == [PROGRAMS, ARCHIVES]
    assert paths_of(where, where.hosts["controller"]) == [
        *(PROGRAMS, ARCHIVES, "/var/backups/pyinfra-nova", DATA)
    ]


# --- the question ---------------------------------------------------------------------------------


def test_the_cloud_is_asked_what_an_audit_asks_and_no_host() -> None:
    found = question(site())
    assert found["hosts"] is None
    assert {"database", "names", "api", "broker", "expected", "kinds", "paths", "care"} <= set(
        found
    )


def test_an_answer_of_another_form_is_none() -> None:
    assert Facts.of({}) is None
    assert Facts.of({"findings": "none"}) is None
