"""Stage 7, on the primary controller: what is to be done for the cloud day by day.

The jobs log in as Nova does, so they are told how as soon as Nova itself does it. An audit, and
what changes rows, is put off until the deploy is over (files/care/jobs.py).
"""

from __future__ import annotations

from pathlib import PurePath

from pyinfra.api.deploy import deploy

from pyinfra_nova.care import files
from pyinfra_nova.resources import config_files, timers
from pyinfra_nova.run.host_plan import HostPlan


@deploy("Care")
def keep(plan: HostPlan) -> None:
    """Have the timers that the settings want, and none of an earlier run that they do not."""
    jobs = files.jobs_of(plan.site) if plan.is_primary_controller else []
    wanted = {job.timer for job in jobs}
    there = [PurePath(path).name for path in plan.written.get("care", ())]
    superfluous = [name for name in there if name not in wanted]
    if superfluous:
        timers.stopped(name="Stop timers", timers=superfluous)
    if jobs or there:
        config_files.written(
            name="Write timers and what they run",
            files=files.files_for(plan.site, plan.databases) if jobs else (),
            absent=files.unwanted(plan.site, jobs),
        )
    if jobs:
        timers.running(name="Enable timers", timers=[job.timer for job in jobs])
