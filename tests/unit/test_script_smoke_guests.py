"""files/smoke_guests.py: how far computes are that join, as it is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import smoke_guests
import smoke_isolation
import smoke_servers

from . import smoke_stand_in
from .serving import Json
from .smoke_stand_in import ADDRESS, NEW, SIGN, TRAIT, Cloud
from .systemd_stand_in import Systemd


def read(cloud: Cloud, *hosts: str, **more: Any) -> Json:
    found: Json = smoke_guests.answer(cloud.request(*hosts, **more))
    return found


def well(cloud: Cloud, **more: Any) -> Json:
    """What is read of compute1."""
    found = read(cloud, **more)
    assert found["error"] is None
    compute: Json = found["computes"]["compute1"]
    return compute


def test_a_compute_that_has_just_registered_has_nothing(joining: Cloud) -> None:
    assert read(joining) == {
        "computes": {
            "compute1": {
                **{"open": False, "reason": NEW, "isolated": False, "marked": False},
                **{"guest": None, "volume": None},
            }
        },
        "volumes": True,
        "error": None,
    }
    assert joining.changes() == []


def test_many_computes_cost_no_more_requests_than_one(joining: Cloud) -> None:
    for host in ("compute1", "compute2"):
        joining.isolate(host)
    read(joining)
    one = len(joining.asked)
    joining.asked.clear()
    assert list(read(joining, "compute1", "compute2")["computes"]) == ["compute1", "compute2"]
    assert len(joining.asked) == one == 8


def test_the_services_are_asked_for_after_the_guests(joining: Cloud) -> None:
    """A list of guests leaves out, without a word, those of a cell that does not answer."""
    joining.guest()
    joining.is_down = True
    assert "answers 200, but one without `id`" in read(joining)["error"]
    guests, services = "GET /compute/servers/detail", "GET /compute/os-services"
    assert joining.asked.index(guests) < joining.asked.index(services)


def test_a_compute_that_nova_does_not_know_is_an_error(joining: Cloud) -> None:
    assert read(joining, "compute1", "x")["error"] == "Nova has no nova-compute on x"


# --- isolated -------------------------------------------------------------------------------------


def test_isolated_is_all_that_keeps_others_away(joining: Cloud) -> None:
    joining.isolate()
    found = well(joining)
    assert (found["isolated"], found["marked"]) == (True, True)


@pytest.mark.parametrize(
    ("lacks", "marked"),
    [
        (lambda cloud: cloud.aggregates[0]["metadata"].clear(), True),
        (lambda cloud: cloud.aggregates[0]["hosts"].clear(), True),
        (lambda cloud: cloud.members["rp-compute1"].discard("a"), True),
        (lambda cloud: cloud.traits["rp-compute1"].discard(TRAIT), True),
        (lambda cloud: cloud.aggregates.clear(), True),
        (lambda cloud: cloud.aggregates[0].update(name="joining"), True),
    ],
)
def test_what_lacks_anything_of_it_is_not_isolated(
    joining: Cloud, lacks: Any, marked: bool
) -> None:
    joining.isolate()
    lacks(joining)
    found = well(joining)
    assert (found["isolated"], found["marked"]) == (False, marked)


def test_a_compute_whose_node_has_no_provider_yet_is_not_isolated(
    joining: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    joining.isolate()
    none: Json = {"hypervisors": []}
    path = "GET compute os-hypervisors detail"
    monkeypatch.setitem(smoke_stand_in.ROUTES, path, lambda *_: none)
    assert not well(joining)["isolated"]


# --- guests ---------------------------------------------------------------------------------------


def test_a_guest_is_told_with_what_it_has_said(joining: Cloud) -> None:
    joining.guest()
    assert well(joining)["guest"] == {
        **{"uuid": "g1", "state": "active", "task": None, "fault": None, "host": "compute1"},
        **{"spoke": True, "last": f"pyinfra-nova-smoke-compute1: up, address {ADDRESS}"},
    }
    joining.console = "booting\n\n"
    found = well(joining)["guest"]
    assert (found["spoke"], found["last"]) == (False, "booting")


def test_of_a_guest_that_does_not_run_no_console_is_asked_for(joining: Cloud) -> None:
    joining.guest(state="error", fault={"message": "No valid host was found."})
    found = well(joining)["guest"]
    assert (found["fault"], found["spoke"]) == ("No valid host was found.", False)
    assert joining.changes() == []


@pytest.mark.parametrize("status", [404, 409])
def test_a_guest_without_a_console_yet_has_said_nothing(joining: Cloud, status: int) -> None:
    joining.guest()
    joining.says_no["POST compute servers g1 action"] = status
    assert well(joining)["guest"]["spoke"] is False


@pytest.mark.parametrize("status", [400, 401, 500, 501])
def test_any_other_error_is_no_silence_of_the_guest(joining: Cloud, status: int) -> None:
    joining.guest()
    joining.says_no["POST compute servers g1 action"] = status
    assert f"answers {status}: that is not done" in read(joining)["error"]


@pytest.mark.parametrize(
    "others",
    [
        {"metadata": {}},
        {"metadata": {SIGN: "compute2"}},
        {"tenant_id": "q"},
        {"name": "pyinfra-nova-smoke-compute10"},
        {"name": "a-pyinfra-nova-smoke-compute1"},
    ],
)
def test_a_guest_that_only_looks_like_one_is_somebody_elses(joining: Cloud, others: Json) -> None:
    joining.guest(**others)
    assert well(joining)["guest"] is None
    joining.volume(**{key: value for key, value in others.items() if key != "tenant_id"})
    if "tenant_id" not in others:  # of volumes Cinder tells those of the project alone
        assert well(joining)["volume"] is None


@pytest.mark.parametrize(
    ("text", "address", "is_there"),
    [
        ("inet 10.0.0.5/24", "10.0.0.5", True),
        ("inet addr:10.0.0.5 Bcast:10.0.0.255", "10.0.0.5", True),
        ("address 10.0.0.5.", "10.0.0.5", True),
        ("10.0.0.55", "10.0.0.5", False),
        ("110.0.0.5", "10.0.0.5", False),
        ("10.0.0.5.1", "10.0.0.5", False),
        ("1.10.0.0.5", "10.0.0.5", False),
        ("10a0b0c5", "10.0.0.5", False),
        ("inet6 2001:DB8::5/64 scope global", "2001:db8::5", True),
        ("inet6 addr:2001:db8::5/64", "2001:db8::5", True),
        ("up: 2001:db8::5: well", "2001:db8::5", True),
        ("2001:db8::5a", "2001:db8::5", False),
        ("2001:db8::5:1", "2001:db8::5", False),
        ("1:2001:db8::5", "2001:db8::5", False),
        ("a2001:db8::5", "2001:db8::5", False),
    ],
)
def test_an_address_is_read_as_a_whole(text: str, address: str, is_there: bool) -> None:
    assert smoke_servers.says(text, address) is is_there


def test_one_address_of_several_is_enough(joining: Cloud) -> None:
    others = [{"addr": "2001:db8::5"}, {"addr": "198.51.100.9"}]
    joining.guest(addresses={"a": others, "b": [{"addr": ADDRESS}]})
    assert well(joining)["guest"]["spoke"]
    joining.guests["g1"]["addresses"] = {"a": others}
    assert not well(joining)["guest"]["spoke"]
    joining.console = "eth0 2001:db8::5/64"
    assert well(joining)["guest"]["spoke"]
    joining.guests["g1"]["addresses"] = {}
    assert not well(joining)["guest"]["spoke"]


def test_what_is_expected_is_looked_for_in_place_of_an_address(joining: Cloud) -> None:
    joining.guest()
    joining.console = "boot\nnetwork: up\nlogin:"
    assert well(joining, expects="^network: (up|well)$")["guest"]["spoke"]
    assert not well(joining, expects="address")["guest"]["spoke"]


def test_an_expression_that_an_older_python_does_not_know_is_a_line(joining: Cloud) -> None:
    assert read(joining, expects="a(")["error"].startswith("expects of smoke_guest is none")


# --- volumes --------------------------------------------------------------------------------------


def test_a_volume_is_told_with_what_it_is_at(joining: Cloud) -> None:
    volume = joining.volume()
    assert well(joining)["volume"] == {"uuid": "v1", "status": "available", "attached": False}
    volume.update(status="in-use", attachments=[{"server_id": "g1"}])
    assert well(joining)["volume"] == {"uuid": "v1", "status": "in-use", "attached": True}


def test_where_there_is_no_cinder_none_is_asked_for(joining: Cloud) -> None:
    joining.types = ("compute", "placement")
    assert read(joining)["volumes"] is False
    joining.types = ("compute", "placement", "block-storage")
    assert read(joining)["volumes"] is True


def test_one_that_an_earlier_run_has_made_is_seen_where_none_is_wanted_any_more(
    joining: Cloud,
) -> None:
    joining.volume()
    found = read(joining, volume=False)
    assert (found["volumes"], found["computes"]["compute1"]["volume"]["uuid"]) == (False, "v1")


# --- the first look -------------------------------------------------------------------------------


@pytest.fixture
def scheduler(tmp_path: Path, systemd: Systemd, monkeypatch: pytest.MonkeyPatch) -> Json:
    """A scheduler that was started after its file was written."""
    path = tmp_path / "nova.conf"
    path.write_text("[scheduler]\nenable_isolated_aggregate_filtering = True\n")
    systemd.says("nova-scheduler", MainPID=7)
    monkeypatch.setattr(
        smoke_isolation.units, "process_started", lambda pid: {7: path.stat().st_mtime + 1}[pid]
    )
    return {"unit": "nova-scheduler", "reads": [str(path)]}


def test_where_all_is_there_for_it_a_guest_can_be_begun(joining: Cloud, scheduler: Json) -> None:
    assert read(joining, begins=scheduler)["error"] is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[scheduler]\nworkers = 2\n", "is not told to keep guests from it"),
        (
            "[scheduler]\nenable_isolated_aggregate_filtering = false\n",
            "is not told to keep guests from it",
        ),
        ("[DEFAULT]\nenable_isolated_aggregate_filtering = true\n", "is not told to keep"),
        ("[scheduler]\npassword\n", "oslo.config cannot read"),
    ],
)
def test_a_scheduler_that_keeps_nobody_away_ends_it(
    joining: Cloud, scheduler: Json, text: str, said: str
) -> None:
    Path(scheduler["reads"][0]).write_text(text)
    error = read(joining, begins=scheduler)["error"]
    assert error.startswith("a new compute would be sent others' guests: ")
    assert said in error
    assert "password" not in error


def test_a_scheduler_that_has_not_read_its_file_ends_it(
    joining: Cloud, scheduler: Json, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = Path(scheduler["reads"][0]).stat().st_mtime
    monkeypatch.setattr(smoke_isolation.units, "process_started", lambda _: written - 1)
    said = "nova-scheduler has not been started since it was told to keep guests from it"
    assert said in read(joining, begins=scheduler)["error"]
    monkeypatch.setattr(smoke_isolation.units, "process_started", lambda _: 0.0)  # none runs
    assert said in read(joining, begins=scheduler)["error"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"images": []}, "no image is called 'tiny': smoke_guest in group_data/all.py"),
        ({"networks": []}, "no network is called 'provider': smoke_guest"),
        (
            {"images": [{"id": i, "name": "tiny", "status": "active", "min_ram": 0} for i in "ab"]},
            "2 images are called 'tiny'",
        ),
        (
            {"images": [{"id": "a", "name": "tiny", "status": "queued", "min_ram": 0}]},
            "image 'tiny' is queued",
        ),
        (
            {"images": [{"id": "a", "name": "Tiny", "status": "active", "min_ram": 0}]},
            "no image is called 'tiny'",
        ),
        (
            {"images": [{"id": "a", "name": "tiny", "status": "active", "min_ram": 513}]},
            "image 'tiny' wants 513 MiB of memory: say so as ram of smoke_guest",
        ),
        (
            {"networks": [{"id": "n", "name": "provider", "status": "ACTIVE", "subnets": []}]},
            "network 'provider' of smoke_guest has no subnet",
        ),
        (
            {"networks": [{"id": "n", "name": "provider", "status": "DOWN", "subnets": ["s"]}]},
            "network 'provider' is DOWN",
        ),
    ],
)
def test_what_the_site_says_of_guests_is_wrong_before_a_compute_is(
    joining: Cloud, scheduler: Json, changes: Json, said: str
) -> None:
    for name, value in changes.items():
        setattr(joining, name, value)
    assert said in read(joining, begins=scheduler)["error"]
    assert joining.changes() == []


def test_an_image_that_is_being_replaced_is_the_one_that_can_be_used(
    joining: Cloud, scheduler: Json
) -> None:
    joining.images.insert(0, {**joining.images[0], "id": "new", "status": "saving"})
    assert read(joining, begins=scheduler)["error"] is None


def test_a_trait_that_placement_has_never_heard_of_is_on_no_compute(joining: Cloud) -> None:
    assert well(joining)["marked"] is False
    joining.says_no["GET placement resource_providers"] = 404
    assert "answers 404" in read(joining)["error"]


@pytest.mark.parametrize("page", [b"<html>Bad request</html>", b"", b"[]", b"{}"])
def test_who_answers_in_no_form_of_a_service_refuses_nothing(page: bytes) -> None:
    found = smoke_isolation.rest.Answer("GET x", 400, {}, page)
    error = smoke_isolation.rest.ErrorStatus("x", found)
    assert not smoke_isolation.is_refused(error, 400)
