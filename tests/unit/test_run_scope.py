"""Runs that name some hosts: what is theirs, what is only checked, who discovers."""

from __future__ import annotations

import pytest

from pyinfra_nova.site.names import counted, named
from pyinfra_nova.site.run_scope import cut_off, scope_of
from tests.unit.site_data import GROUPS, HOSTS, site


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


@pytest.mark.parametrize("what", ["manage_database", "manage_messaging", "manage_identity"])
def test_what_is_made_elsewhere_anyway_is_so_in_each_run(what: str) -> None:
    where = site({what: False})
    settings = scope_of(where, where.hosts).site.settings
    assert getattr(settings, what) is False
    assert settings == where.settings


def test_hosts_of_other_roles_have_no_part_in_a_run_of_nova() -> None:
    groups = {**GROUPS, "database": ["db"], "messaging": ["mq"]}
    where = site(groups=groups, hosts={**HOSTS, "db": {}, "mq": {}})
    scope = scope_of(where, {"db", "compute2", "controller"})
    assert names(scope.hosts) == ["controller", "compute2"]
    assert names(scope.left_out) == ["compute1"] and scope.controllers_left_out == ()
    settings = scope.site.settings
    assert (settings.manage_database, settings.manage_messaging) == (True, False)
    assert names(scope_of(where, {"db"}).controllers_left_out) == ["controller"]


def test_a_controller_alone_needs_no_delegate() -> None:
    scope = scope_of(site(), {"controller"})
    assert scope.delegate is None and scope.computes == ()


def test_who_would_be_cut_off_is_named() -> None:
    scope = scope_of(site(), {"controller"})
    assert cut_off("the password of broker user openstack", scope.left_out) == (
        "the password of broker user openstack differs from what is in use, and a run that leaves "
        "out compute1, compute2 would cut those hosts off; run without --limit"
    )


def test_of_many_hosts_a_few_are_named_and_the_others_counted() -> None:
    assert named([]) == ""
    assert named(["a", "b"], " and ") == "a and b"
    assert named([*"abcde"]) == "a, b, c, d, e"
    assert named([*"abcdef"]) == "a, b, c, d, e and 1 more"
    assert named(["a"] * 1005) == "a, a, a, a, a and 1,000 more"
    assert (counted(1), counted(2), counted(1000)) == ("1 host", "2 hosts", "1,000 hosts")
