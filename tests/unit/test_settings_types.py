"""A value of another type than is meant is refused by name, and so is a group nearly a role's."""

from __future__ import annotations

from typing import Any

import pytest

from .site_data import GROUPS, HOSTS, faults, site


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"report_interval": "10"}, "report_interval: is text: write it without quotes"),
        ({"report_interval": True}, "report_interval: has to be a number"),
        ({"manage_messaging": "no"}, "manage_messaging: is text: write it without quotes"),
        ({"drain": {"timeout": "9"}}, "drain.timeout: is text: write it without quotes"),
        (
            {"management_network": 10},
            "management_network: is a number: write the address in quotes",
        ),
        (
            {"management_network": "10.0.0.11/24"},
            "management_network: '10.0.0.11/24' is an address in a network; did you mean "
            "'10.0.0.0/24'?",
        ),
        (
            {"management_network": "lan"},
            "management_network: 'lan' is not a network like 10.0.0.0/24",
        ),
    ],
)
def test_what_would_become_another_value_is_refused(data: dict[str, Any], said: str) -> None:
    assert faults(data) == [f"group_data/all.py: {said}"]


def test_the_file_is_named_that_has_made_two_settings_contradict_each_other() -> None:
    problem = "service_down_time: is less than twice report_interval, which is 40"
    assert faults(override_data={"report_interval": 40}) == [f"--data: {problem}"]
    assert faults({"report_interval": 40}) == [f"group_data/all.py: {problem}"]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("10.0.0.300", "'10.0.0.300' is not an IPv4 address"),
        (1002, "is a number: write the address in quotes"),
    ],
)
def test_an_address_is_a_text_of_four_numbers(address: Any, said: str) -> None:
    hosts = {**HOSTS, "compute1": {"my_ip": address}}
    assert faults(hosts=hosts) == [f"inventory.py: compute1.my_ip: {said}"]


@pytest.mark.parametrize(
    ("group", "meant"),
    [("computess", "computes"), ("compute", "computes"), ("controler", "controllers")],
)
def test_a_group_whose_name_is_nearly_that_of_a_role_is_named(group: str, meant: str) -> None:
    problem = f"is no group of Nova's hosts; did you mean {meant!r}?"
    assert faults(groups={**GROUPS, group: ["compute1"]}) == [f"inventory.py: {group}: {problem}"]


def test_other_groups_are_the_operators_own() -> None:
    groups = {**GROUPS, "computes_rack1": ["compute1"], "racks": ["compute1"], "inventory": []}
    assert site(groups=groups).hosts.keys() == site().hosts.keys()
