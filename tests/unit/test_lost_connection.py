"""A connection that ends while a command is under way: an SSH server that goes without a word."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko
import pytest
from pyinfra.api import StringCommand
from pyinfra.api.exceptions import PyinfraError
from pyinfra.api.host import Host
from typing_extensions import override

from pyinfra_nova.resources import maintenance
from pyinfra_nova.session.connections import connected, load
from pyinfra_nova.session.host_script import LOST, LostError, carried_out

End = Callable[[paramiko.Transport, paramiko.Channel], None]


def breaks(transport: paramiko.Transport, channel: paramiko.Channel) -> None:
    channel.sendall(b"half\n")
    channel.sendall_stderr(b"a warning\n")
    transport.sock.shutdown(socket.SHUT_RDWR)


def fails(_: paramiko.Transport, channel: paramiko.Channel) -> None:
    channel.sendall_stderr(b"no room\n")
    channel.send_exit_status(3)
    channel.close()


class Server(paramiko.ServerInterface):
    """Lets everybody in; each command ENDS so."""

    def __init__(self, transport: paramiko.Transport, end: End) -> None:
        self.transport, self.end = transport, end

    @override
    def check_auth_password(self, username: str, password: str) -> int:
        return paramiko.common.AUTH_SUCCESSFUL

    @override
    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.common.OPEN_SUCCEEDED

    @override
    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        threading.Timer(0.1, self.end, (self.transport, channel)).start()
        return True


@pytest.fixture
def host(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Host]:
    key = paramiko.ECDSAKey.generate()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            transport = paramiko.Transport(listening.accept()[0])
            transport.add_server_key(key)
            transport.start_server(server=Server(transport, request.param))

        threading.Thread(target=serve, daemon=True).start()
        monkeypatch.chdir(tmp_path)
        port = listening.getsockname()[1]
        data = {
            **{"ssh_hostname": "127.0.0.1", "ssh_port": port},
            **{"ssh_user": "root", "ssh_password": "x", "ssh_look_for_keys": False},
            **{"ssh_known_hosts_file": "/dev/null", "ssh_strict_host_key_checking": "no"},
        }
        inventory = Path(f"at_{port}.py")  # pyinfra keeps what it has read by its name
        inventory.write_text(f"hosts = [('compute1', {data!r})]\n")
        with connected(load(str(inventory)), "compute1") as found:
            yield found


@pytest.mark.parametrize("host", [breaks], indirect=True)
def test_a_command_whose_connection_ends_is_not_one_that_says_nothing(host: Host) -> None:
    with pytest.raises(LostError, match=f"^{LOST}$"):
        carried_out(host, StringCommand("true"))


@pytest.mark.parametrize("host", [fails], indirect=True)
def test_one_that_fails_over_a_connection_that_stays_has_its_own_word(host: Host) -> None:
    with pytest.raises(PyinfraError, match=r"^no room$") as failed:
        carried_out(host, StringCommand("true"))
    assert not isinstance(failed.value, LostError)


@pytest.mark.parametrize("host", [breaks], indirect=True)
def test_of_a_command_in_a_maintenance_it_is_said_what_the_next_call_does(host: Host) -> None:
    said = maintenance.run(host, "then", "date", "m1")
    assert said.startswith(f"{LOST}. Once the host answers, the next call says so if it still runs")
    assert "--reboot does that" in said


@pytest.mark.parametrize("host", [breaks], indirect=True)
def test_of_an_upgrade_too(host: Host) -> None:
    assert maintenance.upgrade(host, "apt").endswith("waits for it, and upgrades what is left")
