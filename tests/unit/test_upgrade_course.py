"""Which steps between releases are rolling, and what is refused, over all pairs of releases."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from pyinfra_nova.knowledge.releases import VERSIONS
from pyinfra_nova.knowledge.upgrades import is_slurp, releases_of_service, services_of, upgrades
from pyinfra_nova.upgrade.course import (
    ORDER,
    Course,
    Installed,
    known_release,
    pin,
    rolling_steps,
    step,
    too_old,
)

ROLLING = {
    # To the next one, from each.
    *itertools.pairwise(ORDER),
    # From one SLURP release to the next.
    ("2023.1", "2024.1"),
    ("2024.1", "2025.1"),
    ("2025.1", "2026.1"),
}
PAIRS = list(itertools.combinations(ORDER, 2))
JAMMY, NOBLE, BOOKWORM = ("ubuntu", "22.04"), ("ubuntu", "24.04"), ("debian", "12")


def controller(
    *releases: str, name: str = "controller", system: tuple[str, str] = JAMMY
) -> Installed:
    return Installed(name, releases, system, is_controller=True)


def compute(*releases: str, name: str = "compute1", system: tuple[str, str] = JAMMY) -> Installed:
    return Installed(name, releases, system, is_compute=True)


def said(*hosts: Installed, wanted: str) -> str:
    return "\n".join(
        f"{', '.join(each.hosts)}: {each.text}" for each in Course(hosts, wanted).refusals()
    )


# --- pairs ----------------------------------------------------------------------------------------


def test_the_versions_of_every_release_are_known() -> None:
    assert tuple(upgrades().services) == ORDER
    assert set(upgrades().slurp) < set(ORDER)
    assert set(upgrades().behaviour) < set(ORDER)


@pytest.mark.parametrize(("before", "after"), list(itertools.product(ORDER, ORDER)))
def test_a_step_is_rolling_to_the_next_release_and_from_slurp_to_slurp(
    before: str, after: str
) -> None:
    found = step(before, after)
    if VERSIONS[before] > VERSIONS[after]:
        assert found.way == "back"
    elif before == after:
        assert found.way == "none"
    else:
        assert (found.way == "rolling") == ((before, after) in ROLLING)


@pytest.mark.parametrize(("before", "after"), sorted(ROLLING))
def test_no_rolling_step_leaves_a_compute_behind_that_the_controllers_refuse(
    before: str, after: str
) -> None:
    assert services_of(before).version >= services_of(after).oldest
    assert too_old({"compute1": services_of(before).version}, after) is None


@pytest.mark.parametrize(("before", "after"), sorted(ROLLING))
def test_a_rolling_step_says_which_service_versions_allow_it(before: str, after: str) -> None:
    why = step(before, after).why
    assert f"service version {services_of(before).version}" in why
    assert f"{after} takes {services_of(after).oldest} and up" in why


def test_only_debians_step_is_known_with_everything_stopped() -> None:
    stopped = [
        (before, after)
        for before, after in itertools.product(ORDER, ORDER)
        if step(before, after).way == "stopped"
    ]
    assert stopped == [("zed", "2025.1")]
    assert "Debian's own step from 12 to 13" in step("zed", "2025.1").why


def test_a_skip_from_no_slurp_release_is_not_rolling_though_services_would_start() -> None:
    assert services_of("yoga").version >= services_of("2023.1").oldest
    assert not is_slurp("yoga")
    assert step("yoga", "2023.1").why == "OpenStack tests no step from yoga to 2023.1"


def test_what_a_step_leaves_out_is_named() -> None:
    assert step("zed", "2023.1").between == ()
    assert step("2023.1", "2024.1").between == ("2023.2",)
    assert step("zed", "2025.1").between == ("2023.1", "2023.2", "2024.1", "2024.2")


# --- ways -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_rolling_steps_lead_from_each_release_to_every_later_one(before: str, after: str) -> None:
    steps = rolling_steps(before, after)
    assert steps
    assert [steps[0].before, steps[-1].after] == [before, after]
    assert all((one.before, one.after) in ROLLING for one in steps)
    assert all(one.after == on.before for one, on in itertools.pairwise(steps))


def test_the_way_with_the_fewest_steps_is_taken() -> None:
    steps = rolling_steps("zed", "2026.2")
    assert steps is not None
    assert [one.after for one in steps] == ["2023.1", "2024.1", "2025.1", "2026.1", "2026.2"]


def test_a_way_uses_only_releases_that_the_hosts_have() -> None:
    assert rolling_steps("zed", "2024.1", ["zed", "2023.2", "2024.1"]) is None
    steps = rolling_steps("2023.1", "2025.1", ["2023.1", "2023.2", "2024.1", "2025.1"])
    assert steps is not None
    assert [one.after for one in steps] == ["2024.1", "2025.1"]


# --- sites ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_a_site_of_one_release_is_refused_exactly_the_steps_that_are_not_rolling(
    before: str, after: str
) -> None:
    course = Course([controller(before), compute(before)], after)
    is_refused = any("is not rolling" in each.text for each in course.refusals())
    assert is_refused == ((before, after) not in ROLLING)
    assert course.is_needed


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_no_site_goes_back(before: str, after: str) -> None:
    text = said(controller(after), compute(after), wanted=before)
    assert text.startswith(f"controller, compute1: {after} (Nova {VERSIONS[after]}) is installed")
    assert "Nova's schemas only go forward" in text
    assert f"Set release to {after}, or go back to the backup" in text


def test_one_host_that_is_further_makes_it_a_way_back() -> None:
    assert said(controller("zed"), compute("2023.1"), wanted="zed").startswith("compute1: 2023.1")


def test_a_step_too_far_is_refused_with_the_steps_that_lead_there() -> None:
    assert said(controller("yoga"), compute("yoga"), wanted="2024.1").endswith(
        "Set release to zed first, then to 2023.1, then to 2024.1"
    )


def test_a_release_that_a_system_has_not_is_refused_by_the_name_of_the_system() -> None:
    text = said(controller("2024.1"), compute("2024.1"), wanted="2024.2")
    assert text == "controller, compute1: ubuntu 22.04 has no 2024.2 (Nova 30)"
    assert said(controller("2024.1", system=NOBLE), wanted="2024.2") == ""


def test_debians_step_is_refused_as_one_that_needs_another_debian() -> None:
    hosts = controller("zed", system=BOOKWORM), compute("zed", system=BOOKWORM)
    lacking, far = said(*hosts, wanted="2025.1").splitlines()
    assert (
        lacking
        == "controller, compute1: debian 12 has no 2025.1 (Nova 31); it comes with Debian 13"
    )
    assert "zed (Nova 26) to 2025.1 (Nova 31) is not rolling" in far
    assert "with all of the control plane stopped" in far


def test_where_no_release_of_the_system_leads_there_that_is_said() -> None:
    hosts = controller("zed", system=BOOKWORM), compute("zed", system=BOOKWORM)
    assert "No rolling steps lead there on these hosts' systems" in said(*hosts, wanted="2024.1")


def test_half_an_upgraded_site_goes_on_and_is_called_so() -> None:
    hosts = controller("2023.1"), compute("2023.1"), compute("zed", name="compute2")
    course = Course(hosts, "2023.1")
    assert list(course.refusals()) == []
    assert [host.name for host in course.to_do] == ["compute2"]
    assert list(course.remarks()) == [
        "the site is half upgraded (zed: compute2; 2023.1: controller, compute1)"
    ]
    assert course.has_begun


def test_controllers_come_before_computes() -> None:
    hosts = compute("zed"), controller("zed"), compute("zed", name="compute2")
    names = [host.name for host in Course(hosts, "2023.1").to_do]
    assert names == ["controller", "compute1", "compute2"]


def test_computes_do_not_go_ahead_of_a_controller_that_the_run_leaves_out() -> None:
    left_out = replace(controller("zed"), is_left_out=True)
    assert said(left_out, compute("zed"), wanted="2023.1") == (
        "controller: it has zed (Nova 26) and is left out of this run, but controllers come before "
        "computes (compute1): run without --limit, or name it, too"
    )
    there = replace(controller("2023.1"), is_left_out=True)
    assert said(there, compute("zed"), wanted="2023.1") == ""


def test_a_host_that_the_run_leaves_out_is_not_among_those_to_be_done() -> None:
    hosts = replace(controller("2023.1"), is_left_out=True), compute("zed")
    assert [host.name for host in Course(hosts, "2023.1").to_do] == ["compute1"]


def test_a_compute_ahead_of_the_controllers_is_named() -> None:
    (_, ahead) = Course([controller("zed"), compute("2023.1")], "2023.1").remarks()
    assert ahead == ("compute1 is ahead of the controllers, which have zed: they are to be first")


def test_a_compute_that_an_earlier_upgrade_has_left_behind_is_refused_by_its_name() -> None:
    hosts = controller("2024.1", system=NOBLE), compute("2023.1")
    text = said(*hosts, wanted="2025.1")
    assert "compute1: 2023.1 (Nova 27) to 2025.1 (Nova 31) is not rolling" in text
    assert "controller" not in text


def test_packages_of_two_releases_are_an_installation_that_was_cut_off() -> None:
    course = Course([controller("zed", "2023.1")], "2023.1")
    assert course.is_needed
    assert course.step.before == "zed"
    assert list(course.remarks()) == [
        "controller has packages of zed and 2023.1: their installation was cut off"
    ]


def test_a_site_at_its_release_needs_nothing() -> None:
    assert not Course([controller("zed"), compute("zed")], "zed").is_needed


# --- services -------------------------------------------------------------------------------------


def test_a_compute_too_old_for_the_new_controllers_is_named_with_its_release() -> None:
    found = too_old({"a": 66, "b": 61, "c": 64}, "2024.1")
    assert found is not None
    assert found.hosts == ("b", "c")
    assert "b (version 61, yoga), c (version 64, zed): they take 66 and up" in found.text


@pytest.mark.parametrize(
    ("services", "wanted", "held"),
    [
        ({"a": 64, "b": 66}, "2023.1", "6.1"),
        ({"a": 66, "b": 66}, "2023.1", None),
        ({"a": 66}, "2023.2", None),
        ({"a": 66, "b": 68}, "2025.1", "6.2"),
        ({"a": 67, "b": 68}, "2025.1", "6.3"),
        ({}, "2025.1", None),
    ],
    ids=["one old", "none old", "same RPC", "caracal of its first days", "caracal", "no computes"],
)
def test_the_rpc_is_held_at_what_the_oldest_compute_knows(
    services: dict[str, int], wanted: str, held: str | None
) -> None:
    assert pin(services, wanted) == held


def test_the_rpc_of_every_version_that_a_release_has_is_known() -> None:
    known = upgrades().compute_rpc
    for release in ORDER:
        own = services_of(release)
        assert {own.oldest, own.version, own.newest or own.version} <= set(known)
    assert [known[version] for version in sorted(known)] == sorted(known.values())


def test_releases_that_share_a_version_are_told_as_such() -> None:
    assert releases_of_service(66) == ("2023.1", "2023.2", "2024.1")
    assert releases_of_service(65) == ()


@pytest.mark.parametrize(("release", "major"), VERSIONS.items())
def test_a_package_is_of_the_release_that_has_its_major_version(release: str, major: int) -> None:
    assert known_release(f"{major}.2.1") == release


def test_a_version_of_no_release_here_is_of_none() -> None:
    assert known_release("24.1.0") is None
