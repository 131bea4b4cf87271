"""An audit's findings about folders and images that nobody owns; and what it leaves alone."""

from __future__ import annotations

from typing import Any

import disks
import pytest

from .audited_guests import EPOCH, INSTANCES, WEB, Cloud, ago, domain, folder, named

OLD = named("old")
IMAGE = "da39a3ee5e6b4b0d3255bfef95601890afd80709"


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


def base(**more: Any) -> dict[str, Any]:
    return folder(IMAGE, written=EPOCH - 3 * 86400, **more)


def test_a_healthy_cloud_has_no_findings(cloud: Cloud) -> None:
    assert cloud.found(*disks.DETECTORS) == []


@pytest.mark.parametrize("suffix", ["", "_resize", "_del"])
def test_a_folder_of_a_deleted_guest(cloud: Cloud, suffix: str) -> None:
    cloud.hosts["compute2"]["folders"] = [folder(OLD + suffix)]
    cloud.gone("old", since=86400)
    [found] = cloud.found(*disks.DETECTORS)
    path = f"{INSTANCES}/{OLD}{suffix}"
    assert found["kind"] == "guest-folder-without-owner"
    assert found["where"] == "compute2"
    assert found["what"] == f"folder {path} on compute2 holds 3.0 GiB, and its guest is deleted"
    assert f"`rm -r {path}` on compute2" in found["remedy"]
    assert found["since"] == EPOCH - 86400
    assert found["repair"] is None


def test_a_folder_of_nobody(cloud: Cloud) -> None:
    cloud.hosts["compute2"]["folders"] = [folder(OLD, bytes=512)]
    [found] = cloud.found(*disks.DETECTORS)
    assert found["what"].endswith("holds 512 bytes, and its guest is in none of Nova's databases")


def test_a_folder_that_a_guest_left_behind(cloud: Cloud) -> None:
    cloud.hosts["compute2"]["folders"] = [folder(WEB)]
    [found] = cloud.found(*disks.DETECTORS)
    assert found["what"].endswith("and its guest is active on compute1")


def test_a_disk_of_before_a_resize_that_has_ended(cloud: Cloud) -> None:
    cloud.hosts["compute1"]["folders"].append(folder(WEB + "_resize"))
    [found] = cloud.found(*disks.DETECTORS)
    assert found["what"].endswith("is active on compute1, with no resize or deletion under way")


def test_the_folder_of_a_domain_that_is_there_is_that_domains(cloud: Cloud) -> None:
    """It holds the disks of what may be somebody's; of the domain itself the audit tells."""
    cloud.hosts["compute2"]["folders"] = [folder(OLD), folder(OLD + "_resize")]
    cloud.hosts["compute2"]["domains"] = [domain("old")]
    cloud.gone("old", since=86400)
    [found] = cloud.found(*disks.DETECTORS)
    assert f"{OLD}_resize on compute2" in found["what"]
    cloud.hosts["compute2"]["domains"] = None
    assert [each["key"][-7:] for each in cloud.found(*disks.DETECTORS)] == []


def resized(cloud: Cloud) -> None:
    cloud.moves(migration_type="resize", status="finished")
    cloud.web.update(host="compute2", node="compute2", vm_state="resized")
    cloud.hosts["compute1"]["folders"] = [folder(WEB + "_resize")]
    cloud.hosts["compute2"]["folders"] = [folder(WEB)]


def evacuated(cloud: Cloud) -> None:
    cloud.moves(migration_type="evacuation", status="done")
    cloud.web.update(host="compute2", node="compute2")
    cloud.hosts["compute2"]["folders"] = [folder(WEB)]


def migrating(cloud: Cloud) -> None:
    cloud.moves(status="running")
    cloud.hosts["compute2"]["folders"] = [folder(WEB)]


def made_just_now(cloud: Cloud) -> None:
    cloud.hosts["compute2"]["folders"] = [folder(OLD, written=EPOCH - 20)]


def deleted_just_now(cloud: Cloud) -> None:
    cloud.hosts["compute2"]["folders"] = [folder(OLD)]
    cloud.gone("old", since=20)


def being_built(cloud: Cloud) -> None:
    cloud.hosts["compute2"]["folders"] = [folder(OLD)]
    cloud.strangers["build_requests"] = [{"instance_uuid": OLD}]


def just_unshelved(cloud: Cloud) -> None:
    cloud.web.update(host="compute2", node="compute2", written=ago(20))


def without_disk(cloud: Cloud) -> None:
    """On a volume, and stopped: there is no folder, and none is missed."""
    cloud.hosts["compute1"] |= {"folders": [], "domains": [domain("web", "shut off")]}
    cloud.web.update(vm_state="stopped")


@pytest.mark.parametrize(
    "state",
    [
        resized,
        evacuated,
        migrating,
        made_just_now,
        deleted_just_now,
        being_built,
        just_unshelved,
        without_disk,
    ],
)
def test_folders_in_the_midst_of_life(cloud: Cloud, state: Any) -> None:
    state(cloud)
    assert cloud.found(*disks.DETECTORS) == []


def test_a_folder_on_shared_storage_belongs_to_a_guest_on_any_host(cloud: Cloud) -> None:
    for host in cloud.hosts.values():
        host |= {"shared": True, "folders": [folder(WEB)]}
    assert cloud.found(*disks.DETECTORS) == []


def test_one_without_owner_is_named_once(cloud: Cloud) -> None:
    for host in cloud.hosts.values():
        host |= {"shared": True, "folders": [folder(OLD)]}
    [found] = cloud.found(*disks.DETECTORS)
    assert found["where"] == "compute1"


# --- images ---------------------------------------------------------------------------------------


def test_an_image_that_no_disk_is_made_of(cloud: Cloud) -> None:
    cloud.hosts["compute1"]["bases"] = [base()]
    [found] = cloud.found(*disks.DETECTORS)
    path = f"{INSTANCES}/_base/{IMAGE}"
    assert found["kind"] == "base-image-unused"
    assert found["what"] == (
        f"image {path} on compute1 holds 3.0 GiB, no disk is made of it, and Nova has not touched "
        "it for 72 hours"
    )
    assert found["since"] == EPOCH - 3 * 86400


def test_an_image_that_a_disk_is_made_of(cloud: Cloud) -> None:
    cloud.hosts["compute1"] |= {"bases": [base()], "backing": [f"{INSTANCES}/_base/{IMAGE}"]}
    assert cloud.found(*disks.DETECTORS) == []


def test_an_image_that_nova_still_keeps_for_a_day(cloud: Cloud) -> None:
    cloud.hosts["compute1"]["bases"] = [base() | {"written": EPOCH - 86400}]
    assert cloud.found(*disks.DETECTORS) == []


def test_where_a_disk_could_not_be_read_no_image_is_called_unused(cloud: Cloud) -> None:
    cloud.hosts["compute1"] |= {"bases": [base()], "unread": [f"{INSTANCES}/{WEB}/disk"]}
    assert cloud.found(*disks.DETECTORS) == []


@pytest.mark.parametrize(
    ("count", "text"), [(512, "512 bytes"), (1536, "1.5 KiB"), (5 * 1024**5, "5120.0 TiB")]
)
def test_sizes_are_said_as_people_do(count: int, text: str) -> None:
    assert disks.size(count) == text
