"""``--data state=drained``: it holds for the computes that --limit names, and for no other host."""

from __future__ import annotations

from typing import Any

import pytest

from .site_data import GROUPS, HOSTS, faults, site

DRAINED = {"state": "drained", "state_reason": "maintenance since noon"}


def states(**sources: Any) -> dict[str, tuple[str, str]]:
    found = site(override_data=DRAINED, **sources).hosts.values()
    return {host.name: (host.state, host.state_reason) for host in found}


def test_it_holds_for_the_computes_of_the_run_alone() -> None:
    open_ = ("open", "closed in the inventory")
    assert states(limit=["compute2"]) == {
        "controller": open_,
        "compute1": open_,
        "compute2": ("drained", "maintenance since noon"),
    }


def test_a_controller_in_the_run_is_not_spoken_of() -> None:
    found = states(limit=["controller", "compute2"])
    assert [name for name, (state, _) in found.items() if state == "drained"] == ["compute2"]


def test_what_the_inventory_says_of_others_stays() -> None:
    hosts = {**HOSTS, "compute1": {"my_ip": "10.0.0.31", "state": "retired"}}
    found = site(hosts=hosts, override_data=DRAINED, limit=["compute2"])
    assert found.hosts["compute1"].is_retired
    assert found.hosts["compute2"].state == "drained"


@pytest.mark.parametrize("limit", [None, ["controller"], []])
def test_without_a_compute_in_limit_it_is_refused(limit: list[str] | None) -> None:
    assert faults(override_data=DRAINED, limit=limit) == [
        "--data: state: is said of single computes; name them with --limit, or say it in the "
        "inventory"
    ]


@pytest.mark.parametrize("said", [{"state": "retired"}, {"state": "retired", "purge": True}])
def test_retiring_is_not_said_there(said: dict[str, Any]) -> None:
    (line,) = faults(override_data=said, limit=["compute2"])
    assert "a compute is retired by the inventory, which the other hosts follow" in line


@pytest.mark.parametrize("where", ["hosts", "group_data"])
def test_a_retired_compute_is_not_made_a_compute_again_there(where: str) -> None:
    retired = {"state": "retired"}
    more: dict[str, Any] = {
        "hosts": {"hosts": {**HOSTS, "compute2": {"my_ip": "10.0.0.32", **retired}}},
        "group_data": {"group_data": {"computes": retired}},
    }[where]
    assert faults(override_data=DRAINED, limit=["compute2"], **more) == [
        "--data: state: is not said of compute2, which is 'retired' in the inventory; change it "
        "there"
    ]


def test_what_nova_takes_back_by_itself_is_no_reason_there_either() -> None:
    said = {**DRAINED, "state_reason": "AUTO: me"}
    assert faults(override_data=said, limit=["compute2"]) == [
        "--data: state_reason: begins as Nova's own reasons do, which it takes back by itself"
    ]


def test_a_host_that_is_both_is_a_compute() -> None:
    groups = {**GROUPS, "computes": ["controller", "compute1", "compute2"]}
    assert states(groups=groups, limit=["controller"])["controller"][0] == "drained"
