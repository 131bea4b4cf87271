"""What goes between hosts is encrypted and verified; certificates change under running guests."""

from __future__ import annotations

import datetime as dt
import re
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from pyinfra_nova.certificates.issued import Issued, wanted
from pyinfra_nova.certificates.purposes import PURPOSES
from tests.unit.mysql_stand_in import greeting

from .conftest import ENCRYPTED, ROOT, SECRETS, on, run
from .peers import read
from .test_main_job import PYINFRA
from .test_resources import booted

sys.path.append(str(ROOT / "files/common"))
import served_certificates
from streams import exactly

pytestmark = ENCRYPTED
Deployed = subprocess.CompletedProcess[str]
HOSTS = {"controller": "10.0.0.11", "compute1": "10.0.0.31", "compute2": "10.0.0.32"}
PAGE = ROOT / "docs/tls.md"
ROW = re.compile(
    r"\| (?P<port>[0-9-]+)(?P<udp>/UDP)? \| (?P<who>[^|]+) \| (?P<hosts>[^|]+) \| (?P<how>[^|]+) \|"
)
LISTENING = re.compile(r"(?P<address>\S+):(?P<port>\d+)\s+\S+\s*(?:users:\(\(\"(?P<who>[^\"]+)\")?")
MARIADB = 3306
FLAVOR = "tls"


def deploy() -> subprocess.CompletedProcess[str]:
    return run(PYINFRA, "inventory.py", "deploy.py", "-y")


def listed() -> list[dict[str, str]]:
    """The rows of the page's table of ports."""
    found = [match.groupdict() for match in ROW.finditer(PAGE.read_text())]
    return [{key: (value or "").strip() for key, value in row.items()} for row in found]


def row_of(
    rows: list[dict[str, str]], host: str, port: int, *, udp: bool = False
) -> dict[str, str] | None:
    """Of what listens at PORT of HOST."""
    kinds = ("all", "controller") if host == "controller" else ("all", "computes")
    for row in rows:
        if bool(row["udp"]) is not udp or row["hosts"] not in kinds:
            continue
        first, _, last = row["port"].partition("-")
        if int(first) <= port <= int(last or first):
            return row
    return None


def listening(host: str, protocol: str = "t") -> list[tuple[str, int, str]]:
    """Address, port and process of everything that others can reach; PROTOCOL as ss calls it."""
    lines = on(host, f"ss -H -lnp{protocol}").stdout.splitlines()
    found = []
    for line in lines:
        match = LISTENING.search(" ".join(line.split()[3:]))
        if match and not match["address"].startswith(("127.", "[::1]")):
            found.append((match["address"], int(match["port"]), match["who"] or ""))
    # The tunnels' own sockets are the kernel's, which ss does not show.
    assert found or protocol == "u"
    return found


def fingerprint(address: str, port: int) -> str | None:
    """Of the certificate that a port serves from the first byte; None where it speaks no TLS."""
    try:
        return str(served_certificates.of_port(address, port))
    except OSError:
        return None


def fingerprint_after_greeting(address: str, port: int) -> str | None:
    """Of the certificate that is served once another protocol has agreed on TLS; None without."""
    if port != MARIADB:
        try:
            return str(served_certificates.of_screen(address, port))
        except OSError:
            return None
    words = ("openssl", "s_client", "-starttls", "mysql", "-connect", f"{address}:{port}")
    shown = subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    ).stdout
    found = served_certificates.PEM.search(shown)
    return (
        str(served_certificates.digest(ssl.PEM_cert_to_DER_cert(found.group()))) if found else None
    )


def main_pid(host: str, unit: str) -> str:
    return on(host, f"systemctl show -p MainPID --value {unit}").stdout.strip()


@pytest.fixture(scope="module")
def guest(deployed: Deployed) -> Iterator[str]:
    """A guest without a network; which compute it is on is answered."""
    assert deployed.returncode == 0
    on("controller", f"openstack flavor create --vcpus 1 --ram 128 --disk 0 {FLAVOR}")
    try:
        shown = booted(FLAVOR, FLAVOR)
        assert shown["status"] == "ACTIVE"
        yield str(shown["OS-EXT-SRV-ATTR:host"])
    finally:
        on("controller", f"openstack server delete --wait {FLAVOR}")
        on("controller", f"openstack flavor delete {FLAVOR}")


@pytest.mark.parametrize("host", HOSTS)
def test_nothing_listens_but_what_the_page_lists_and_as_it_says(
    host: str, guest: str, deployed: Deployed
) -> None:
    rows = listed()
    wrong = []
    for address, port, who in listening(host):
        row = row_of(rows, host, port)
        if row is None:
            wrong.append(f"{address}:{port} of {who} is not listed")
        elif row["how"].startswith("TLS") and fingerprint(HOSTS[host], port) is None:
            wrong.append(f"{address}:{port} of {who} speaks no TLS")
        elif row["how"].startswith("STARTTLS") and not fingerprint_after_greeting(
            HOSTS[host], port
        ):
            wrong.append(f"{address}:{port} of {who} agrees on no TLS")
        elif row["how"].startswith("none") and fingerprint(HOSTS[host], port):
            wrong.append(f"{address}:{port} of {who} speaks TLS, which the page does not say")
    assert wrong == []


@pytest.mark.parametrize("host", HOSTS)
def test_no_datagrams_are_taken_but_those_that_the_page_lists(
    host: str, deployed: Deployed
) -> None:
    assert deployed.returncode == 0
    rows = listed()
    found = listening(host, "u")
    assert [each for each in found if row_of(rows, host, each[1], udp=True) is None] == []


def opens(shown: str, host: str) -> list[bool]:
    """Whether who has SHOWN, a certificate with its key, sees the guests' screens on HOST."""
    ports = [port for _, port, who in listening(host) if who.startswith("qemu") and port < 6000]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with tempfile.NamedTemporaryFile("w") as both:
        both.write(shown)
        both.flush()
        context.load_cert_chain(both.name)
    seen = []
    for port in ports:
        with socket.create_connection((HOSTS[host], port), timeout=30) as stream:
            served_certificates.go_on_to_tls(stream)
            try:
                with context.wrap_socket(stream) as secured:
                    seen.append(bool(exactly(secured, 4) == bytes(4)))  # RFB's SecurityResult
            except OSError:
                seen.append(False)
    return seen


def test_what_a_guests_qemu_can_read_opens_no_screen_there_or_elsewhere(guest: str) -> None:
    folder, screens = "/etc/pki/libvirt-vnc", "/etc/pyinfra-nova/tls/screens"
    of_proxy = read("controller", f"{screens}/client.crt", f"{screens}/client.key")
    seen = {"controller": set(opens(of_proxy, guest))}  # not in an assertion, which shows the key
    for host in ("compute1", "compute2"):
        stolen = read(host, f"{folder}/server-cert.pem", f"{folder}/server-key.pem")
        seen[host] = set(opens(stolen, guest))
    assert seen == {"controller": {True}, "compute1": {False}, "compute2": {False}}


def qemu_pids(host: str) -> str:
    return on(host, "pgrep -f 'qemu-system.*-uuid'").stdout


API = "/etc/pyinfra-nova/tls/api.crt"
SHOWN_BY = {"nova-api": (API, 8774), "nova-api-metadata": (API, 8775)}
"""Of Nova's own units on the controller: the file, and the port that shows it."""


def shown_at(port: int) -> str | None:
    """Of the certificate that the controller shows there."""
    where = (HOSTS["controller"], port)
    return fingerprint_after_greeting(*where) if port == MARIADB else fingerprint(*where)


def processes(units: Collection[str]) -> dict[str, str]:
    """The numbers of their main processes, and when systemd started them."""
    told = "systemctl show -p MainPID -p ExecMainStartTimestampMonotonic --value"
    return {unit: " ".join(on("controller", f"{told} {unit}").stdout.split()) for unit in units}


def test_certificates_that_are_gone_come_anew_and_no_process_ends_for_it(guest: str) -> None:
    """As those do that are near their end: it is the same way for both."""
    before = {unit: main_pid(guest, unit) for unit in ("libvirtd",)}
    apis = processes(SHOWN_BY)
    assert all(re.fullmatch(r"[1-9]\d* \d+", each) for each in apis.values())
    guests = qemu_pids(guest)
    shown = fingerprint(HOSTS[guest], 16514)
    assert shown
    at_ports = {port: shown_at(port) for _, port in SHOWN_BY.values()}
    assert all(at_ports.values())
    gone = "/etc/pki/libvirt/servercert.pem /etc/pki/libvirt-vnc/server-cert.pem"
    assert on(guest, f"rm {gone}").returncode == 0
    assert on("controller", f"rm {API}").returncode == 0
    planned = run("./run", "plan")
    assert planned.returncode == 2
    assert "libvirt, screen: there is none" in planned.stdout
    assert "api: there is none" in planned.stdout
    will_read = "have nova-api, nova-api-metadata read their new certificates, without a restart"
    assert will_read in planned.stdout
    assert "PRIVATE" not in planned.stdout
    result = deploy()
    assert result.returncode == 0
    assert will_read in result.stdout
    assert "PRIVATE" not in result.stdout
    assert {unit: main_pid(guest, unit) for unit in before} == before
    assert processes(SHOWN_BY) == apis
    assert qemu_pids(guest) == guests
    new = fingerprint(HOSTS[guest], 16514)
    assert new
    assert new != shown
    now = {port: shown_at(port) for port in at_ports}
    assert len(set(now.values())) == 1  # they have one certificate
    assert None not in now.values() and not set(now.values()) & set(at_ports.values())
    assert run("./run", "plan").returncode == 0


KINDS = {
    "of nobody's": "that no trusted authority has issued",
    "for another name": "for other.example, and it was asked as controller",
    "that has ended": "that has expired, by this host's clock",
}
"""What is wrong with a certificate, as the preflight says it."""


def made(kind: str) -> Issued:
    secret = str(yaml.safe_load(SECRETS.read_text())["tls_secret"])
    names = ["controller", "10.0.0.11"] if kind != "for another name" else ["other.example"]
    now = dt.datetime.now(dt.timezone.utc)
    now -= dt.timedelta(days=200) if kind == "that has ended" else dt.timedelta(0)
    whose = "nobody's " + secret[::-1] if kind == "of nobody's" else secret
    return wanted(whose, PURPOSES["service"], "controller", names, None, now, 90, 30)


def put(host: str, texts: Mapping[str, str]) -> None:
    """Write TEXTS into files of HOST, by their paths; owners and modes stay."""
    written = [f"cat >{path} <<'END'\n{text.rstrip()}\nEND\n" for path, text in texts.items()]
    command = ("./run", "ssh", host, "sh -es")
    subprocess.run(
        command, cwd=ROOT, input="".join(written), text=True, check=True, capture_output=True
    )


@contextmanager
def shown_instead(host: str, cert: str, key: str, unit: str, kind: str) -> Iterator[None]:
    """UNIT shows a certificate that is not as it has to be meanwhile."""
    kept = on(host, f"d=$(mktemp -d) && cp -p {cert} $d/crt && cp -p {key} $d/key && echo $d")
    folder = re.search(r"^/tmp/tmp\.\w+$", kept.stdout, re.MULTILINE)
    assert folder, kept.stdout
    other, was = made(kind), folder.group()
    try:
        put(host, {cert: other.certificate_pem, key: other.key_pem})
        assert on(host, f"systemctl restart {unit}").returncode == 0
        yield
    finally:
        back = f"cp -p {was}/crt {cert} && cp -p {was}/key {key} && rm -r {was}"
        assert on(host, f"{back} && systemctl restart {unit}").returncode == 0


SERVERS = {
    "Keystone": ("/etc/keystone/ssl/public/keystone.crt", "keystone", 5000),
    "MariaDB": ("/etc/mysql/ssl/public/mysql.crt", "mariadb", 3306),
    "RabbitMQ": ("/etc/rabbitmq/ssl/public/rabbitmq.crt", "rabbitmq-server", 5671),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.rotated("foreign")
def test_a_server_that_does_not_show_who_it_is_is_refused_and_named(
    name: str, kind: str, deployed: Deployed
) -> None:
    assert deployed.returncode == 0
    cert, unit, port = SERVERS[name]
    key = cert.replace("public", "private").replace(".crt", ".pem")
    with shown_instead("controller", cert, key, unit, kind):
        result = run("./run", "plan")
        assert result.returncode == 1
        assert f":{port} shows a certificate {KINDS[kind]}" in result.stdout
        assert "Traceback" not in result.stdout
    assert run("./run", "plan").returncode == 0


POSE = """
import re, socket, threading
from oslo_config import cfg
from oslo_db import options
from oslo_db.sqlalchemy import engines

conf, said = cfg.ConfigOpts(), []
conf.register_opts(options.database_opts, "database")
conf([], default_config_files=["/etc/nova/nova.conf"])
server = socket.create_server(("", 0))

def pose():
    stream, _ = server.accept()
    stream.sendall({greeting})
    said.append(stream.recv(4096))

posing = threading.Thread(target=pose, daemon=True)
posing.start()
url = re.sub(r":[0-9]+/", ":%d/" % server.getsockname()[1], conf.database.connection)
try:
    engines.create_engine({url}, max_retries=0).connect()
except Exception as error:
    print(str(error).splitlines()[0])
posing.join(10)
print("told", sum(map(len, said)))
"""
"""As Nova asks its database, in whose name somebody answers that he has no TLS; with what the URL
is, and the packet that he begins with."""


def test_who_says_that_the_database_has_no_tls_is_not_told_novas_password(
    deployed: Deployed,
) -> None:
    assert deployed.returncode == 0
    packet = greeting()
    begins = len(packet).to_bytes(3, "little") + b"\0" + packet

    def asked(url: str) -> list[str]:
        program = POSE.format(greeting=begins, url=url)
        as_nova = f"runuser -u nova -- python3 - <<'END'\n{program}END"
        return on("controller", as_nova).stdout.splitlines()

    refusal, told = asked("url")
    assert "says that it has no TLS, which the URL asks for" in refusal
    assert told == "told 0"
    version = on("controller", "python3 -c 'import pymysql; print(pymysql.VERSION[:2] >= (1, 2))'")
    is_told = asked("url.partition('&plugin=')[0]")[-1] != "told 0"
    assert is_told or version.stdout.strip() == "True"  # that one refuses by itself


def test_no_private_key_is_for_everybody(deployed: Deployed) -> None:
    """On any host, anywhere below /etc, whoever wrote it."""
    assert deployed.returncode == 0
    for host in HOSTS:
        found = on(
            host,
            "grep -rlIE --exclude-dir=ssl-cert -e '-----BEGIN( [A-Z]+)* PRIVATE KEY' /etc"
            " | xargs -r ls -l | awk '{print $1, $NF}'",
        ).stdout.splitlines()
        keys = [line for line in found if line.startswith("-")]
        assert keys
        assert [line for line in keys if line[7] != "-"] == []


def test_the_page_is_where_the_test_reads_it() -> None:
    assert len(listed()) > 10
    assert Path(PAGE).exists()
