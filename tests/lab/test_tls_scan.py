"""What Debian's testssl.sh, which knows nothing of this project, finds at ports that speak TLS."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer

import pytest

from .conftest import ENCRYPTED, MINUTE, on
from .test_tls import HOSTS, listed

Deployed = subprocess.CompletedProcess[str]
PACKAGES = {"testssl.sh": "testssl", "bsdextrautils": "hexdump"}
"""Each with the program that is wanted of it."""
WORDS = ("--quiet", "--warnings", "off", "--color", "0", "--nodns", "none")
PROTOCOLS_AND_CERTIFICATE = ("-p", "-S")
EVERYTHING = (*PROTOCOLS_AND_CERTIFICATE, "-s", "-f", "-U")
"""Ciphers by their strength, forward secrecy and every weakness that has a name as well."""
OLD = ("SSLv2", "SSLv3", "TLS1", "TLS1_1")
FINE = ("OK", "INFO", "DEBUG")
ACCEPTED = {
    "engine_problem": "of this machine's OpenSSL, not of the server",
    "cert_revocation": "nobody asks for revoked ones: a certificate ends after days",
    "cipherlist_AVERAGE": "TLS 1.2 has AES in CBC mode as well, as the libraries' defaults do",
    "cipherlist_OBSOLETED": "the same by its later name",
    "PFS_ECDHE_curves": "Erlang also takes small ones, from a client that offers it no other",
    "FS_ECDHE_curves": "the same by its later name",
    "sessionresumption_ticket": "that a busy server refused one of many connections",
    "sessionresumption_ID": "the same of another way to go on with a session",
    "LUCKY13": "said of any server with CBC; OpenSSL and GnuTLS have withstood it since 2013",
}
UNTRIED = "client x509-based authentication prevents this from being tested"
"""Said of what is tried after the handshake: who has no certificate does not get there."""
TRUST = {
    "controller": "/etc/pyinfra-nova/tls/ca.pem",
    "compute1": "/etc/pki/CA/cacert.pem",
}
AFTER_A_GREETING = {3306: ("-t", "mysql")}


def ports() -> list[tuple[str, int]]:
    """The host and the number of each; one compute is as the other."""
    found = []
    for row in listed():
        is_spoken = row["how"].startswith("TLS") or int(row["port"].split("-")[0]) == 3306
        if is_spoken and "-" not in row["port"]:
            host = "compute1" if row["hosts"].startswith("computes") else "controller"
            found.append((host, int(row["port"])))
    return found


PORTS = pytest.mark.parametrize(("host", "port"), ports(), ids=lambda value: str(value))


@dataclass(frozen=True)
class Scanner:
    """testssl.sh, unpacked below a folder; nothing is installed.

    Attributes:
        folder: what the packages hold.
    """

    folder: Path

    def scan(
        self, name: str, address: str, port: int, authorities: Path, *words: str
    ) -> dict[str, tuple[str, str]]:
        """What is found by its name in the report: how bad it is, and what it is."""
        report = authorities.with_name("report.json")
        report.unlink(missing_ok=True)
        programs = str(self.folder / "usr/bin")
        done = subprocess.run(
            (
                *("bash", f"{programs}/testssl", *WORDS, *words, *AFTER_A_GREETING.get(port, ())),
                *("--add-ca", str(authorities), "--jsonfile", str(report)),
                *("--ip", address, f"{name}:{port}"),
            ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=10 * MINUTE,
            env={
                **os.environ,
                "PATH": f"{os.environ['PATH']}:{programs}",
                "TESTSSL_INSTALL_DIR": str(self.folder / "etc/testssl"),
            },
        )
        print(done.stdout, done.stderr)
        found = json.loads(report.read_text())
        return {entry["id"]: (entry["severity"], entry["finding"]) for entry in found}


@pytest.fixture(scope="module")
def scanner(tmp_path_factory: pytest.TempPathFactory) -> Scanner:
    folder = tmp_path_factory.mktemp("scanner")
    root = folder / "root"
    subprocess.run(["apt-get", "-q", "update"], check=False, capture_output=True)
    for package, program in PACKAGES.items():
        if shutil.which(program) is None:
            subprocess.run(["apt-get", "-q", "download", package], cwd=folder, check=True)
            (path,) = folder.glob(f"{package}_*.deb")
            subprocess.run(["dpkg", "-x", str(path), str(root)], check=True)
    # It does not begin without a resolver, and with the address given asks it nothing.
    resolver = root / "usr/bin/host"
    resolver.write_text("#!/bin/sh\nexit 1\n")
    resolver.chmod(0o755)
    return Scanner(root)


@pytest.fixture
def authorities(deployed: Deployed, host: str, tmp_path: Path) -> Path:
    """Whose certificates are good at a port of HOST."""
    assert deployed.returncode == 0
    path = tmp_path / "ca.pem"
    path.write_text(on(host, f"cat {TRUST[host]}").stdout)
    return path


def faults(found: Mapping[str, tuple[str, str]]) -> list[str]:
    """What is wrong by the scanner's own word, and what a scan has to have seen."""
    said = [
        f"{name}: {text}"
        for name, (severity, text) in found.items()
        if severity not in FINE and name not in ACCEPTED and text != UNTRIED
    ]
    said += [f"{name} is spoken" for name in OLD if found[name][1] != "not offered"]
    chain, name = found["cert_chain_of_trust"][1], found["cert_trust"][1]
    said += [] if chain.startswith("passed") else [f"the chain: {chain}"]
    said += [] if name.startswith("Ok via SAN") else [f"the name: {name}"]
    newest = found["TLS1_3"][1]
    return said if newest.startswith("offered") else [*said, f"TLS 1.3 is {newest}"]


def is_there(host: str, port: int) -> bool:
    """Cinder is not, before volumes are asked for."""
    return on(host, f"ss -H -ltn sport = :{port}").stdout.strip() != ""


@ENCRYPTED
@pytest.mark.rotated("scan")
@PORTS
def test_a_port_speaks_nothing_old_and_shows_that_it_is_who_was_asked(
    host: str, port: int, scanner: Scanner, authorities: Path
) -> None:
    if not is_there(host, port):
        pytest.skip(f"nobody listens at {port} of {host}")
    words = PROTOCOLS_AND_CERTIFICATE
    assert faults(scanner.scan(host, HOSTS[host], port, authorities, *words)) == []


@ENCRYPTED
@pytest.mark.slow
@PORTS
def test_nothing_weak_is_found(host: str, port: int, scanner: Scanner, authorities: Path) -> None:
    if not is_there(host, port):
        pytest.skip(f"nobody listens at {port} of {host}")
    assert faults(scanner.scan(host, HOSTS[host], port, authorities, *EVERYTHING)) == []


class Handler(BaseRequestHandler):
    """Says nothing once TLS is agreed on."""

    context: ssl.SSLContext

    def handle(self) -> None:
        try:
            with self.context.wrap_socket(self.request, server_side=True) as stream:
                stream.recv(1024)
        except OSError:
            pass


@pytest.fixture
def weak(tmp_path: Path) -> Iterator[int]:
    """The port of a server with TLS 1.0, whose certificate is nobody's and for another name."""
    made = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=other", "-days", "90")
    files = ("-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "crt"))
    subprocess.run(("openssl", *made, *files), check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    handler = type("Weak", (Handler,), {"context": context})
    with ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield int(server.server_address[1])
        server.shutdown()


@pytest.mark.slow
def test_what_is_weak_and_foreign_is_found(weak: int, scanner: Scanner, tmp_path: Path) -> None:
    made = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=ca", "-days", "90")
    path = tmp_path / "ca.pem"
    files = ("-keyout", str(tmp_path / "ca.key"), "-out", str(path))
    subprocess.run(("openssl", *made, *files), check=True, capture_output=True)
    said = faults(scanner.scan("controller", "127.0.0.1", weak, path, *PROTOCOLS_AND_CERTIFICATE))
    assert "TLS1 is spoken" in said
    assert any(line.startswith("the chain: ") for line in said)
    assert any(line.startswith("the name: ") for line in said)
