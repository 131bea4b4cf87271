"""``--limit`` and ``--exclude``: a name that stands for no host is an error."""

from __future__ import annotations

import difflib
import logging

import pyinfra
from pyinfra.api.exceptions import PyinfraError
from pyinfra.context import ctx_inventory
from typing_extensions import override

from pyinfra_nova.site.names import named

# pyinfra_cli/cli.py `_get_inventory_pattern_matches`
WARNING = "No host matches found for "


class UnmatchedPattern(PyinfraError):  # noqa: N818 - named for what was on the command line
    """A pattern of ``--limit`` or ``--exclude`` that matches no host of the inventory."""

    def __init__(self, warning: str) -> None:
        option, _, pattern = warning[len(WARNING) :].partition(" pattern: ")
        inventory = ctx_inventory.get()
        known = sorted({*inventory.hosts, *inventory.groups})
        close = difflib.get_close_matches(pattern, known, n=1)
        remedy = f"did you mean {close[0]!r}?" if close else f"there are {named(known)}"
        super().__init__(f"{option} {pattern}: no host matches it; {remedy}")


class _Refusal(logging.Filter):
    @override
    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno == logging.WARNING and (text := record.getMessage()).startswith(WARNING):
            raise UnmatchedPattern(text)
        return True


def refuse_unmatched_patterns() -> None:
    """Make an error of what pyinfra only warns of; calling it again changes nothing.

    With a misspelt name pyinfra goes on with the hosts that other names match, or with none at all,
    and exits with 0; a misspelt ``--exclude`` touches the host that was to be left alone. It offers
    no hook between reading the inventory and that, but what a filter of its logger raises ends the
    run like any other of its errors.
    """
    if not any(isinstance(known, _Refusal) for known in pyinfra.logger.filters):
        pyinfra.logger.addFilter(_Refusal())
