"""An entry of the inventory that is no host: one line, where pyinfra ends with a traceback."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from typing import Any

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


def hosts_in(entries: Iterable[Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The name and the data of each host: pyinfra/api/inventory.py ``extract_name_data``."""
    for entry in entries:
        pair = entry if isinstance(entry, tuple) else (entry, {})
        is_host = len(pair) == 2 and isinstance(pair[0], str) and isinstance(pair[1], Mapping)
        if not (is_host and pair[0]):
            raise UnreadableEntry(entry)
        yield pair


def refuse_unreadable_entries() -> None:
    """Have pyinfra read entries this way; calling it again changes nothing."""
    _inventory.extract_name_data = hosts_in
