"""A cloud with a guest comes to speak TLS, with certificates of the project's own and then of the
site's, and goes back; the guest and its console stay.

`./run lab up` moves the lab's own services at once, so between it and the deploy Nova is cut off
from them. That outage is the lab's; what is measured here is from the beginning of the deploy on.
"""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any

import pytest

from pyinfra_nova.session.connections import load
from pyinfra_nova.site.load import site_of

from .conftest import MINUTE, ROOT, SECRETS, on, run
from .provided import provide
from .test_main_job import PYINFRA
from .test_moves import move_alive, place
from .test_resources import booted

sys.path.append(str(ROOT / "files/common"))
import trust
import websocket

pytestmark = pytest.mark.slow

Deployed = subprocess.CompletedProcess[str]
NAME = "moving-over"
CONTROLLER = "10.0.0.11"
API, PROXY = 8774, 6080
EVERY = 0.5
NOVA_CONF = "/etc/nova/nova.conf"
TRUST = "/etc/pyinfra-nova/tls/ca.pem"


@dataclass
class Away:
    """How long the API did not answer, in http or in https, whichever.

    Attributes:
        silences: each of them in seconds.
    """

    silences: list[float] = field(default_factory=list)

    @property
    def longest(self) -> float:
        return max(self.silences, default=0.0)


def answers() -> bool:
    """Whether the API does; who it is, others look at."""
    anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    kinds: tuple[tuple[Any, dict[str, Any]], ...] = (
        (HTTPConnection, {}),
        (HTTPSConnection, {"context": anybody}),
    )
    for kind, more in kinds:
        connection = kind(CONTROLLER, API, timeout=2, **more)
        try:
            connection.request("GET", "/")
            return bool(connection.getresponse().status < 500)
        except (OSError, HTTPException):
            continue
        finally:
            connection.close()
    return False


@contextmanager
def watched() -> Iterator[Away]:
    """How long the API is away meanwhile."""
    away, ends = Away(), threading.Event()

    def watch() -> None:
        since: float | None = None
        while not ends.wait(EVERY):
            if answers():
                if since is not None:
                    away.silences.append(time.monotonic() - since)
                since = None
            elif since is None:
                since = time.monotonic()
        if since is not None:
            away.silences.append(time.monotonic() - since)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield away
    finally:
        ends.set()
        thread.join()
        print(f"the API was away for {[round(each, 1) for each in away.silences]} s")


@pytest.fixture(scope="module")
def inventories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The lab's inventory in each mode; what stands beside it is laid over the group_data here."""
    certificates = tmp_path_factory.mktemp("certificates")
    found = {}
    for mode in ("off", "internal", "provided"):
        folder = tmp_path_factory.mktemp(mode)
        (folder / "inventory.py").write_text((ROOT / "inventory.py").read_text())
        (folder / "group_data").mkdir()
        tls = {"mode": mode, **({"certificates": str(certificates)} if mode == "provided" else {})}
        (folder / "group_data/lab.py").write_text(f"tls = {tls!r}\n")
        found[mode] = folder / "inventory.py"
    internal = str(found["internal"])
    provide(site_of(load(internal).inventory, SECRETS, internal), certificates)
    return found


def moved(inventory: Path) -> Away:
    """Move the lab's services, then Nova; a plan finds nothing after it."""
    assert run("./run", "-i", str(inventory), "lab", "up").returncode == 0
    with watched() as away:
        deploy = run(PYINFRA, str(inventory), "deploy.py", "-y", timeout=30 * MINUTE)
    assert deploy.returncode == 0
    assert run("./run", "-i", str(inventory), "plan").returncode == 0
    return away


@dataclass(frozen=True)
class Guest:
    """A guest, its compute, and the process that it has been since it was started."""

    uuid: str
    host: str
    pid: str

    def runs_on(self) -> bool:
        return pid_of(self.host, self.uuid) == self.pid


def pid_of(host: str, uuid: str) -> str:
    return on(host, f"pgrep -f -- '[q]emu-system.* -uuid {uuid}'").stdout.strip()


def started() -> Guest:
    shown = booted(NAME, NAME)
    assert shown["status"] == "ACTIVE"
    host, uuid = str(shown["OS-EXT-SRV-ATTR:host"]), str(shown["id"])
    pid = pid_of(host, uuid)
    assert pid.isdigit()
    return Guest(uuid, host, pid)


def console_speaks(*, encrypted: bool) -> bool:
    """Whether the guest's screen answers through the proxy, with the URL that Nova tells now."""
    shown = on("controller", f"openstack console url show --novnc {NAME} -f json").stdout
    url = str(json.loads(shown)["url"])
    scheme = "https" if encrypted else "http"
    assert url.startswith(f"{scheme}://")
    at = f"{scheme}://{CONTROLLER}:{PROXY}"
    status, words, fault = websocket.screen(url, websocket.console_path(url), at)
    print(f"{status} {words!r} {fault}")
    return bool(words.startswith(websocket.VNC) and not fault)


def schemes() -> str:
    line = on("controller", f"grep -E '^auth_schemes' {NOVA_CONF} || echo absent").stdout
    return line.strip().rpartition(" ")[2]


def catalogue() -> set[str]:
    listed = on("controller", "openstack endpoint list --service nova -f value -c URL").stdout
    return {line.partition("://")[0] for line in listed.split()}


def lets_in_without_tls() -> bool:
    asked = "SELECT ssl_type FROM mysql.user WHERE user = 'nova' AND host = '%'"
    return on("controller", f'mysql -BN -e "{asked}"').stdout.strip() == ""


@pytest.fixture(scope="module")
def plain(deployed: Deployed, inventories: dict[str, Path]) -> Iterator[Guest]:
    """The lab in plain text, with a guest that was started so; at the end as it was."""
    assert deployed.returncode == 0
    try:
        moved(inventories["off"])
        on("controller", f"openstack flavor create --vcpus 1 --ram 128 --disk 0 {NAME}")
        yield started()
    finally:
        trust.rely_on(None)
        # In whichever mode it has stopped, Nova and what is beneath it are in the same one first.
        assert run("./run", "lab", "up").returncode == 0
        back = run(PYINFRA, "inventory.py", "deploy.py", "-y", timeout=30 * MINUTE)
        on("controller", f"openstack server delete --wait {NAME}")
        on("controller", f"openstack flavor delete {NAME}")
        assert back.returncode == 0
        assert NAME not in on("controller", "openstack server list -f value -c Name").stdout


def test_a_guest_and_its_console_stay_while_its_cloud_moves_to_tls_and_back(
    plain: Guest, inventories: dict[str, Path]
) -> None:
    assert console_speaks(encrypted=False)
    assert (schemes(), catalogue(), lets_in_without_tls()) == ("absent", {"http"}, True)

    towards = moved(inventories["internal"])
    trust.rely_on(on("controller", f"cat {TRUST}").stdout)
    assert plain.runs_on()
    assert (schemes(), catalogue(), lets_in_without_tls()) == ("vencrypt,none", {"https"}, False)
    assert console_speaks(encrypted=True)
    said = run("./run", "-i", str(inventories["internal"]), "plan").stdout
    assert "the screen of 1 guest speaks no TLS" in said and plain.host in said

    # Started anew its screen speaks TLS, and then nothing else is spoken to any.
    assert on("controller", f"openstack server reboot --hard --wait {NAME}").returncode == 0
    pid = pid_of(plain.host, plain.uuid)
    assert pid.isdigit() and pid != plain.pid
    anew = Guest(plain.uuid, plain.host, pid)
    assert console_speaks(encrypted=True)
    moved(inventories["internal"])
    assert schemes() == "vencrypt" and anew.runs_on() and console_speaks(encrypted=True)

    # Of other authorities: nobody trusts those of before, and the guest's screen shows a new one.
    before = on("controller", f"cat {TRUST}").stdout
    other = moved(inventories["provided"])
    now = on("controller", f"cat {TRUST}").stdout
    assert now != before
    trust.rely_on(now)
    assert schemes() == "vencrypt" and anew.runs_on() and console_speaks(encrypted=True)
    for _ in range(2):
        move_alive(NAME)
    assert place(NAME) == anew.host and console_speaks(encrypted=True)
    anew = Guest(anew.uuid, anew.host, pid_of(anew.host, anew.uuid))

    back = moved(inventories["off"])
    assert anew.runs_on()
    assert (schemes(), catalogue(), lets_in_without_tls()) == ("vencrypt,none", {"http"}, True)
    assert console_speaks(encrypted=False)
    assert on(plain.host, "ls /etc/pki/libvirt-vnc/server-key.pem").returncode == 0
    assert on(plain.host, "ls /etc/pki/qemu/server-key.pem").returncode != 0

    assert on("controller", f"openstack server reboot --hard --wait {NAME}").returncode == 0
    moved(inventories["off"])
    assert schemes() == "absent" and console_speaks(encrypted=False)
    left = "ls -d /etc/pyinfra-nova/tls/screens/* /etc/pki/libvirt-vnc/*.pem 2>/dev/null"
    assert [on(host, left).stdout for host in ("controller", plain.host)] == ["", ""]
    # As long as the restart of its process takes, and no longer.
    ways = [round(way.longest, 1) for way in (towards, other, back)]
    print(f"away on the way to TLS, to other certificates, and back: {ways} s")
    assert max(ways) < MINUTE
