"""Who reads every packet between hosts reads no secret, no token, no screen and no guest's memory.

Begins with the cloud that is there, and leaves it so; what runs with --all takes the lab to plain
text, where all of it is read, and back.
"""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from lab import state
from lab.settings import read_settings

from .captured import Capture, captured
from .conftest import ENCRYPTED, MINUTE, ROOT, on, run
from .outside import Cloud, Screen, a_key, key_event, token_of
from .test_moves import ALIVE, LEFT, eventually, openstack, place
from .test_rotation import secrets_now

pytestmark = ENCRYPTED
Deployed = subprocess.CompletedProcess[str]
NAME = "captured"
KEY, TOKEN, CONSOLE, SCREEN = "a key", "a token", "a console's token", "a screen"
MIB = 1 << 20
GREETING = b"RFB 003.008\n"
"""Before it speaks TLS the proxy says this to the screen: so the way between them was captured."""
PLANT = """#!/bin/sh
mkdir /run/planted && mount -t tmpfs none /run/planted
i=0; while [ $i -lt 400 ]; do echo {text}; i=$((i+1)); done >/run/planted/text
echo planted $(wc -l </run/planted/text) >/dev/console
"""
PLANTED = "planted 400"


@dataclass(frozen=True)
class Seen:
    """What was captured, and what was said meanwhile.

    Attributes:
        markers: what one host has told another in plain text, by the network.
        said: what nobody else is to know, by what it is.
    """

    capture: Capture
    markers: dict[str, bytes] = field(default_factory=dict)
    said: dict[str, bytes] = field(default_factory=dict)


def known() -> dict[str, str]:
    """Every secret of the site, and of what the lab puts beneath it."""
    of_lab: dict[str, str] = yaml.safe_load((state.LAB / "secrets.yml").read_text())
    return {**{f"the lab's {name}": value for name, value in of_lab.items()}, **secrets_now()}


@contextmanager
def watched(folder: Path) -> Iterator[Seen]:
    """Everything between hosts is captured; on each network compute1 tells compute2 something."""
    settings = read_settings(ROOT / "inventory.py")
    there = next(host for host in settings.hosts if host.name == "compute2")
    with captured(settings.networks, folder) as capture:
        seen = Seen(capture)
        yield seen
        for network in settings.networks:
            marker = f"marker-{secrets.token_hex(16)}"
            told = f"echo {marker} >/dev/udp/{network.address(there.offset)}/9"
            assert on("compute1", f'bash -c "{told}"').returncode == 0
            seen.markers[network.key] = marker.encode()


def identity(words: str) -> str:
    return openstack(f"{words} -f value -c id").split()[-1]


@contextmanager
def flavor() -> Iterator[str]:
    """The id of a flavor for small guests."""
    try:
        yield identity(f"flavor create --vcpus 1 --ram 128 --disk 0 {NAME}")
    finally:
        on("controller", f"openstack flavor delete {NAME}")


def a_guest_and_its_screen(seen: Seen, authorities: str | None) -> None:
    """A guest is asked for, and its screen is looked at and typed on, all from this machine."""
    with flavor() as small:
        image = identity("image show tiny")
        cloud = Cloud(authorities)
        seen.said[TOKEN] = cloud.token.encode()
        guest = cloud.boot(NAME, small, image)
        try:
            url, key = cloud.console(guest), a_key()
            seen.said[CONSOLE] = token_of(url).encode()
            with Screen(url, authorities) as screen:
                screen.press(key)
                seen.said[KEY] = key_event(key, down=True)
                seen.said[SCREEN] = screen.shown()
        finally:
            cloud.delete(guest)
            assert eventually(lambda: NAME not in openstack("server list -f value -c Name"))


def console_log() -> str:
    return on("controller", f"openstack console log show {NAME}").stdout


@contextmanager
def planted(folder: Path) -> Iterator[bytes]:
    """What a guest has in its memory, many times, in a file of no disk."""
    text = secrets.token_hex(16)
    script = PLANT.format(text=text)
    with flavor() as small:
        where = f"/root/{NAME}.sh"
        assert on("controller", f"cat >{where} <<'END'\n{script}END").returncode == 0
        try:
            words = f"--flavor {small} --image tiny --network provider --user-data {where}"
            openstack(f"server create --wait {words} {NAME}")
            uuid = identity(f"server show {NAME}")
            assert eventually(lambda: PLANTED in console_log())
            yield text.encode()
        finally:
            on("controller", f"openstack server delete --wait {NAME}; rm {where}")
        # What stays where a move's end was told to Neutron twice (test_moves.py).
        for compute in ("compute1", "compute2"):
            assert on(compute, LEFT.replace("{0}", uuid)).returncode == 0


def a_guest_that_moves(seen: Seen) -> None:
    before = place(NAME)
    openstack(f"{ALIVE} --wait {NAME}")
    assert place(NAME) != before


@pytest.fixture(scope="module")
def authorities(deployed: Deployed) -> str:
    """Whom a person has to trust."""
    assert deployed.returncode == 0
    return on("controller", "cat /etc/pyinfra-nova/tls/ca.pem").stdout


@pytest.fixture(scope="module")
def session(authorities: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """A guest's boot and a look at its screen."""
    folder = tmp_path_factory.mktemp("session")
    with watched(folder) as seen:
        a_guest_and_its_screen(seen, authorities)
    yield seen
    seen.capture.remove()


def test_what_a_host_tells_another_is_captured_on_every_network(session: Seen) -> None:
    found = {name: session.capture.has(text, name) for name, text in session.markers.items()}
    assert found == dict.fromkeys(session.capture.files, True)
    assert session.capture.has(GREETING)


def test_no_token_no_key_and_no_screen_is_read(session: Seen) -> None:
    assert set(session.said) == {TOKEN, CONSOLE, KEY, SCREEN}
    assert session.capture.readable(session.said) == set()


def test_no_secret_is_read(session: Seen, tmp_path: Path) -> None:
    assert len(known()) > 20
    assert session.capture.secrets(known(), tmp_path) == []


@pytest.mark.rotated("encrypted")
def test_nothing_of_a_guest_is_read_on_its_way(authorities: str, tmp_path: Path) -> None:
    with planted(tmp_path) as text:
        with watched(tmp_path) as seen:
            a_guest_that_moves(seen)
        assert seen.capture.size > 10 * MIB
        assert all(seen.capture.has(marker) for marker in seen.markers.values())
        assert not seen.capture.has(text)
        assert seen.capture.secrets(known(), tmp_path) == []
    seen.capture.remove()


@pytest.fixture
def plain(deployed: Deployed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The same hosts meanwhile without encryption."""
    assert deployed.returncode == 0
    folder = tmp_path_factory.mktemp("plain")
    inventory = folder / "inventory.py"
    inventory.write_text((ROOT / "inventory.py").read_text())
    (folder / "group_data").mkdir()
    (folder / "group_data/lab.py").write_text('tls = {"mode": "off"}\n')
    try:
        assert run("./run", "-i", str(inventory), "deploy", timeout=30 * MINUTE).returncode == 0
        yield
    finally:
        assert run("./run", "deploy", timeout=30 * MINUTE).returncode == 0
    assert run("./run", "plan").returncode == 0


@pytest.mark.slow
def test_in_plain_text_the_same_search_finds_all_of_it(plain: None, tmp_path: Path) -> None:
    with planted(tmp_path) as text:
        with watched(tmp_path) as seen:
            a_guest_that_moves(seen)
        assert seen.capture.has(text)
    with watched(tmp_path) as seen:
        a_guest_and_its_screen(seen, None)
    assert seen.capture.readable(seen.said) == set(seen.said)
    found = seen.capture.secrets(known(), tmp_path)
    assert "admin_password (0)" in found
    seen.capture.remove()
