"""The console's proxy, and whom it takes for a guest's screen: real TLS, a Nova in its place."""

from __future__ import annotations

import re
import shutil
import socket
import socketserver
import ssl
import stat
import subprocess
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from types import ModuleType
from typing import Any

import nova_novncproxy
import pytest

from pyinfra_nova.certificates.authority import authority
from pyinfra_nova.knowledge.platforms import Platform, platform_for, table
from pyinfra_nova.nova_conf.console_proxy import MARKER, PROGRAM, proxy_files
from pyinfra_nova.run.host_plan import HostPlan
from pyinfra_nova.site.run_scope import scope_of
from tests.unit.site_data import secrets, site
from tests.unit.tls_stand_in import FOREIGN, HERE, SECRET, Encrypted, Shown, issued, listening

TRIXIE = platform_for("debian", "13", "2025.1")
ROWS = [pytest.param(row, id=f"{row.system} {row.release}") for row in table().platforms]


class Screen(Encrypted, socketserver.BaseRequestHandler):
    """A guest's screen once it has agreed on TLS (VeNCrypt, X509None)."""

    def handle(self) -> None:
        self.request.sendall(self.request.getpeercert()["subject"][-1][0][1].encode())


def as_nova_to_33(sock: socket.socket, trusted: Path, client: Path) -> ssl.SSLSocket:
    """As its nova/console/rfb/authvencrypt.py calls it, from 25 on."""
    wrapped: ssl.SSLSocket = nova_novncproxy.VerifyingSsl(ssl).wrap_socket(
        sock,
        keyfile=str(client),
        certfile=str(client),
        server_side=False,
        cert_reqs=ssl.CERT_REQUIRED,
        ca_certs=str(trusted),
    )
    return wrapped


def as_nova_34(sock: socket.socket, trusted: Path, client: Path) -> ssl.SSLSocket:
    """The same of Nova 34, Debian's 34.0.0-4 included."""
    module = nova_novncproxy.VerifyingSsl(ssl)
    ssl_ctx = module.SSLContext(module.PROTOCOL_TLS_CLIENT)
    ssl_ctx.load_cert_chain(keyfile=str(client), certfile=str(client))
    ssl_ctx.load_verify_locations(cafile=str(trusted))
    ssl_ctx.verify_mode = module.CERT_REQUIRED
    ssl_ctx.check_hostname = False
    wrapped: ssl.SSLSocket = ssl_ctx.wrap_socket(sock, server_side=False)
    return wrapped


NOVAS = [as_nova_to_33, as_nova_34]
Nova = Callable[[socket.socket, Path, Path], ssl.SSLSocket]


def asked_by(shown: Shown, trusted: Path, client: Path, nova: Nova = as_nova_to_33) -> str:
    """What the proxy reads of a screen that has SHOWN its certificate."""
    how = shown.context()
    how.load_verify_locations(cadata=authority(SECRET, "screens").pem)
    how.verify_mode = ssl.CERT_REQUIRED
    with (
        listening(Screen, how=how) as port,
        socket.create_connection(("127.0.0.1", port)) as sock,
        nova(sock, trusted, client) as wrapped,
    ):
        return str(wrapped.recv(100).decode())


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Whom the proxy trusts, and what it shows."""
    trusted, client = tmp_path / "ca.pem", tmp_path / "client.pem"
    trusted.write_text(authority(SECRET, "screens").pem)
    mine = issued(purpose="console")
    client.write_text(mine.certificate + mine.key)
    return trusted, client


def screen(secret: str = SECRET, names: Collection[str] = HERE, age: int = 1) -> Shown:
    return issued(secret, names, age, "screen")


@pytest.mark.parametrize("nova", NOVAS)
def test_a_screen_is_shown_the_proxys_certificate(nova: Nova, files: tuple[Path, Path]) -> None:
    assert asked_by(screen(), *files, nova) == "console controller"


@pytest.mark.parametrize("nova", NOVAS)
@pytest.mark.parametrize(
    ("shown", "said"),
    [
        (screen(FOREIGN), "unable to get local issuer certificate|self.signed certificate"),
        (screen(age=91), "certificate has expired"),
        (screen(names=["10.9.9.9", "compute9"]), "not valid for '127.0.0.1'"),
        (issued(purpose="api"), "unable to get local issuer certificate|self.signed certificate"),
    ],
    ids=["foreign", "expired", "another host's", "of the services' authority"],
)
def test_who_poses_as_a_screen_is_refused_and_the_reason_said(
    shown: Shown, said: str, nova: Nova, files: tuple[Path, Path]
) -> None:
    with pytest.raises(ssl.SSLError, match=said):
        asked_by(shown, *files, nova)


def test_nobody_is_trusted_without_a_list(files: tuple[Path, Path], tmp_path: Path) -> None:
    """As an SSLError: of others Nova does not say what it was."""
    client = files[1]
    with pytest.raises(ssl.SSLError, match=r"missing.pem.*No such file"):
        asked_by(screen(), tmp_path / "missing.pem", client)
    with pytest.raises(ssl.SSLError, match="vencrypt_ca_certs is not set"):
        nova_novncproxy.VerifyingSsl(ssl).wrap_socket(None, ca_certs=None)


def test_nova_is_started_with_it_and_under_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    names = ("nova", "nova.cmd", "nova.cmd.novncproxy", "nova.console", "nova.console.rfb")
    modules = {name: ModuleType(name) for name in (*names, "nova.console.rfb.authvencrypt")}
    vencrypt: Any = modules["nova.console.rfb.authvencrypt"]
    program: Any = modules["nova.cmd.novncproxy"]
    vencrypt.ssl = ssl

    def main() -> int:
        seen.extend([Path(sys.argv[0]).name, *sys.argv[1:], vencrypt.ssl.wrap_socket.__qualname__])
        return 3

    program.main = main
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
        parent, _, last = name.rpartition(".")
        if parent:
            setattr(modules[parent], last, module)
    monkeypatch.setattr(sys, "argv", [PROGRAM, "--config-file=/etc/nova/nova.conf"])
    assert nova_novncproxy.main() == 3
    assert seen == [
        "nova-novncproxy",
        "--config-file=/etc/nova/nova.conf",
        "VerifyingSsl.wrap_socket",
    ]
    assert vencrypt.ssl.CERT_REQUIRED is ssl.CERT_REQUIRED


def test_nothing_is_imported_from_the_folder_that_it_shares_with_the_timers(tmp_path: Path) -> None:
    program = tmp_path / Path(PROGRAM).name
    shutil.copy(nova_novncproxy.__file__, program)
    program.chmod(0o755)
    (tmp_path / "nova.py").write_text("print('of the folder')")
    done = subprocess.run([program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode and "of the folder" not in done.stdout
    assert "No module named" in done.stderr


# --- where it is started --------------------------------------------------------------------------


def plan(platform: Platform, **settings: Any) -> HostPlan:
    data = {"release": platform.release, "tls": {"mode": "internal"}, **settings}
    where = site(data, passwords=secrets(tls_secret="t" * 32))
    host = where.hosts["controller"]
    return HostPlan(host, where, platform, "qemu", scope_of(where, where.hosts))


@pytest.mark.parametrize("row", ROWS)
def test_it_is_where_an_init_script_asks(row: Platform) -> None:
    found = {file.path: file for file in plan(row).files}
    is_there = PROGRAM in found
    assert is_there is (row.packager == "apt")
    assert ("/etc/default/nova-novncproxy" in found) is is_there
    name = row.unit_serving("novncproxy").name
    (unit,) = (unit for unit in plan(row).units("controller") if unit.name == name)
    assert (PROGRAM in unit.reads) is is_there
    if is_there:
        program, default = found[PROGRAM], found["/etc/default/nova-novncproxy"]
        assert int(program.mode, 8) & stat.S_IXOTH
        assert re.search(f"^DAEMON={PROGRAM}$", default.content, re.MULTILINE)


@pytest.mark.parametrize("settings", [{"tls": {"mode": "off"}}, {"vnc": {"enabled": False}}])
def test_where_it_is_not_wanted_the_packages_own_program_is_started(
    settings: dict[str, Any],
) -> None:
    found = plan(TRIXIE, **settings)
    assert PROGRAM not in {file.path for file in found.files}
    absent = {file.path: file for file in found.absent}
    written = {file.path: file.content for file in plan(TRIXIE).files}
    for path in ("/etc/default/nova-novncproxy", PROGRAM):
        first = written[path].partition("\n")[0]
        assert re.fullmatch(absent[path].form, first)
        assert absent[path].how == "marker"
    assert written["/etc/default/nova-novncproxy"].startswith(MARKER)
    assert not {PROGRAM} & {file.path for file in plan(TRIXIE).absent}


def test_a_compute_has_no_proxy() -> None:
    where = plan(TRIXIE).site
    assert proxy_files(where, where.hosts["compute1"], TRIXIE) == []
