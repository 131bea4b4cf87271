"""The timers of the primary controller wait for their time, and their last runs have succeeded."""

from __future__ import annotations

import pytest

from pyinfra_nova.care import last_runs
from pyinfra_nova.care.files import jobs_of
from pyinfra_nova.proof.deployed_site import DeployedSite
from pyinfra_nova.resources.timers import TimerState

from .conftest import require


def test_the_timers_wait_for_their_time(cloud: DeployedSite) -> None:
    jobs = jobs_of(cloud.site)
    if not jobs:
        pytest.skip("care leaves every part out")
    name = cloud.site.primary_controller.name
    state = cloud.ask(name, TimerState, {"timers": [job.timer for job in jobs]})
    faults = [f"{name}: {timer} does not wait for its time" for timer in state["start"]]
    faults += [f"{name}: {timer} is not enabled" for timer in state["enable"]]
    require(faults, "deploy again")


def test_their_last_runs_have_succeeded(cloud: DeployedSite) -> None:
    jobs = jobs_of(cloud.site)
    if not jobs:
        pytest.skip("care leaves every part out")
    name = cloud.site.primary_controller.name
    answer = cloud.ask(name, last_runs.CareStates, last_runs.question(jobs))
    for line in last_runs.told(jobs, answer):
        print(line)
    faults = [f"{name}: {fault}" for fault in last_runs.faults(jobs, answer)]
    require(faults, f"see `journalctl -u 'nova-care-*'` on {name}")
