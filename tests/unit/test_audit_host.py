"""What a host says of itself: its processes, whom it knows and lets in, its certificates."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import certificates
import endpoint_certificates
import host_access
import host_processes
import pytest
import units
from access import Networks
from cloud_audit import DETECTORS
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from finding import SOURCES

from pyinfra_nova.audit import question
from pyinfra_nova.nova_conf import migration_ssh
from pyinfra_nova.session.host_script import RUNNER, ScriptFact, script_input
from pyinfra_nova.site.settings import Site

from .audited_cloud import Cloud, Row, host_answer
from .site_data import secrets, site

KEYS = dict.fromkeys(("compute1", "compute2"), ("ssh-ed25519 AAAA",))
SECRET = "a secret of more than twenty"
END = datetime.datetime(2031, 5, 6, 7, 8, 9, tzinfo=datetime.timezone.utc)


# --- who is let in, and who is known --------------------------------------------------------------


@pytest.fixture
def moving() -> Site:
    return site(passwords=secrets(migration_secret=SECRET))


def deployed(where: Site, folder: Path) -> Row:
    """The request to compute1 of a site as a deploy leaves it, with its files in FOLDER."""
    request = question.of_host(where, where.hosts["compute1"])
    public = migration_ssh.key_pair(SECRET)[1]
    files = {
        "known_hosts": migration_ssh.known_hosts(where, KEYS),
        "authorized_keys": migration_ssh.authorized_keys(where, public),
    }
    for name, text in files.items():
        (folder / name).write_text(text)
        request[name] = str(folder / name)
    return request


def add(request: Row, name: str, line: str) -> None:
    with Path(request[name]).open("a") as stream:
        stream.write(line + "\n")


def judged(where: Site, answer: Row) -> list[Row]:
    cloud = Cloud()
    cloud.expected["ssh"] = question.expected(where)["ssh"]
    assert cloud.hosts is not None
    cloud.hosts["compute1"] = host_answer("nova-compute", **answer)
    return cloud.findings()


def test_of_what_a_deploy_has_written_a_host_says_nothing(moving: Site, tmp_path: Path) -> None:
    request = deployed(moving, tmp_path)
    assert host_access.read(request) == {"known_hosts": [], "keys": []}


def test_a_host_that_is_known_and_is_no_compute(moving: Site, tmp_path: Path) -> None:
    request = deployed(moving, tmp_path)
    add(request, "known_hosts", "gone,10.0.0.99,[10.0.0.98]:2222 ssh-ed25519 AAAA")
    add(request, "known_hosts", "|1|hashed= ssh-ed25519 AAAA")
    (found,) = judged(moving, host_access.read(request))
    assert (found["kind"], found["where"]) == ("known-host-of-a-stranger", "compute1")
    assert found["what"] == (
        "compute1 knows 10.0.0.98, 10.0.0.99, gone as a compute; the inventory does not"
    )


def test_a_host_that_does_not_know_all_yet_knows_no_strangers(moving: Site, tmp_path: Path) -> None:
    request = deployed(moving, tmp_path)
    Path(request["known_hosts"]).write_text("compute1,10.0.0.31 ssh-ed25519 AAAA\n")
    answer = host_access.read(request)
    assert answer["known_hosts"] == ["10.0.0.31", "compute1"]
    assert judged(moving, answer) == []


def test_a_key_of_somebody_else(moving: Site, tmp_path: Path) -> None:
    request = deployed(moving, tmp_path)
    add(request, "authorized_keys", "# ssh-rsa AAAA comment")
    add(request, "authorized_keys", 'command="x y" ssh-rsa AAAAB3Nza== ada@desk top')
    (found,) = judged(moving, host_access.read(request))
    assert found["kind"] == "key-of-a-stranger"
    assert found["what"] == (
        "compute1 lets in as Nova's user whoever has the ssh-rsa key of ada@desk top"
    )


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ('restrict,from="10.0.0.31,10.0.0.99"', "computes at 10.0.0.99"),
        ('restrict,from="10.0.0.0/24"', "computes at 10.0.0.0/24"),
        ("restrict", "computes at any address"),
        ('restrict,from="10.0.0.31"', None),
    ],
)
def test_a_key_of_a_site_that_was_another_one(
    moving: Site, tmp_path: Path, limits: str, said: str | None
) -> None:
    request = deployed(moving, tmp_path)
    Path(request["authorized_keys"]).write_text(f"{limits} ssh-ed25519 AAAA pyinfra-nova\n")
    found = judged(moving, host_access.read(request))
    assert [said in each["what"] for each in found if said] == ([True] if said else [])
    assert bool(found) == bool(said)


def test_networks_of_neighbours_hold_each_of_them() -> None:
    networks = Networks(["10.0.0.16/28", "10.0.1.1", "fd00::1", "name.example.org"])
    assert all(map(networks.has, ["10.0.0.31", "10.0.0.24/29", "10.0.1.1", "name.example.org"]))
    assert not any(map(networks.has, ["10.0.0.15", "10.0.0.0/24", "fd00::2", "other", "*"]))


def test_files_that_are_not_there_hold_nobody(moving: Site, tmp_path: Path) -> None:
    request = question.of_host(moving, moving.hosts["compute1"])
    request.update(known_hosts=str(tmp_path / "a"), authorized_keys=str(tmp_path / "b"))
    assert host_access.read(request) == {"known_hosts": [], "keys": []}
    request["known_hosts"] = str(tmp_path)
    assert host_access.read(request)["known_hosts"] is None


def test_who_moves_no_guests_is_not_asked(moving: Site) -> None:
    assert question.of_host(moving, moving.hosts["controller"])["ssh"] is None
    assert question.of_host(site(), site().hosts["compute1"])["ssh"] is None
    assert host_access.read({"ssh": None}) == {"known_hosts": None, "keys": None}


def test_a_host_is_asked_no_more_for_a_site_of_many(moving: Site) -> None:
    names = [f"compute{number}" for number in range(200)]
    hosts = {"controller": {"my_ip": "10.0.0.11"}}
    hosts |= {name: {"my_ip": f"10.0.1.{number}"} for number, name in enumerate(names)}
    groups = {"controllers": ["controller"], "computes": names}
    many = site(
        {"management_network": "10.0.0.0/16"},
        groups=groups,
        hosts=hosts,
        passwords=secrets(migration_secret=SECRET),
    )
    sizes = [len(json.dumps(question.of_host(s, s.hosts["compute1"]))) for s in (moving, many)]
    assert sizes[0] == sizes[1]


# --- processes ------------------------------------------------------------------------------------


def states(monkeypatch: pytest.MonkeyPatch, **found: dict[str, str]) -> None:
    """Have systemd say this of units, by their names with _ for -; others are not installed."""
    known = {name.replace("_", "-") + ".service": state for name, state in found.items()}
    missing = {"LoadState": "not-found", "MainPID": "0"}
    monkeypatch.setattr(units, "show", lambda names: {n: known.get(n, missing) for n in names})


def test_since_when_a_daemon_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    started = time.clock_gettime(time.CLOCK_MONOTONIC) - 500
    running = {
        "LoadState": "loaded",
        "MainPID": str(os.getpid()),
        "ExecMainStartTimestampMonotonic": str(int(started * 1e6)),
    }
    stopped = {"LoadState": "loaded", "MainPID": "0"}
    states(monkeypatch, openstack_nova_compute=running, nova_conductor=stopped)
    found = host_processes.processes()
    assert found["nova-compute"]["unit"] == "openstack-nova-compute"
    assert found["nova-compute"]["pid"] == os.getpid()
    assert found["nova-compute"]["since"] == pytest.approx(time.time() - 500, abs=2)
    assert found["nova-conductor"] == {"unit": "nova-conductor", "pid": None, "since": None}
    assert found["nova-scheduler"] is None


@pytest.fixture
def mute_systemd(tmp_path: Path) -> str:
    """A PATH with a systemctl that knows no unit."""
    text = "#!/bin/sh\nshift 2\nfor unit; do printf 'LoadState=not-found\\n\\n'; done\n"
    (tmp_path / "systemctl").write_text(text)
    (tmp_path / "systemctl").chmod(0o755)
    return f"{tmp_path}:{os.environ['PATH']}"


def ran(fact: type[ScriptFact], request: Mapping[str, Any], path: str = os.defpath) -> Row:
    """What a host answers to REQUEST, with nothing to import but what comes with it."""
    sent = "".join(script_input(fact.script, request, fact.uses, fact.folder))
    done = subprocess.run(
        [sys.executable, "-c", RUNNER],
        input=sent,
        capture_output=True,
        text=True,
        env={"PATH": path},
    )
    assert not done.stderr
    answer: Row = json.loads(done.stdout)
    return answer


def test_a_host_without_nova_answers(moving: Site, mute_systemd: str) -> None:
    request = question.of_host(moving, moving.hosts["controller"])
    answer = ran(question.HostEvidence, request, mute_systemd)
    assert answer["boot"] < answer["time"] <= time.time()
    assert answer["processes"] == dict.fromkeys(host_processes.DAEMONS)
    assert answer["known_hosts"] is None


def test_a_controller_on_which_nothing_answers_finds_nothing(
    moving: Site, unused: int, tmp_path: Path
) -> None:
    request = question.of_cloud(moving, None)
    request["database"].update(host="127.0.0.1", port=unused)
    request["api"]["auth_url"] = f"http://127.0.0.1:{unused}/v3"
    answer = ran(question.CloudAudit, request, str(tmp_path))
    assert answer["findings"] == []
    assert set(answer["silent"]) == set(SOURCES)
    assert len(answer["skipped"]) == sum(1 for each in DETECTORS if each.needs)


# --- certificates ---------------------------------------------------------------------------------


def certificate(end: datetime.datetime = END) -> tuple[bytes, bytes]:
    """A certificate that signs itself, and its key."""
    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "cloud.example.org")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.datetime(2020, 1, 1))
        .not_valid_after(end.replace(tzinfo=None))
        .sign(key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return made.public_bytes(Encoding.PEM), private


@pytest.mark.parametrize("year", [2031, 2049, 2050, 2099])
def test_the_end_of_a_certificate_is_read(year: int) -> None:
    end = END.replace(year=year)
    der = ssl.PEM_cert_to_DER_cert(certificate(end)[0].decode())
    assert certificates.end_of(der) == end.timestamp()


@pytest.mark.parametrize("data", [b"", b"0", b"\x30\x03\x02\x01\x01", os.urandom(40), b"0\x80" * 9])
def test_what_is_no_certificate_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(certificates.NoCertificateError):
        certificates.end_of(data)


def test_files_that_nova_conf_names(tmp_path: Path) -> None:
    pem = certificate()[0]
    for name in ("ca.pem", "chain.pem", "commented.pem"):
        (tmp_path / name).write_bytes(pem)
    (tmp_path / "chain.pem").write_bytes(pem + certificate(END.replace(year=2030))[0])
    (tmp_path / "bundle.pem").write_bytes(pem * 11)
    (tmp_path / "broken.pem").write_text(
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    )
    conf = tmp_path / "nova.conf"
    conf.write_text(
        "[DEFAULT]\n"
        f"state_path = {tmp_path}\n"
        f"# cafile = {tmp_path}/commented.pem\n"
        f"cafile={tmp_path}/bundle.pem\n"
        "[database]\n"
        f"connection = mysql+pymysql://nova:p@controller/nova?ssl_ca={tmp_path}/ca.pem&x=1\n"
        "[vnc]\n"
        f"vencrypt_client_cert = {tmp_path}/chain.pem\n"
        f"vencrypt_ca_certs = {tmp_path}/broken.pem\n"
        f"missing = {tmp_path}/missing.pem\n"
    )
    assert host_processes.named_certificates(str(conf)) == {
        f"{tmp_path}/ca.pem": END.timestamp(),
        f"{tmp_path}/chain.pem": END.replace(year=2030).timestamp(),
    }
    assert host_processes.named_certificates(str(tmp_path / "none")) == {}


@pytest.fixture
def https(tmp_path: Path) -> Iterator[int]:
    """The port of a server that nobody trusts."""
    pem, key = certificate()
    (tmp_path / "all.pem").write_bytes(pem + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "all.pem")
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                plain, _ = listening.accept()
                context.wrap_socket(plain, server_side=True).close()
            except OSError:
                if listening.fileno() < 0:
                    return

    threading.Thread(target=serve, daemon=True).start()
    yield listening.getsockname()[1]
    listening.close()


def test_each_server_is_asked_once_for_its_certificate(https: int, unused: int) -> None:
    urls = [f"https://127.0.0.1:{https}/v3", f"https://127.0.0.1:{https}/v2.1"]
    urls += [f"https://127.0.0.1:{unused}/v2.1", "http://127.0.0.1:8774"]
    types = ("identity", "compute", "network", "image")
    interfaces = ("public", "internal", "public", "admin")
    found = endpoint_certificates.shown(
        [
            {"url": url, "type": kind, "interface": interface, "region_id": "RegionOne"}
            for url, kind, interface in zip(urls, types, interfaces, strict=True)
        ]
    )
    assert found[f"127.0.0.1:{https}"] == {
        "services": ["compute", "identity"],
        "inside": ["RegionOne"],
        "ends": END.timestamp(),
    }
    silent: dict[str, Any] = found[f"127.0.0.1:{unused}"]
    assert silent["services"] == ["network"]
    assert silent["inside"] == []
    assert "refused" in silent["error"]
    assert len(found) == 2


@pytest.fixture
def unused() -> int:
    """A port at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def test_what_a_host_tells_has_no_secret_in_it(moving: Site) -> None:
    request = question.of_host(moving, moving.hosts["compute1"])
    public = migration_ssh.key_pair(SECRET)[1]
    assert SECRET not in json.dumps(request)
    assert public.split()[1] not in json.dumps(request)
    line = migration_ssh.authorized_keys(moving, public).strip()
    assert request["ssh"]["key"] == hashlib.sha256(line.encode()).hexdigest()
