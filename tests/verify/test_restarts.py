"""No unit comes and goes. A look at its state may fall into a moment in which it runs."""

from __future__ import annotations

import time

import pytest

from pyinfra_nova.proof.deployed_site import DeployedSite
from pyinfra_nova.site.settings import HostSettings

from .conftest import require
from .questions import Counts, UnitStates, requests, restarts

WATCH_SECONDS = 8
"""Longer than the restart delay of any unit here and its way to the fault."""


@pytest.fixture(scope="session")
def restarts_at_last(cloud: DeployedSite, restarts_at_first: tuple[float, Counts]) -> Counts:
    """The counts at least WATCH_SECONDS later."""
    began, first = restarts_at_first
    if not all(isinstance(counts, Exception) for counts in first.values()):
        time.sleep(max(0.0, began + WATCH_SECONDS - time.monotonic()))
    return cloud.everywhere(restarts)


def test_no_unit_is_restarted_over_and_over(
    cloud: DeployedSite,
    nova_host: HostSettings,
    restarts_at_first: tuple[float, Counts],
    restarts_at_last: Counts,
) -> None:
    began, first = restarts_at_first
    before, after = first[nova_host.name], restarts_at_last[nova_host.name]
    if isinstance(before, Exception):
        raise before
    if isinstance(after, Exception):
        raise after
    grown = [unit for unit, count in after.items() if count > before.get(unit, 0)]
    asked = requests(cloud.target(nova_host)) if grown else []
    request = {"units": [unit for unit in asked if unit["name"] in grown], "causes": True}
    states = cloud.ask(nova_host.name, UnitStates, request) if grown else {}
    seconds = time.monotonic() - began
    faults = [
        f"{nova_host.name}: {unit} was restarted {after[unit] - before.get(unit, 0)} times in "
        f"{seconds:.0f} s; {states[unit]['cause']}"
        for unit in grown
    ]
    require(faults, f"see `journalctl -u UNIT` on {nova_host.name}")
