"""files/cloud_objects.py when a request is not answered, or the run is cut off at it.

Every request in turn is the one that fails, against a stand-in for the APIs.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import rest

from .cloud_requests import LARGE, asked, changes, converge, group
from .cloud_stand_in import StandIn
from .serving import FAULTS, Json, running

OLD_KEY, NEW_KEY = "ssh-ed25519 AAAAold", "ssh-ed25519 AAAAnew"
Scenario = tuple[Callable[[StandIn], None], Json]


def private_flavor(cloud: StandIn, **more: Any) -> None:
    given = {"id": "42", "os-flavor-access:is_public": False, "description": "theirs"}
    cloud.flavor("m1", **given, extra_specs={"a": "b"}, **more)
    cloud.access["42"] = ["one", "two"]


REPLACED = {"m1": {**LARGE, "extra_specs": {"c": "d"}, "replace": True}}


def everything(cloud: StandIn) -> None:
    """Something of each kind that has to change or go."""
    private_flavor(cloud)
    cloud.flavor("gone")
    cloud.flavor("specs", **LARGE, extra_specs={"old": "1"})
    aggregate = cloud.make_aggregate({"aggregate": {"name": "old"}}, {})["aggregate"]
    aggregate["hosts"] += ["compute1", "compute2"]
    cloud.make_aggregate({"aggregate": {"name": "empty"}}, {})["aggregate"]["hosts"] += ["compute1"]
    group(cloud, "g")
    group(cloud, "gone")
    cloud.quotas = {"instances": 5}
    cloud.keypairs = {
        "mine": {"name": "mine", "public_key": OLD_KEY},
        "gone": {"name": "gone", "public_key": OLD_KEY},
    }
    cloud.make_image({"name": "i", "disk_format": "raw", "pyinfra_nova_upload": "true"}, {})
    for name in ("i", "gone"):
        made = cloud.make_image({"name": name, "disk_format": "raw"}, {})
        cloud.put_image(b"old content", {}, made["id"])


def wanted(folder: Path) -> Json:
    file = folder / "disk.img"
    file.write_bytes(b"new content")
    gone = {"absent": True}
    return {
        "flavors": {**REPLACED, "gone": gone, "specs": {**LARGE, "extra_specs": {"old": None}}},
        "aggregates": {
            "old": {"hosts": ["compute2"], "only_these_hosts": True},
            "new": {"hosts": ["compute1"], "metadata": {"trait:CUSTOM_X": "required"}},
            "empty": {**gone, "hosts": ["compute1"]},
        },
        "server_groups": {"g": {"policy": "soft-affinity", "replace": True}, "gone": gone},
        "quotas": {"admin": gone},
        "keypairs": {"mine": {"public_key": NEW_KEY, "replace": True}, "gone": gone},
        "images": {"i": {"file": str(file), "disk_format": "raw", "replace": True}, "gone": gone},
    }


def state(cloud: StandIn) -> Json:
    """What there is, without the identifiers that the stand-in makes up."""

    def plain(thing: Json) -> Json:
        made_up = str(thing.get("id", "")).startswith("id-") or isinstance(thing.get("id"), int)
        return {key: value for key, value in thing.items() if not (made_up and key == "id")}

    kinds = (cloud.flavors, cloud.aggregates, cloud.groups, cloud.keypairs, cloud.images)
    listed = [[plain(thing) for thing in kind.values()] for kind in kinds]
    found = [sorted(things, key=lambda thing: str(thing["name"])) for things in listed]
    return copy.deepcopy(
        {
            "things": found,
            "access": {key: sorted(projects) for key, projects in cloud.access.items()},
            "quotas": cloud.quotas,
            "traits": cloud.traits,
        }
    )


def undisturbed(kinds: Json, prepare: Callable[[StandIn], None]) -> tuple[Json, int]:
    """What there is in the end, and the number of requests that it takes."""
    with running(StandIn()) as cloud:
        prepare(cloud)
        asked(cloud, apply=True, **kinds)
        return state(cloud), len(cloud.asked)


def failing(cloud: StandIn, number: int, fault: str, **kinds: Any) -> str:
    """What a run says that fails at that request."""
    cloud.fail(number, fault)
    with pytest.raises(SystemExit) as error:
        asked(cloud, apply=True, **kinds)
    cloud.fails_at = 0
    return str(error.value)


@pytest.mark.parametrize("fault", FAULTS)
def test_after_a_request_without_an_answer_nothing_is_asked_or_changed(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "TIMEOUT", 0.1)
    monkeypatch.setattr("keystone.TIMEOUT", 0.1)
    monkeypatch.setattr("cloud_images.UPLOAD_TIMEOUT", 0.1)
    kinds = wanted(tmp_path)
    _, count = undisturbed(kinds, everything)
    assert count > 60
    # An error, a silence and half an answer at every request; their like at some.
    step = 1 if fault in ("503", "silence", "half") else 5
    for number in range(1, count + 1, step):
        with running(StandIn()) as cloud:
            everything(cloud)
            said = failing(cloud, number, fault, **kinds)
        method, path = cloud.asked[number - 1].split(" ")
        assert f"{method} {cloud.url}{path}" in said and FAULTS[fault] in said
        rest_of_it = cloud.asked[number:]
        if path.endswith("/file") and fault in ("500", "503"):
            # Glance has said no to an upload: its image, still empty, is taken back.
            image = path.removesuffix("/file")
            assert rest_of_it == [f"GET {image}", f"DELETE {image}"]
        else:
            assert rest_of_it == []


def test_what_a_run_that_was_cut_off_has_left_is_finished_by_the_next(tmp_path: Path) -> None:
    # What is done, but not answered, is as much as was done before the request after it.
    kinds = wanted(tmp_path)
    end, count = undisturbed(kinds, everything)
    for number in range(1, count + 1):
        with running(StandIn()) as cloud:
            everything(cloud)
            failing(cloud, number, "lost", **kinds)
            converge(cloud, **kinds)
            assert state(cloud) == end, f"cut off at {cloud.asked[number - 1]}"


def test_a_run_that_is_cut_off_twice_is_finished_too() -> None:
    kinds = {"flavors": REPLACED}
    end, count = undisturbed(kinds, private_flavor)
    for first in range(5, count + 1):
        for second in range(5, count + 1, 2):
            with running(StandIn()) as cloud:
                private_flavor(cloud)
                failing(cloud, first, "lost", **kinds)
                cloud.fail(second, "lost")
                try:
                    asked(cloud, apply=True, **kinds)
                except SystemExit:
                    cloud.fails_at = 0
                    converge(cloud, **kinds)
                assert state(cloud) == end


# --- a flavor whose replacement was cut off -------------------------------------------------------


def cut_off(cloud: StandIn, last: str) -> None:
    """Replace m1 up to and with the request LAST."""
    _, count = undisturbed({"flavors": REPLACED}, private_flavor)
    for number in range(1, count + 1):
        cloud.flavors.clear()
        private_flavor(cloud)
        failing(cloud, number, "lost", flavors=REPLACED)
        if cloud.asked[-1] == last:
            return
    raise AssertionError(f"never asked {last}")


DELETED = "DELETE /compute/v2.1/flavors/42"
NOTED = "POST /compute/v2.1/flavors"
FINISHED = "finish replacing flavor m1, which was cut off: vcpus 2, ram 1024, disk 10"


def test_the_plan_says_what_there_is_left_to_do(cloud: StandIn) -> None:
    cut_off(cloud, DELETED)
    assert [flavor["name"] for flavor in cloud.flavors.values()] == ["m1.pyinfra-nova-replaces"]
    (text,) = changes(cloud, flavors=REPLACED)
    assert text.startswith(FINISHED)
    cut_off(cloud, NOTED)
    assert changes(cloud, flavors=REPLACED) == [
        "remove flavor m1.pyinfra-nova-replaces: "
        "the replacement of flavor m1 was cut off before it began",
        "replace flavor m1: vcpus 2 (was 1), ram 1024 (was 512), disk 10 (was 1)",
    ]


def test_it_is_finished_although_nothing_declares_it_any_more(cloud: StandIn) -> None:
    cut_off(cloud, DELETED)
    cloud.flavor("other", **LARGE)
    (text,) = converge(cloud, flavors={"other": LARGE})
    assert text.startswith(FINISHED)
    assert cloud.flavors["42"]["extra_specs"] == {"a": "b", "c": "d"}
    assert cloud.access == {"42": ["one", "two"]}


def test_it_is_not_made_again_when_it_has_to_go(cloud: StandIn) -> None:
    cut_off(cloud, DELETED)
    assert converge(cloud, flavors={"m1": {"absent": True}}) == [
        "remove flavor m1.pyinfra-nova-replaces: no flavor of this name is wanted"
    ]
    assert cloud.flavors == {}


def test_it_becomes_what_is_declared_by_now(cloud: StandIn) -> None:
    cut_off(cloud, DELETED)
    now = {"m1": {**LARGE, "vcpus": 8, "extra_specs": {"c": "e"}, "replace": True}}
    first, second = converge(cloud, flavors=now)
    assert first.startswith(FINISHED)
    assert second == "replace flavor m1: vcpus 8 (was 2)"
    assert cloud.flavors["42"]["vcpus"] == 8
    assert cloud.flavors["42"]["extra_specs"] == {"a": "b", "c": "e"}
    assert cloud.access == {"42": ["one", "two"]}


WHOLE: Json = {
    **{"name": "m1", "id": "42", "description": None, "extra_specs": {}, "access": []},
    **{"vcpus": 8, "ram": 512, "disk": 1, "ephemeral": 0, "swap": 0, "is_public": True},
}


@pytest.mark.parametrize(
    ("is_public", "description"),
    [
        (True, json.dumps(WHOLE)),
        (False, json.dumps({**WHOLE, "name": "m2"})),
        (False, json.dumps({key: value for key, value in WHOLE.items() if key != "access"})),
        (False, "the one of before"),
        (False, "[]"),
        (False, "7"),
        (False, None),
    ],
    ids=["public", "of another", "half", "words", "list", "number", "nothing"],
)
def test_a_flavor_of_somebodys_that_is_only_called_so_is_left_alone(
    is_public: bool, description: str | None, cloud: StandIn
) -> None:
    more = {"os-flavor-access:is_public": is_public, "description": description}
    theirs = dict(cloud.flavor("m1.pyinfra-nova-replaces", **more))
    cloud.flavor("m1", **LARGE)
    assert converge(cloud, flavors={"m1": LARGE}) == []
    assert theirs in cloud.flavors.values()


def test_a_note_of_ours_is_told_by_all_of_that(cloud: StandIn) -> None:
    more = {"os-flavor-access:is_public": False, "description": json.dumps(WHOLE)}
    cloud.flavor("m1.pyinfra-nova-replaces", **more)
    cloud.flavor("m1", **LARGE)
    assert converge(cloud, flavors={"m1": LARGE}) == [
        "remove flavor m1.pyinfra-nova-replaces: "
        "the replacement of flavor m1 was cut off before it began"
    ]
