"""The checks that hosts make before a deploy, and the verdict on their answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import host_report as script
import pytest

from pyinfra_nova.resources.host_report import Report
from pyinfra_nova.run.preflight import check_files, checks_for, judge
from pyinfra_nova.run.verdicts import PreflightError, table
from pyinfra_nova.site.faults import SettingsError
from pyinfra_nova.site.load import build_site
from pyinfra_nova.site.run_scope import RunScope, scope_of
from pyinfra_nova.site.secrets import PASSWORDS as NAMES
from pyinfra_nova.site.secrets import Secrets
from pyinfra_nova.site.settings import Site
from tests.plan.fake_hosts import presence

PASSWORDS = {name: f"{name}-value-of-a-test" for name in NAMES}


def site(**all_data: Any) -> Site:
    return build_site(
        {"controllers": ["controller"], "computes": ["compute1"]},
        {"management_network": "10.0.0.0/24", **all_data},
        {},
        {"controller": {"my_ip": "10.0.0.11"}, "compute1": {"my_ip": "10.0.0.31"}},
        Secrets.model_validate(PASSWORDS),
    )


def report(name: str, address: str, **changes: Any) -> Report:
    return Report.model_validate(
        {
            "time": 0.0,
            "os": {"id": "debian", "version": "12"},
            "hostname": name,
            "root": True,
            "busy": False,
            "systemd": True,
            "addresses": [{"interface": "mgmt0", "address": address}],
            "kvm": {"flag": False, "usable": False},
            "checks": [],
            **changes,
        }
    )


def whole(wanted: Site) -> RunScope:
    return scope_of(wanted, wanted.hosts)


def faults(*, skew: float = 0.0, **changes: Any) -> list[str]:
    reports = {"compute1": report("compute1", "10.0.0.31", **changes)}
    findings = judge(whole(site()), reports, {"compute1": skew})
    return [f"{finding.what}: {finding.detail}" for finding in findings if not finding.ok]


def test_a_restore_that_was_cut_off_ends_a_deploy_and_one_that_is_settled_does_not() -> None:
    import restored_host

    marker, drop_in = restored_host.MARKER, restored_host.DROP_IN
    assert {marker, drop_in} <= set(script.WRITTEN["restore"])
    [text] = faults(written={"restore": [marker, drop_in]})
    assert "was cut off, and the databases may be half replaced" in text
    assert "`./run restore FILE`" in text
    assert faults(written={"restore": [drop_in]}) == []
    reports = {"compute1": report("compute1", "10.0.0.31", written={"restore": [drop_in]})}
    said = [finding.detail for finding in judge(whole(site()), reports, {"compute1": 0.0})]
    assert any("until `./run restore --finish`" in text for text in said)


def test_of_a_restore_under_way_nothing_else_is_concluded() -> None:
    """It stops Placement; the keys of secrets.yml have nothing to do with that."""
    import restored_host

    silent = {"ok": False, "detail": "GET http://controller:8778 does not answer"}
    checks = [
        {"name": "Keystone and Placement", **silent},
        {"name": "RabbitMQ at controller:5672", "ok": False, "detail": "refused"},
    ]
    reports = {
        "controller": report(
            "controller", "10.0.0.11", written={"restore": [restored_host.MARKER]}, checks=checks
        ),
        "compute1": report("compute1", "10.0.0.31", checks=checks),
    }
    wrong = [v for v in judge(whole(site()), reports, {}) if not v.ok]
    assert [(v.host, v.what) for v in wrong] == [
        ("controller", "restore"),
        ("controller", "RabbitMQ at controller:5672"),
        ("compute1", "RabbitMQ at controller:5672"),
    ]
    reports["controller"] = report("controller", "10.0.0.11", checks=checks)
    wrong = [v for v in judge(whole(site()), reports, {}) if not v.ok]
    assert [v.what for v in wrong].count("Keystone and Placement") == 2


def test_a_host_that_was_renamed_after_its_deploy_gets_its_name_back() -> None:
    (text,) = faults(hostname="compute9")
    assert text.endswith("so Neutron's agent would not match; set nova_host")
    (text,) = faults(hostname="compute9", compute=presence("compute9", host="compute1"))
    assert text == (
        "host name: the host calls itself 'compute9' but Nova would call it 'compute1', as it was "
        "deployed: rename it back (`hostnamectl set-hostname compute1`), or see docs/computes.md"
    )


def check_named(name: str, **all_data: Any) -> dict[str, Any]:
    wanted = site(**all_data)
    checks = checks_for(whole(wanted), wanted.hosts["compute1"])
    (found,) = [check for check in checks if check["name"] == name]
    return found


def test_a_service_is_looked_for_where_nova_will_look_for_it() -> None:
    elsewhere = {"auth_url": "http://other:5000/v3", "region_name": "RegionTwo"}
    asked = check_named("Keystone and Neutron", neutron=elsewhere)
    assert (asked["auth_url"], asked["region"]) == ("http://other:5000/v3", "RegionTwo")
    asked = check_named("Keystone and Placement", placement={"valid_interfaces": ["public"]})
    assert (asked["interfaces"], asked["region"]) == (["public"], "RegionOne")
    assert asked["auth_url"] == "http://controller:5000/v3"
    assert check_named("Glance", glance={"region_name": "RegionTwo"})["region"] == "RegionTwo"


def test_glance_at_fixed_addresses_need_not_be_in_the_catalogue() -> None:
    wanted = site(glance={"api_servers": ["http://images:9292"]})
    names = [check["name"] for check in checks_for(whole(wanted), wanted.hosts["compute1"])]
    assert "Glance" not in names


def kinds(wanted: Site, host: str) -> set[str]:
    return {check["kind"] for check in checks_for(whole(wanted), wanted.hosts[host])}


def test_a_compute_never_tries_the_database() -> None:
    assert kinds(site(), "compute1") == {"amqp", "keystone"}
    assert kinds(site(), "controller") == {"amqp", "keystone", "mysql", "memcached"}


def test_what_the_deploy_makes_itself_is_not_logged_into() -> None:
    for check in checks_for(whole(site()), site().hosts["controller"]):
        if check["kind"] == "amqp":
            assert check["login"] is False
        if check["kind"] == "mysql":
            assert "user" not in check


def test_what_the_site_makes_elsewhere_is_tried_with_its_own_credentials() -> None:
    own = site(manage_database=False, manage_messaging=False, manage_identity=False)
    checks = checks_for(whole(own), own.hosts["controller"])
    users = {(check["kind"], check.get("user") or check.get("username")) for check in checks}
    assert {("amqp", "openstack"), ("mysql", "nova"), ("keystone", "nova")} <= users
    assert ("keystone", "admin") not in users


def test_a_run_without_the_controller_tries_what_the_controller_would_have_made() -> None:
    alone = scope_of(site(), {"compute1"})
    checks = checks_for(alone, alone.site.hosts["compute1"])
    assert [check["login"] for check in checks if check["kind"] == "amqp"] == [True]
    (nova,) = [check for check in checks if check.get("username") == "nova"]
    assert nova["services"] == ["compute"]


def test_a_host_on_which_everything_holds_has_no_fault() -> None:
    assert faults() == []


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"os": {"id": "gentoo", "version": "2"}}, "gentoo"),
        ({"root": False}, "_sudo"),
        ({"systemd": False}, "systemd"),
        ({"skew": 90.0}, "+90.0 s"),
        ({"addresses": [{"interface": "nat0", "address": "10.0.2.15"}]}, "10.0.2.15 (nat0)"),
        ({"hostname": "localhost"}, "nova_host"),
    ],
)
def test_a_fault_is_named_with_what_was_found(changes: dict[str, Any], named: str) -> None:
    (fault,) = faults(**changes)
    assert named in fault


def test_where_a_service_is_soon_called_down_clocks_have_to_agree_better() -> None:
    hasty = site(report_interval=2, service_down_time=12)
    reports = {"compute1": report("compute1", "10.0.0.31")}
    for skew, ok in ((1.9, True), (2.1, False)):
        findings = judge(whole(hasty), reports, {"compute1": skew})
        assert [finding.ok for finding in findings if finding.what == "clock"] == [ok]


def test_a_refused_login_names_the_secret_to_look_at_and_never_its_value() -> None:
    refused = {"name": "Keystone and Neutron", "ok": False, "detail": "refuses user neutron (401)"}
    (fault,) = faults(checks=[refused])
    assert "neutron_password in secrets.yml" in fault
    assert PASSWORDS["neutron_password"] not in fault


def test_a_host_without_an_answer_is_a_fault() -> None:
    (finding,) = judge(whole(site()), {"compute1": Report.of({})}, {})
    assert not finding.ok and "python3" in finding.detail


def test_the_error_holds_every_fault_and_says_that_nothing_was_changed() -> None:
    reports = {
        "controller": report("controller", "10.0.0.11", root=False),
        "compute1": report("compute1", "10.0.0.31", systemd=False),
    }
    findings = judge(whole(site()), reports, {})
    text = str(PreflightError(findings))
    assert "nothing was changed" in text
    assert "controller: rights" in text and "compute1: systemd" in text
    assert len(table(findings, each=True)) == len(findings)


# --- the files that are about to be written -------------------------------------------------------


def test_nothing_is_said_of_files_that_are_right() -> None:
    assert check_files(site()) == []


@pytest.mark.parametrize(
    ("section", "option", "value", "said"),
    [
        ("vnc", "enabeld", True, "did you mean enabled?"),
        ("DEFAULT", "debug", "maybe", "'maybe' is not true or false"),
        ("DEFAULT", "cpu_dedicated_set", "2-3", "it belongs in [compute]"),
        ("scheduler", "max_attempts", 0, "'0' is less than 1"),
    ],
)
def test_an_option_that_nova_would_refuse_or_overlook_is_a_fault(
    section: str, option: str, value: object, said: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        check_files(site(nova_conf={section: {option: value}}))
    (fault,) = caught.value.faults
    assert str(fault).startswith(f"nova.conf of controller, compute1: [{section}] {option}: ")
    assert said in str(fault)


@pytest.mark.parametrize(
    ("section", "option", "value", "said"),
    [
        ("somebodys_driver", "colour", "blue", "nothing is read from this section"),
        ("placement", "insecure", True, "certificates are not verified"),
    ],
)
def test_an_option_that_may_be_meant_is_only_said(
    section: str, option: str, value: object, said: str
) -> None:
    warnings = [str(fault) for fault in check_files(site(nova_conf={section: {option: value}}))]
    assert any(said in warning for warning in warnings)


def test_of_consoles_on_every_network_it_is_said_that_they_are() -> None:
    (warning,) = check_files(site(vnc={"server_listen": "0.0.0.0"}))
    assert "listen on every network" in str(warning)


def test_it_is_said_of_a_system_that_nobody_has_proven_it() -> None:
    wanted = site(release="2024.1")
    rocky = report("compute1", "10.0.0.31", os={"id": "rocky", "version": "9.5"})
    findings = judge(whole(wanted), {"compute1": rocky}, {})
    (system,) = (finding for finding in findings if finding.what == "operating system")
    assert system.ok
    assert system.detail.startswith("rocky 9.5 with 2024.1, which is not proven")


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"libvirt": "9.0.0", "qemu": "7.2.22"}, []),
        ({}, []),  # not installed yet
        ({"libvirt": "5.9.0"}, ["libvirt: 5.9.0, but Nova of zed needs at least 6.0.0"]),
        ({"qemu": "4.1"}, ["QEMU: 4.1, but Nova of zed needs at least 4.2.0"]),
    ],
)
def test_nova_does_not_start_with_an_older_hypervisor(
    found: dict[str, str], said: list[str]
) -> None:
    assert faults(hypervisor=found) == said


def test_the_first_program_that_is_there_tells_its_version(tmp_path: Path) -> None:
    program = tmp_path / "virtqemud"
    program.write_text("#!/bin/sh\necho 'virtqemud (libvirt) 10.10.0'\n")
    program.chmod(0o755)
    assert script.version([str(tmp_path / "libvirtd"), str(program)]) == "10.10.0"
    assert script.version([str(tmp_path / "libvirtd")]) is None


def test_what_apache_reads_is_not_taken_for_a_file_of_oslo_config() -> None:
    assert check_files(site(release="2026.1")) == []


@pytest.mark.parametrize(("release", "speaks"), [("zed", False), ("2026.1", True)])
def test_memcached_is_asked_as_the_middleware_of_the_release_will(
    release: str, speaks: bool
) -> None:
    def asked(mode: str) -> dict[str, Any]:
        found = site(release=release, tls={"mode": mode})
        checks = checks_for(scope_of(found, found.hosts), found.hosts["controller"])
        return next(check for check in checks if check["kind"] == "memcached")

    assert asked("internal").get("tls", False) is speaks
    assert "tls" not in asked("off")
