"""Deploy Nova: from hosts with nothing of it to hypervisors that are registered and proven.

    pyinfra inventory.py deploy.py --dry --diff     what would change
    pyinfra inventory.py deploy.py                  change it

The stages run from top to bottom. pyinfra runs the chains of different hosts side by side, so a
barrier, which every host passes, stands wherever one group has to wait for another.
"""

from pyinfra import config, host

from pyinfra_nova.session.barrier import barrier
from tasks import (
    care,
    cells,
    cloud_objects,
    configuration,
    database,
    hugepages,
    hypervisors,
    identity,
    messaging,
    packages,
    preflight,
    retirement,
    security,
    services,
    storage,
)

# Settings, then preflight: every fault is named before the first change on any host.
plan = preflight.host_plans().get(host.name)

# No batches, each as late as its slowest host: a host begins as soon as another one has ended. How
# many are worked on at once (--parallel) is bounded all the same.
config.PARALLEL = 0

# A controller that --limit leaves out has no part but the last.
deployed = plan if plan and plan.is_deployed else None

if deployed:
    packages.install(plan=deployed)
    configuration.write(plan=deployed)
    hugepages.set_aside(plan=deployed)
    security.allow(plan=deployed)
    database.prepare(plan=deployed)
    messaging.prepare(plan=deployed)
    identity.prepare(plan=deployed)
barrier(name="Packages, configuration and accounts are there")

if deployed:
    cells.converge(plan=deployed)
    services.start_controller(plan=deployed)
    # Before anybody is held to what its jobs did not do so far (database.insist, below).
    care.keep(plan=deployed)
barrier(name="The controllers answer")

if deployed:
    # What others are told, and held to, comes after what makes it so.
    identity.publish(plan=deployed)
    database.insist(plan=deployed)
    services.start_compute(plan=deployed)
    storage.let_in(plan=deployed)
barrier(name="The computes are started")

if plan:
    hypervisors.close(plan=plan)
    hypervisors.count_again(plan=plan)
    hypervisors.discover(plan=plan)
barrier(name="The hypervisors are mapped")

if plan:
    hypervisors.of_hosts(plan=plan)
barrier(name="The hosts are proven")

if plan:
    hypervisors.of_site(plan=plan)
barrier(name="The hypervisors are proven")

if plan:
    hypervisors.open_up(plan=plan)
if deployed:
    configuration.take_away(plan=deployed)
    cloud_objects.converge(plan=deployed)
# Last: what keeps a guest where it is is no reason to leave anything else undone.
if plan:
    hypervisors.join(plan=plan)
    hypervisors.evacuate(plan=plan)
    hypervisors.drain(plan=plan)
retirement.retire(plan=plan)
if plan:
    hypervisors.name_unproven(plan=plan)
