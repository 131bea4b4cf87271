"""An audit's findings about libvirt's domains and guests; and what it rightly leaves alone."""

from __future__ import annotations

from typing import Any

import domains
import pytest

from .audited_guests import EPOCH, WEB, Cloud, ago, domain, kinds, named


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


def web_is(cloud: Cloud, state: str, vm_state: str = "active", **more: Any) -> None:
    cloud.web.update(vm_state=vm_state)
    cloud.hosts["compute1"]["domains"] = [domain("web", state, **more)]


def test_a_healthy_cloud_has_no_findings(cloud: Cloud) -> None:
    assert cloud.found(*domains.DETECTORS) == []


def test_what_has_changed_since_the_first_host_was_asked_is_left_alone(cloud: Cloud) -> None:
    """Some hosts were waited for, and those that had answered by then have gone on."""
    cloud.add("new", "compute1", written=ago(250))
    cloud.hosts["compute1"]["domains"] = [domain("web")]
    cloud.gone("old", since=250)
    cloud.hosts["compute2"]["domains"] = [domain("old")]
    seen = cloud.evidence()
    seen.hosts_took = 180.0
    assert [each for detector in domains.DETECTORS for each in detector(seen)] == []
    found = cloud.found(*domains.DETECTORS)
    assert sorted(kinds(found)) == ["domain-of-deleted-guest", "guest-without-domain"]


# --- domains --------------------------------------------------------------------------------------


def test_a_domain_of_a_guest_that_nova_has_deleted(cloud: Cloud) -> None:
    cloud.hosts["compute2"]["domains"] = [domain("old")]
    cloud.gone("old", since=3600)
    [found] = cloud.found(*domains.DETECTORS)
    assert found["kind"] == "domain-of-deleted-guest"
    assert found["where"] == "compute2"
    assert found["what"] == (
        f"guest {named('old')} is deleted, and its domain instance-old on compute2 is running"
    )
    assert found["since"] == EPOCH - 3600
    assert f"`virsh destroy {named('old')}; virsh undefine" in found["remedy"]


def test_a_domain_that_nova_does_not_know(cloud: Cloud) -> None:
    cloud.hosts["compute2"]["domains"] = [domain("mine", "shut off")]
    [found] = cloud.found(*domains.DETECTORS)
    assert found["kind"] == "domain-unknown-to-nova"
    assert found["what"] == (
        f"domain instance-mine ({named('mine')}) on compute2 is shut off and is in none of Nova's "
        "databases"
    )


def test_a_guest_of_which_nova_has_no_row_is_to_be_saved_before_anything_ends_it(
    cloud: Cloud,
) -> None:
    cloud.hosts["compute2"]["domains"] = [domain("mine", of_nova=True)]
    [found] = cloud.found(*domains.DETECTORS)
    uuid = named("mine")
    assert found["kind"] == "guest-forgotten"
    assert found["what"] == (
        f"Nova has made domain instance-mine ({uuid}) on compute2, which is running, and has it in "
        "none of its databases"
    )
    assert found["remedy"].startswith(f"save what is in it: `virsh dumpxml {uuid}` on compute2")
    assert found["remedy"].index("only when that is done") < found["remedy"].index("virsh destroy")


def test_a_domain_that_nova_has_not_made_is_said_to_be_so(cloud: Cloud) -> None:
    cloud.hosts["compute2"]["domains"] = [domain("mine", of_nova=False)]
    [found] = cloud.found(*domains.DETECTORS)
    assert found["kind"] == "domain-unknown-to-nova"
    assert found["what"].endswith("is in none of Nova's databases, nor was it made by Nova")


def test_a_domain_of_a_guest_deleted_or_made_this_minute_is_left_alone(cloud: Cloud) -> None:
    cloud.hosts["compute2"]["domains"] = [domain("old"), domain("new")]
    cloud.gone("old", since=10)
    row = {"uuid": named("new"), "deleted": 0, "deleted_at": None, "host": "compute2"}
    cloud.strangers["guests"].append(row)
    assert cloud.found(*domains.DETECTORS) == []


def test_a_domain_on_two_hosts(cloud: Cloud) -> None:
    cloud.hosts["compute2"]["domains"] = [domain("web")]
    [found] = cloud.found(*domains.DETECTORS)
    assert found["kind"] == "domain-on-two-hosts"
    assert found["where"] == "compute2"
    assert found["what"] == (
        f"guest web ({WEB}) is on compute1 in Nova, and in libvirt it is running on compute1 and "
        "running on compute2"
    )


def test_a_domain_on_another_host_than_novas(cloud: Cloud) -> None:
    cloud.hosts["compute2"]["domains"] = cloud.hosts["compute1"]["domains"]
    cloud.hosts["compute1"]["domains"] = []
    [found] = cloud.found(*domains.DETECTORS)
    assert found["kind"] == "domain-on-another-host"
    assert found["what"] == (
        f"guest web ({WEB}) is on compute1 in Nova, and in libvirt it is running on compute2"
    )


def test_so_it_is_where_novas_host_does_not_answer(cloud: Cloud) -> None:
    cloud.hosts = {"compute2": cloud.hosts["compute2"] | {"domains": [domain("web")]}}
    assert kinds(cloud.found(*domains.DETECTORS)) == ["domain-on-another-host"]


def test_a_move_that_nova_did_not_write_down_is_found_as_that_alone(cloud: Cloud) -> None:
    cloud.moves()
    cloud.hosts["compute2"]["domains"] = cloud.hosts["compute1"]["domains"]
    cloud.hosts["compute1"]["domains"] = []
    assert cloud.found(*domains.DETECTORS) == []


def test_a_domain_that_still_runs_where_it_was_evacuated_from(cloud: Cloud) -> None:
    """The host was not dead, or libvirt has started it there again: two may write to one disk."""
    cloud.moves(migration_type="evacuation", status="done")
    cloud.web.update(host="compute2", node="compute2")
    cloud.hosts["compute2"]["domains"] = [domain("web")]
    [found] = cloud.found(*domains.DETECTORS)
    assert (found["kind"], found["where"]) == ("domain-on-two-hosts", "compute1")


def test_one_that_is_off_there_waits_for_its_nova_compute(cloud: Cloud) -> None:
    cloud.moves(migration_type="evacuation", status="done")
    cloud.web.update(host="compute2", node="compute2")
    cloud.hosts["compute1"]["domains"] = [domain("web", "shut off")]
    cloud.hosts["compute2"]["domains"] = [domain("web")]
    assert cloud.found(*domains.DETECTORS) == []


# --- guests ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("vm_state", ["active", "paused", "rescued"])
def test_a_guest_without_domain(cloud: Cloud, vm_state: str) -> None:
    cloud.web.update(vm_state=vm_state)
    cloud.hosts["compute1"]["domains"] = []
    [found] = cloud.found(*domains.DETECTORS)
    assert found["kind"] == "guest-without-domain"
    assert found["what"] == (
        f"guest web ({WEB}) is {vm_state} in Nova, and libvirt on compute1 has no such domain"
    )


@pytest.mark.parametrize("vm_state", ["stopped", "shelved", "suspended", "error", "soft-delete"])
def test_a_guest_that_is_off_needs_no_domain(cloud: Cloud, vm_state: str) -> None:
    cloud.web.update(vm_state=vm_state)
    cloud.hosts["compute1"]["domains"] = []
    assert cloud.found(*domains.DETECTORS) == []


def test_a_guest_that_is_off_while_nova_says_active(cloud: Cloud) -> None:
    web_is(cloud, "shut off", since=EPOCH - 900)
    [found] = cloud.found(*domains.DETECTORS)
    assert found["kind"] == "guest-not-running"
    assert found["what"] == (
        f"guest web ({WEB}) is active in Nova, and its domain instance-web on compute1 is shut off"
    )
    assert found["since"] == EPOCH - 900


def test_a_guest_that_stands_still_after_an_error(cloud: Cloud) -> None:
    web_is(cloud, "paused", reason=5)
    [found] = cloud.found(*domains.DETECTORS)
    assert found["kind"] == "guest-not-running"
    assert found["what"].endswith("is paused after an I/O error, such as a full disk")
    assert f"`virsh resume {WEB}` on compute1" in found["remedy"]


@pytest.mark.parametrize(
    ("vm_state", "state"),
    [
        ("stopped", "running"),
        ("suspended", "paused"),
        ("shelved", "running"),
        ("paused", "running"),
    ],
)
def test_a_guest_that_runs_though_nova_says_that_it_does_not(
    cloud: Cloud, vm_state: str, state: str
) -> None:
    web_is(cloud, state, vm_state)
    [found] = cloud.found(*domains.DETECTORS)
    assert found["kind"] == "guest-running-unasked"
    assert found["what"] == (
        f"guest web ({WEB}) is {vm_state} in Nova, and its domain instance-web on compute1 is "
        f"{state}"
    )


@pytest.mark.parametrize(
    ("vm_state", "state", "more"),
    [
        ("active", "shut off", {"since": EPOCH - 60}),
        ("stopped", "running", {"since": EPOCH - 60}),
        ("active", "paused", {"reason": 2}),
        ("active", "shutting down", {}),
        ("stopped", "shut off", {}),
        ("suspended", "shut off", {}),
        ("paused", "paused", {}),
        ("rescued", "running", {}),
        ("error", "shut off", {}),
        ("error", "running", {}),
        ("resized", "shut off", {}),
    ],
    ids=str,
)
def test_states_that_agree_or_will(
    cloud: Cloud, vm_state: str, state: str, more: dict[str, Any]
) -> None:
    web_is(cloud, state, vm_state, **more)
    assert cloud.found(*domains.DETECTORS) == []


@pytest.mark.parametrize(
    "more",
    [
        {"task_state": "powering-off"},
        {"written": ago(60)},
        {"vm_state": "building", "task_state": "spawning"},
    ],
    ids=str,
)
@pytest.mark.parametrize("there", [[], [domain("web", "shut off")]], ids=["absent", "off"])
def test_a_guest_in_the_midst_of_something_is_left_alone(
    cloud: Cloud, more: dict[str, Any], there: list[Any]
) -> None:
    cloud.hosts["compute1"]["domains"] = there
    cloud.hosts["compute2"]["domains"] = [domain("web", "paused")]
    cloud.web.update(more)
    assert cloud.found(*domains.DETECTORS) == []


@pytest.mark.parametrize("status", ["running", "finished", "preparing"])
def test_a_guest_under_migration_may_be_on_both_hosts(cloud: Cloud, status: str) -> None:
    cloud.moves(status=status)
    cloud.hosts["compute2"]["domains"] = [domain("web", "paused")]
    assert cloud.found(*domains.DETECTORS) == []


def test_after_a_reboot_of_its_host_nova_has_a_moment_to_see_it(cloud: Cloud) -> None:
    web_is(cloud, "shut off")
    cloud.hosts["compute1"]["boot"] = EPOCH - 90
    assert cloud.found(*domains.DETECTORS) == []


# --- silence --------------------------------------------------------------------------------------


def test_a_host_that_did_not_answer_is_not_without_domains(cloud: Cloud) -> None:
    del cloud.hosts["compute1"]
    assert cloud.found(*domains.DETECTORS) == []


def test_a_libvirt_that_does_not_answer_is_said_and_nothing_is_concluded(cloud: Cloud) -> None:
    cloud.hosts["compute1"] |= {"domains": None, "domains_error": "virsh: timed out"}
    [found] = cloud.found(*domains.DETECTORS)
    assert found["kind"] == "libvirt-silent"
    assert found["what"] == "libvirt on compute1 does not list its domains: virsh: timed out"


def test_hosts_are_told_apart_by_the_names_that_nova_has(cloud: Cloud) -> None:
    seen = cloud.evidence()
    seen.expected["names"] = {"compute1": "rack1-a", "compute2": "rack1-b"}
    seen.hosts = {"rack1-a": seen.hosts["compute1"], "rack1-b": seen.hosts["compute2"]}
    assert [each for detector in domains.DETECTORS for each in detector(seen)] == []
