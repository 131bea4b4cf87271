"""What the checker says of a whole configuration, for its role."""

from __future__ import annotations

import pytest

from tests.unit.checked import about, check, of_option, one

LOGIN = (
    "auth_type = password\nauth_url = http://k\nusername = u\npassword = longer\n"
    "project_name = p\nuser_domain_name = d\nproject_domain_name = d\n"
)


@pytest.mark.parametrize(
    ("without", "lacking"),
    [
        ("auth_url = http://k", "lacks auth_url"),
        ("password = longer", "lacks password"),
        ("user_domain_name = d", "lacks user_domain_name"),
        ("project_name = p", "lacks project_name"),
    ],
)
def test_a_login_has_to_be_whole(without: str, lacking: str) -> None:
    whole = f"[neutron]\n{LOGIN}"
    assert not [f for f in check(whole) if f.section == "neutron"]
    (finding,) = (f for f in check(whole.replace(f"{without}\n", "")) if f.section == "neutron")
    assert lacking in finding.problem
    assert finding.line == 1


def test_a_login_may_be_in_another_section() -> None:
    text = f"[shared]\n{LOGIN}[neutron]\nauth_section = shared\n"
    assert not [f for f in check(text) if f.section in ("neutron", "shared")]
    assert one(check(text + "usernam = x\n"), "neutron", "usernam").kind == "unknown"
    misspelled = text.replace("username", "usernam")
    assert one(check(misspelled), "shared", "usernam").remedy == "did you mean username?"


def test_a_login_that_others_share_is_not_misplaced() -> None:
    text = f"[keystone_authtoken]\n{LOGIN}"
    assert one(check(text, role="compute"), "keystone_authtoken", "").kind == "misplaced"
    shared = f"{text}[neutron]\nauth_section = keystone_authtoken\n"
    found = check(shared, role="compute")
    assert not [f for f in found if f.section in ("neutron", "keystone_authtoken")]


def test_a_service_token_needs_a_login() -> None:
    text = "[service_user]\nsend_service_user_token = true\n"
    (finding,) = (f for f in check(text) if f.section == "service_user")
    assert finding.option == "auth_type"
    assert not [f for f in check(text + LOGIN) if f.section == "service_user"]


def test_token_roles_are_required_by_default_since_keystonemiddleware_13() -> None:
    text = f"[keystone_authtoken]\n{LOGIN}"
    name = ("keystone_authtoken", "service_token_roles_required")
    assert one(check(text, release="zed"), *name).kind == "insecure"
    assert not about(check(text, release="2026.2"), *name)


def test_a_filter_that_the_release_has_not() -> None:
    text = "[filter_scheduler]\nenabled_filters = ComputeFilter,AvailabilityZoneFilter\n"
    assert not about(check(text), "filter_scheduler", "enabled_filters")
    found = one(check(text, release="2023.2"), "filter_scheduler", "enabled_filters")
    assert "has no filter AvailabilityZoneFilter" in found.problem


def test_consoles_that_are_off_need_nothing() -> None:
    text = "[vnc]\nenabled = false\nserver_listen = 0.0.0.0\n"
    assert not [f for f in check(text, "compute") if f.section == "vnc"]


def test_an_all_in_one_host_has_both_roles() -> None:
    text = (
        "[database]\nconnection = mysql+pymysql://nova:longer@c/nova\n"
        "[libvirt]\nvirt_type = qemu\n[DEFAULT]\ncompute_driver = libvirt.LibvirtDriver\n"
    )
    assert not of_option(text, role="all-in-one")
    missing = {(f.section, f.option) for f in check(text, "all-in-one") if f.kind == "missing"}
    assert ("api_database", "connection") in missing
    assert ("vnc", "novncproxy_base_url") in missing


def test_certificates_have_to_be_verified() -> None:
    assert one(check("[neutron]\ninsecure = yes\n"), "neutron", "insecure").kind == "insecure"
    assert not about(check("[neutron]\ninsecure = no\n"), "neutron", "insecure")
