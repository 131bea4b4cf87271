"""files/cloud_images.py against a stand-in for the APIs, over real sockets."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from .cloud_requests import asked, converge, refused
from .cloud_stand_in import StandIn


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(b"what the disk holds")
    return path


def checksum(file: Path, kind: str) -> str:
    return f"{kind}:{hashlib.new(kind, file.read_bytes()).hexdigest()}"


@pytest.mark.parametrize("kind", ["sha256", "sha512"])
def test_an_image_with_the_right_checksum_is_uploaded_once(
    cloud: StandIn, file: Path, kind: str
) -> None:
    wanted = {"file": str(file), "disk_format": "raw", "checksum": checksum(file, kind)}
    wanted |= {"properties": {"os_distro": "debian"}, "min_ram": 64}  # type: ignore[dict-item]
    assert converge(cloud, images={"i": wanted}) == [f"upload image i: {file}"]
    (image,) = cloud.images.values()
    assert (image["status"], image["os_distro"], image["min_ram"]) == ("active", "debian", 64)
    # From here on the file is not needed.
    file.unlink()
    assert converge(cloud, images={"i": wanted}) == []


def test_properties_change_without_an_upload(cloud: StandIn, file: Path) -> None:
    wanted: dict[str, Any] = {"file": str(file), "disk_format": "raw"}
    converge(cloud, images={"i": {**wanted, "properties": {"a": "1", "b": "2"}}})
    cloud.images[next(iter(cloud.images))]["theirs"] = "kept"
    wanted |= {"min_ram": 128, "properties": {"a": "x", "b": None, "c": "3"}}
    assert converge(cloud, images={"i": wanted}) == [
        "image i: min_ram 128 (was 0), property a x (was 1), no property b (was 2), "
        "property c 3 (was not set)"
    ]
    assert "PUT" not in " ".join(cloud.asked)
    (image,) = cloud.images.values()
    assert (image["theirs"], "b" in image) == ("kept", False)


def test_other_content_is_drift_unless_the_image_may_be_replaced(
    cloud: StandIn, file: Path
) -> None:
    wanted = {"file": str(file), "disk_format": "raw"}
    converge(cloud, images={"i": wanted})
    (old,) = cloud.images
    file.write_bytes(b"something else")
    assert "it holds something else than is declared" in refused(cloud, images={"i": wanted})
    planned = converge(cloud, images={"i": {**wanted, "replace": True}})
    assert planned == [f"replace image i: {file}"]
    assert len(cloud.images) == 1 and old not in cloud.images


def test_content_that_is_not_as_declared_is_not_uploaded(cloud: StandIn, file: Path) -> None:
    wanted = {"file": str(file), "disk_format": "raw", "checksum": "sha256:" + "0" * 64}
    with pytest.raises(SystemExit, match=r"holds sha256:.* and sha256:0+ is declared"):
        asked(cloud, apply=True, images={"i": wanted})
    assert cloud.images == {}


def test_an_image_is_fetched_from_a_url(cloud: StandIn, file: Path) -> None:
    # The stand-in's own list of domains is as good as any file.
    url = cloud.url + "/identity/v3/domains"
    content = b'{"domains": [{"id": "d", "name": "Default"}]}'
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    wanted = {"url": url, "disk_format": "raw", "checksum": digest}
    assert converge(cloud, images={"i": wanted}) == [f"upload image i: {url}"]
    assert next(iter(cloud.images.values()))["size"] == len(content)
    wanted["checksum"] = "sha512:" + "0" * 128
    assert "holds something else" in refused(cloud, images={"i": wanted})
    cloud.images.clear()
    wanted["url"] = cloud.url + "/nothing"
    with pytest.raises(SystemExit, match=r"GET .*/nothing answers 404"):
        asked(cloud, apply=True, images={"i": wanted})


def test_an_image_of_somebody_else_is_not_taken_for_ours(cloud: StandIn, file: Path) -> None:
    theirs = {"id": "t", "name": "i", "owner": "other", "status": "active"}
    cloud.images["t"] = dict(theirs)
    wanted = {"file": str(file), "disk_format": "raw"}
    assert converge(cloud, images={"i": wanted}) == [f"upload image i: {file}"]
    assert converge(cloud, images={"i": {"absent": True}}) == ["remove image i"]
    assert cloud.images == {"t": theirs}


def test_images_are_found_on_later_pages(cloud: StandIn, file: Path) -> None:
    wanted = {"file": str(file), "disk_format": "raw"}
    names = ["a", "b", "c", "d", "e"]
    assert len(converge(cloud, images=dict.fromkeys(names, wanted))) == len(names)


def test_what_an_interrupted_upload_left_is_replaced(cloud: StandIn, file: Path) -> None:
    body = {"name": "i", "disk_format": "raw", "pyinfra_nova_upload": "true"}
    cloud.make_image(body, {})
    wanted = {"file": str(file), "disk_format": "raw"}
    assert converge(cloud, images={"i": wanted}) == [f"replace image i: {file}"]
    assert [image["status"] for image in cloud.images.values()] == ["active"]


def test_an_image_that_somebody_is_about_to_upload_is_left(cloud: StandIn, file: Path) -> None:
    cloud.make_image({"name": "i", "disk_format": "raw"}, {})
    wanted = {"file": str(file), "disk_format": "raw"}
    assert "set `replace: true`" in refused(cloud, images={"i": wanted})
    assert [image["status"] for image in cloud.images.values()] == ["queued"]


def test_an_image_that_is_only_described_has_to_be_there(cloud: StandIn, tmp_path: Path) -> None:
    described = {"i": {"properties": {"hw_rng_model": "virtio"}}}
    assert "is not there, and neither file nor url" in refused(cloud, images=described)
    gone = {"i": {"file": str(tmp_path / "gone"), "disk_format": "raw"}}
    assert f"neither is {tmp_path}/gone on this host" in refused(cloud, images=gone)


def test_several_images_of_one_name_are_refused(cloud: StandIn, file: Path) -> None:
    wanted = {"file": str(file), "disk_format": "raw"}
    converge(cloud, images={"i": wanted})
    (image,) = cloud.images.values()
    cloud.images["z"] = {**image, "id": "z", "os_hash_value": "0"}
    assert "there are 2 images i" in refused(cloud, images={"i": wanted})
    planned = converge(cloud, images={"i": {**wanted, "replace": True}})
    assert planned == ["remove image i with other content"]
    assert "z" not in cloud.images


def test_a_checksum_that_glance_cannot_compare_is_said(cloud: StandIn, file: Path) -> None:
    converge(cloud, images={"i": {"file": str(file), "disk_format": "raw"}})
    digest = checksum(file, "sha256")
    file.unlink()
    wanted = {"file": str(file), "disk_format": "raw", "checksum": digest}
    assert "cannot be compared" in refused(cloud, images={"i": wanted})
