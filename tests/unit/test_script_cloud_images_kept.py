"""files/cloud_images.py: what is sent of an image, and that an old one stays until it is sure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloud_images
import pytest
import rest
from typing_extensions import override

from .cloud_requests import asked, changes, converge, refused
from .cloud_stand_in import StandIn
from .serving import ApiError, Headers, Json, running
from .test_cloud_objects_meanwhile import Meanwhile

CONTENT = b"QFI\xfb\0\r\n\xff what the disk holds, which is no text"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "disk.img"
    path.write_bytes(CONTENT)
    return path


def wanted(file: Path, **more: Any) -> Json:
    return {"file": str(file), "disk_format": "raw", **more}


# --- what is sent ---------------------------------------------------------------------------------


def made(cloud: StandIn) -> Json:
    """The only image, without what Glance adds."""
    (image,) = cloud.images.values()
    glances = ("id", "status", "owner", "os_hash_algo", "os_hash_value", "size")
    return {key: value for key, value in image.items() if key not in glances}


def test_an_image_is_made_with_what_is_declared_and_nothing_else(
    cloud: StandIn, file: Path
) -> None:
    properties = {"os_distro": "debian", "unset": None}
    more: Json = {"visibility": "public", "min_disk": 5, "min_ram": 64, "properties": properties}
    more |= {"container_format": "ovf", "checksum": f"sha512:{hashlib.sha512(CONTENT).hexdigest()}"}
    converge(cloud, images={"i": wanted(file, **more)})
    assert made(cloud) == {
        **{"name": "i", "disk_format": "raw", "container_format": "ovf"},
        **{"visibility": "public", "min_disk": 5, "min_ram": 64, "os_distro": "debian"},
        "pyinfra_nova_upload": "true",
    }
    (image,) = cloud.images.values()
    assert image["os_hash_value"] == hashlib.sha512(CONTENT).hexdigest()


def test_what_is_not_declared_is_left_to_glance_but_the_container(
    cloud: StandIn, file: Path
) -> None:
    """Glance compares with a hash of its own; a sha256 that it does not know is noted beside it."""
    digest = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
    converge(cloud, images={"i": wanted(file, checksum=digest)})
    assert made(cloud) == {
        **{"name": "i", "disk_format": "raw", "container_format": "bare", "min_ram": 0},
        **{"pyinfra_nova_upload": "true", "pyinfra_nova_checksum": digest},
    }


def test_a_property_may_have_a_slash_and_a_tilde_in_its_name(cloud: StandIn, file: Path) -> None:
    converge(cloud, images={"i": wanted(file)})
    assert converge(cloud, images={"i": wanted(file, properties={"a/b~c": "1"})}) == [
        "image i: property a/b~c 1 (was not set)"
    ]
    assert made(cloud)["a/b~c"] == "1"


def test_attributes_are_put_right_without_an_upload(cloud: StandIn, file: Path) -> None:
    converge(cloud, images={"i": wanted(file, visibility="private", min_disk=1)})
    better = wanted(file, visibility="public", min_disk=0, min_ram=0)
    assert converge(cloud, images={"i": better}) == [
        "image i: visibility public (was private), min_disk 0 (was 1)"
    ]
    assert (made(cloud)["visibility"], made(cloud)["min_disk"]) == ("public", 0)


# --- what an image holds --------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["disk_format", "container_format"])
def test_another_format_is_other_content(cloud: StandIn, file: Path, key: str) -> None:
    converge(cloud, images={"i": wanted(file, container_format="bare")})
    other = wanted(file, **{"container_format": "bare", key: "qcow2"})
    assert "image i differs" in refused(cloud, images={"i": other})


def test_an_image_that_is_only_described_may_hold_anything(cloud: StandIn, file: Path) -> None:
    converge(cloud, images={"i": wanted(file)})
    assert converge(cloud, images={"i": {"properties": {"a": "1"}}}) == [
        "image i: property a 1 (was not set)"
    ]


def test_a_checksum_of_glances_own_kind_is_compared_without_the_file(
    cloud: StandIn, file: Path
) -> None:
    right = "sha512:" + hashlib.sha512(CONTENT).hexdigest()
    converge(cloud, images={"i": wanted(file)})
    file.write_bytes(b"another file by now")
    assert changes(cloud, images={"i": wanted(file, checksum=right)}) == []
    # The file that is there says what it holds where no checksum does.
    assert "image i differs" in refused(cloud, images={"i": wanted(file)})
    other = "sha512:" + "0" * 128
    assert "image i differs" in refused(cloud, images={"i": wanted(file, checksum=other)})


def test_an_image_that_was_deactivated_is_no_match(cloud: StandIn, file: Path) -> None:
    converge(cloud, images={"i": wanted(file)})
    next(iter(cloud.images.values()))["status"] = "deactivated"
    assert "image i differs" in refused(cloud, images={"i": wanted(file)})


def test_of_several_the_right_one_stays_and_each_other_says_why_it_goes(
    cloud: StandIn, file: Path
) -> None:
    converge(cloud, images={"i": wanted(file)})
    (right,) = cloud.images.values()
    cloud.images["z"] = {**right, "id": "z", "os_hash_value": "0"}
    cloud.make_image({"name": "i", "disk_format": "raw", "pyinfra_nova_upload": "true"}, {})
    assert converge(cloud, images={"i": wanted(file, replace=True)}) == [
        "remove image i without content",
        "remove image i with other content",
    ]
    assert list(cloud.images.values()) == [right]


def test_two_that_both_are_right_are_for_a_person(cloud: StandIn, file: Path) -> None:
    converge(cloud, images={"i": wanted(file)})
    (right,) = cloud.images.values()
    cloud.images["z"] = {**right, "id": "z"}
    said = refused(cloud, images={"i": wanted(file)})
    assert said == "there are 2 images i in the administrator's project"


def test_what_is_refused_says_what_to_do(cloud: StandIn, file: Path) -> None:
    converge(cloud, images={"i": wanted(file)})
    file.write_bytes(b"something else")
    assert refused(cloud, images={"i": wanted(file)}) == (
        "image i differs: it holds something else than is declared; set `replace: true` to have "
        "it uploaded anew"
    )
    file.unlink()
    digest = "sha256:" + "0" * 64
    assert refused(cloud, images={"i": wanted(file, checksum=digest)}) == (
        "image i cannot be compared: Glance does not know this checksum of it; declare sha512"
    )
    assert refused(cloud, images={"j": wanted(file)}) == (
        f"image j is not there, and neither is {file} on this host"
    )


# --- what stays -----------------------------------------------------------------------------------


class Wordless(StandIn):
    """Makes images, and does not say which."""

    @override
    def answer(self, method: str, target: str, body: Any, headers: Headers) -> Any:
        found = super().answer(method, target, body, headers)
        return {} if method == "POST" and target == "/image/v2/images" else found


def test_an_image_that_is_made_and_not_shown_ends_it_and_the_old_one_stays(
    file: Path, old: Json
) -> None:
    with running(Wordless()) as cloud:
        cloud.images["old"] = old
        with pytest.raises(SystemExit) as error:
            asked(cloud, apply=True, images={"i": wanted(file, replace=True)})
        assert f"POST {cloud.url}/image/v2/images answers without an image" in str(error.value)
        assert cloud.images["old"] == old


class Spoiling(StandIn):
    """Stores something else than it is sent, or nothing."""

    def __init__(self, *, status: str = "active", holds: bytes = CONTENT, says: int = 0) -> None:
        super().__init__()
        self.status, self.holds, self.says = status, holds, says

    @override
    def answer(self, method: str, target: str, body: Any, headers: Headers) -> Any:
        if method != "PUT" or not target.endswith("/file"):
            return super().answer(method, target, body, headers)
        key = target.split("/")[-2]
        self.put_image(self.holds, {}, key)
        self.images[key]["status"] = self.status
        if self.status == "gone":
            del self.images[key]
        if self.says:
            raise ApiError(self.says, "no room")
        return {}


@pytest.fixture
def old() -> Iterator[Json]:
    """An image that holds something else."""
    hashed = {"os_hash_algo": "sha512", "os_hash_value": "0", "size": 1}
    yield {"id": "old", "name": "i", "status": "active", "owner": "project-of-admin", **hashed}


SPOILT: dict[str, tuple[Json, str]] = {
    "killed": ({"status": "killed"}, "is killed after its upload"),
    "gone": ({"status": "gone"}, "is gone after its upload"),
    "half": ({"holds": CONTENT[:5]}, "does not hold what was sent"),
}


@pytest.mark.parametrize("how", SPOILT)
def test_an_old_image_stays_where_the_new_one_does_not_hold_what_was_sent(
    file: Path, old: Json, how: str
) -> None:
    kind, said = SPOILT[how]
    with running(Spoiling(**kind)) as cloud:
        cloud.images["old"] = old
        with pytest.raises(SystemExit, match=said):
            asked(cloud, apply=True, images={"i": wanted(file, replace=True)})
        assert cloud.images["old"] == old
        assert not [line for line in cloud.asked if line.startswith("DELETE")]


@pytest.mark.parametrize(("status", "stays"), [("queued", False), ("saving", True)])
def test_of_an_upload_that_glance_refuses_only_an_empty_image_is_taken_back(
    file: Path, old: Json, status: str, stays: bool
) -> None:
    with running(Spoiling(status=status, says=413)) as cloud:
        cloud.images["old"] = old
        with pytest.raises(SystemExit, match="answers 413: no room"):
            asked(cloud, apply=True, images={"i": wanted(file, replace=True)})
        assert ("old" in cloud.images, len(cloud.images) == 2) == (True, stays)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "renamed"},
        {"owner": "given away"},
        {"status": "deactivated"},
        {"os_hash_value": "1"},
        {"size": 2},
    ],
    ids=str,
)
def test_an_image_that_somebody_has_changed_meanwhile_stays(old: Json, change: Json) -> None:
    with running(Meanwhile("GET /image/v2/images", lambda _: old.update(change))) as cloud:
        cloud.images["old"] = old
        with pytest.raises(SystemExit) as error:
            asked(cloud, apply=True, images={"i": {"absent": True}})
        assert list(cloud.images) == ["old"]
    said = "remove image i: image i (old) has changed meanwhile: run it again"
    assert str(error.value).startswith(said)


# --- files ----------------------------------------------------------------------------------------


def test_a_file_is_hashed_whole_and_what_cannot_be_is_named(tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(b"x" * ((1 << 20) + 1))
    assert cloud_images.digest_of(str(large), "sha256") == (
        hashlib.sha256(large.read_bytes()).hexdigest()
    )
    with pytest.raises(rest.Failed, match=f"^{large}: unsupported hash type sha3"):
        cloud_images.digest_of(str(large), "sha3")
    with pytest.raises(rest.Failed, match=f"^{tmp_path}/none: .*No such file"):
        cloud_images.digest_of(str(tmp_path / "none"), "sha256")


def test_what_a_url_holds_is_named_by_the_url_where_it_is_something_else(cloud: StandIn) -> None:
    url = cloud.url + "/identity/v3/domains"
    content = b'{"domains": [{"id": "d", "name": "Default"}]}'
    digest = "sha256:" + "0" * 64
    with pytest.raises(SystemExit) as error:
        asked(
            cloud,
            apply=True,
            images={"i": {"url": url, "disk_format": "raw", "checksum": digest}},
        )
    found = hashlib.sha256(content).hexdigest()
    assert f"{url} holds sha256:{found}, and {digest} is declared" in str(error.value)
    assert cloud.images == {}
