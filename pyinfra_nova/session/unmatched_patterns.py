"""``--limit`` and ``--exclude``: a name that stands for no host is an error, and so is no host."""

from __future__ import annotations

import difflib
import logging

import pyinfra
from pyinfra.api.exceptions import PyinfraError
from pyinfra.context import ctx_inventory, ctx_state
from typing_extensions import override

from pyinfra_nova.site.names import named

# pyinfra_cli/cli.py `_get_inventory_pattern_matches`
WARNING = "No host matches found for "
# `_main`
CONNECTING = "--> Connecting to hosts..."


class UnmatchedPattern(PyinfraError):  # noqa: N818 - named for what was on the command line
    """A pattern of ``--limit`` or ``--exclude`` that matches no host of the inventory."""

    def __init__(self, warning: str) -> None:
        option, _, pattern = warning[len(WARNING) :].partition(" pattern: ")
        inventory = ctx_inventory.get()
        known = sorted({*inventory.hosts, *inventory.groups})
        close = difflib.get_close_matches(pattern, known, n=1)
        remedy = f"did you mean {close[0]!r}?" if close else f"there are {named(known)}"
        super().__init__(f"{option} {pattern}: no host matches it; {remedy}")


class NoHosts(PyinfraError):  # noqa: N818 - what there is
    """A run of which every host is left out, or whose inventory has none."""

    def __init__(self) -> None:
        wrong = "--limit and --exclude leave no host" if len(ctx_inventory.get()) else NONE
        super().__init__(wrong)


NONE = "the inventory has no host; a group is a list: computes = [(NAME, {...}), ...]"


def _is_of_nobody() -> bool:
    state = ctx_state.get()
    limit = state.limit_hosts
    return not (len(ctx_inventory.get()) if limit is None else limit)


class _Refusal(logging.Filter):
    @override
    def filter(self, record: logging.LogRecord) -> bool:
        if record.msg == CONNECTING and _is_of_nobody():
            raise NoHosts
        if record.levelno == logging.WARNING and (text := record.getMessage()).startswith(WARNING):
            raise UnmatchedPattern(text)
        return True


def refuse_unmatched_patterns() -> None:
    """Make an error of what pyinfra only warns of; calling it again changes nothing.

    With a misspelt name pyinfra goes on with the hosts that other names match; a misspelt
    ``--exclude`` touches the host that was to be left alone. With no host at all it exits with 0,
    as if all had been done. It offers no hook between reading the inventory and that, but what a
    filter of its logger raises ends the run like any other of its errors.
    """
    if not any(isinstance(known, _Refusal) for known in pyinfra.logger.filters):
        pyinfra.logger.addFilter(_Refusal())
