"""Of many hosts pyinfra's own lines are counted; of a few, and with -v, they are shown."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pyinfra
import pytest
from pyinfra.api import Inventory, State
from pyinfra.context import ctx_state

from pyinfra_nova.session import counted_lines
from pyinfra_nova.session.counted_lines import CountedLines


@pytest.fixture
def said() -> Iterator[list[str]]:
    lines: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    handler, level, filters = Collect(), pyinfra.logger.level, list(pyinfra.logger.filters)
    pyinfra.logger.filters.clear()
    pyinfra.logger.addHandler(handler)
    pyinfra.logger.setLevel(logging.INFO)
    counted_lines.install()
    counted_lines.install()
    assert len([f for f in pyinfra.logger.filters if isinstance(f, CountedLines)]) == 1
    before = ctx_state.get()
    yield lines
    ctx_state.set(before)
    pyinfra.logger.filters[:] = filters
    pyinfra.logger.removeHandler(handler)
    pyinfra.logger.setLevel(level)


def run(number: int, *, verbose: bool = False) -> None:
    """What pyinfra says of a run of NUMBER hosts, one of which has something to say."""
    state = State(Inventory(([f"@fake/h{i}" for i in range(number)], {})))
    state.print_fact_info = verbose
    ctx_state.set(state)
    log = pyinfra.logger
    log.info("--> Connecting to hosts...")
    for host in state.inventory:
        log.info(f"{host.print_prefix}\x1b[32mConnected\x1b[0m")
    log.info("--> Starting operation: Write configuration files")
    for host in state.inventory:
        if host.name == "@fake/h1":
            log.info(f"{host.print_prefix}/etc/nova/nova.conf: content")
            log.info(f"{host.print_prefix}\x1b[32mSuccess\x1b[0m")
        elif host.name == "@fake/h2":
            log.error(f"{host.print_prefix}No changes")
        else:
            log.info(f"{host.print_prefix}\x1b[36mNo changes\x1b[0m")
    log.info("--> Results:")


def test_of_many_hosts_only_what_is_not_routine_is_said_of_each(said: list[str]) -> None:
    run(1000)
    bare = [counted_lines.COLOUR.sub("", line) for line in said]
    assert bare == [
        "--> Connecting to hosts...",
        "Connected: 1,000 hosts",
        "--> Starting operation: Write configuration files",
        "[@fake/h1]   /etc/nova/nova.conf: content",
        "[@fake/h2]   No changes",  # an error is never counted away
        "No changes: 998 hosts",
        "Success: 1 host",
        "--> Results:",
    ]


@pytest.mark.parametrize(("number", "verbose"), [(counted_lines.MANY, False), (1000, True)])
def test_of_a_few_hosts_or_with_v_every_line_is_shown(
    said: list[str], number: int, verbose: bool
) -> None:
    run(number, verbose=verbose)
    assert len(said) == 3 + number + number + 1
