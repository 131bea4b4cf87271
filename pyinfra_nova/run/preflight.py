"""What has to hold before the first change: which checks each host makes, and the verdict."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from jinja2 import TemplateError

from pyinfra_nova.knowledge.platforms import (
    Platform,
    UnsupportedPlatform,
    platform_for,
    platforms_of,
)
from pyinfra_nova.nova_conf import migration_ssh
from pyinfra_nova.nova_conf.certificate_files import provided_problems
from pyinfra_nova.nova_conf.check import LEAVE_OUT, Source
from pyinfra_nova.nova_conf.check import Finding as FileFinding
from pyinfra_nova.nova_conf.check import Role as FileRole
from pyinfra_nova.nova_conf.check import findings as file_findings
from pyinfra_nova.nova_conf.check.rules.encryption import MEANWHILE
from pyinfra_nova.nova_conf.config_file import ConfigFile
from pyinfra_nova.nova_conf.render import files_for
from pyinfra_nova.nova_conf.tls_options import speaks_memcache_tls
from pyinfra_nova.resources.host_report import NoReport, Report
from pyinfra_nova.run import moving, restores
from pyinfra_nova.run.installed import hypervisor_findings, nova_findings
from pyinfra_nova.run.verdicts import Verdict
from pyinfra_nova.site.faults import Fault, SettingsError, printable
from pyinfra_nova.site.names import named
from pyinfra_nova.site.run_scope import RunScope
from pyinfra_nova.site.settings import Account, Glance, HostSettings, Neutron, Placement, Site

CLOCK_TOLERANCE = 10.0
"""Seconds a host's clock may be off, and less where Nova soon calls a service down."""

DATABASE = "MariaDB at "
"""What the name of a check of the database server begins with."""

Check = dict[str, Any]


def check_files(site: Site) -> list[Fault]:
    """Render the files of every kind of host, on every platform it may be, and check them.

    Hosts of a kind differ in names and addresses, which the settings have checked already.
    What Nova itself would refuse or overlook is a fault; what it would obey although it is unsafe
    or better said otherwise is only returned.

    Raises:
        SettingsError: with every fault.
    """
    kinds: dict[str, list[HostSettings]] = {}
    for host in site.hosts.values():
        kinds.setdefault(host.kind, []).append(host)
    found: dict[FileFinding, list[str]] = {}
    for hosts in kinds.values():
        for finding in _file_findings(site, hosts[0]):
            found.setdefault(finding, []).extend(host.name for host in hosts)
    faults = [_fault(finding, names) for finding, names in found.items() if _is_fault(finding)]
    now = dt.datetime.now(dt.timezone.utc)
    faults += [fault for problem in provided_problems(site, now) for fault in problem.faults]
    if faults:
        raise SettingsError(faults)
    return list(_remarks(site, found))


def _remarks(site: Site, found: Mapping[FileFinding, Sequence[str]]) -> Iterator[Fault]:
    """What is said of FOUND, each finding of some hosts.

    Where ``tls`` is off and one service of others speaks TLS, all the rest is in plain text for one
    reason, which is said once.
    """
    plain = [f for f in found if f.in_plain_text] if not site.settings.tls.is_on else []
    if len(plain) > 1:
        places = ", ".join(dict.fromkeys(f"[{f.section}] {f.option}" for f in plain))
        hosts = list(dict.fromkeys(name for finding in plain for name in found[finding]))
        problem = f"in plain text, as tls is off, {MEANWHILE}: {places}"
        remedy = "tls.mode encrypts all of it (docs/tls.md)"
        yield Fault(f"nova.conf of {named(hosts)}", "", problem, remedy)
        found = {finding: names for finding, names in found.items() if finding not in plain}
    yield from (_fault(finding, names) for finding, names in found.items())


def _file_findings(site: Site, host: HostSettings) -> list[FileFinding]:
    """What is wrong in HOST's nova.conf; platforms do not differ in what overrides say there."""
    rendered: list[tuple[ConfigFile, ...]] = []
    for platform in platforms_of(site.settings.release):
        try:
            rendered.append(tuple(files_for(site, host, platform, "qemu")))
        except (ValueError, TemplateError) as error:
            fault = Fault(f"nova.conf of {host.name}", "", f"cannot be rendered: {error}")
            raise SettingsError([fault]) from error
    sources = [Source(f.path, f.content) for f in next(iter(rendered), ()) if f.oslo]
    role: FileRole = "compute"
    if host.is_controller:
        role = "all-in-one" if host.is_compute else "controller"
    # A finding is of one host and one line; the same one elsewhere is said together with it.
    found = file_findings(sources, site.settings.release, role, all_names=True)
    told = (one for one in found if one.level != "note" and not _is_own(one, host))
    return [replace(finding, file="", line=0) for finding in told]


def _is_own(finding: FileFinding, host: HostSettings) -> bool:
    """Whether it is of what no setting can change: the one option that names libvirt's user.

    Deprecated since Nova 15, and read up to now; ``live_migration_scheme`` logs in as root.
    """
    own = (finding.section, finding.option) == ("libvirt", "live_migration_uri")
    return own and "live_migration_uri" not in host.nova_conf.get("libvirt", {})


def _is_fault(finding: FileFinding) -> bool:
    if finding.kind == "unknown":
        # What nothing is known about may belong to a driver that is not Nova's own.
        return finding.remedy != LEAVE_OUT
    return finding.level == "error" and finding.kind != "insecure"


def _fault(finding: FileFinding, hosts: Sequence[str]) -> Fault:
    where = f"[{finding.section}] {finding.option}".strip() if finding.section else ""
    return Fault(f"nova.conf of {named(hosts)}", where, finding.problem, finding.remedy)


def _login(site: Site, name: str, account: Account, secret: str, **more: Any) -> Check:
    remedy = f"see keystone.auth_url in group_data/all.py, and {secret} in {site.secrets_file}"
    return {
        "name": name,
        "kind": "keystone",
        "auth_url": site.settings.keystone.auth_url,
        "username": account.username,
        "password": getattr(site.secrets, secret).get_secret_value(),
        "user_domain": account.user_domain_name,
        "project": account.project_name,
        "project_domain": account.project_domain_name,
        "region": site.settings.region,
        "remedy": remedy,
        **more,
    }


def _found_by(section: Placement | Neutron | Glance, *services: str) -> Check:
    """How Nova finds SERVICES in the catalogue, by the section of nova.conf that says so."""
    return {
        "services": list(services),
        "region": section.region_name,
        "interfaces": list(section.valid_interfaces),
    }


def _identity_checks(scope: RunScope, host: HostSettings) -> Iterator[Check]:
    """Keystone lets in every user that will be written here, and knows the other services."""
    site, settings = scope.site, scope.site.settings
    placement, neutron, glance = settings.placement, settings.neutron, settings.glance
    yield _login(
        site,
        "Keystone and Placement",
        placement,
        "placement_password",
        auth_url=placement.auth_url,
        **_found_by(placement, "placement"),
    )
    yield _login(
        site,
        "Keystone and Neutron",
        neutron,
        "neutron_password",
        auth_url=neutron.auth_url,
        **_found_by(neutron, "network"),
    )
    if not glance.api_servers:
        # Nova asks it with the token of whoever boots a guest; the catalogue is the same to all.
        yield _login(site, "Glance", placement, "placement_password", **_found_by(glance, "image"))
    if not settings.manage_identity:
        # Computes alone are only of use to controllers that are there.
        alone = not any(host.is_controller for host in scope.hosts)
        yield _login(
            site,
            "Keystone and Nova" if alone else "Keystone, as nova",
            settings.keystone,
            "nova_password",
            services=["compute"] if alone else [],
            interfaces=["public", "internal", "admin"],
        )
    elif host.name == site.primary_controller.name:
        admin = settings.keystone.admin
        name = "Keystone, as the administrator"
        yield _login(site, name, admin, "admin_password", published="compute")


def _broker_checks(site: Site) -> Iterator[Check]:
    messaging, secrets = site.settings.messaging, site.secrets_file
    for broker in messaging.hosts:
        yield {
            "name": f"RabbitMQ at {broker}:{messaging.port}",
            "kind": "amqp",
            "host": broker,
            "port": messaging.port,
            "user": messaging.user,
            "password": site.secrets.messaging_password.get_secret_value(),
            "virtual_host": messaging.virtual_host,
            # A user that this deployment makes may not be there yet.
            "login": not site.settings.manage_messaging,
            "remedy": f"see messaging in group_data/all.py, and messaging_password in {secrets}",
        }


def _controller_checks(site: Site) -> Iterator[Check]:
    database, secrets = site.settings.database, site.secrets_file
    check: Check = {
        "name": f"{DATABASE}{database.host}:{database.port}",
        "kind": "mysql",
        "host": database.host,
        "port": database.port,
        "remedy": f"see database in group_data/all.py, and database_password in {secrets}",
    }
    if not site.settings.manage_database:
        password = site.secrets.database_password.get_secret_value()
        check |= {"user": database.user, "password": password}
    yield check
    encrypted = {"tls": True} if speaks_memcache_tls(site.settings) else {}
    for server in site.settings.memcached_servers:
        name, _, port = server.rpartition(":")
        yield {
            "name": f"memcached at {server}",
            "kind": "memcached",
            "host": name or port,
            "port": int(port) if name else 11211,
            **encrypted,
            "remedy": "see memcached_servers in group_data/all.py",
        }


def checks_for(scope: RunScope, host: HostSettings) -> list[Check]:
    """The prerequisites that HOST will use, with the credentials that will be written there."""
    checks: list[Check] = []
    if host.is_controller or host.is_compute:
        checks += [*_broker_checks(scope.site), *_identity_checks(scope, host)]
    if host.is_controller:
        checks += _controller_checks(scope.site)
    return checks


def _platform(site: Site, host: HostSettings, report: Report) -> Platform | None:
    """The row of a host that runs Nova; None where there is none, which is a finding of its own."""
    if not (host.is_controller or host.is_compute):
        return None
    try:
        return platform_for(report.os.id, report.os.version, site.settings.release)
    except UnsupportedPlatform:
        return None


def clock_tolerance(site: Site) -> float:
    """Seconds that a host's clock may be off."""
    return min(CLOCK_TOLERANCE, site.settings.service_down_time / 6)


def _platform_finding(site: Site, host: HostSettings, report: Report) -> Verdict:
    release = site.settings.release
    try:
        platform = platform_for(report.os.id, report.os.version, release)
    except UnsupportedPlatform as error:
        return Verdict(host.name, "operating system", False, str(error))
    detail = f"{report.os.id} {report.os.version} with {release}"
    if not platform.proven:
        detail += ", which is not proven on real hosts (docs/platforms.md)"
    return Verdict(host.name, "operating system", True, detail)


def _host_key_findings(
    site: Site, host: HostSettings, platform: Platform, report: Report
) -> Iterator[Verdict]:
    """Whether the others can know this host's SSH server, where guests are moved."""
    if migration_ssh.wanted(site, host, platform):
        for path, key in report.host_keys.items():
            if not key:
                private = path.removesuffix(".pub")
                yield Verdict(
                    host.name,
                    "SSH host key",
                    False,
                    f"{path} holds no public key; make it again: ssh-keygen -y -f {private} "
                    f">{path}, or remove the file",
                )


def _busy(report: Report) -> tuple[str, bool, str]:
    """Who is at work on a host; a timer's job is called after its unit (files/care/jobs.py)."""
    who = ", ".join(report.holders) or "nobody who is still there to be named"
    if report.holders and all(name.startswith("nova-care-") for name in report.holders):
        end = "let it end, or `systemctl stop 'nova-care-*.service'` there, and run again"
        return "a timer's job", False, f"changes what Nova has: {who}; {end}"
    detail = f"still changes this host: {who}; let it end, or end it, and run again"
    return "a command of an earlier run", False, detail


def _host_findings(
    scope: RunScope, host: HostSettings, report: Report, skew: float, *, under_way: bool
) -> Iterator[Verdict]:
    """What is found on one host; with UNDER_WAY, while a restore is."""

    def finding(what: str, ok: bool, detail: str) -> Verdict:
        return Verdict(host.name, what, ok, detail)

    system = f"{report.os.id} {report.os.version}"
    if not (host.is_controller or host.is_compute or host.is_retired):
        yield finding("operating system", True, system)
    else:
        yield _platform_finding(scope.site, host, report)
    rights = "root" if report.root else "not root; set _sudo = True in group_data/all.py"
    yield finding("rights", report.root, rights)
    if report.busy:
        yield finding(*_busy(report))
    yield finding("systemd", report.systemd, "runs" if report.systemd else "is not PID 1")
    yield from restores.findings(host, report)
    is_right = abs(skew) <= clock_tolerance(scope.site)
    yield finding("clock", is_right, f"{skew:+.1f} s off this machine's")
    if host.my_ip is not None and not host.is_retired:
        interface = next(
            (a.interface for a in report.addresses if a.address == str(host.my_ip)), None
        )
        have = ", ".join(f"{a.address} ({a.interface})" for a in report.addresses)
        detail = f"{host.my_ip} on {interface}"
        if interface is None:
            detail = f"my_ip {host.my_ip} is on none of its interfaces; it has {have}"
        yield finding("management address", interface is not None, detail)
    if host.is_compute or host.is_retired:
        same = report.hostname == host.nova_host
        why = "so Neutron's agent would not match; set nova_host"
        if host.is_retired:
            why = "and what has that name would go; set nova_host, or take the line out"
        elif report.compute and report.compute.host == host.nova_host:
            name_back = f"hostnamectl set-hostname {host.nova_host}"
            why = f"as it was deployed: rename it back (`{name_back}`), or see docs/computes.md"
        detail = (
            f"the host calls itself {report.hostname!r} but Nova would call it {host.nova_host!r}"
        )
        yield finding("host name", same, report.hostname if same else f"{detail}, {why}")
    if platform := _platform(scope.site, host, report):
        yield from nova_findings(scope.site, host, report)
        if host.is_compute:
            yield from hypervisor_findings(host, platform, report)
            yield from _host_key_findings(scope.site, host, platform, report)
    asked = {check["name"]: check for check in checks_for(scope, host)}
    remedies = {name: check["remedy"] for name, check in asked.items()}
    for check in report.checks:
        if under_way and not check.ok and asked.get(check.name, {}).get("kind") == "keystone":
            continue  # a restore stops what answers there
        remedy = moving.remedy(scope.site, check, remedies.get(check.name, ""))
        detail = check.detail if check.ok else f"{check.detail}; {remedy}"
        yield finding(check.name, check.ok, detail)


def judge(
    scope: RunScope, reports: Mapping[str, Report | NoReport], skews: Mapping[str, float]
) -> list[Verdict]:
    """Every finding of every host that was asked, in the inventory's order.

    Args:
        reports: what each host answered.
        skews: seconds each host's clock is ahead of this machine's.
    """
    findings: list[Verdict] = []
    under_way = any(map(restores.is_under_way, reports.values()))
    for name, report in reports.items():
        host = scope.site.hosts[name]
        if isinstance(report, NoReport):
            findings.append(Verdict(name, "preflight", False, report.why))
        else:
            skew = skews.get(name, 0.0)
            findings += _host_findings(scope, host, report, skew, under_way=under_way)
    return [replace(f, what=printable(f.what), detail=printable(f.detail)) for f in findings]
