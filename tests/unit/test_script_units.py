"""files/units.py: what a unit needs, judged from what systemd says of it."""

import http.server
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import unit_logs
import units

from .systemd_stand_in import Systemd

RUNNING = {
    "LoadState": "loaded",
    "ActiveState": "active",
    "SubState": "running",
    "UnitFileState": "enabled",
    "MainPID": str(os.getpid()),
}
"""A unit whose process is this one."""
STARTED = units.process_started(os.getpid())


def needed(state: dict[str, str], **unit: Any) -> list[str]:
    difference = units.compare({"name": "nova-api.service", **unit}, {**RUNNING, **state})
    return list(difference["actions"]) if difference else []


def test_the_start_of_a_process_is_told_to_the_hundredth_of_a_second() -> None:
    before = time.time()
    with subprocess.Popen(["sleep", "60"]) as process:
        assert before - 0.02 <= units.process_started(process.pid) <= time.time()
        process.kill()
    assert units.process_started(process.pid) == 0.0
    assert units.process_started("0") == units.process_started(None) == 0.0


def test_a_running_enabled_unit_needs_nothing() -> None:
    assert needed({}) == []


def test_a_socket_has_no_process_to_be_older_than_anything() -> None:
    listening = {**RUNNING, "MainPID": "0"}
    assert units.compare({"name": "virtqemud.socket"}, listening) is None


def test_a_stopped_unit_is_started_and_a_failed_one_restarted() -> None:
    assert needed({"ActiveState": "inactive"}) == ["start"]
    assert needed({"ActiveState": "failed"}) == ["restart"]
    assert needed({"ActiveState": "activating"}) == ["restart"]


def test_a_disabled_or_masked_unit_is_enabled() -> None:
    assert needed({"UnitFileState": "disabled"}) == ["enable"]
    masked = {"LoadState": "masked", "UnitFileState": "masked", "ActiveState": "inactive"}
    assert needed(masked) == ["unmask", "enable", "start"]


def test_a_unit_that_is_not_installed_yet_is_planned_to_be_started() -> None:
    assert needed({"LoadState": "not-found"}) == ["enable", "start"]


def test_a_file_written_after_the_start_means_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "nova.conf"
    path.write_text("")
    os.utime(path, (STARTED - 1, STARTED - 1))
    assert needed({}, reads=[str(path)]) == []
    os.utime(path, (STARTED + 0.1, STARTED + 0.1))
    assert needed({}, reads=[str(path)]) == ["restart"]
    assert needed({}, reads=[str(tmp_path / "*.conf")]) == ["restart"]


@pytest.mark.parametrize("step", [-3600.0, -60.0, 60.0, 3600.0])
def test_a_clock_that_was_set_since_the_start_hides_no_change_and_makes_none(
    step: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process has its start of the clock before; a file is written by the one that is now."""
    path = tmp_path / "nova.conf"
    path.write_text("")
    wall = time.time
    monkeypatch.setattr(units.time, "time", lambda: wall() + step)
    os.utime(path, (wall() + step, wall() + step))
    assert needed({}, reads=[str(path)]) == ["restart"]
    os.utime(path, (STARTED + step - 1, STARTED + step - 1))
    assert needed({}, reads=[str(path)]) == []


@pytest.mark.parametrize("step", [-3600.0, 0.0, 3600.0])
def test_a_reload_is_judged_on_a_clock_that_nobody_sets_too(
    step: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "nova-api.conf"
    path.write_text("")
    wall = time.time
    monkeypatch.setattr(units.time, "time", lambda: wall() + step)
    reloaded = int((time.clock_gettime(time.CLOCK_MONOTONIC) - 30) * 1e6)
    state = {"StateChangeTimestampMonotonic": str(reloaded)}
    for ago, verbs in ((40, []), (20, ["reload"])):
        moment = wall() + step - ago
        os.utime(path, (moment, moment))
        assert needed(state, reads=[str(path)], reload=True) == verbs


def test_a_file_that_goes_between_the_listing_and_the_look_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.conf").write_text("")
    there = [str(tmp_path / "a.conf"), str(tmp_path / "gone.conf")]
    monkeypatch.setattr(units.glob, "glob", lambda _: there)
    assert units.newest(["*.conf"])[1] == there[0]


def test_a_cell_mapping_changed_after_the_start_means_a_restart() -> None:
    unit = {"name": "nova-api.service"}
    assert units.compare(unit, RUNNING, STARTED - 5) is None
    assert units.compare(unit, RUNNING, STARTED + 5)["actions"] == ["restart"]


def test_what_a_daemon_logged_last_is_its_cause_but_not_an_empty_line_of_a_traceback(
    tmp_path: Path,
) -> None:
    path = tmp_path / "nova-compute.log"
    path.write_text(
        "2026-11-23 01:28:16.413 4459 ERROR nova ValueError: no such port\n"
        "2026-11-23 01:28:16.413 4459 ERROR nova \n"
        "2026-11-23 01:28:17.002 4460 INFO nova.service [-] Starting compute node\n"
    )
    assert unit_logs.logged({"name": "x", "log": str(path)}).endswith(
        "ERROR nova ValueError: no such port"
    )
    assert unit_logs.logged({"name": "x", "log": str(tmp_path / "absent.log")}) is None
    path.write_text(
        "2026-11-28 18:07:15.133538+00:00 [error] <0.153.0> BOOT FAILED\n"
        "2026-11-28 18:07:15.133538+00:00 [error] <0.153.0> \n"
        "2026-11-28 18:07:15.220261+00:00 [notice] <0.45.0> Application syslog exited\n"
    )
    said = unit_logs.logged({"name": "x", "log": str(tmp_path / "nova-*.log")})
    assert said is not None and said.endswith("BOOT FAILED")


def test_what_systemd_does_about_a_unit_is_not_its_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    said = (
        "nova-conductor.service: Main process exited, code=exited, status=203/EXEC\n"
        "nova-conductor.service: Failed with result 'exit-code'.\n"
        "nova-conductor.service: Scheduled restart job, restart counter is at 5.\n"
        "Stopped nova-conductor.service - OpenStack Nova Conductor (nova-conductor).\n"
        "Starting nova-conductor.service - OpenStack Nova Conductor (nova-conductor)...\n"
    )
    result = subprocess.CompletedProcess([], 0, stdout=said)
    monkeypatch.setattr(unit_logs.subprocess, "run", lambda *_, **__: result)
    assert unit_logs.journaled("nova-conductor").endswith("status=203/EXEC")
    assert unit_logs.ROUTINE.search("Failed to locate executable /x: No such file") is None


def test_a_unit_with_a_queued_job_is_still_waited_for() -> None:
    assert units.is_settled(RUNNING) and units.is_settled({**RUNNING, "Job": ""})
    assert not units.is_settled({**RUNNING, "Job": "1234"})
    assert units.is_given_up({"ActiveState": "failed", "Job": "0"}, 0)
    assert not units.is_given_up({"ActiveState": "failed", "Job": "1234"}, 0)


def test_a_unit_that_systemd_restarts_again_and_again_is_given_up() -> None:
    crashing = {"ActiveState": "activating", "SubState": "auto-restart", "NRestarts": "9"}
    assert units.is_given_up(crashing, 6)
    assert not units.is_given_up(crashing, 8)


class Answering(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(int(self.path.strip("/")))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with http.server.HTTPServer(("127.0.0.1", 0), Answering) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


def test_a_unit_that_runs_but_answers_with_a_server_error_is_restarted(server: str) -> None:
    assert needed({}, url=f"{server}/500") == ["restart"]
    assert needed({}, url=f"{server}/300") == []
    assert needed({}, url=f"{server}/401") == []
    assert needed({}, url="http://127.0.0.1:1/") == []


@pytest.fixture
def own_service() -> str:
    """What systemd would call this process's own service: the end of its control group."""
    return Path("/proc/self/cgroup").read_text().split()[-1].rpartition("/")[2]


def test_a_unit_lacks_its_broker_as_long_as_it_is_not_connected_to_it(own_service: str) -> None:
    state = {"Id": own_service, "ActiveState": "active", "SubState": "running"}
    with socket.create_server(("127.0.0.1", 0)) as broker:
        port = broker.getsockname()[1]
        unit = {"name": "nova-conductor", "broker": port}
        assert not units.is_there(unit, state)
        assert units.described(unit, state) == (
            f"active (running), but not connected to RabbitMQ at port {port}"
        )
        with socket.create_connection(("127.0.0.1", port)):
            assert units.is_there(unit, state)
            assert not units.is_there(unit, {**state, "Id": "another.service"})
        assert not units.is_there(unit, state)


def test_a_unit_without_a_broker_is_there_once_it_is_active(own_service: str) -> None:
    state = {"Id": own_service, "ActiveState": "active"}
    assert units.is_there({"name": "libvirtd", "broker": None}, state)
    assert not units.is_there({"name": "libvirtd"}, {**state, "Job": "12"})


@pytest.fixture
def script(tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    """A daemon that an interpreter runs, as Nova's are."""
    path = tmp_path / "nova-compute"
    path.write_text(f"#!{sys.executable}\nprint(flush=True)\nimport time; time.sleep(600)\n")
    path.chmod(0o755)
    process = subprocess.Popen([path, "--config-file", "/nowhere"], stdout=subprocess.PIPE)
    assert process.stdout and process.stdout.readline()
    yield path, process
    process.kill()
    process.communicate()


def test_what_runs_and_is_gone_from_the_disk_is_named_before_a_restart_stops_it(
    systemd: Systemd, script: tuple[Path, subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    path, process = script
    conf = tmp_path / "nova.conf"
    unit = {"name": "nova-compute", "reads": [str(conf)]}
    systemd.says("nova-compute", MainPID=process.pid)
    path.unlink()
    assert units.answer({"units": [unit]})["units"] == []  # what is not restarted goes on
    conf.touch()
    os.utime(conf, (time.time() + 60, time.time() + 60))
    (found,) = units.answer({"units": [unit]})["units"]
    assert found["actions"] == ["restart"] and found["lost"] == str(path)
    path.touch()  # a package has put another one there
    (found,) = units.answer({"units": [unit]})["units"]
    assert "lost" not in found


def restart_is_wanted(systemd: Systemd, pid: int, conf: Path) -> dict[str, Any]:
    systemd.says("nova-compute", MainPID=pid)
    conf.touch()
    os.utime(conf, (time.time() + 60, time.time() + 60))
    unit = {"name": "nova-compute", "reads": [str(conf)]}
    (found,) = units.answer({"units": [unit]})["units"]
    assert found["actions"] == ["restart"]
    return dict(found)


def test_a_title_that_a_process_gives_itself_names_no_file(
    systemd: Systemd, tmp_path: Path
) -> None:
    """Neutron's server says there how it was started, all in one word (setproctitle)."""
    python = tmp_path / "python3"
    shutil.copy("/usr/bin/perl", python)
    title = "/usr/bin/python3 /gone/neutron-server --config-file=/etc/neutron/neutron.conf"
    code = f"$| = 1; $0 = '{title}'; print 'ready'; sleep 600"
    with subprocess.Popen([python, "-e", code], stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.read(5) == b"ready"
        assert title in Path(f"/proc/{process.pid}/cmdline").read_text()
        found = restart_is_wanted(systemd, process.pid, tmp_path / "neutron.conf")
        process.kill()
    assert "lost" not in found


def test_an_interpreter_that_is_gone_is_named_and_a_newer_one_in_its_place_is_not(
    systemd: Systemd, tmp_path: Path
) -> None:
    program, link = tmp_path / "python3.11", tmp_path / "python3"
    shutil.copy("/bin/sleep", program)
    link.symlink_to(program)
    with subprocess.Popen([link, "600"]) as process:
        program.unlink()
        lost = restart_is_wanted(systemd, process.pid, tmp_path / "nova.conf")
        program.touch()
        replaced = restart_is_wanted(systemd, process.pid, tmp_path / "nova.conf")
        process.kill()
    assert lost["lost"] == str(program)
    assert "lost" not in replaced


def test_a_file_that_a_program_is_told_of_and_removes_is_not_the_program(
    systemd: Systemd, tmp_path: Path
) -> None:
    program, file = tmp_path / "daemon", tmp_path / "words"
    shutil.copy("/usr/bin/perl", program)
    file.write_text("$| = 1; unlink $0; print 'ready'; sleep 600")
    with subprocess.Popen([program, file], stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.read(5) == b"ready"
        found = restart_is_wanted(systemd, process.pid, tmp_path / "nova.conf")
        process.kill()
    assert not file.exists() and "lost" not in found
    assert units.lost_program(process.pid) is None  # ended meanwhile
