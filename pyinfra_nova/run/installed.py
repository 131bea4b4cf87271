"""Whether what is installed on a host goes with the site's release."""

from __future__ import annotations

from collections.abc import Iterator

from pyinfra_nova.knowledge import releases
from pyinfra_nova.knowledge.platforms import Platform, numbers
from pyinfra_nova.resources.host_report import Report
from pyinfra_nova.run.verdicts import Verdict
from pyinfra_nova.site.settings import HostSettings, Site


def hypervisor_findings(
    host: HostSettings, platform: Platform, report: Report
) -> Iterator[Verdict]:
    """Whether nova-compute starts with what is installed (virt/libvirt/driver.py, init_host)."""
    minimum = platform.minimum
    for what, found, least in (
        ("libvirt", report.hypervisor.libvirt, minimum.libvirt),
        ("QEMU", report.hypervisor.qemu, minimum.qemu),
    ):
        if found is not None:
            ok = numbers(found) >= numbers(least)
            needs = f"{found}, but Nova of {platform.release} needs at least {least}"
            yield Verdict(host.name, what, ok, found if ok else needs)


def nova_findings(site: Site, host: HostSettings, report: Report) -> Iterator[Verdict]:
    """Whether the Nova that is installed is the release's own.

    A package manager asked for packages that are there brings no other version of them, so a host
    would be left with the configuration of one release and the programs of another.
    """
    if report.nova is None:
        detail = (
            "dpkg-query or rpm does not say whether it is installed: try `dpkg-query --list` or "
        )
        yield Verdict(host.name, "Nova", False, detail + "`rpm --query --all` there")
        return
    if not report.nova:
        return
    release = site.settings.release
    names = {version: name for name, version in releases.VERSIONS.items()}
    found = {
        f"{package} {version} ({names.get(numbers(version)[0], 'of no release known here')})"
        for package, version in report.nova.items()
        if numbers(version)[0] != releases.VERSIONS[release]
    }
    if not found:
        yield Verdict(host.name, "Nova", True, ", ".join(sorted(set(report.nova.values()))))
        return
    yield Verdict(
        host.name,
        "Nova",
        False,
        f"{', '.join(sorted(found))} is installed, but release in group_data/all.py is {release}, "
        f"Nova {releases.VERSIONS[release]}; what an upgrade takes is said, and none is done yet: "
        "set release to what is installed, or remove Nova's packages from this host first",
    )
