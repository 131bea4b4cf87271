"""What pyinfra says of each host, counted where there are many of them."""

from __future__ import annotations

import logging
import re
from collections import Counter

import pyinfra
from pyinfra.context import ctx_state
from typing_extensions import override

from pyinfra_nova.site.names import counted

MANY = 12
"""Of more hosts than this nobody reads a line each."""

# `host.connect`, `_parallel_load_hosts` and `_run_host_op` of pyinfra, without their colours.
COLOUR = re.compile(r"\x1b\[[\d;]*m")
ROUTINE = re.compile(r"\[[^\]]+\] +(Connected|Ready: [^\[\]]+|No changes|Success)$")
HEADING = "-->"


class CountedLines(logging.Filter):
    """Keeps back what only says that all is well with a host; says of how many when it goes on.

    With ``-v``, and of a few hosts, everything is shown.
    """

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        text = COLOUR.sub("", str(record.msg))
        if record.levelno == logging.INFO and _are_many() and (match := ROUTINE.match(text)):
            self.counts[match[1]] += 1
            return False
        if text.startswith(HEADING):
            counts, self.counts = self.counts, Counter()
            for what, count in counts.items():
                pyinfra.logger.info(f"{what}: {counted(count)}")
        return True


def _are_many() -> bool:
    state = ctx_state.get()
    if state is None or not state.initialised or state.print_fact_info:
        return False
    return len(state.inventory) > MANY


def install() -> None:
    """Count from now on; calling it again changes nothing."""
    if not any(isinstance(known, CountedLines) for known in pyinfra.logger.filters):
        pyinfra.logger.addFilter(CountedLines())
