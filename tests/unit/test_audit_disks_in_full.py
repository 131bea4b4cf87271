"""Findings about files on computes word by word: what they name is removed by hand."""

from __future__ import annotations

import disks
import pytest

from .audited_guests import EPOCH, INSTANCES, Cloud, folder, named, only

NOBODY = named("nobody")
DAY = 86400


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


@pytest.mark.parametrize("end", ["", "_resize", "_del"])
def test_a_folder_of_nobody(cloud: Cloud, end: str) -> None:
    cloud.hosts["compute2"]["folders"].append(folder(NOBODY + end, bytes=1023))
    path = f"{INSTANCES}/{NOBODY}{end}"
    assert only(cloud, disks.folders_without_owner) == (
        "compute2",
        f"folder {path} on compute2 holds 1023 bytes, and its guest is in none of Nova's databases",
        f"when nobody needs what is in it, `rm -r {path}` on compute2",
        EPOCH - DAY,
        NOBODY + end,
    )
    cloud.gone("nobody", DAY)
    assert (
        "on compute2 holds 1023 bytes, and its guest is deleted"
        in (only(cloud, disks.folders_without_owner)[1])
    )


@pytest.mark.parametrize(("age", "found"), [(120, 1), (119, 0)])
def test_a_folder_that_was_written_to_by_the_hosts_clock_is_left_alone(
    cloud: Cloud, age: int, found: int
) -> None:
    host = cloud.hosts["compute2"]
    host["time"] = EPOCH + 5000
    host["folders"].append(folder(NOBODY, written=EPOCH + 5000 - age))
    assert len(cloud.found(disks.folders_without_owner)) == found


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 bytes"),
        (1024, "1.0 KiB"),
        (1536, "1.5 KiB"),
        (1024**2, "1.0 MiB"),
        (1024**4, "1.0 TiB"),
        (2048 * 1024**4, "2048.0 TiB"),
    ],
)
def test_a_size_is_told_in_the_largest_unit_of_which_there_is_one(count: int, words: str) -> None:
    assert disks.size(count) == words


def test_an_image_that_no_disk_is_made_of(cloud: Cloud) -> None:
    idle = disks.UNUSED
    host = cloud.hosts["compute1"]
    host["bases"] = [{"name": "abc", "bytes": 1024**3, "written": EPOCH - idle}]
    path = f"{INSTANCES}/_base/abc"
    assert only(cloud, disks.unused_bases) == (
        "compute1",
        f"image {path} on compute1 holds 1.0 GiB, no disk is made of it, and Nova has not touched "
        f"it for {idle // 3600} hours",
        f"`rm {path}` on compute1, after a look at its log for 'image cache': nova-compute removes "
        "such images after a day unless remove_unused_base_images is off",
        EPOCH - idle,
        "abc",
    )
    host["bases"][0]["written"] += 1
    assert cloud.found(disks.unused_bases) == []
    host["bases"][0]["written"] -= 1
    host["backing"] = [path]
    assert cloud.found(disks.unused_bases) == []
    # What is of one host's disks says nothing about another host's images.
    cloud.hosts["compute2"]["bases"], host["bases"] = host["bases"], []
    assert only(cloud, disks.unused_bases)[0] == "compute2"
