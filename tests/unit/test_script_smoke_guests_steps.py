"""files/smoke_guests.py: one step for one compute, all read again before."""

from __future__ import annotations

from typing import Any

import pytest

from . import smoke_stand_in
from .drain_stand_in import HOST
from .serving import Json
from .smoke_runs import DONE, RFB, screen, step
from .smoke_stand_in import SIGN, TRAIT, WANTS, Cloud

__all__ = ["screen"]

# --- isolated, then open --------------------------------------------------------------------------


def test_all_that_keeps_others_away_is_there_before_the_compute_is_enabled(joining: Cloud) -> None:
    with pytest.raises(SystemExit, match="compute1 would be sent other guests"):
        step(joining, "enable")
    assert step(joining, "isolate") == DONE
    aggregate = joining.aggregates[0]
    assert (aggregate["hosts"], aggregate["metadata"]) == (["compute1"], {WANTS: "required"})
    assert TRAIT in joining.traits["rp-compute1"]
    assert joining.members["rp-compute1"] == {"other", "a"}
    assert joining.services["compute1"]["status"] == "disabled"
    assert step(joining, "enable") == DONE
    assert joining.services["compute1"]["status"] == "enabled"
    assert joining.disturbed == ""


def test_what_is_isolated_already_is_told_nothing(joining: Cloud) -> None:
    joining.isolate()
    assert step(joining, "isolate") == DONE
    assert joining.acted == []


def test_another_compute_joins_the_same_aggregate(joining: Cloud) -> None:
    step(joining, "isolate")
    step(joining, "isolate", "compute2")
    assert [each["hosts"] for each in joining.aggregates] == [["compute1", "compute2"]]


def test_placement_is_told_where_nova_could_not(joining: Cloud) -> None:
    """Nova only tries to (compute/api.py, add_host_to_aggregate)."""
    joining.forgets = True
    step(joining, "isolate")
    assert joining.members["rp-compute1"] == {"other", "a"}


def test_a_provider_that_changes_meanwhile_is_read_again(
    joining: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, times = joining.show_provider, [0]

    def late(*words: Any) -> Json:
        found = shown(*words)
        times[0] += 1
        joining.generation += times[0] == 1
        return found

    path = r"GET placement resource_providers (\S+) (\w+)"
    monkeypatch.setitem(smoke_stand_in.ROUTES, path, lambda _, *words: late(*words))
    joining.forgets = True
    assert step(joining, "isolate") == DONE
    assert "a" in joining.members["rp-compute1"]


def test_a_compute_that_nova_has_closed_itself_is_not_opened(joining: Cloud) -> None:
    joining.isolate()
    joining.services["compute1"]["disabled_reason"] = "AUTO: libvirt is away"
    assert step(joining, "enable") == DONE
    assert joining.services["compute1"]["disabled_reason"] == "AUTO: libvirt is away"


def test_a_compute_is_closed_with_the_cause_and_told_so_once(joining: Cloud) -> None:
    joining.open()
    for _ in range(2):
        assert step(joining, "close", reason="not proven: it is cold") == DONE
    assert joining.services["compute1"]["disabled_reason"] == "not proven: it is cold"
    assert joining.acted == ["PUT compute os-services id-compute1"]


# --- the guest ------------------------------------------------------------------------------------


def test_a_guest_is_begun_on_the_compute_in_its_zone_with_its_sign(joining: Cloud) -> None:
    joining.services["compute1"]["zone"] = "rack 1"
    assert step(joining, "boot") == DONE
    (guest,) = joining.guests.values()
    assert (guest["name"], guest[HOST]) == ("pyinfra-nova-smoke-compute1", "compute1")
    assert (guest["metadata"], guest["availability_zone"]) == ({SIGN: "compute1"}, "rack 1")
    assert step(joining, "boot") == DONE
    assert len(joining.guests) == 1


def test_its_flavor_is_private_and_kept(joining: Cloud) -> None:
    step(joining, "boot")
    step(joining, "boot", "compute2")
    (flavor,) = joining.flavors.values()
    assert flavor["extra_specs"] == {WANTS: "required"}
    assert (flavor["name"], flavor["disk"], flavor["ram"]) == ("pyinfra-nova-smoke", 0, 512)


def test_a_flavor_with_other_numbers_is_made_again(joining: Cloud) -> None:
    step(joining, "boot")
    step(joining, "boot", "compute2", ram=1024)
    assert [flavor["ram"] for flavor in joining.flavors.values()] == [1024]


def test_a_flavor_that_a_killed_run_has_not_ended_is_ended(joining: Cloud) -> None:
    step(joining, "boot")
    joining.flavors["f1"]["extra_specs"].clear()
    assert step(joining, "boot", "compute2") == DONE
    assert joining.flavors["f1"]["extra_specs"] == {WANTS: "required"}


def test_a_flavor_of_that_name_that_is_somebody_elses_stays(joining: Cloud) -> None:
    theirs: Json = {
        "id": "f9",
        "name": "pyinfra-nova-smoke",
        "description": None,
        "extra_specs": {},
    }
    joining.flavors["f9"] = {**theirs, "ram": 64, "disk": 1, "vcpus": 1}
    with pytest.raises(SystemExit, match="flavor pyinfra-nova-smoke is somebody else's"):
        step(joining, "boot")
    assert joining.acted == []


def test_a_compute_for_pinned_guests_alone_gets_one(joining: Cloud) -> None:
    joining.classes["rp-compute1"] = ["PCPU", "MEMORY_MB"]
    step(joining, "boot")
    step(joining, "boot", "compute2")
    pinned, usual = joining.flavors.values()
    assert pinned["extra_specs"] == {WANTS: "required", "hw:cpu_policy": "dedicated"}
    assert usual["extra_specs"] == {WANTS: "required"}
    assert pinned["name"] != usual["name"] == "pyinfra-nova-smoke"


def test_a_compute_that_is_kept_for_some_guests_gets_one_of_them(joining: Cloud) -> None:
    """Of an aggregate that another trait isolates, too, a guest without it is kept away."""
    gpus = {"id": 8, "uuid": "b", "name": "gpus", "hosts": ["compute1"]}
    metadata = {"trait:CUSTOM_GPU": "required", "rack": "required", "trait:CUSTOM_NO": "x"}
    joining.aggregates.append({**gpus, "metadata": metadata})
    step(joining, "boot")
    (flavor,) = joining.flavors.values()
    assert flavor["extra_specs"] == {WANTS: "required", "trait:CUSTOM_GPU": "required"}


def test_its_screen_is_asked_for_at_the_controllers_own_proxy(
    joining: Cloud, screen: list[Any]
) -> None:
    joining.guest()
    assert step(joining, "greet") == DONE
    url = "https://cloud.example/vnc_auto.html?path=%3Ftoken%3Dsecret-g1"
    assert screen[0] == (url, "/?token=secret-g1", "http://127.0.0.1:1")


def test_a_screen_that_shows_nothing_is_the_computes_fault_and_the_token_is_not_said(
    joining: Cloud, screen: list[Any]
) -> None:
    joining.guest()
    screen[-1] = (RFB[0], "", "")
    assert step(joining, "greet") == {
        "refused": "its console shows no screen: see the log of the console proxy"
    }


def test_a_screen_that_the_proxy_greets_and_gets_no_further_with_is_the_computes_fault(
    joining: Cloud, screen: list[Any]
) -> None:
    """As where the two do not take each other's certificates."""
    joining.guest()
    screen[-1] = (*RFB[:2], "it is refused: Unable to negotiate security with server")
    (text,) = step(joining, "greet").values()
    assert "it is refused: Unable to negotiate security with server" in text


@pytest.mark.parametrize(
    "said", [OSError("Connection refused"), ("HTTP/1.1 403 Forbidden", "", ""), ("", "", "")]
)
def test_a_proxy_that_does_not_answer_says_nothing_of_the_compute(
    joining: Cloud, screen: list[Any], said: Any
) -> None:
    joining.guest()
    screen[-1] = said
    with pytest.raises(SystemExit, match="the console proxy at http") as caught:
        step(joining, "greet")
    assert "secret" not in str(caught.value)


def test_a_guest_is_deleted_for_good_and_once(joining: Cloud) -> None:
    joining.guest()
    assert step(joining, "delete_guest") == step(joining, "delete_guest") == DONE
    assert joining.acted == ["delete g1"]
    joining.pass_time()
    assert step(joining, "delete_guest") == DONE
    with pytest.raises(SystemExit, match="there is no guest pyinfra-nova-smoke-compute1 any more"):
        step(joining, "greet")


# --- the volume -----------------------------------------------------------------------------------


def test_a_volume_is_made_once_given_and_deleted(joining: Cloud) -> None:
    joining.guest()
    assert step(joining, "make_volume") == step(joining, "make_volume") == DONE
    assert step(joining, "attach") == DONE  # not yet: it is being made
    assert joining.volumes["v1"]["status"] == "creating"
    joining.pass_time()
    assert step(joining, "attach") == DONE
    assert joining.volumes["v1"]["attachments"] == [{"server_id": "g1"}]
    assert step(joining, "delete_volume") == DONE  # not while a guest has it
    assert joining.volumes["v1"]["status"] == "in-use"
    joining.volumes["v1"].update(status="available", attachments=[])
    assert step(joining, "delete_volume") == DONE
    assert joining.volumes["v1"]["status"] == "deleting"
    assert "availability_zone" not in joining.volumes["v1"]


def test_where_volumes_stay_in_their_zone_it_is_made_in_the_computes(joining: Cloud) -> None:
    step(joining, "make_volume", same_zone=True)
    assert joining.volumes["v1"]["availability_zone"] == "nova"


def test_what_somebody_else_has_made_meanwhile_is_not_touched(joining: Cloud) -> None:
    joining.guest(metadata={})
    joining.volume(metadata={})
    for kind in ("delete_guest", "delete_volume"):
        assert step(joining, kind) == DONE
    assert joining.acted == []


# --- the end --------------------------------------------------------------------------------------


def test_the_trait_goes_before_the_aggregate(joining: Cloud) -> None:
    """Cut off in between, the compute takes no guest at all, and is known to be at it."""
    joining.isolate()
    joining.open()
    assert step(joining, "release") == DONE
    assert joining.acted == [
        "PUT placement resource_providers rp-compute1 traits",
        "POST compute os-aggregates 7 action",
    ]
    assert joining.left() == []
    assert joining.traits["rp-compute1"] == {"HW_CPU_X86_VMX"}
    assert joining.services["compute1"]["status"] == "enabled"
    assert step(joining, "release") == DONE


def test_as_long_as_its_guest_or_volume_is_there_a_compute_is_not_let_go(joining: Cloud) -> None:
    joining.isolate()
    joining.volume()
    with pytest.raises(SystemExit, match="the guest of compute1, or its volume, is there again"):
        step(joining, "release")
    joining.volumes.clear()
    joining.guest()
    with pytest.raises(SystemExit, match="is there again"):
        step(joining, "release")
    assert joining.acted == []
