"""files/signs_of_life.py: what is a sign of life, what is silence, and what was not asked."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import signs_of_life

HOST: dict[str, Any] = {"name": "compute2", "addresses": ["10.0.0.32"], "port": 22}
NETWORK = "6f0c"


def guest(
    address: str = "10.9.0.5", network: str | None = NETWORK, *, direct: bool = True
) -> dict[str, Any]:
    places = [{"address": address, "network": network, "direct": direct}]
    return {"name": "guest web (g1)", "host": "compute2", "addresses": places}


class Network:
    """What commands and connections come to, without a packet sent."""

    def __init__(self) -> None:
        self.pinged: list[Sequence[str]] = []
        self.code, self.said, self.printed = 1, "", b""
        self.replies: set[str] = set()
        self.error: OSError | None = TimeoutError("timed out")

    def run(self, command: Sequence[str], **_: Any) -> Any:
        self.pinged.append(command)
        if self.code == 127:
            raise FileNotFoundError(command[0])
        code = 0 if " ".join(command) in self.replies or command[-1] in self.replies else self.code
        return subprocess.CompletedProcess(command, code, self.printed, self.said.encode())


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    found = Network()
    monkeypatch.setattr(signs_of_life.subprocess, "run", found.run)
    monkeypatch.setattr(signs_of_life, "namespaces", set)
    monkeypatch.setattr(signs_of_life, "connect", lambda *_: None)
    return found


def asked(*guests: dict[str, Any], hosts: tuple[dict[str, Any], ...] = (HOST,)) -> dict[str, Any]:
    found: dict[str, Any] = signs_of_life.answer({"hosts": list(hosts), "guests": list(guests)})
    return found


def test_silence_is_no_sign_and_was_asked(network: Network) -> None:
    assert asked(guest()) == {
        "signs": {"compute2": []},
        "asked": {"compute2": ["ping", "connection", "ping of guests"]},
        "unasked": [],
    }


def test_who_replies_to_a_ping_lives(network: Network) -> None:
    network.replies = {"10.0.0.32"}
    assert asked()["signs"]["compute2"] == ["10.0.0.32 replies to a ping"]


# What iputils 20221126 prints.
ERRORS = {
    "10.0.0.32": "PING 10.0.0.32 (10.0.0.32) 56(84) bytes of data.\n"
    "From {} icmp_seq=1 Packet filtered\nFrom {} icmp_seq=2 Packet filtered\n",
    "fd77::2": "PING fd77::2(fd77::2) 56 data bytes\n"
    "From {} icmp_seq=1 Destination unreachable: Administratively prohibited\n",
    "compute2.example": "PING compute2.example (10.0.0.32) 56(84) bytes of data.\n"
    "From {} icmp_seq=1 Destination Host Prohibited\n",
}


@pytest.mark.parametrize(
    ("address", "whose"),
    [("10.0.0.32", "10.0.0.32"), ("fd77::2", "fd77::2"), ("compute2.example", "10.0.0.32")],
)
def test_whose_firewall_refuses_a_ping_lives(network: Network, address: str, whose: str) -> None:
    host = {**HOST, "addresses": [address]}
    network.printed = ERRORS[address].replace("{}", whose).encode()
    assert asked(hosts=(host,))["signs"]["compute2"] == [f"{address} refuses a ping"]


@pytest.mark.parametrize("whose", ["10.0.0.11", "10.0.0.3", "10.0.0.321"])
def test_a_routers_no_and_that_of_this_host_are_silence(network: Network, whose: str) -> None:
    network.printed = ERRORS["10.0.0.32"].replace("{}", whose).encode()
    assert asked()["signs"]["compute2"] == []


@pytest.mark.parametrize(("said", "verb"), [("takes", "takes"), ("refuses", "refuses")])
def test_who_takes_a_connection_lives_and_who_refuses_it_too(
    network: Network, monkeypatch: pytest.MonkeyPatch, said: str, verb: str
) -> None:
    monkeypatch.setattr(signs_of_life, "connect", lambda *_: said)
    assert asked()["signs"]["compute2"] == [f"10.0.0.32 {verb} a connection to port 22"]


@pytest.mark.parametrize(
    ("code", "said", "reason"),
    [
        (127, "", "ping is not installed"),
        (2, "connect: Network is unreachable\n", "ping 10.0.0.32: connect: Network is unreachable"),
        (1, "sendmsg: Operation not permitted", "ping 10.0.0.32: sendmsg: Operation not permitted"),
        (126, "", "ping 10.0.0.32: it says nothing"),
    ],
)
def test_a_ping_that_cannot_be_made_is_no_silence(
    network: Network, code: int, said: str, reason: str
) -> None:
    network.code, network.said = code, said
    found = asked()
    assert found["unasked"] == [reason]
    assert found["asked"] == {"compute2": ["connection"]}
    assert found["signs"] == {"compute2": []}


def test_a_guest_is_pinged_from_within_its_network_too(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = {f"qdhcp-{NETWORK}", "qdhcp-other"}
    monkeypatch.setattr(signs_of_life, "namespaces", lambda: there)
    inside = "ip netns exec qdhcp-6f0c ping -n -c 2 -i 0.5 -W 2 10.9.0.5"
    network.replies = {inside}
    found = asked(guest(), guest("198.51.100.7", None))
    assert found["signs"]["compute2"] == [
        "guest web (g1) at 10.9.0.5 replies to a ping in the network namespace qdhcp-6f0c"
    ]
    assert len(network.pinged) == 4  # the host, both addresses, and one within


def test_who_has_a_guests_address_outside_of_its_network_is_somebody_else(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    network.replies = {"10.9.0.5"}
    assert asked(guest(direct=False)) == {
        "signs": {"compute2": []},
        "asked": {"compute2": ["ping", "connection"]},
        "unasked": [],
    }
    monkeypatch.setattr(signs_of_life, "namespaces", lambda: {f"qdhcp-{NETWORK}"})
    assert len(asked(guest(direct=False))["signs"]["compute2"]) == 1


def test_namespaces_are_those_of_dhcp_servers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("qdhcp-1", "qrouter-1", "snat-1"):
        (tmp_path / name).touch()
    monkeypatch.setattr(signs_of_life, "NAMESPACES", (str(tmp_path / "none"), str(tmp_path)))
    assert signs_of_life.namespaces() == {"qdhcp-1"}
    monkeypatch.setattr(signs_of_life, "NAMESPACES", ())
    assert signs_of_life.namespaces() == set()


# --- real connections on this machine -------------------------------------------------------------


def test_a_port_that_listens_takes_a_connection_and_another_one_refuses_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert signs_of_life.connect("127.0.0.1", port) == "takes"
    assert signs_of_life.connect("127.0.0.1", port) == "refuses"


@pytest.mark.parametrize("number", signs_of_life.SILENT)
def test_no_route_is_silence(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    assert connecting(monkeypatch, OSError(number, "x")) is None


def test_no_reply_is_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    assert connecting(monkeypatch, TimeoutError("timed out")) is None


@pytest.mark.parametrize("error", [PermissionError(13, "no"), OSError(101, "unreachable")])
def test_what_does_not_leave_this_host_is_no_silence(
    monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    with pytest.raises(signs_of_life.NotAsked, match=r"connection to 127\.0\.0\.1: "):
        connecting(monkeypatch, error)


def connecting(monkeypatch: pytest.MonkeyPatch, error: OSError) -> str | None:
    def connect(_: socket.socket, place: Any) -> None:
        raise error

    monkeypatch.setattr(socket.socket, "connect", connect)
    found: str | None = signs_of_life.connect("127.0.0.1", 22)
    return found


def test_a_name_that_is_none_is_no_silence() -> None:
    with pytest.raises(signs_of_life.NotAsked, match=r"connection to nowhere\.invalid"):
        signs_of_life.connect("nowhere.invalid", 22)
