"""The checker of hand-written configuration files, on those of a guide and of this project."""

from __future__ import annotations

import pytest

from pyinfra_nova.knowledge.releases import VERSIONS
from pyinfra_nova.nova_conf.check import Finding, Role, Source, findings
from tests.unit.checked import DATA, about, check, one, sources
from tests.unit.site_data import all_in_one, site


def seed(role: Role) -> list[Finding]:
    file = DATA / f"seed-{role}.conf"
    return findings([Source(file.name, file.read_text(encoding="utf-8"))], "zed", role)


@pytest.mark.parametrize(
    ("role", "line", "kind", "section", "option"),
    [
        ("controller", 4, "removed", "DEFAULT", "use_neutron"),
        ("controller", 5, "removed", "DEFAULT", "firewall_driver"),
        ("controller", 26, "deprecated", "glance", "api_servers"),
        ("controller", 14, "insecure", "keystone_authtoken", "service_token_roles_required"),
        ("controller", 0, "insecure", "service_user", "send_service_user_token"),
        ("controller", 0, "missing", "oslo_concurrency", "lock_path"),
        ("controller", 0, "missing", "cinder", "os_region_name"),
        ("controller", 0, "missing", "cinder", "auth_type"),
        ("controller", 52, "misplaced", "vnc", "server_listen"),
        ("controller", 54, "misplaced", "vnc", "novncproxy_base_url"),
        ("controller", 56, "misplaced", "libvirt", ""),
        ("compute", 4, "removed", "DEFAULT", "use_neutron"),
        ("compute", 5, "removed", "DEFAULT", "firewall_driver"),
        ("compute", 25, "deprecated", "glance", "api_servers"),
        ("compute", 8, "insecure", "api_database", "connection"),
        ("compute", 11, "insecure", "database", "connection"),
        ("compute", 13, "misplaced", "keystone_authtoken", ""),
        ("compute", 0, "missing", "neutron", "auth_type"),
        ("compute", 0, "insecure", "service_user", "send_service_user_token"),
        ("compute", 0, "missing", "oslo_concurrency", "lock_path"),
        ("compute", 0, "missing", "cinder", "os_region_name"),
        ("compute", 0, "missing", "cinder", "auth_type"),
        ("compute", 39, "insecure", "vnc", "server_listen"),
        ("compute", 37, "missing", "vnc", "novncproxy_base_url"),
        ("compute", 43, "misplaced", "libvirt", "virt_type"),
    ],
)
def test_every_defect_of_the_guide_is_found(
    role: Role, line: int, kind: str, section: str, option: str
) -> None:
    found = [f for f in about(seed(role), section, option) if f.kind == kind]
    assert [f.line for f in found][:1] == [line]
    assert found[0].problem
    assert found[0].remedy
    assert found[0].source


@pytest.mark.parametrize("role", ["controller", "compute"])
def test_its_right_lines_are_left_alone(role: Role) -> None:
    right = {"my_ip", "auth_url", "www_authenticate_uri", "memcached_servers", "auth_type"}
    right |= {"username", "project_name", "region_name", "service_metadata_proxy", "enabled"}
    assert not [f for f in seed(role) if f.option in right and f.kind != "missing"]


@pytest.mark.parametrize("role", ["controller", "compute"])
def test_a_missing_login_to_cinder_is_a_warning_and_a_half_one_an_error(role: Role) -> None:
    """A cloud may have no volumes, so that preflight has to let it pass."""
    assert one(check("", role), "cinder", "auth_type").level == "warning"
    half = "[cinder]\nauth_type = password\nauth_url = http://controller:5000/v3\n"
    assert one(check(half, role), "cinder", "username").level == "error"
    elsewhere = "[cinder]\nauth_section = service_user\n[service_user]\nauth_type = v3token\n"
    assert not about(check(elsewhere, role), "cinder", "auth_type")


def test_its_placeholders_are_no_passwords() -> None:
    placeholder = "a guide's placeholder, or a password that everybody knows"
    found = [f.line for f in seed("controller") if f.problem == placeholder]
    assert found == [2, 9, 12, 22, 32, 46, 48]


@pytest.mark.parametrize("password", ["NOVA_DBPASS", "RABBIT_PASS", "NOVAPASS", "PASSWORD"])
def test_the_placeholder_of_any_guide_is_known(password: str) -> None:
    text = f"[database]\nconnection = mysql+pymysql://nova:{password}@controller/nova\n"
    assert "placeholder" in one(check(text), "database", "connection").problem


def test_a_newer_release_reads_less_of_it() -> None:
    text = (DATA / "seed-controller.conf").read_text(encoding="utf-8")
    assert not about(check(text, release="2025.1"), "DEFAULT", "enabled_apis")
    finding = one(check(text, release="2025.2"), "DEFAULT", "enabled_apis")
    assert finding.kind == "removed"
    assert "Nova 32" in finding.problem


@pytest.mark.parametrize("release", VERSIONS)
@pytest.mark.parametrize("virt_type", ["kvm", "qemu"])
@pytest.mark.parametrize("role", ["controller", "compute", "all-in-one"])
def test_nothing_is_wrong_with_what_is_rendered(role: Role, virt_type: str, release: str) -> None:
    where = all_in_one() if role == "all-in-one" else site()
    name = {"controller": "controller", "compute": "compute1", "all-in-one": "aio"}[role]
    assert findings(sources(where, name, virt_type), release, role) == []


def test_an_override_that_makes_it_wrong_is_found() -> None:
    where = site({"nova_conf": {"vnc": {"enabeld": True}, "DEFAULT": {"debug": "maybe"}}})
    found = findings(sources(where, "compute1"), "zed", "compute")
    assert one(found, "vnc", "enabeld").remedy == "did you mean enabled?"
    assert one(found, "DEFAULT", "debug").problem.startswith("'maybe' is not true or false")
