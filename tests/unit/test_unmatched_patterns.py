"""A pattern that matches no host ends a run where pyinfra itself only warns."""

from __future__ import annotations

from collections.abc import Iterator

import pyinfra
import pytest
from pyinfra.api import Config, Inventory, State
from pyinfra.api.host import Host
from pyinfra.context import ctx_inventory, ctx_state
from pyinfra_cli.cli import _apply_inventory_exclude, _apply_inventory_limit

from pyinfra_nova.session.unmatched_patterns import (
    NoHosts,
    UnmatchedPattern,
    refuse_unmatched_patterns,
)


@pytest.fixture
def inventory() -> Iterator[Inventory]:
    """An inventory as pyinfra's command has it when it reads the patterns."""
    before, level = list(pyinfra.logger.filters), pyinfra.logger.level
    pyinfra.logger.setLevel("INFO")
    refuse_unmatched_patterns()
    hosts = Inventory((["ctl", "cmp1", "cmp2"], {}), computes=(["cmp1", "cmp2"], {}))
    with ctx_inventory.use(hosts):
        yield hosts
    pyinfra.logger.filters[:] = before
    pyinfra.logger.setLevel(level)


@pytest.mark.parametrize("pattern", ["computes", "cmp1", "cmp*", "*"])
def test_a_host_a_group_and_a_wildcard_are_followed(inventory: Inventory, pattern: str) -> None:
    assert _apply_inventory_limit(inventory, [pattern])


def test_one_wrong_name_among_right_ones_is_refused(inventory: Inventory) -> None:
    with pytest.raises(UnmatchedPattern, match=r"--limit cpm1: .* did you mean 'cmp1'") as caught:
        _apply_inventory_limit(inventory, ["ctl", "cpm1"])
    assert isinstance(caught.value, pyinfra.api.exceptions.PyinfraError)


def test_a_wrong_name_to_leave_out_is_refused_with_what_there_is(inventory: Inventory) -> None:
    with pytest.raises(UnmatchedPattern, match=r"--exclude db9: .* cmp1, cmp2, computes, ctl"):
        _apply_inventory_exclude(inventory, None, ["db9"])


def test_other_warnings_stay_warnings(inventory: Inventory) -> None:
    pyinfra.logger.warning("No host matches the weather")


def connects(hosts: Inventory, limit: list[Host] | None) -> None:
    """Say what pyinfra says when it begins with the hosts that are left."""
    state = State()
    state.init(hosts, Config(), initial_limit=limit)
    with ctx_inventory.use(hosts), ctx_state.use(state):
        pyinfra.logger.info("--> Connecting to hosts...")


def test_a_run_of_which_nobody_is_left_is_refused(inventory: Inventory) -> None:
    connects(inventory, None)
    connects(inventory, _apply_inventory_exclude(inventory, None, ["computes"]))
    nobody = _apply_inventory_exclude(inventory, None, ["c*"])
    assert nobody == []
    with pytest.raises(NoHosts, match="--limit and --exclude leave no host"):
        connects(inventory, nobody)


def test_an_inventory_without_a_host_is_refused(inventory: Inventory) -> None:
    with pytest.raises(NoHosts, match="the inventory has no host; a group is a list"):
        connects(Inventory(([], {}), computes=([], {})), None)
