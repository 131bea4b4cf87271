"""files/unit_stops.py: whether a unit is stopped for good; only systemd's own word says so."""

from __future__ import annotations

from typing import Any

import pytest
import unit_stops

from .systemd_stand_in import Systemd


def looked(*, prove: bool = False) -> list[dict[str, Any]]:
    found = unit_stops.answer({"units": ["nova-compute"], "prove": prove})
    return list(found["units"])


MASKED = {"LoadState": "masked", "UnitFileState": "masked", "SubState": "dead"}


def test_one_that_runs_is_to_be_stopped_disabled_and_masked(systemd: Systemd) -> None:
    systemd.says("nova-compute", MainPID=7)
    assert looked() == [
        {
            **{"name": "nova-compute", "state": "active (running), enabled"},
            **{"stop": True, "disable": True, "mask": True},
        }
    ]


@pytest.mark.parametrize(
    ("properties", "wanted"),
    [
        ({"ActiveState": "inactive", "UnitFileState": "disabled"}, (False, False, True)),
        ({"ActiveState": "failed", "UnitFileState": "enabled"}, (False, True, True)),
        # Until the next boot, which would start it.
        (
            {**MASKED, "UnitFileState": "masked-runtime", "ActiveState": "inactive"},
            (False, False, True),
        ),
        # Killed half-way: masked, and still at it.
        ({**MASKED, "ActiveState": "active"}, (True, False, False)),
        ({**MASKED, "ActiveState": "deactivating"}, (True, False, False)),
        ({**MASKED, "ActiveState": "failed", "MainPID": "7"}, (True, False, False)),
        ({**MASKED, "ActiveState": "inactive", "Job": "12"}, (True, False, False)),
    ],
)
def test_each_half_way_state_says_what_is_lacking(
    systemd: Systemd, properties: dict[str, Any], wanted: tuple[bool, ...]
) -> None:
    systemd.says("nova-compute", **properties)
    ((stop, disable, mask),) = [(u["stop"], u["disable"], u["mask"]) for u in looked()]
    assert (stop, disable, mask) == wanted


def test_one_that_is_masked_and_ended_or_not_there_is_right(systemd: Systemd) -> None:
    assert looked(prove=True) == []
    systemd.says("nova-compute", **MASKED, ActiveState="inactive")
    assert looked(prove=True) == []


@pytest.mark.parametrize("state", ["active", "activating", "deactivating", "reloading"])
def test_what_is_not_stopped_is_no_proof(systemd: Systemd, state: str) -> None:
    systemd.says("nova-compute", **MASKED, ActiveState=state)
    with pytest.raises(SystemExit, match=rf"nova-compute is not stopped: {state} \(dead\), masked"):
        looked(prove=True)


def test_silence_is_no_proof(systemd: Systemd) -> None:
    systemd.is_silent("Failed to connect to bus")
    with pytest.raises(SystemExit, match="Failed to connect to bus"):
        looked(prove=True)
    systemd.is_silent("System has not been booted with systemd as init system")
    with pytest.raises(SystemExit, match="systemd does not say what nova-compute is at"):
        looked()
