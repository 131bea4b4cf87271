"""files/host_proof.py: what a host's units and folders have to do, tried for real."""

from __future__ import annotations

import email.policy
import os
import shutil
import socket
import socketserver
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import host_proof
import pytest
import units

from .systemd_stand_in import Systemd


@pytest.fixture
def everybodys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which everybody may write, and get to; as to the system's own Python."""
    if os.geteuid() != 0:
        pytest.skip("only root can be somebody else")
    monkeypatch.setattr(host_proof.sys, "executable", "/usr/bin/python3")
    folder = Path("/tmp") / f"pyinfra-nova-{tmp_path.name}-{time.monotonic_ns()}"
    folder.mkdir()
    folder.chmod(0o777)
    return folder


def faults(found: Iterator[dict[str, Any]]) -> list[str]:
    return [f"{fault['what']}: {fault['problem']}" for fault in found]


# --- folders --------------------------------------------------------------------------------------


def test_a_folder_in_which_the_user_writes_is_no_fault_and_nothing_is_left(
    everybodys: Path,
) -> None:
    assert faults(host_proof.folder_faults([str(everybodys)], "nobody")) == []
    assert list(everybodys.iterdir()) == []
    everybodys.rmdir()


def test_a_folder_of_roots_is_named(everybodys: Path) -> None:
    everybodys.chmod(0o755)
    (said,) = faults(host_proof.folder_faults([str(everybodys)], "nobody"))
    assert said == f"{everybodys}: nobody cannot write there: Permission denied"
    everybodys.rmdir()


def test_a_folder_that_is_not_there_is_named(everybodys: Path) -> None:
    everybodys.rmdir()
    (said,) = faults(host_proof.folder_faults([str(everybodys)], "nobody"))
    assert said.endswith("No such file or directory")


def test_a_full_disk_is_named(everybodys: Path) -> None:
    tmpfs = ("mount", "-t", "tmpfs", "-o", "size=4k,mode=1777", "none", everybodys)
    subprocess.run(tmpfs, check=True)
    try:
        (said,) = faults(host_proof.folder_faults([str(everybodys)], "nobody"))
    finally:
        subprocess.run(("umount", everybodys), check=True)
    assert said.endswith("No space left on device")
    everybodys.rmdir()


def test_a_user_that_is_not_there_is_named() -> None:
    (said,) = faults(host_proof.folder_faults(["/tmp"], "no-such-user"))
    assert said == "user no-such-user: is not there"


def test_a_folder_that_does_not_answer_is_named(
    everybodys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one of a server of files that is away."""
    monkeypatch.setattr(host_proof, "WRITE", "import time; time.sleep(60)")
    monkeypatch.setattr(host_proof, "TIMEOUT", 0.2)
    (said,) = faults(host_proof.folder_faults([str(everybodys)], "nobody"))
    assert said == f"{everybodys}: nobody has not written there within 0.2 s"
    everybodys.rmdir()


def test_of_several_folders_the_wrong_ones_are_named(everybodys: Path) -> None:
    mine = everybodys / "mine"
    mine.mkdir()
    found = faults(host_proof.folder_faults([str(everybodys), str(mine)], "nobody"))
    assert found == [f"{mine}: nobody cannot write there: Permission denied"]
    shutil.rmtree(everybodys)


# --- the console proxy ----------------------------------------------------------------------------


class Proxy(socketserver.BaseRequestHandler):
    """Gives ANSWER to whoever asks for a WebSocket as RFC 6455 has it, section 4.2.1."""

    answer = b""

    def handle(self) -> None:
        first, _, lines = self.request.recv(4096).decode().partition("\r\n")
        headers = email.message_from_string(lines, policy=email.policy.HTTP)
        right = {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Protocol": "binary",
            "Origin": "http://" + headers["Host"],
        }
        is_right = lines.endswith("\r\n\r\n") and right.items() <= dict(headers.items()).items()
        if first == "GET /websockify HTTP/1.1" and is_right:
            self.request.sendall(self.answer)


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", []),
        (b"HTTP/1.1 101\r\n\r\n", []),
        (b"HTTP/1.1 200 OK\r\n\r\nnoVNC", ["HTTP/1.1 200 OK"]),
        (b"\xff\r\n", ["\ufffd"]),
        (b"", [""]),
    ],
)
def test_a_proxy_shakes_hands(answer: bytes, found: list[str]) -> None:
    handler = type("Handler", (Proxy,), {"answer": answer})
    with socketserver.TCPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        assert list(host_proof.websocket_faults(url)) == [
            {
                "what": "the console proxy",
                "problem": f"{url} takes no WebSocket: {said}",
                "remedy": "see its log",
                "passing": False,
            }
            for said in found
        ]


def test_a_proxy_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_proof.websocket, "TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        (said,) = faults(host_proof.websocket_faults(url))
    assert said == f"the console proxy: {url} takes no WebSocket: no answer: timed out"


def test_a_proxy_without_a_port_is_asked_at_the_web_s(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(address: object, **_: object) -> None:
        raise ConnectionRefusedError(str(address))

    monkeypatch.setattr(host_proof.websocket.socket, "create_connection", refused)
    (said,) = faults(host_proof.websocket_faults("http://controller"))
    assert said.endswith("no answer: ('controller', 80)")


def test_a_proxy_that_does_not_listen_is_named() -> None:
    (said,) = faults(host_proof.websocket_faults("http://127.0.0.1:1"))
    assert "http://127.0.0.1:1 takes no WebSocket: no answer" in said


# --- libvirt --------------------------------------------------------------------------------------


@pytest.fixture
def virsh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for virsh, which is on no machine without libvirt."""
    program = tmp_path / "virsh"
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return program


def test_libvirt_that_answers_is_no_fault(virsh: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It is asked at the place that the compute's own nova.conf names, and shows nothing."""
    right = "--quiet --connect qemu+unix:///system hostname"
    virsh.write_text(f'#!/bin/sh\necho compute1; cat; [ "$*" = "{right}" ]\n')
    virsh.chmod(0o755)
    assert faults(host_proof.libvirt_faults("qemu+unix:///system")) == []
    assert capfd.readouterr() == ("", "")


def test_libvirt_is_quoted_where_it_refuses(virsh: Path) -> None:
    virsh.write_text('#!/bin/sh\necho "error: $4 is refused" >&2; exit 1\n')
    virsh.chmod(0o755)
    assert list(host_proof.libvirt_faults("qemu:///system")) == [
        {
            "what": "libvirt",
            "problem": "qemu:///system answers: error: hostname is refused",
            "remedy": "see the journal of its daemon",
            "passing": False,
        }
    ]


def test_libvirt_that_hangs_is_not_waited_for(virsh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    virsh.write_text("#!/bin/sh\nexec sleep 60\n")
    virsh.chmod(0o755)
    monkeypatch.setattr(host_proof, "TIMEOUT", 0.2)
    (said,) = faults(host_proof.libvirt_faults("qemu:///system"))
    assert said.startswith("libvirt: qemu:///system does not answer: ") and "timed out" in said


def test_a_host_without_virsh_is_named(virsh: Path) -> None:
    (said,) = faults(host_proof.libvirt_faults("qemu:///system"))
    assert "does not answer" in said


# --- processes ------------------------------------------------------------------------------------


def test_a_process_whose_program_was_replaced_is_told_from_others(tmp_path: Path) -> None:
    program = tmp_path / "sleep"
    shutil.copy("/bin/sleep", program)
    with subprocess.Popen([program, "60"]) as process:
        assert not units.is_replaced(process.pid)
        program.unlink()
        assert units.process({"MainPID": str(process.pid)})["replaced"] is True
        process.kill()
    assert not units.is_replaced(process.pid)


def test_the_age_of_a_process_needs_no_clock_that_somebody_sets() -> None:
    started = int((time.clock_gettime(time.CLOCK_MONOTONIC) - 30) * 1e6)
    state = {"MainPID": "1", "ExecMainStartTimestampMonotonic": str(started)}
    process = units.process(state)
    assert process["pid"] == 1
    assert 30 <= process["age"] < 31


def test_a_unit_without_a_process_has_no_age() -> None:
    nothing = {"pid": 0, "age": None, "replaced": False}
    assert units.process({"MainPID": "0"}) == units.process({}) == nothing


def proven(*names: str, **request: Any) -> list[dict[str, Any]]:
    """The faults of units, of which nothing else has to be asked."""
    nothing: dict[str, Any] = {"urls": [], "websocket": None, "libvirt": None, "folders": []}
    nothing["served"] = None
    wanted = [{"name": name, "log": f"/nowhere/{name}.log", "broker": None} for name in names]
    more = {"units": wanted, "user": "nova", "audited": [], "audit_interval": 60}
    return list(host_proof.answer({**nothing, **more, **request})["faults"])


def test_a_unit_that_does_not_run_is_named_with_its_state_and_the_remedy(systemd: Systemd) -> None:
    systemd.says("nova-api", ActiveState="failed", SubState="failed")
    systemd.says("nova-scheduler")
    assert proven("nova-api", "nova-scheduler") == [
        {
            "what": "nova-api",
            "problem": "is failed (failed). neither its log file nor the journal says why",
            "remedy": "see `journalctl -u nova-api`",
            "passing": False,
        }
    ]


def test_a_unit_of_which_systemd_knows_nothing_is_no_unit_that_runs(systemd: Systemd) -> None:
    (fault,) = proven("nova-api")
    assert fault["problem"].startswith("is inactive (dead).")


def test_nothing_is_proven_by_a_systemd_that_does_not_answer(systemd: Systemd) -> None:
    systemd.says("nova-api")
    systemd.is_silent("Connection timed out\n")
    with pytest.raises(SystemExit, match="told of 0 of 1 units: Connection timed out"):
        proven("nova-api")


def test_a_unit_that_lacks_its_broker_is_named(systemd: Systemd) -> None:
    systemd.says("nova-conductor")
    (fault,) = proven(units=[{"name": "nova-conductor", "log": "/nowhere", "broker": 5672}])
    said = "is active (running), but not connected to RabbitMQ at port 5672."
    assert fault["problem"].startswith(said)


def test_a_unit_that_runs_a_program_of_before_an_upgrade_is_named(
    systemd: Systemd, tmp_path: Path
) -> None:
    program = tmp_path / "sleep"
    shutil.copy("/bin/sleep", program)
    with subprocess.Popen([program, "60"]) as process:
        systemd.says("nova-api", MainPID=process.pid)
        assert proven("nova-api") == []
        program.unlink()
        found = proven("nova-api")
        process.kill()
    assert found == [
        {
            "what": "nova-api",
            "problem": "runs a program that is no longer on the disk",
            "remedy": "deploy again, or `systemctl restart nova-api`",
            "passing": False,
        }
    ]


def test_everything_that_was_asked_for_is_tried(systemd: Systemd, tmp_path: Path) -> None:
    """And each fault says what it is of."""
    systemd.says("nova-compute", MainPID=3092)
    log = tmp_path / "nova-compute.log"
    log.write_text(FAILED.format(stamp(5)) + "\n")
    compute = {"name": "nova-compute", "log": str(log)}
    nobody = "http://127.0.0.1:1"
    found = proven(
        units=[compute],
        urls=[{"name": "nova-api", "url": nobody, "holds": "x"}],
        websocket=nobody,
        libvirt="qemu:///system",
        folders=["/var/lib/nova"],
        user="no-such-user",
        audited=["nova-compute"],
    )
    assert [(fault["what"], fault["remedy"], fault["passing"]) for fault in found] == [
        ("nova-api", "see the log of its unit", False),
        ("the console proxy", "see its log", False),
        ("libvirt", "see the journal of its daemon", False),
        ("user no-such-user", "deploy again", False),
        ("nova-compute", f"see {log}", True),
    ]
    assert proven(units=[compute]) == []


# --- audits ---------------------------------------------------------------------------------------

FAILED = "{} 3092 ERROR nova.compute.manager [None] Error updating resources for node compute1."


def audit(tmp_path: Path, *lines: str, pid: int = 3092) -> list[str]:
    log = tmp_path / "nova-compute.log"
    log.write_text("".join(line + "\n" for line in lines))
    unit = {"name": "nova-compute", "log": str(log)}
    return faults(host_proof.audit_faults(unit, {"pid": pid}, 60))


def stamp(seconds_ago: float) -> str:
    moment = time.localtime(time.time() - seconds_ago)
    return time.strftime("%Y-%m-%d %H:%M:%S", moment) + ".123"


def test_an_audit_that_failed_lately_is_said_with_the_error(tmp_path: Path) -> None:
    told = f"{stamp(4)} 3092 ERROR nova.scheduler.client.report [None] Placement answers 401"
    (said,) = audit(tmp_path, FAILED.format(stamp(5)), told)
    assert "does not report what this host has" in said and "Placement answers 401" in said


def test_an_audit_takes_its_time(tmp_path: Path) -> None:
    assert len(audit(tmp_path, FAILED.format(stamp(66)))) == 1


def test_an_audit_that_failed_before_the_last_one_is_over(tmp_path: Path) -> None:
    assert audit(tmp_path, FAILED.format(stamp(100))) == []


def test_what_a_process_before_has_written_is_not_this_ones(tmp_path: Path) -> None:
    assert audit(tmp_path, FAILED.format(stamp(5)), pid=4000) == []


def test_no_log_is_no_fault(tmp_path: Path) -> None:
    assert faults(host_proof.audit_faults({"name": "x", "log": "/nowhere"}, {"pid": 1}, 60)) == []
