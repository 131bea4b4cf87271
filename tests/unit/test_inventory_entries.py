"""An entry of the inventory that is no host ends a run with a line."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pyinfra.api import Inventory
from pyinfra.api import inventory as pyinfras

from pyinfra_nova.session.inventory_entries import UnreadableEntry, refuse_unreadable_entries

ITS_OWN = pyinfras.extract_name_data


@pytest.fixture(autouse=True)
def refusing() -> Iterator[None]:
    refuse_unreadable_entries()
    yield
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
