"""files/host_proof.py: what a host's units and folders have to do, tried for real."""

from __future__ import annotations

import os
import shutil
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
    answer = b""

    def handle(self) -> None:
        self.request.recv(4096)
        self.request.sendall(self.answer)


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", []),
        (b"HTTP/1.1 200 OK\r\n\r\nnoVNC", ["takes no WebSocket: HTTP/1.1 200 OK"]),
        (b"", ["takes no WebSocket: "]),
    ],
)
def test_a_proxy_shakes_hands(answer: bytes, found: list[str]) -> None:
    handler = type("Handler", (Proxy,), {"answer": answer})
    with socketserver.TCPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        port = server.server_address[1]
        said = faults(host_proof.websocket_faults(f"http://127.0.0.1:{port}"))
    assert len(said) == len(found)
    assert all(part in text for part, text in zip(found, said, strict=True))


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


def test_libvirt_that_answers_is_no_fault(virsh: Path) -> None:
    virsh.write_text("#!/bin/sh\necho compute1\n")
    virsh.chmod(0o755)
    assert faults(host_proof.libvirt_faults("qemu:///system")) == []


def test_libvirt_is_quoted_where_it_refuses(virsh: Path) -> None:
    virsh.write_text('#!/bin/sh\necho "error: $4 is refused" >&2; exit 1\n')
    virsh.chmod(0o755)
    (said,) = faults(host_proof.libvirt_faults("qemu:///system"))
    assert said == "libvirt: qemu:///system answers: error: hostname is refused"


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
        assert units.is_replaced(process.pid)
        process.kill()
    assert not units.is_replaced(process.pid)


def test_the_age_of_a_process_needs_no_clock_that_somebody_sets() -> None:
    started = int((time.clock_gettime(time.CLOCK_MONOTONIC) - 30) * 1e6)
    state = {"MainPID": "1", "ExecMainStartTimestampMonotonic": str(started)}
    process = units.process(state)
    assert process["pid"] == 1
    assert 30 <= process["age"] < 31


def test_a_unit_without_a_process_has_no_age() -> None:
    assert units.process({"MainPID": "0"})["age"] is None


def test_a_unit_that_does_not_run_is_named_with_its_state_and_the_remedy() -> None:
    wanted = [{"name": "nova-api", "log": "/nowhere.log"}]
    states = {"nova-api": {"ActiveState": "failed", "SubState": "failed"}}
    processes = {"nova-api": units.process({})}
    (fault,) = host_proof.unit_faults(wanted, states, processes)
    assert "is failed (failed)" in fault["problem"]
    assert fault["remedy"] == "see `journalctl -u nova-api`"


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


def test_an_audit_that_failed_before_the_last_one_is_over(tmp_path: Path) -> None:
    assert audit(tmp_path, FAILED.format(stamp(100))) == []


def test_what_a_process_before_has_written_is_not_this_ones(tmp_path: Path) -> None:
    assert audit(tmp_path, FAILED.format(stamp(5)), pid=4000) == []


def test_no_log_is_no_fault(tmp_path: Path) -> None:
    assert faults(host_proof.audit_faults({"name": "x", "log": "/nowhere"}, {"pid": 1}, 60)) == []
