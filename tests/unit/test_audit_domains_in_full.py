"""Findings about domains as an operator gets them, word by word: the remedies are pasted."""

from __future__ import annotations

from typing import Any

import domains
import pytest

from .audited_guests import EPOCH, WEB, Cloud, domain, named, only

NOBODY = named("nobody")
DAY = 86400
SINCE = EPOCH - DAY


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


def gone(uuid: str) -> str:
    return f"`virsh destroy {uuid}; virsh undefine --managed-save --nvram {uuid}` ends it for good"


def test_a_libvirt_that_does_not_answer(cloud: Cloud) -> None:
    cloud.hosts["compute1"] |= {"domains": None, "domains_error": "Failed to connect socket"}
    assert only(cloud, domains.silent_libvirts) == (
        "compute1",
        "libvirt on compute1 does not list its domains: Failed to connect socket",
        "see `journalctl -u libvirtd -u virtqemud` on compute1",
        None,
        "libvirt",
    )


def test_a_domain_of_nobody(cloud: Cloud) -> None:
    cloud.hosts["compute2"]["domains"].append(domain("nobody", "paused"))
    assert only(cloud, domains.domains_without_guest) == (
        "compute2",
        f"domain instance-nobody ({NOBODY}) on compute2 is paused and is in none of Nova's "
        "databases",
        f"`virsh dumpxml {NOBODY}` on compute2 tells what it is, and whoever made it whether it is "
        f"needed; if nobody needs it, {gone(NOBODY)}",
        SINCE,
        NOBODY,
    )
    cloud.gone("nobody", 2 * DAY)
    assert only(cloud, domains.domains_without_guest) == (
        "compute2",
        f"guest {NOBODY} is deleted, and its domain instance-nobody on compute2 is paused",
        "nova-compute on compute2 removes it within half an hour unless "
        f"running_deleted_instance_action says otherwise; by hand: {gone(NOBODY)}",
        EPOCH - 2 * DAY,
        NOBODY,
    )


def test_a_domain_on_two_hosts(cloud: Cloud) -> None:
    cloud.hosts["compute2"]["domains"].append(domain("web", "paused", since=EPOCH - 2 * DAY))
    assert only(cloud, domains.misplaced_domains) == (
        "compute2",
        f"guest web ({WEB}) is on compute1 in Nova, and in libvirt it is running on compute1 and "
        "paused on compute2",
        f"on compute2, when compute1 runs the right one: {gone(WEB)}",
        EPOCH - 2 * DAY,
        WEB,
    )


@pytest.mark.parametrize("host", ["compute1", None])
def test_a_domain_on_another_host(cloud: Cloud, host: str | None) -> None:
    cloud.web.update(host=host, node=host)
    cloud.hosts["compute1"]["domains"].clear()
    cloud.hosts["compute2"]["domains"].append(domain("web"))
    assert only(cloud, domains.misplaced_domains) == (
        "compute2",
        f"guest web ({WEB}) is on {host or 'no host'} in Nova, and in libvirt it is running on "
        "compute2",
        "compare the disks on both hosts; if compute2 has the right one, set host and node of the "
        f"guest in the cell's table instances; otherwise on compute2: {gone(WEB)}",
        SINCE,
        WEB,
    )


def test_a_guest_without_a_domain(cloud: Cloud) -> None:
    cloud.hosts["compute1"]["domains"].clear()
    assert only(cloud, domains.guests_against_domains) == (
        "compute1",
        f"guest web ({WEB}) is active in Nova, and libvirt on compute1 has no such domain",
        f"`openstack server reboot --hard {WEB}` makes it anew of the disks that are left; "
        f"`openstack server delete {WEB}` if it was deleted since a backup was restored",
        None,
        WEB,
    )


HARD = f"`openstack server reboot --hard {WEB}`"
STATES: dict[str, tuple[str, dict[str, Any], str, str, float | None]] = {
    "off": (
        "active",
        {"state": "shut off"},
        "shut off",
        f"{HARD} starts it, `openstack server stop {WEB}` says that it is meant",
        SINCE,
    ),
    "paused by an error": (
        "rescued",
        {"state": "paused", "reason": 5},
        "paused after an I/O error, such as a full disk",
        f"when the cause is gone, `virsh resume {WEB}` on compute1",
        None,
    ),
    "paused by somebody": (
        "active",
        {"state": "paused", "reason": 1},
        "paused",
        f"when the cause is gone, `virsh resume {WEB}` on compute1",
        None,
    ),
    "runs": (
        "stopped",
        {"state": "running"},
        "running",
        f"{HARD} if it is to run; otherwise `virsh shutdown {WEB}` on compute1",
        SINCE,
    ),
}


@pytest.mark.parametrize("how", STATES)
def test_a_domain_in_another_state(cloud: Cloud, how: str) -> None:
    vm_state, libvirts, state, remedy, since = STATES[how]
    cloud.web["vm_state"] = vm_state
    cloud.hosts["compute1"]["domains"][0].update(libvirts)
    assert only(cloud, domains.guests_against_domains) == (
        "compute1",
        f"guest web ({WEB}) is {vm_state} in Nova, and its domain instance-web on compute1 is "
        f"{state}",
        remedy,
        since,
        WEB,
    )


@pytest.mark.parametrize("key", ["since", "boot"])
def test_a_state_is_told_once_it_is_two_minutes_old_by_the_hosts_clock(
    cloud: Cloud, key: str
) -> None:
    cloud.web["vm_state"] = "stopped"
    host = cloud.hosts["compute1"]
    host["time"] = EPOCH + 5000  # which is not that of the controller
    held = host["domains"][0] if key == "since" else host
    held[key] = EPOCH + 5000 - 120
    assert len(cloud.found(domains.guests_against_domains)) == 1
    held[key] += 1
    assert cloud.found(domains.guests_against_domains) == []


def test_guests_that_are_left_alone_hide_none_that_is_not(cloud: Cloud) -> None:
    cloud.web.update(vm_state="building")
    cloud.add("last", "compute1", vm_state="paused")
    last = cloud.hosts["compute1"]["domains"][-1]
    last["state"] = "shut off"
    assert only(cloud, domains.guests_against_domains)[4] == last["uuid"]
    cloud.hosts["compute2"]["domains"].append({**last, "state": "running"})
    assert only(cloud, domains.misplaced_domains)[4] == last["uuid"]
