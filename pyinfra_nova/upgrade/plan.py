"""How an upgrade would go, in words: what is said before anything is done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pyinfra_nova.knowledge.platforms import Platform, UnsupportedPlatform, platform_for
from pyinfra_nova.knowledge.upgrades import behaviour_of
from pyinfra_nova.nova_conf.ini import parse
from pyinfra_nova.nova_conf.render import files_for
from pyinfra_nova.site.names import named
from pyinfra_nova.site.settings import HostSettings, Site
from pyinfra_nova.upgrade.course import ORDER, Course, Installed, pin, spoken
from pyinfra_nova.upgrade.facts import SLOWING, Facts
from pyinfra_nova.upgrade.options import Change, changes, new_defaults
from pyinfra_nova.upgrade.wanted import Upgrade

NUMBERED_SINCE = "2023.2"
"""The first release in which each guest's row names its compute node."""


def lines(upgrade: Upgrade, facts: Facts | None) -> Iterator[str]:
    """All of it; FACTS are None where the cloud has not been asked, or has not answered."""
    course = upgrade.course
    yield from _course(course)
    if course.step.way not in ("rolling", "stopped"):
        return  # nobody knows how
    is_rolling = course.step.way == "rolling"
    parts: tuple[tuple[str, Iterable[str]], ...] = (
        ("packages", _packages(upgrade) if is_rolling else ()),
        ("options of nova_conf", _options(upgrade)),
        ("other defaults", _defaults(upgrade)),
        ("new", _behaviour(course)),
        ("migrations", _migrations(upgrade, facts)),
        ("in this order", _order(upgrade, facts) if is_rolling else ()),
        ("not looked at", _silent(facts)),
    )
    for title, found in parts:
        texts = list(found)
        if texts:
            yield f"  {title}:"
            yield from (f"    {text}" for text in texts)


def _course(course: Course) -> Iterator[str]:
    step = course.step
    ways = {
        "rolling": "rolling; guests run on, and the API is away while it restarts",
        "stopped": "not rolling",
        "unknown": "not rolling",
        "back": "not possible",
        "none": "packages that are missing of it",
    }
    yield f"upgrade from {spoken(step.before)} to {spoken(step.after)}: {ways[step.way]}"
    yield f"  {step.why}"
    if step.between:
        yield f"  left out: {', '.join(step.between)}"
    yield from (f"  {remark}" for remark in course.remarks())


# --- packages -------------------------------------------------------------------------------------


def _rows(host: Installed, wanted: str) -> tuple[Platform, Platform] | None:
    """The rows of platforms.yaml before and after; None where there is not each."""
    try:
        return platform_for(*host.system, host.release), platform_for(*host.system, wanted)
    except UnsupportedPlatform:
        return None


def _roles(host: Installed) -> list[str]:
    found = {"controller": host.is_controller, "compute": host.is_compute}
    return [role for role, has in found.items() if has]


def _packages(upgrade: Upgrade) -> Iterator[str]:
    """By hosts that are alike: what is there, where the new ones come from, which come and go."""
    alike: dict[str, list[str]] = {}
    for host in upgrade.course.to_do:
        alike.setdefault(_of_host(upgrade, host), []).append(host.name)
    yield from (f"{named(names)}: {text}" for text, names in alike.items())


def _of_host(upgrade: Upgrade, host: Installed) -> str:
    there = ", ".join(f"{name} {one}" for name, one in sorted(upgrade.versions[host.name].items()))
    rows = _rows(host, upgrade.course.wanted)
    if rows is None:
        return f"{there}; its system has none of {upgrade.course.wanted}"
    before, after = (row.packages_for(_roles(host)) for row in rows)
    repository = rows[1].repository
    ids = f" from {', '.join(repository.ids)}" if repository and repository.ids else ""
    text = f"{there}; to {spoken(upgrade.course.wanted)}{ids}"
    if more := [name for name in after if name not in before]:
        text += f"; new: {', '.join(more)}"
    if fewer := [name for name in before if name not in after]:
        text += f"; not needed any more: {', '.join(fewer)}"
    return text


# --- options --------------------------------------------------------------------------------------


def _of_each_kind(site: Site) -> list[HostSettings]:
    """One host of each kind that has a nova.conf."""
    found: dict[str, HostSettings] = {}
    for host in site.hosts.values():
        if host.is_controller or host.is_compute:
            found.setdefault(host.kind, host)
    return list(found.values())


def _options(upgrade: Upgrade) -> Iterator[str]:
    """What becomes of the site's own options; those that are gone are faults of the settings."""
    step, told = upgrade.course.step, dict[str, None]()
    for host in _of_each_kind(upgrade.site):
        found: Iterator[Change] = changes(host.nova_conf, step.before, step.after)
        told.update(dict.fromkeys(change.line for change in found))
    yield from told


def _defaults(upgrade: Upgrade) -> Iterator[str]:
    step = upgrade.course.step
    written = _written(upgrade.site, upgrade.course)
    yield from (change.line for change in new_defaults(step.before, step.after, written))


def _written(site: Site, course: Course) -> set[tuple[str, str]]:
    """The options that the files of some host hold, as the new release reads them."""
    systems = {host.name: host for host in course.hosts}
    found: set[tuple[str, str]] = set()
    for host in _of_each_kind(site):
        installed = systems.get(host.name) or next(iter(course.hosts))
        rows = _rows(installed, course.wanted)
        if rows is None:
            continue
        for file in files_for(site, host, rows[1], "qemu"):
            if file.oslo:
                settings = parse(file.path, file.content).settings
                found |= {(setting.section, setting.name) for setting in settings}
    return found


def _behaviour(course: Course) -> Iterator[str]:
    begun = ORDER[ORDER.index(course.step.before) + 1 : ORDER.index(course.wanted) + 1]
    yield from (f"{release}: {one.text} ({one.source})" for release, one in behaviour_of(begun))


# --- what is done ---------------------------------------------------------------------------------


def _migrations(upgrade: Upgrade, facts: Facts | None) -> Iterator[str]:
    database, wanted = upgrade.site.settings.database, upgrade.course.wanted
    names = (database.nova_api, database.nova_cell0, database.nova)
    yield f"the schemas of {', '.join(names)}, to those of {spoken(wanted)}"
    if facts is None:
        return
    if facts.bytes is not None:
        yield f"they hold {facts.bytes / 1e6:,.0f} MB"
    yield from (one.what for one in facts.findings if one.kind in SLOWING)
    if facts.rows is None or ORDER.index(wanted) < ORDER.index(NUMBERED_SINCE):
        return
    rows = facts.rows
    yield f"online: {rows.matched:,} rows of guests are to name their compute node"
    if rows.left:
        few = f" (of guests that there are: {', '.join(rows.few)})" if rows.few else ""
        yield f"online: {rows.left:,} of them never will, for their host and node are none{few}"


def _order(upgrade: Upgrade, facts: Facts | None) -> Iterator[str]:
    """What is done one after the other; what has been done is left out."""
    course = upgrade.course
    if not course.has_begun:
        yield "a backup of the databases"
    held = pin(facts.computes, course.wanted) if facts else None
    limit = f", which ask computes by RPC {held} at most" if held else ""
    alike: dict[Sequence[str], list[str]] = {}
    for host in course.to_do:
        rows = _rows(host, course.wanted)
        if rows and host.is_controller:
            units = tuple(unit.name for unit in rows[1].units_for(["controller"]))
            alike.setdefault(units, []).append(host.name)
    for started, names in alike.items():
        yield f"{named(names)}: packages, schemas, `nova-status upgrade check`"
        yield f"{named(names)}: restart of {', '.join(started)}{limit}"
    if computes := [host.name for host in course.to_do if host.is_compute]:
        some = "" if len(computes) == 1 else ", all or some of them (--limit)"
        yield f"{named(computes)}{some}: packages, restart of nova-compute, of no guest"
    yield "once no old compute is left: `nova-manage db online_data_migrations`"
    yield "everything restarted once more, which then sees that none is left, and proven"


def _silent(facts: Facts | None) -> Iterator[str]:
    """What an audit would have been told by whoever does not answer."""
    for source, why in (facts.silent if facts else {}).items():
        if source not in ("databases", "strangers"):
            yield f"{source}: {why}"
