"""files/host_report.py: what a host is asked for, and what comes of each thing that is tried."""

from __future__ import annotations

import errno
import fcntl
import os
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import host_report
import keystone as keystone_script
import messaging
import pytest
from typing_extensions import override

from .keystone_stand_in import ADMIN, Keystone
from .mysql_stand_in import Server, SqlError, serving
from .serving import ApiError, Headers, running
from .tls_stand_in import TRUSTED


def tried(kind: str, **check: Any) -> tuple[bool, str]:
    found = host_report.tried({"name": "x", "kind": kind, **check})
    assert found["name"] == "x" and type(found["ok"]) is bool
    return found["ok"], found["detail"]


# --- the system -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('ID=debian\nVERSION_ID="12"\n', ("debian", "12")),
        ("NAME='x=y'\nID='rocky'\nVERSION_ID=9.3\n", ("rocky", "9.3")),
        ('ID="a=b"\n', ("a=b", "")),
        ("ID\n", ("", "")),
        ("", ("", "")),
    ],
)
def test_a_system_says_what_it_is(tmp_path: Path, text: str, found: tuple[str, str]) -> None:
    (tmp_path / "os-release").write_text(text)
    said = host_report.os_release(str(tmp_path / "os-release"))
    assert said == {"id": found[0], "version": found[1]}


def test_a_file_that_is_not_there_says_nothing_of_a_system() -> None:
    assert host_report.os_release("/nowhere") == {"id": "", "version": ""}


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], str]:
    """Puts a program on the path."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def put(name: str, script: str) -> str:
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
        return str(tmp_path / name)

    return put


LINKS = (
    '[{"ifname": "lo", "addr_info": [{"local": "127.0.0.1"}]}, {"ifname": "eth0"}, '
    '{"ifname": "mgmt0", "addr_info": [{"local": "10.0.0.31"}, {"local": "10.0.0.32"}]}]'
)


def test_every_address_of_every_interface_is_said(program: Callable[[str, str], str]) -> None:
    program("ip", f"[ \"$*\" = '-json -4 address show' ] && echo '{LINKS}'; echo noise >&2")
    assert host_report.addresses() == [
        {"interface": "lo", "address": "127.0.0.1"},
        {"interface": "mgmt0", "address": "10.0.0.31"},
        {"interface": "mgmt0", "address": "10.0.0.32"},
    ]


def test_a_host_whose_ip_speaks_no_json_has_no_address(program: Callable[[str, str], str]) -> None:
    program("ip", "echo 'Option -json is unknown'")
    assert host_report.addresses() == []


def test_the_first_program_that_is_there_says_its_version(
    program: Callable[[str, str], str],
) -> None:
    silent = program("libvirtd", "exit 1")
    said = program("virtqemud", '[ "$*" = --version ] && echo "virtqemud (libvirt) 10.0.0"')
    qemu = program("qemu", 'echo "QEMU emulator version 7.2 (Debian 1:7.2+dfsg)"')
    assert host_report.version(["/nowhere", said, qemu]) == "10.0.0"
    assert host_report.version([silent, qemu]) == "7.2"
    assert host_report.version(["/nowhere", silent]) is None


CPUS = "processor\t: 0\nvmx flags\t: none\nflags\t\t: fpu vme {} sse\nbugs\t\t: svm vmx\n"


@pytest.mark.parametrize(
    ("flag", "device", "answers", "found"),
    [
        ("vmx", True, True, (True, True)),
        ("svm", True, True, (True, True)),
        ("", True, True, (False, True)),
        ("avmx", False, True, (False, False)),
        ("vmx", True, False, (True, False)),
        ("vmx", False, True, (True, False)),
    ],
)
def test_kvm_needs_the_processor_s_flag_and_a_device_that_makes_a_guest(
    monkeypatch: pytest.MonkeyPatch,
    flag: str,
    device: bool,
    answers: bool,
    found: tuple[bool, bool],
) -> None:
    """Nothing of it stays open."""
    opened: list[int] = []
    closed: list[int] = []
    asked: list[tuple[int, int, int]] = []
    real, closes = os.open, os.close

    def opens(path: str, flags: int, *more: int) -> int:
        if path != "/dev/kvm":
            return real(path, flags, *more)
        assert flags & os.O_RDWR
        if not device:
            raise OSError(errno.ENOENT, "No such file")
        opened.append(real("/dev/null", flags))
        return opened[-1]

    def makes(descriptor: int, request: int, kind: int) -> int:
        asked.append((descriptor, request, kind))
        if not answers:
            raise OSError(errno.EBUSY, "busy")
        opened.append(real("/dev/null", os.O_RDONLY))
        return opened[-1]

    def close(descriptor: int) -> None:
        closed.append(descriptor)
        closes(descriptor)

    monkeypatch.setattr(host_report.os, "close", close)
    monkeypatch.setattr(host_report, "text_of", {"/proc/cpuinfo": CPUS.format(flag)}.__getitem__)
    monkeypatch.setattr(host_report.os, "open", opens)
    monkeypatch.setattr(host_report.fcntl, "ioctl", makes)
    assert host_report.kvm() == {"flag": found[0], "usable": found[1]}
    assert asked == ([(opened[0], 0xAE01, 0)] if device else [])
    assert sorted(closed) == opened


# --- what is tried --------------------------------------------------------------------------------


def test_a_database_server_answers_and_lets_the_user_in() -> None:
    with serving(Server(passwords={"nova": "right"})) as server:
        where = {"host": "127.0.0.1", "port": server.port}
        assert tried("mysql", **where) == (True, "answers")
        assert tried("mysql", **where, user="nova", password="right") == (True, "answers")
        denied = (False, "1045: Access denied for user 'nova'")
        assert tried("mysql", **where, user="nova", password="wrong") == denied


def test_a_database_server_that_refuses_is_quoted() -> None:
    refusal = SqlError(1049, "Unknown database")
    with serving(Server(refuses={"nova": refusal})) as server:
        where = {"host": "127.0.0.1", "port": server.port, "user": "nova", "password": "x"}
        assert tried("mysql", **where) == (False, "1049: Unknown database")


BROKEN = "closed the connection"
REFUSED = "403 ACCESS_REFUSED - Login was refused"


@pytest.mark.parametrize(
    ("login", "answer", "found"),
    [
        (True, {"listens": True, "opened": True}, (True, "lets nova in")),
        (True, {"listens": True, "error": REFUSED}, (False, REFUSED)),
        (True, {"listens": True, "opened": True, "error": BROKEN}, (False, BROKEN)),
        (
            True,
            {"listens": True, "opened": True, "denied": ["configure", "read"]},
            (False, "does not let nova configure, read"),
        ),
        (False, {"listens": True, "error": REFUSED}, (True, "answers")),
        (False, {"error": BROKEN}, (False, BROKEN)),
    ],
)
def test_a_broker_lets_its_user_in_or_listens_at_least_for_one_who_is_not_made_yet(
    monkeypatch: pytest.MonkeyPatch, login: bool, answer: dict[str, Any], found: tuple[bool, str]
) -> None:
    nothing = {"listens": False, "opened": False, "denied": [], "error": None}
    monkeypatch.setattr(messaging, "answer", lambda _: {**nothing, **answer})
    assert tried("amqp", user="nova", login=login) == found


@pytest.mark.parametrize(
    ("encrypted", "driver", "said"),
    [
        (True, "cfg.BoolOpt('ssl_enforce_hostname_verification', default=False)", ""),
        (True, "cfg.BoolOpt('ssl')", "looks at no name in its certificate (CVE-2026-44393)"),
        (True, None, ""),
        (False, "cfg.BoolOpt('ssl')", ""),
    ],
)
def test_a_driver_that_looks_at_no_name_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, encrypted: bool, driver: str | None, said: str
) -> None:
    if driver is not None:
        (tmp_path / "impl_rabbit.py").write_text(driver)
    monkeypatch.setattr(messaging, "DRIVERS", f"{tmp_path}/*.py")
    monkeypatch.setattr(messaging.trust, "TRUSTED", TRUSTED if encrypted else None)
    answer = {"listens": True, "opened": True, "denied": [], "error": None}
    monkeypatch.setattr(messaging, "answer", lambda _: answer)
    for login in (True, False):
        ok, detail = tried("amqp", user="nova", login=login)
        assert ok
        assert said in detail
        assert ("CVE" in detail) is bool(said)


@contextmanager
def memcached(says: bytes) -> Iterator[dict[str, Any]]:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            if self.rfile.readline() == b"version\r\n":
                self.wfile.write(says)

    with socketserver.TCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        yield {"host": "127.0.0.1", "port": server.server_address[1]}


@pytest.mark.parametrize(
    ("says", "found"),
    [
        (b"VERSION 1.6.18\r\n", (True, "VERSION 1.6.18")),
        (b"ERROR\r\n", (False, "ERROR")),
        (b"\xff\r\n", (False, "\ufffd")),
        (b"", (False, "says nothing")),
    ],
)
def test_memcached_says_its_version(says: bytes, found: tuple[bool, str]) -> None:
    with memcached(says) as where:
        assert tried("memcached", **where) == found


def test_a_server_that_is_away_is_named_with_the_cause() -> None:
    (ok, said) = tried("memcached", host="127.0.0.1", port=1)
    assert not ok and said.startswith("does not answer: ") and "refused" in said


def test_a_server_that_says_nothing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_report, "TIMEOUT", 0.1)
    with host_report.socket.create_server(("127.0.0.1", 0)) as silent:
        where = {"host": "127.0.0.1", "port": silent.getsockname()[1]}
        assert tried("memcached", **where) == (False, "does not answer: timed out")


class WithCatalog(Keystone):
    """A Keystone whose catalogue leads to URLs, of services by their type."""

    catalog: dict[str, str] = {}  # noqa: RUF012 - of each one

    @override
    def answer(self, method: str, target: str, body: Any, headers: Headers) -> Any:
        return {} if target == "/there" else super().answer(method, target, body, headers)

    @override
    def token(self, user: dict[str, Any]) -> dict[str, Any]:
        token = super().token(user)
        endpoints = [
            {
                "type": kind,
                "endpoints": [{"interface": "internal", "region_id": "RegionOne", "url": url}],
            }
            for kind, url in self.catalog.items()
        ]
        return {"token": {**token["token"], "catalog": endpoints}}


def login(keystone: Keystone, password: str = ADMIN, **more: Any) -> tuple[bool, str]:
    user = {"username": "admin", "password": password, "project": "admin"}
    domains = {"user_domain": "Default", "project_domain": "Default"}
    found = {"region": "RegionOne", "interfaces": ["internal", "public"]}
    return tried("keystone", auth_url=keystone.url + "/v3", **user, **domains, **found, **more)


def test_keystone_lets_a_user_in_or_says_why_not() -> None:
    with running(Keystone()) as keystone:
        assert login(keystone) == (True, "lets admin in")
        ok, said = login(keystone, "wrong")
    assert not ok and "401" in said and "wrong" not in said


@pytest.mark.parametrize("fault", ["500", "silence"])
def test_a_login_that_another_one_has_ended_is_tried_again(fault: str) -> None:
    with running(Keystone()) as keystone:
        keystone.fail(1, fault)
        assert login(keystone) == (True, "lets admin in")
        assert keystone.asked == ["POST /v3/auth/tokens"] * 2


def test_no_other_answer_to_a_login_is_asked_for_twice() -> None:
    with running(Keystone()) as keystone:
        for fault in ("503", "half", "page"):
            keystone.fail(1, fault)
            assert not login(keystone)[0]
            assert keystone.asked == ["POST /v3/auth/tokens"]


def test_a_keystone_that_is_out_of_order_is_not_asked_for_ever() -> None:
    class Broken(Keystone):
        @override
        def answer(self, method: str, target: str, body: Any, headers: Headers) -> Any:
            raise ApiError(500, "out of order")

    with running(Broken()) as keystone:
        ok, said = login(keystone)
        assert not ok and "answers 500: out of order" in said
        assert keystone.asked == ["POST /v3/auth/tokens"] * 3


def test_each_service_that_nova_finds_by_the_catalogue_has_to_be_there() -> None:
    with running(WithCatalog()) as keystone:
        here, gone = keystone.url + "/there", "http://127.0.0.1:1/"
        keystone.catalog = {"image": here, "network": gone}
        assert login(keystone, services=["image"]) == (True, "lets admin in")
        ok, said = login(keystone, services=["image", "network"])
        assert not ok and said.startswith(f"GET {gone} does not answer: ")
        ok, said = login(keystone, services=["placement"])
        assert not ok and "placement" in said


def test_where_the_catalogue_has_a_service_is_told_where_that_is_asked() -> None:
    with running(WithCatalog()) as keystone:
        keystone.catalog = {"image": "https://i", "compute": "http://n:8774/v2.1"}
        found: dict[str, Any] = {"name": "x", "kind": "keystone", "region": "RegionOne"}
        found |= {"auth_url": keystone.url, "username": "admin", "password": ADMIN}
        found |= {"project": "admin", "user_domain": "Default", "project_domain": "Default"}
        assert "published" not in host_report.tried(found)
        told = host_report.tried({**found, "published": "compute"})
    assert told["ok"] and told["published"] == {"internal": ["http://n:8774/v2.1"]}


def test_of_endpoints_that_are_doubled_all_are_told() -> None:
    """So that one too many goes at once, and what it doubles is not taken for one to be moved."""
    urls = ("https://n:8774/v2.1", "http://twice:8774/v2.1")
    found = [{"interface": "internal", "region_id": "RegionOne", "url": url} for url in urls]
    catalogue = [{"type": "compute", "endpoints": found}]
    assert keystone_script.published(catalogue, "compute", "RegionOne") == {"internal": list(urls)}
    assert keystone_script.endpoint(catalogue, "compute", "RegionOne", ["internal"]) == urls[0]


def test_with_tls_on_nothing_is_said_to_a_service_in_plain_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with running(WithCatalog()) as keystone:
        keystone.catalog = {"image": keystone.url + "/there"}
        monkeypatch.setattr(host_report.trust, "TRUSTED", TRUSTED)
        ok, said = login(keystone, services=["image"])
        assert keystone.asked == ["POST /v3/auth/tokens"]
    assert (ok, said) == (
        False,
        f"the catalogue has {keystone.url}/there for image, in plain text: with tls on it has to "
        "be https",
    )


# --- the whole report -----------------------------------------------------------------------------


def test_a_report_says_what_was_asked_for_and_who_holds_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    request = {"checks": [], "lock": str(lock), "patience": 0}
    free = host_report.answer(request)
    assert (free["busy"], free["holders"], free["checks"]) == (False, [], [])
    assert free["root"] is (os.geteuid() == 0) and free["hostname"] == os.uname().nodename
    assert free["systemd"] is Path("/run/systemd/system").is_dir()
    assert set(free["hypervisor"]) == {"libvirt", "qemu"}
    with lock.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        gone = {"kind": "memcached", "host": "127.0.0.1", "port": 1}
        checks = [{"name": name, **gone} for name in ("a", "b")]
        held = host_report.answer({**request, "checks": checks})
    name = Path("/proc/self/comm").read_text().strip()
    assert (held["busy"], held["holders"]) == (True, [f"{name} (pid {os.getpid()})"])
    assert [(check["name"], check["ok"]) for check in held["checks"]] == [
        ("a", False),
        ("b", False),
    ]
