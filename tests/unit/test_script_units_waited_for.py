"""files/units.py: what is asked of systemd and the journal, and how units are waited for."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nova_state
import pytest
import unit_logs
import unit_states
import units

from .site_data import debian
from .systemd_stand_in import Systemd

NOTHING_OF_CELLS = {"error": None, "early": False}


def compared(*names: str, **request: Any) -> dict[str, Any]:
    return dict(units.answer({"units": [{"name": name} for name in names], **request}))


# --- compared -------------------------------------------------------------------------------------


def test_units_that_are_as_they_should_be_are_not_named(systemd: Systemd) -> None:
    systemd.says("nova-api")
    systemd.says("nova-scheduler", ActiveState="inactive", SubState="dead")
    assert compared("nova-api", "nova-scheduler") == {
        "units": [{"name": "nova-scheduler", "actions": ["start"], "reason": "inactive (dead)"}],
        "processes": {
            name: {"pid": 0, "age": None, "replaced": False}
            for name in ("nova-api", "nova-scheduler")
        },
        "daemon_reload": False,
        "cells": NOTHING_OF_CELLS,
    }


def test_what_is_just_starting_may_get_ready_before_it_is_judged(
    systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As RabbitMQ does when its package has just been put on, or the host has just booted."""
    systemd.says("rabbitmq-server", ActiveState="activating", SubState="start")
    monkeypatch.setattr(units.time, "sleep", lambda _: systemd.says("rabbitmq-server"))
    assert compared("rabbitmq-server")["units"] == []


def test_what_goes_on_starting_and_what_waits_to_start_again_are_restarted(
    systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(units, "STARTING", 0.1)
    systemd.says("nova-api", ActiveState="activating", SubState="start")
    systemd.says("nova-scheduler", ActiveState="activating", SubState="auto-restart")
    assert [unit["actions"] for unit in compared("nova-api", "nova-scheduler")["units"]] == [
        ["restart"],
        ["restart"],
    ]
    states = units.show(["nova-scheduler"])
    assert not units.is_starting(states["nova-scheduler"])


def test_one_unit_whose_file_systemd_has_not_read_is_enough_for_it_to_read_all(
    systemd: Systemd,
) -> None:
    systemd.says("nova-api", NeedDaemonReload="yes")
    systemd.says("nova-scheduler")
    assert compared("nova-api", "nova-scheduler")["daemon_reload"] is True


def test_a_drop_in_in_a_folder_that_is_new_to_systemd_has_to_be_read(
    systemd: Systemd, tmp_path: Path
) -> None:
    """Of such a one systemd itself says that nothing needs to be read again."""
    dropin = tmp_path / "nova-compute.service.d" / "pyinfra-nova.conf"
    asked = {"units": [{"name": "nova-compute", "dropin": str(dropin)}], "cells": None}

    def is_to_be_read() -> bool:
        return bool(units.answer(asked)["daemon_reload"])

    systemd.says("nova-compute", DropInPaths="/run/other.conf")
    assert not is_to_be_read()
    dropin.parent.mkdir()
    dropin.write_text("[Service]\n")
    assert is_to_be_read()
    systemd.says("nova-compute", DropInPaths=f"/run/other.conf {dropin}")
    assert not is_to_be_read()
    assert (
        debian().dropin_of(debian().units[-1])
        == "/etc/systemd/system/nova-compute.service.d/pyinfra-nova.conf"
    )
    assert [u.name for u in debian().units if debian().dropin_of(u)] == ["nova-compute"]


def test_a_unit_that_is_not_installed_is_to_be_enabled_and_started(systemd: Systemd) -> None:
    found = compared("nova-api")
    assert found["units"] == [
        {"name": "nova-api", "actions": ["enable", "start"], "reason": "not installed"}
    ]
    assert found["processes"]["nova-api"] == {"pid": 0, "age": None, "replaced": False}


def test_a_host_that_was_not_started_by_systemd_has_no_unit(systemd: Systemd) -> None:
    systemd.is_silent("System has not been booted with systemd as init system (PID 1).\n")
    found = compared("nova-api")
    assert found["units"][0]["reason"] == "not installed"
    assert found["processes"]["nova-api"] == {"pid": 0, "age": None, "replaced": False}


def test_of_no_unit_systemd_is_not_asked(systemd: Systemd) -> None:
    """Without a name it would speak of itself."""
    systemd.is_silent("Connection timed out\n")
    assert compared()["units"] == []


def test_a_unit_of_which_systemd_says_nothing_is_not_one_that_is_not_installed(
    systemd: Systemd,
) -> None:
    systemd.says("nova-api")
    systemd.is_silent("Failed to get properties: Connection timed out\n")
    said = (
        "`systemctl show` ended with 1, and told of 0 of 2 units: "
        "Failed to get properties: Connection timed out"
    )
    with pytest.raises(SystemExit) as end:
        compared("nova-api", "nova-scheduler")
    assert str(end.value) == said
    with pytest.raises(SystemExit) as end:
        unit_states.answer({"units": [{"name": "nova-api"}, {"name": "b"}], "causes": True})
    assert str(end.value) == said


def test_half_of_what_systemd_says_is_not_taken_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "systemctl"
    program.write_text("#!/bin/sh\nprintf 'LoadState=loaded\\nActiveState=active\\n'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit, match="ended with 0, and told of 1 of 2 units"):
        compared("nova-api", "nova-scheduler")


def test_a_cell_mapping_that_changed_since_a_process_began_restarts_it(
    systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is stored in whole seconds, so one of the same second may be newer."""
    systemd.says("nova-api", MainPID=os.getpid())
    began = units.process_started(os.getpid())
    state: dict[str, Any] = {"error": None, "early": True}
    asked: list[Any] = []

    def answer(request: Any) -> dict[str, Any]:
        asked.append(request)
        return state

    monkeypatch.setattr(nova_state, "answer", answer)
    for changed, reasons in (
        (None, []),
        (began - 2, []),
        (began - 0.5, ["a cell mapping is newer than the process"]),
    ):
        state["cells_changed"] = changed
        found = compared("nova-api", cells={"database": "nova_api"})
        assert [unit["reason"] for unit in found["units"]] == reasons
        assert found["cells"] == {"error": None, "early": True}
    assert asked == [{"database": "nova_api"}] * 3


# --- waited for -----------------------------------------------------------------------------------


@pytest.fixture
def in_each_pause(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """What happens while it waits; a test that waits longer fails."""

    def happens(*steps: Callable[[], None]) -> None:
        left = list(steps)
        monkeypatch.setattr(units.time, "sleep", lambda _: left.pop(0)())

    return happens


def waited(*wanted: dict[str, Any], seconds: float = 60) -> Any:
    return units.answer({"units": list(wanted), "wait": seconds})


def failure(
    capsys: pytest.CaptureFixture[str], *wanted: dict[str, Any], seconds: float = 60
) -> str:
    """What is said of units that do not come, of which the run ends."""
    with pytest.raises(SystemExit) as end:
        waited(*wanted, seconds=seconds)
    assert end.value.code == 1
    return capsys.readouterr().out


API = {"name": "nova-api", "log": "/nowhere/nova-api.log"}
SILENT = "neither its log file nor the journal says why"


def test_units_are_waited_for_until_all_run(
    systemd: Systemd, in_each_pause: Callable[..., None]
) -> None:
    systemd.says("nova-api", ActiveState="activating", SubState="start")
    systemd.says("nova-scheduler")
    in_each_pause(
        lambda: systemd.says("nova-api", Job="17"),
        lambda: systemd.says("nova-api"),
    )
    assert waited({"name": "nova-scheduler"}, API) == {"failed": []}


def test_a_unit_that_does_not_come_in_time_is_named_with_its_state(
    systemd: Systemd, capsys: pytest.CaptureFixture[str]
) -> None:
    systemd.says("nova-api", ActiveState="activating", SubState="start")
    systemd.says("nova-scheduler")
    said = failure(capsys, API, {"name": "nova-scheduler"}, seconds=0)
    assert said == f"nova-api is activating (start). {SILENT}\n"


def test_the_time_to_start_begins_once_what_ran_before_has_ended(
    systemd: Systemd,
    in_each_pause: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """nova-compute of 2026.1 takes 160 s to end; systemd bounds it, by the drop-in's time."""
    now = 0.0
    monkeypatch.setattr(units.time, "monotonic", lambda: now)

    def passes(seconds: float, state: str) -> Callable[[], None]:
        def step() -> None:
            nonlocal now
            now += seconds
            systemd.says("nova-api", ActiveState=state, SubState="x", Job="17")

        return step

    systemd.says("nova-api", ActiveState="deactivating", SubState="stop-sigterm", Job="17")
    ends = passes(160, "deactivating"), passes(30, "activating"), passes(50, "activating")
    in_each_pause(*ends, lambda: systemd.says("nova-api"))
    assert waited(API, seconds=120) == {"failed": []}
    systemd.says("nova-api", ActiveState="deactivating", SubState="stop-sigterm", Job="17")
    in_each_pause(passes(160, "deactivating"), passes(121, "activating"))
    assert failure(capsys, API, seconds=120).startswith("nova-api is activating (x).")
    systemd.says("nova-api", ActiveState="deactivating", SubState="stop-sigterm", Job="17")
    in_each_pause(*[passes(100, "deactivating")] * 10)
    assert failure(capsys, API, seconds=120).startswith("nova-api is deactivating (x).")


def test_a_unit_that_is_not_there_is_named(
    systemd: Systemd, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failure(capsys, API, seconds=0) == f"nova-api is inactive (dead). {SILENT}\n"


def test_what_rests_as_nobody_uses_it_is_not_called_the_cause(
    systemd: Systemd, capsys: pytest.CaptureFixture[str]
) -> None:
    """libvirtd ends after two minutes without nova-compute, and its socket starts it again."""
    systemd.says("nova-api", ActiveState="failed", SubState="failed")
    rests = {"ActiveState": "inactive", "SubState": "dead", "Result": "success"}
    systemd.says("libvirtd", **rests, TriggeredBy="libvirtd-ro.socket libvirtd.socket")
    libvirtd = {"name": "libvirtd"}
    assert failure(capsys, API, libvirtd) == f"nova-api is failed (failed). {SILENT}\n"
    for other in ({"TriggeredBy": ""}, {"Result": "exit-code"}, {"ActiveState": "failed"}):
        systemd.says("libvirtd", **{**rests, "TriggeredBy": "libvirtd.socket", **other})
        assert "libvirtd is " in failure(capsys, API, libvirtd)
    systemd.says("nova-api")
    systemd.says("libvirtd", **rests, TriggeredBy="libvirtd.socket")
    assert "libvirtd is inactive" in failure(capsys, API, libvirtd, seconds=0)


def test_who_waits_asks_a_systemd_that_says_nothing_again(
    systemd: Systemd, in_each_pause: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    systemd.says("nova-api")
    systemd.is_silent("Connection timed out\n")
    in_each_pause(lambda: systemd.is_silent(None))
    assert waited(API) == {"failed": []}
    systemd.is_silent("Connection timed out\n")
    told = "`systemctl show` ended with 1, and told of 0 of 1 units: Connection timed out"
    assert failure(capsys, API, seconds=0) == f"nova-api is not known: {told}. {SILENT}\n"


def test_a_unit_that_systemd_has_given_up_is_not_waited_for(
    systemd: Systemd,
    in_each_pause: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    systemd.says("nova-scheduler", ActiveState="activating", SubState="start")
    systemd.says("nova-api", ActiveState="failed", SubState="failed", journal="No such file\n")
    (tmp_path / "nova-api.log").write_text("2026-11-23 01:28:16.413 44 ERROR nova No such port\n")
    in_each_pause()
    log = tmp_path / "nova-api.log"
    said = failure(capsys, {"name": "nova-api", "log": str(log)}, {"name": "nova-scheduler"})
    assert said == (
        f"nova-api is failed (failed). {log}: 2026-11-23 01:28:16.413 44 ERROR nova No such port; "
        f"journal: No such file\nnova-scheduler is activating (start). {SILENT}\n"
    )


def test_restarts_of_before_do_not_count_and_three_since_then_are_enough(
    systemd: Systemd, in_each_pause: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    def restarted(times: int) -> None:
        state = {"ActiveState": "activating", "SubState": "auto-restart"}
        systemd.says("nova-api", NRestarts=times, **state)

    restarted(7)
    in_each_pause(lambda: restarted(9), lambda: restarted(10))
    assert failure(capsys, API) == f"nova-api is activating (auto-restart). {SILENT}\n"


def test_a_unit_that_runs_without_its_broker_is_waited_for(
    systemd: Systemd, in_each_pause: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    systemd.says("nova-api")
    said = failure(capsys, {**API, "broker": 5672}, seconds=0)
    assert said == (
        f"nova-api is active (running), but not connected to RabbitMQ at port 5672. {SILENT}\n"
    )


# --- why a unit does not run ----------------------------------------------------------------------


def test_a_process_s_own_last_word_is_better_than_systemd_s(systemd: Systemd) -> None:
    ended = "nova-api.service: Main process exited, code=exited, status=1/FAILURE"
    systemd.says("nova-api", journal=f"No module named nova\n{ended}\nStopped nova-api.service.\n")
    assert unit_logs.journaled("nova-api") == "journal: No module named nova"
    systemd.says("nova-api", journal=f"{ended}\nStopped nova-api.service.\n")
    assert unit_logs.journaled("nova-api") == f"journal: {ended}"


def test_the_log_of_a_unit_is_named_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unit_logs.glob, "glob", lambda pattern: [pattern])
    for name in ("nova-api", "nova-api.service"):
        assert unit_logs.log_files({"name": name}) == ["/var/log/*/nova-api.log"]
    assert unit_logs.log_files({"name": "nova-api", "log": "/var/log/x.log"}) == ["/var/log/x.log"]


def test_of_a_long_log_the_end_is_read_whatever_bytes_it_has(tmp_path: Path) -> None:
    log = tmp_path / "nova-api.log"
    log.write_bytes(
        b"2026 1 ERROR nova before\n" + b"\xff\n" * 60_000 + b"2026 1 ERROR nova last\n"
    )
    assert (
        unit_logs.logged({"name": "nova-api", "log": str(log)}) == f"{log}: 2026 1 ERROR nova last"
    )
    log.write_bytes(b"2026 1 ERROR nova before\n" + b"\xff\n" * 60_000)
    assert unit_logs.logged({"name": "nova-api", "log": str(log)}) is None
    assert len(unit_logs.last_lines(log)) == 50_000
