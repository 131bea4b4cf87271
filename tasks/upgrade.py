"""Where another release is wanted than the installed one: what that takes, and what hinders it.

Nothing is changed, and the preflight ends with it: no step of an upgrade is taken yet.
"""

from __future__ import annotations

from collections.abc import Mapping

from pyinfra import logger
from pyinfra.api.state import State
from pyinfra.context import ctx_host, ctx_state

from pyinfra_nova.resources.host_report import NoReport, Report
from pyinfra_nova.run.verdicts import Verdict
from pyinfra_nova.session.connections import at_once
from pyinfra_nova.session.host_script import ask
from pyinfra_nova.site.faults import printable
from pyinfra_nova.site.run_scope import RunScope
from pyinfra_nova.upgrade import plan, refusals
from pyinfra_nova.upgrade.facts import (
    DiskRoom,
    Facts,
    Place,
    UpgradeFacts,
    paths_of,
    question,
    room_of,
    room_question,
)
from pyinfra_nova.upgrade.wanted import Upgrade, wanted

Reports = Mapping[str, Report | NoReport]
NOT_ANSWERED = "what the cloud says of itself cannot be read: run again, or see ./run audit"


def looked_at(state: State, scope: RunScope, reports: Reports) -> list[Verdict]:
    """What is found of the upgrade that is wanted, after its plan is said; nothing without one."""
    upgrade = wanted(scope, reports)
    if upgrade is None:
        return []
    found = list(refusals.of_releases(upgrade.course))
    facts: Facts | None = None
    if upgrade.course.step.way != "back":
        facts, asked = _asked(state, upgrade, reports)
        found += asked
    for line in plan.lines(upgrade, facts):
        logger.info(f"    {printable(line)}")
    return [Verdict(v.host, printable(v.what), v.ok, printable(v.detail)) for v in found]


def _asked(state: State, upgrade: Upgrade, reports: Reports) -> tuple[Facts | None, list[Verdict]]:
    """What the cloud says of itself, and what is found of that and of the hosts' disks."""
    site, primary = upgrade.site, upgrade.site.primary_controller
    if primary.name not in upgrade.versions:
        return None, []  # why it is not there, or has no Nova, is a finding of its own
    with ctx_state.use(state), ctx_host.use(state.inventory.get_host(primary.name)):
        answer = ask(state.inventory.get_host(primary.name), UpgradeFacts, question(site))
    facts = Facts.of(answer)
    if facts is None:
        return None, [Verdict(primary.name, refusals.WHAT, False, NOT_ANSWERED)]
    found = list(refusals.of_cloud(site, upgrade.course, facts))
    rooms: dict[str, Mapping[str, Place] | None] = {primary.name: facts.room}
    for name, room in {**rooms, **_rooms(state, upgrade, reports)}.items():
        if room is None:
            found.append(Verdict(name, "room", False, "it does not say how much room it has"))
        else:
            found += refusals.of_room(name, room, facts.bytes)
    return facts, found


def _rooms(
    state: State, upgrade: Upgrade, reports: Reports
) -> dict[str, Mapping[str, Place] | None]:
    """The disks of the other hosts of this run, asked side by side."""
    site = upgrade.site
    behind = {host.name for host in upgrade.course.to_do}
    if site.database_host:
        behind.add(site.database_host.name)
    behind.discard(site.primary_controller.name)

    def room(name: str) -> Mapping[str, Place] | None:
        host = state.inventory.get_host(name)
        with ctx_state.use(state), ctx_host.use(host):
            paths = paths_of(site, site.hosts[name])
            return room_of(ask(host, DiskRoom, room_question(paths)))

    there = [name for name in reports if name in behind and isinstance(reports[name], Report)]
    pool = at_once(state)
    jobs = {name: pool.spawn(room, name) for name in there}
    return {name: job.get() for name, job in jobs.items()}
