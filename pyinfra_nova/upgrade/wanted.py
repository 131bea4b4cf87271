"""Whether an upgrade is wanted: what is installed on the hosts of a run, against the settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pyinfra_nova.resources.host_report import NoReport, Report
from pyinfra_nova.site.run_scope import RunScope
from pyinfra_nova.site.settings import HostSettings, Site
from pyinfra_nova.upgrade.course import Course, Installed, known_release


@dataclass(frozen=True)
class Upgrade:
    """One that is wanted.

    Attributes:
        versions: of Nova's packages, by host and package.
    """

    site: Site
    course: Course
    versions: Mapping[str, Mapping[str, str]]


def wanted(scope: RunScope, reports: Mapping[str, Report | NoReport]) -> Upgrade | None:
    """The upgrade that the hosts of this run need; None where they need none.

    Nor is there one where a host has a Nova of which nothing is known, as the preflight says then.
    """
    hosts, versions = list[Installed](), dict[str, Mapping[str, str]]()
    for name, report in reports.items():
        host = scope.site.hosts[name]
        if isinstance(report, NoReport) or not report.nova or not _concerns(host):
            continue
        found = {known_release(version) for version in report.nova.values()}
        known = tuple(sorted(each for each in found if each))
        if len(known) < len(found):
            return None
        versions[name] = report.nova
        hosts.append(
            Installed(
                *(name, known, (report.os.id, report.os.version)),
                is_controller=host.is_controller,
                is_compute=host.is_compute,
                is_left_out=name not in scope.names,
            )
        )
    course = Course(hosts, scope.site.settings.release)
    return Upgrade(scope.site, course, versions) if course.is_needed else None


def _concerns(host: HostSettings) -> bool:
    return host.is_controller or host.is_compute
