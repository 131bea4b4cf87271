"""An entry of the inventory that is no host ends a run with a line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pyinfra.api import Inventory
from pyinfra.api import inventory as pyinfras

from pyinfra_nova.session.inventory_entries import (
    DoubledHost,
    UnreadableEntry,
    refuse_unreadable_entries,
)

MAKES = Inventory.make_hosts_and_groups
ITS_OWN = pyinfras.extract_name_data


@pytest.fixture(autouse=True)
def refusing() -> Iterator[None]:
    refuse_unreadable_entries()
    yield
    Inventory.make_hosts_and_groups = MAKES  # type: ignore[method-assign]
    pyinfras.extract_name_data = ITS_OWN


def test_names_and_names_with_data_are_read_as_pyinfra_reads_them() -> None:
    entries = ["ctl", ("cmp1", {"my_ip": "10.0.0.31"}), ("@fake/cmp2", {})]
    assert list(pyinfras.extract_name_data(entries)) == list(ITS_OWN(entries))
    hosts = Inventory((entries, {}), computes=(entries[1:], {}))
    assert hosts.get_host_data("cmp1") == {"my_ip": "10.0.0.31"}


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        (("cmp1",), "'cmp1'"),
        (("cmp1", None), "'cmp1'"),
        (("cmp1", ["word"]), "'cmp1'"),
        (("cmp1", {}, {"ssh_password": "word"}), "'cmp1'"),
        ((), "a tuple"),
        ("", "''"),
        (7, "a int"),
        ({"word": 1}, "a dict"),
    ],
)
def test_anything_else_is_named_without_its_data(entry: Any, named: str) -> None:
    with pytest.raises(UnreadableEntry) as caught:
        Inventory(([entry], {}), computes=([entry], {}))
    assert str(caught.value) == (
        f'the inventory: {named}: write a host as "NAME" or as ("NAME", {{KEY: VALUE, ...}})'
    )


def test_a_host_that_a_group_names_twice_is_not_made_one_of_whatever_was_said_last() -> None:
    entries = [("cmp1", {"my_ip": "10.0.0.31"}), ("cmp1", {"my_ip": "10.0.0.32"})]
    with pytest.raises(DoubledHost, match=r"^the inventory: computes names 'cmp1' twice: "):
        Inventory((["cmp1"], {}), computes=(entries, {}))
    drained = [("cmp1", {"state": "drained"}), "cmp1"]
    with pytest.raises(DoubledHost, match="computes names 'cmp1' twice"):
        Inventory((["cmp1"], {}), computes=(drained, {}))


def test_a_host_with_another_value_in_another_group_is_refused_without_the_values() -> None:
    ctl, cmp = [("one", {"my_ip": "10.0.0.11"})], [("one", {"my_ip": "10.0.0.31"})]
    with pytest.raises(DoubledHost) as caught:
        Inventory((["one"], {}), controllers=(ctl, {}), computes=(cmp, {}))
    assert str(caught.value) == (
        "the inventory: 'one' has one my_ip in controllers and another one in computes: say it once"
    )


def test_a_host_of_several_groups_may_be_described_in_each_or_in_one() -> None:
    entry = [("one", {"my_ip": "10.0.0.11"})]
    hosts = Inventory(
        (["one"], {}), a=(entry, {}), b=(entry, {}), c=(["one"], {}), lab=(entry * 2, {})
    )
    assert hosts.get_host_data("one") == {"my_ip": "10.0.0.11"}
