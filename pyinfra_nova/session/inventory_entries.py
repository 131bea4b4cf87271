"""An entry of the inventory that is no host, and a host that stands there twice: one line each.

Of the first pyinfra makes a traceback, of the second one host with whatever was said last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from typing import Any

from pyinfra.api import Inventory
from pyinfra.api.exceptions import PyinfraError

_inventory: Any = import_module("pyinfra.api.inventory")


class UnreadableEntry(PyinfraError):  # noqa: N818 - what was written
    """What stands in a group and is neither a name nor a name with data."""

    def __init__(self, entry: Any) -> None:
        # Of the data nothing is shown: there may be a password in it.
        first = entry[0] if isinstance(entry, tuple) and entry else entry
        what = repr(first) if isinstance(first, str) else f"a {type(first).__name__}"
        super().__init__(
            f'the inventory: {what}: write a host as "NAME" or as ("NAME", {{KEY: VALUE, ...}})'
        )


class DoubledHost(PyinfraError):  # noqa: N818 - what was written
    """A host of which two entries say something, and not the same."""


def hosts_in(entries: Iterable[Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The name and the data of each host: pyinfra/api/inventory.py ``extract_name_data``."""
    for entry in entries:
        pair = entry if isinstance(entry, tuple) else (entry, {})
        is_host = len(pair) == 2 and isinstance(pair[0], str) and isinstance(pair[1], Mapping)
        if not (is_host and pair[0]):
            raise UnreadableEntry(entry)
        yield pair


def refuse_doubled_hosts(groups: Mapping[str, tuple[Iterable[Any], Any]]) -> None:
    """Raise DoubledHost for a host of which a group, or two of them, say different things.

    The same entry twice does no harm: ``lab = controllers + computes`` where they share a host.
    """
    said: dict[tuple[str, str], tuple[str, Any]] = {}
    for group, (entries, _) in groups.items():
        seen: dict[str, Mapping[str, Any]] = {}
        for name, data in hosts_in(entries):
            if seen.setdefault(name, data) != data:
                raise DoubledHost(
                    f"the inventory: {group} names {name!r} twice: give each host an entry of its "
                    "own, with its own name"
                )
            for key, value in data.items():
                elsewhere, other = said.setdefault((name, key), (group, value))
                if other != value:
                    raise DoubledHost(
                        f"the inventory: {name!r} has one {key} in {elsewhere} and another one in "
                        f"{group}: say it once"
                    )


def refuse_unreadable_entries() -> None:
    """Have pyinfra read entries this way; calling it again changes nothing."""
    _inventory.extract_name_data = hosts_in
    Inventory.make_hosts_and_groups = _made  # type: ignore[method-assign]


_make = Inventory.make_hosts_and_groups


def _made(self: Inventory, names: Iterable[Any], groups: dict[str, Any]) -> None:
    refuse_doubled_hosts({"all": (names, {}), **groups})
    _make(self, names, groups)
