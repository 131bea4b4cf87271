"""files/cloud_objects.py when somebody else changes the cloud between two of its requests."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from .cloud_requests import LARGE, asked, group
from .cloud_stand_in import PROJECT, StandIn
from .serving import Json, running

OLD_KEY, NEW_KEY = "ssh-ed25519 AAAAold", "ssh-ed25519 AAAAnew"
REPLACED = {"m1": {**LARGE, "extra_specs": {"c": "d"}, "replace": True}}


class Meanwhile(StandIn):
    """Somebody changes the cloud once, right after the first answer to a chosen question."""

    def __init__(self, question: str, change: Callable[[StandIn], object]) -> None:
        super().__init__()
        self.question, self.change = question, change

    def answer(self, method: str, target: str, body: Any, headers: Any) -> Any:
        found = copy.deepcopy(super().answer(method, target, body, headers))
        if self.asked[-1] == self.question and self.question in self.asked:
            self.question = ""
            self.change(self)
        return found


def first(things: dict[str, Json]) -> Json:
    return next(iter(things.values()))


CHANGED: dict[str, tuple[str, Callable[[StandIn], object], Json, str]] = {
    "guests of a flavor": (
        "GET /compute/v2.1/servers",
        lambda cloud: cloud.guests.append(first(cloud.flavors)["id"]),
        {"flavors": {"gone": {"absent": True}}},
        "remove flavor gone: there are guests of it",
    ),
    "a cell that went away": (
        "GET /compute/v2.1/servers",
        lambda cloud: cloud.away.append("compute2"),
        {"flavors": {"gone": {"absent": True}}},
        "the cell of compute2 does not answer, which may have guests of it",
    ),
    "a flavor's extra specs": (
        "POST /compute/v2.1/flavors",
        lambda cloud: cloud.flavors["42"]["extra_specs"].update(x="y"),
        {"flavors": REPLACED},
        "flavor m1 has changed meanwhile: run it again",
    ),
    "members of a group": (
        "GET /compute/v2.1/os-server-groups",
        lambda cloud: first(cloud.groups)["members"].append("guest"),
        {"server_groups": {"g": {"policy": "soft-affinity", "replace": True}}},
        "it has 1 members",
    ),
    "hosts of an aggregate": (
        "GET /compute/v2.1/os-services",
        lambda cloud: first(cloud.aggregates)["hosts"].append("compute2"),
        {"aggregates": {"old": {"absent": True}}},
        "remove aggregate old: compute2 is in it",
    ),
    "a keypair": (
        "GET /compute/v2.1/os-keypairs",
        lambda cloud: cloud.keypairs["mine"].update(public_key="ssh-ed25519 AAAAthird"),
        {"keypairs": {"mine": {"public_key": NEW_KEY, "replace": True}}},
        "keypair mine has changed meanwhile",
    ),
    "an image": (
        "GET /image/v2/images",
        lambda cloud: cloud.put_image(b"third", {}, first(cloud.images)["id"]),
        {"images": {"gone": {"absent": True}}},
        "has changed meanwhile: run it again",
    ),
}


@pytest.mark.parametrize("what", CHANGED)
def test_nothing_goes_whose_reason_has_gone(what: str) -> None:
    question, change, kinds, text = CHANGED[what]
    with running(Meanwhile(question, change)) as cloud:
        if "m1" in kinds.get("flavors", {}):
            cloud.flavor("m1", id="42", extra_specs={"a": "b"})
        else:
            cloud.flavor("gone")
        cloud.make_aggregate({"aggregate": {"name": "old"}}, {})
        group(cloud, "g")
        cloud.keypairs = {"mine": {"name": "mine", "public_key": OLD_KEY}}
        made = cloud.make_image({"name": "gone", "disk_format": "raw"}, {})
        cloud.put_image(b"old", {}, made["id"])
        with pytest.raises(SystemExit) as error:
            asked(cloud, apply=True, **kinds)
    assert text in str(error.value)
    assert not [line for line in cloud.asked if line.startswith("DELETE")]


def test_a_quota_that_is_the_default_by_now_is_not_reset() -> None:
    with running(
        Meanwhile("GET /compute/v2.1/os-quota-sets/" + PROJECT, lambda cloud: cloud.quotas.clear())
    ) as cloud:
        cloud.quotas = {"instances": 5}
        asked(cloud, apply=True, quotas={"admin": {"absent": True}})
    assert not [line for line in cloud.asked if line.startswith("DELETE")]


def test_a_flavor_stays_while_the_cell_of_its_guests_may_be_away(cloud: StandIn) -> None:
    cloud.flavor("gone")
    cloud.away = ["compute2"]
    (text,) = asked(cloud, flavors={"gone": {"absent": True}})["refused"]
    assert text == (
        "flavor gone is not removed: the cell of compute2 does not answer, "
        "which may have guests of it"
    )


def test_an_image_that_somebody_is_uploading_is_left_to_them(cloud: StandIn) -> None:
    made = cloud.make_image({"name": "i", "disk_format": "raw", "status": "saving"}, {})
    for wanted in ({"absent": True}, {"url": "http://x", "disk_format": "raw", "replace": True}):
        (text,) = asked(cloud, images={"i": wanted})["refused"]
        assert text.startswith(f"image i ({made['id']}) is being uploaded")


# --- what has gone by itself ----------------------------------------------------------------------

GONE = {"gone": {"absent": True}}
SELF: dict[str, tuple[str, str, str, Json]] = {
    "a flavor": (
        "flavors",
        "GET /compute/v2.1/servers",
        "GET /compute/v2.1/flavors/{}",
        {"flavors": GONE},
    ),
    "an extra spec": (
        "flavors",
        "GET /compute/v2.1/flavors/detail",
        "GET /compute/v2.1/flavors/{}/os-extra_specs",
        {"flavors": {"gone": {"vcpus": 1, "ram": 512, "disk": 1, "extra_specs": {"a": None}}}},
    ),
    "an aggregate": (
        "aggregates",
        "GET /compute/v2.1/os-aggregates",
        "GET /compute/v2.1/os-aggregates/{}",
        {"aggregates": GONE},
    ),
    "a server group": (
        "groups",
        "GET /compute/v2.1/os-server-groups",
        "GET /compute/v2.1/os-server-groups/{}",
        {"server_groups": GONE},
    ),
    "a keypair": (
        "keypairs",
        "GET /compute/v2.1/os-keypairs",
        "GET /compute/v2.1/os-keypairs/{}",
        {"keypairs": GONE},
    ),
    "an image": (
        "images",
        "GET /image/v2/images",
        "GET /image/v2/images/{}",
        {"images": GONE},
    ),
}


@pytest.mark.parametrize("when", ["compared", "read again"])
@pytest.mark.parametrize("what", SELF)
def test_what_has_gone_by_itself_is_no_fault(what: str, when: str) -> None:
    kind, compared, read_again, kinds = SELF[what]
    with running(Meanwhile("", lambda cloud: getattr(cloud, kind).clear())) as cloud:
        cloud.flavor("gone", id="gone", extra_specs={"a": "b"})
        made = cloud.make_aggregate({"aggregate": {"name": "gone"}}, {})["aggregate"]
        group(cloud, "gone")
        cloud.keypairs = {"gone": {"name": "gone", "public_key": OLD_KEY}}
        image = cloud.make_image({"name": "gone", "disk_format": "raw"}, {})
        cloud.put_image(b"old", {}, image["id"])
        names = {"aggregates": made["id"], "groups": first(cloud.groups)["id"]}
        names["images"] = image["id"]
        question = compared if when == "compared" else read_again.format(names.get(kind, "gone"))
        cloud.question = question
        answer = asked(cloud, apply=True, **kinds)
        assert question in cloud.asked
        assert (len(answer["changes"]), getattr(cloud, kind)) == (1, {})


def test_metadata_of_an_aggregate_that_has_gone_by_itself_is_not_removed() -> None:
    with running(
        Meanwhile(
            "GET /compute/v2.1/os-services",
            lambda cloud: first(cloud.aggregates)["metadata"].clear(),
        )
    ) as cloud:
        made = cloud.make_aggregate({"aggregate": {"name": "ssd"}}, {})["aggregate"]
        made["metadata"]["old"] = "x"
        asked(cloud, apply=True, aggregates={"ssd": {"metadata": {"old": None}}})
    assert not [line for line in cloud.asked if line.endswith("/action")]


def test_a_property_of_an_image_that_has_gone_by_itself_is_not_removed() -> None:
    with running(Meanwhile("GET /image/v2/images", lambda c: first(c.images).pop("old"))) as cloud:
        made = cloud.make_image({"name": "i", "disk_format": "raw", "old": "x"}, {})
        cloud.put_image(b"text", {}, made["id"])
        wanted = {"disk_format": "raw", "properties": {"old": None}}
        asked(cloud, apply=True, images={"i": wanted})
        assert not [line for line in cloud.asked if line.startswith("PATCH")]
        first(cloud.images)["old"] = "y"
        asked(cloud, apply=True, images={"i": wanted})
        assert "old" not in first(cloud.images)
