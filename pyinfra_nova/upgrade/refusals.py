"""What the cloud and its hosts say that keeps an upgrade from being begun, each with the remedy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pyinfra_nova.knowledge.upgrades import upgrades
from pyinfra_nova.run.verdicts import Verdict
from pyinfra_nova.site.names import FEW
from pyinfra_nova.site.settings import Site
from pyinfra_nova.upgrade.course import ORDER, Course, too_old
from pyinfra_nova.upgrade.facts import (
    ARCHIVES,
    DATA,
    HARMFUL,
    OF_ITS_OWN,
    PROGRAMS,
    Facts,
    Room,
    Some,
)

WHAT = "upgrade"
UNPACKED, FETCHED = 1_500_000_000, 400_000_000
"""Bytes: as much as all of Nova and what it needs take on a new Debian 12, 1451 MB from archives of
357 MB; an upgrade never unpacks more."""
OLDEST_BACKUP = 86400.0
"""Seconds."""

REMEDIES: Mapping[str, str] = {
    "ERROR": "`openstack server reboot --hard` or `openstack server delete` them",
    "MIGRATING": "wait until they are there",
    "VERIFY_RESIZE": "`openstack server resize confirm` or `openstack server resize revert` them",
}


def of_releases(course: Course) -> Iterator[Verdict]:
    """What follows from releases alone; a system without the release is a finding of its own."""
    for refusal in course.refusals():
        if not refusal.of_system:
            yield from (Verdict(host, WHAT, False, refusal.text) for host in refusal.hosts)


def of_cloud(site: Site, course: Course, facts: Facts) -> Iterator[Verdict]:
    """What the cloud says of itself; the primary controller has said it."""
    primary = site.primary_controller.name

    def no(what: str, detail: str) -> Verdict:
        return Verdict(primary, what, False, detail)

    if why := facts.silent.get("databases"):
        yield no(WHAT, f"what Nova's databases hold is not known: {why}")
        return
    for state, some in facts.guests.items():
        if some.count:
            yield no(f"guests in {state}", f"{_named(some)}: {REMEDIES[state]}")
    passed_over = OF_ITS_OWN if course.has_begun else ()
    for finding in facts.findings:
        if finding.kind in HARMFUL and finding.kind not in passed_over:
            yield no(finding.kind, f"{finding.what}; remedy: {finding.remedy}")
    # Of what is still to be upgraded the step has said whether it may stay beside them.
    judged = {site.hosts[host.name].nova_host for host in course.to_do}
    others = {host: version for host, version in facts.computes.items() if host not in judged}
    if old := too_old(others, course.wanted):
        yield no("nova-compute", old.text)
    yield from _linux_bridges(primary, course, facts)
    yield _backup(site, course, facts)


def _named(some: Some) -> str:
    more = some.count - len(some.few)
    return ", ".join(some.few) + (f" and {more:,} more" if more > 0 else "")


def _linux_bridges(primary: str, course: Course, facts: Facts) -> Iterator[Verdict]:
    what, last = "Linux bridges", upgrades().no_linux_bridge
    reaches = ORDER.index(course.wanted) >= ORDER.index(last)
    if facts.linux_bridges is None:
        why = facts.silent.get("network", "it does not say")
        detail = f"whether Neutron has agents for them is not known: {why}"
        if reaches:
            detail += f"; Neutron has no driver for them from {last} on"
        yield Verdict(primary, what, not reaches, detail)
    elif facts.linux_bridges:
        hosts = facts.linux_bridges
        shown = Some(count=len(hosts), few=hosts[:FEW])
        detail = f"Neutron has agents for them on {_named(shown)}, and no driver from {last} on: "
        detail += "move these hosts to Open vSwitch or OVN first"
        yield Verdict(primary, what, not reaches, detail)


def _backup(site: Site, course: Course, facts: Facts) -> Verdict:
    primary, found = site.primary_controller.name, facts.backup
    now = f"`systemctl start nova-care-backup` on {primary}"
    if site.settings.care.backup is None:
        detail = "no backup is made each day: set care.backup in group_data/all.py, deploy at the "
        detail += "release that is installed, and begin again (docs/backup.md)"
        return Verdict(primary, "backup", False, detail)
    if found is None or found.done is None:
        said = f" ({found.outcome}: {found.said})" if found and found.said else ""
        return Verdict(primary, "backup", False, f"there is none yet{said}: {now}")
    hours = (facts.at - found.done) / 3600
    last = f"the last one is {hours:.0f} h old"
    if found.outcome == "failed":
        return Verdict(primary, "backup", False, f"{last}, and one has failed since: {found.said}")
    # Once it has begun, it is the one from before that counts.
    is_fresh = facts.at - found.done <= OLDEST_BACKUP or course.has_begun
    return Verdict(primary, "backup", is_fresh, last if is_fresh else f"{last}: {now}")


def of_room(host: str, room: Room, database_bytes: int | None) -> Iterator[Verdict]:
    """Whether HOST has enough: of folders on one disk the needs are added up."""
    needs: dict[int, int] = {}
    places: dict[int, list[str]] = {}
    for path, place in room.items():
        needs[place.disk] = needs.get(place.disk, 0) + _need(path, database_bytes or 0)
        places.setdefault(place.disk, []).append(path)
    for disk, need in needs.items():
        free = next(place.free for place in room.values() if place.disk == disk)
        where = ", ".join(places[disk])
        detail = f"{_size(free)} free for {where}"
        if free < need:
            detail += f", and an upgrade takes up to {_size(need)}: make room there"
        yield Verdict(host, "room", free >= need, detail)


def _need(path: str, database_bytes: int) -> int:
    """What PATH takes: packages, or a copy of the databases, as a dump or of tables that change."""
    return {PROGRAMS: UNPACKED, ARCHIVES: FETCHED, DATA: database_bytes}.get(path, database_bytes)


def _size(number: int) -> str:
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{number / 1e6:.0f} MB"
