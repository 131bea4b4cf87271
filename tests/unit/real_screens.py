"""What hosts have for guests' screens, and a guest's QEMU that reads it: it needs no machine.

The key of a compute's screens is read by every guest's QEMU there: whoever has broken out of one.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from served_certificates import go_on_to_tls
from streams import exactly

from pyinfra_nova.certificates.authority import authority, derived_key, key_pem, pem_of
from pyinfra_nova.certificates.purposes import CLIENT, SERVER
from pyinfra_nova.knowledge.platforms import platform_for
from pyinfra_nova.run.host_plan import HostPlan
from pyinfra_nova.site.run_scope import scope_of
from tests.unit.site_data import secrets, site

DEBIAN = platform_for("debian", "12", "zed")
OLD, NEW = "o" * 32, "n" * 32
STEPS: tuple[Mapping[str, str], ...] = (
    {"tls_secret": OLD},
    {"tls_secret": OLD, "tls_next_secret": NEW},
    {"tls_secret": NEW, "tls_former_secret": OLD},
    {"tls_secret": NEW},
)
"""What secrets.yml has before, and in each of the three deploys that exchange the authority."""
HOSTS = {
    "controller": {"my_ip": "10.0.0.11"},
    "compute1": {"my_ip": "10.0.0.31"},
    "compute2": {"my_ip": "10.0.0.32"},
}
GROUPS = {"controllers": ["controller"], "computes": ["compute1", "compute2"]}
VNC = "/etc/pki/libvirt-vnc"
CONSOLE = "/etc/pyinfra-nova/tls/screens"
QEMU = "qemu-system-x86_64"
needs_qemu = pytest.mark.skipif(not shutil.which(QEMU), reason=f"there is no {QEMU} here")


@cache
def files_of(name: str, step: int = 0) -> Mapping[str, str]:
    """What a host has that was deployed anew at that step of an authority's exchange."""
    passwords = secrets(**STEPS[step])
    where = site({"tls": {"mode": "internal"}}, groups=GROUPS, hosts=HOSTS, passwords=passwords)
    plan = HostPlan(where.hosts[name], where, DEBIAN, "qemu", scope_of(where, set(where.hosts)))
    return {file.path: file.content for file in plan.files}


@dataclass(frozen=True)
class Shown:
    """Who asks for a screen: what it shows, and whom it takes for a screen."""

    certificate: str
    key: str
    trusts: str


def proxy(step: int = 0) -> Shown:
    has = files_of("controller", step)
    return Shown(*(has[f"{CONSOLE}/{name}"] for name in ("client.crt", "client.key", "ca.pem")))


def thief(host: str, step: int = 0) -> Shown:
    """Who has broken out of a guest on HOST: it reads what its QEMU reads."""
    has = files_of(host, step)
    own = (has[f"{VNC}/server-cert.pem"], has[f"{VNC}/server-key.pem"])
    return Shown(*own, proxy(step).trusts)


def alone(who: Shown) -> Shown:
    """Without the certificates between its own and its authority."""
    end = "-----END CERTIFICATE-----\n"
    return Shown(who.certificate.partition(end)[0] + end, who.key, who.trusts)


def of_one_authority() -> tuple[Mapping[str, str], Shown]:
    """What a compute and the proxy have if the authority of screens signs it all itself."""
    root, made = authority(OLD, "screens"), {}
    for number, purpose, usage in ((4711, "screen", SERVER), (4712, "console", CLIENT)):
        key = derived_key(OLD, "one", purpose)
        now = dt.datetime.now(dt.timezone.utc)
        period = (now - dt.timedelta(hours=1), now + dt.timedelta(days=1))
        names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("10.0.0.31"))])
        further = [(x509.ExtendedKeyUsage([usage]), False), (names, False)]
        signed = root.signed(purpose, key.public_key(), number, period, further)
        made[purpose] = (pem_of(signed), key_pem(key))
    names_of_files = ("ca-cert.pem", "server-cert.pem", "server-key.pem")
    texts = (root.pem, *made["screen"])
    files = {f"{VNC}/{name}": text for name, text in zip(names_of_files, texts, strict=True)}
    return files, Shown(*made["console"], root.pem)


class Screen:
    """A guest's QEMU on a compute, with its VNC server and its monitor."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as taken:
            self.port = int(taken.getsockname()[1])

    def write(self, files: Mapping[str, str]) -> None:
        for path, text in files.items():
            if path.startswith(f"{VNC}/"):
                (self.folder / Path(path).name).write_text(text)

    def command(self) -> list[str]:
        credentials = f"tls-creds-x509,id=t,endpoint=server,dir={self.folder},verify-peer=on"
        where = f"127.0.0.1:{self.port - 5900},tls-creds=t"
        monitor = f"unix:{self.folder}/monitor,server=on,wait=off"
        bare = ("-S", "-nodefaults", "-machine", "none", "-display", "none")
        return [QEMU, *bare, "-object", credentials, "-vnc", where, "-qmp", monitor]

    @property
    def is_there(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
            return True
        return False

    @contextmanager
    def running(self) -> Iterator[None]:
        with subprocess.Popen(
            self.command(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                deadline = time.monotonic() + 30
                while not self.is_there and time.monotonic() < deadline:
                    if process.poll() is not None:
                        assert process.stdout
                        raise AssertionError(process.stdout.read())
                    time.sleep(0.05)
                yield
            finally:
                process.kill()

    def reload(self) -> str:
        """What it says to being told to read its certificates again; empty if all is well."""
        with socket.socket(socket.AF_UNIX) as stream:
            stream.settimeout(30)
            stream.connect(f"{self.folder}/monitor")
            lines = stream.makefile("rw")
            lines.readline()
            asked = {"type": "vnc", "tls-certs": True}
            for verb, arguments in (("qmp_capabilities", {}), ("display-reload", asked)):
                lines.write(json.dumps({"execute": verb, "arguments": arguments}) + "\n")
                lines.flush()
                answer = json.loads(lines.readline())
        return str(answer.get("error", {}).get("desc", ""))

    def lets_in(self, who: Shown) -> bool:
        """Whether it shows the screen. Raises ssl.SSLCertVerificationError: WHO refuses it."""
        (self.folder / "shown").write_text(who.certificate + who.key)
        context = ssl.create_default_context(cadata=who.trusts)
        context.load_cert_chain(self.folder / "shown")
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as stream:
            go_on_to_tls(stream)
            try:
                with context.wrap_socket(stream, server_hostname="10.0.0.31") as secured:
                    return bool(exactly(secured, 4) == bytes(4))  # RFB's SecurityResult
            except ssl.SSLCertVerificationError:
                raise
            except OSError:
                return False
