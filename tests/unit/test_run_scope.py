"""Runs that name some hosts: what is theirs, what is only checked, who discovers."""

from __future__ import annotations

import pytest

from pyinfra_nova.site.run_scope import cut_off, scope_of
from tests.unit.site_data import site


def names(hosts: object) -> list[str]:
    return [host.name for host in hosts]  # type: ignore[attr-defined]


def test_a_run_on_all_hosts_leaves_nothing_out_and_changes_no_setting() -> None:
    scope = scope_of(site(), site().hosts)
    assert scope.left_out == () and scope.delegate is None
    assert scope.site.settings == site().settings


def test_computes_alone_are_discovered_by_the_primary_controller() -> None:
    scope = scope_of(site(), {"compute1"})
    assert names(scope.hosts) == ["compute1"] == names(scope.computes)
    assert scope.delegate is not None and scope.delegate.name == "controller"


@pytest.mark.parametrize("what", ["manage_database", "manage_messaging", "manage_identity"])
def test_what_a_left_out_host_makes_is_made_elsewhere_for_this_run(what: str) -> None:
    assert getattr(scope_of(site(), {"compute1"}).site.settings, what) is False
    assert getattr(scope_of(site(), {"controller"}).site.settings, what) is True


def test_a_controller_alone_needs_no_delegate() -> None:
    scope = scope_of(site(), {"controller"})
    assert scope.delegate is None and scope.computes == ()


def test_who_would_be_cut_off_is_named() -> None:
    scope = scope_of(site(), {"controller"})
    assert "compute1" in cut_off("the password of broker user openstack", scope.left_out)
