"""What is said of an inventory that Python cannot read, and of hosts that speak no SSH."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def planned(data: bytes, folder: Path) -> str:
    """What is said of a plan for an inventory that holds DATA."""
    path = folder / "inventory.py"
    path.write_bytes(data)
    words = (sys.executable, "-m", "pyinfra_nova.plan", str(path))
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize(
    "data",
    ['name = "compüte"\n'.encode("latin-1"), b"\xef\xbb\xbfname = 1\n", "x = 1\n".encode("utf-16")],
    ids=["latin-1", "byte order mark", "UTF-16"],
)
def test_a_file_in_another_encoding_is_to_be_saved_in_utf_8(data: bytes, tmp_path: Path) -> None:
    assert "save it as UTF-8 without a byte order mark" in planned(data, tmp_path)


def test_of_any_other_mistake_that_is_not_said(tmp_path: Path) -> None:
    assert "UTF-8" not in planned(b"computes = [\n", tmp_path)


def test_a_host_without_a_word_of_ssh_prints_no_inside_of_paramiko() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            connection.close()

        threading.Thread(target=answer, daemon=True).start()
        script = (
            "import pyinfra_nova.session.connections, paramiko\n"
            f"transport = paramiko.Transport(('127.0.0.1', {server.getsockname()[1]}))\n"
            "try:\n    transport.start_client(timeout=5)\n"
            "except paramiko.SSHException as error:\n    print('refused:', error)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
        )
    assert done.stdout.startswith("refused: ")
    assert done.stderr == ""
