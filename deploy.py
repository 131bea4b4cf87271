"""Deploy Nova: from hosts with nothing of it to hypervisors that are registered and proven.

    pyinfra inventory.py deploy.py --dry --diff     what would change
    pyinfra inventory.py deploy.py                  change it

The stages run from top to bottom. pyinfra runs the chains of different hosts side by side, so a
barrier, which every host passes, stands wherever one group has to wait for another.
"""

from pyinfra import host

from pyinfra_nova.resources.barrier import barrier
from tasks import (
    cells,
    configuration,
    database,
    declared,
    hugepages,
    hypervisors,
    identity,
    messaging,
    packages,
    preflight,
    security,
    services,
    storage,
)

# Settings, then preflight: every fault is named before the first change on any host.
target = preflight.targets().get(host.name)

# A controller that --limit leaves out has no part but the last.
deployed = target if target and target.is_deployed else None

if deployed:
    packages.install(target=deployed)
    configuration.write(target=deployed)
    hugepages.set_aside(target=deployed)
    security.allow(target=deployed)
    database.prepare(target=deployed)
    messaging.prepare(target=deployed)
    identity.prepare(target=deployed)
barrier(name="Packages, configuration and accounts are there")

if deployed:
    cells.converge(target=deployed)
    services.start_controller(target=deployed)
barrier(name="The controllers answer")

if deployed:
    services.start_compute(target=deployed)
    storage.let_in(target=deployed)
barrier(name="The computes are started")

if target:
    hypervisors.discover(target=target)
    hypervisors.prove(target=target)
barrier(name="The hypervisors are proven")

if deployed:
    declared.converge(target=deployed)
