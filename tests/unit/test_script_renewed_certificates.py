"""files/renewed_certificates.py: servers are processes of their own, their TLS is real.

What uwsgi, MariaDB, RabbitMQ and stunnel do, the lab's tests show.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import renewed_certificates

from pyinfra_nova.certificates.authority import authority
from pyinfra_nova.nova_conf.certificate_files import MARKER
from pyinfra_nova.resources.renewed_certificates import Server, shown_of

from .systemd_stand_in import Systemd
from .tls_stand_in import SECRET, issued

PROGRAM = Path(__file__).with_name("rereading_stand_in.py")
BETWEEN = authority(SECRET, "screens").pem
"""What may come after a certificate in its file; a server shows whatever is there."""
SYSTEMCTL = """#!/bin/sh
echo "$*" >>"{log}"
[ "$1" = reload ] && exec kill -HUP {pid}
exec "{other}" "$@"
"""


class Unit:
    """A unit whose process shows a certificate."""

    def __init__(self, folder: Path, systemd: Systemd, name: str, how: str) -> None:
        self.name, self.how, self.systemd = name, how, systemd
        self.file, self.key = folder / f"{name}.crt", folder / f"{name}.key"
        self.text = ""
        self.renew()
        words = [sys.executable, str(PROGRAM), str(self.file), str(self.key), how]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        self.port = int(self.process.stdout.readline())
        systemd.says(name, MainPID=self.process.pid)

    def renew(self, after: str = "") -> None:
        made = issued()
        self.text = f"{MARKER}\n{made.certificate}{after}"
        self.file.write_text(self.text)
        self.key.write_text(made.key)

    def add(self, after: str) -> None:
        """Have the same certificate with another one AFTER it."""
        self.text += after
        self.file.write_text(self.text)

    def server(self, **changes: Any) -> dict[str, Any]:
        greeting = "mysql" if self.how == "mysql" else None
        found = Server(self.name, "127.0.0.1", self.port, shown_of(self.text), "hup")
        return {**vars(found), "wanted": list(found.wanted), "greeting": greeting, **changes}

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


class Host:
    def __init__(self, folder: Path, systemd: Systemd) -> None:
        self.folder, self.systemd = folder, systemd
        self.units: list[Unit] = []

    def unit(self, name: str = "nova-api", how: str = "hup") -> Unit:
        self.units.append(Unit(self.folder, self.systemd, name, how))
        return self.units[-1]


@pytest.fixture
def host(tmp_path: Path, systemd: Systemd) -> Iterator[Host]:
    made = Host(tmp_path, systemd)
    yield made
    for unit in made.units:
        unit.end()


def behind(*servers: dict[str, Any]) -> list[str]:
    found: dict[str, list[str]] = renewed_certificates.answer({"servers": list(servers)})
    return found["behind"]


def reread(*servers: dict[str, Any], wait: float = 20) -> None:
    """Raises SystemExit with what has not been read."""
    answer = renewed_certificates.answer({"servers": list(servers), "wait": wait})
    assert answer == {"behind": []}


def test_who_shows_what_is_in_his_file_has_read_it(host: Host) -> None:
    assert behind(host.unit().server()) == []


def test_a_port_is_asked_and_not_the_file(host: Host) -> None:
    """Before a deploy writes the new one, and whenever an earlier run was cut off after that."""
    unit = host.unit()
    before = unit.text
    unit.renew()
    assert behind(unit.server()) == ["nova-api"]
    unit.file.write_text(before)
    assert behind(unit.server()) == ["nova-api"]


@pytest.mark.parametrize("how", ["hup", "slow", "mysql"])
def test_who_is_told_shows_it_and_goes_on_as_the_same_process(host: Host, how: str) -> None:
    unit = host.unit(how=how)
    unit.renew()
    reread(unit.server())
    assert behind(unit.server()) == []
    assert unit.process.poll() is None


def test_what_belongs_to_a_certificate_is_shown_with_it(host: Host) -> None:
    unit = host.unit()
    unit.add(BETWEEN)
    assert behind(unit.server()) == ["nova-api"]
    reread(unit.server())
    assert behind(unit.server()) == []


def test_what_openssl_adds_to_it_is_no_difference(host: Host) -> None:
    unit = host.unit()
    leaf = unit.text
    unit.add(BETWEEN)
    reread(unit.server())
    assert behind(unit.server(wanted=list(shown_of(leaf)))) == []


def test_who_passes_it_over_is_named_with_what_is_to_be_done(host: Host) -> None:
    unit = host.unit(how="deaf")
    unit.renew()
    said = (
        rf"^127\.0\.0\.1:{unit.port} does not show the new certificate of nova-api, which was told "
        r"to 1 s ago: look at `journalctl -u nova-api`, then `systemctl restart nova-api`$"
    )
    with pytest.raises(SystemExit, match=said):
        reread(unit.server(), wait=1)


def test_of_several_the_others_have_read_it_all_the_same(host: Host) -> None:
    deaf, other = host.unit("nova-api", "deaf"), host.unit("nova-api-metadata")
    for unit in (deaf, other):
        unit.renew()
    with pytest.raises(SystemExit) as caught:
        reread(deaf.server(), other.server(), wait=2)
    assert "nova-api-metadata" not in str(caught.value)
    assert behind(deaf.server(), other.server()) == ["nova-api"]


@pytest.mark.parametrize("how", ["plain", "gone"])
def test_who_shows_no_certificate_is_not_told_anything(host: Host, how: str) -> None:
    """One that only starts would end by SIGHUP, and one without TLS is restarted for it."""
    unit = host.unit(how=how)
    unit.renew()
    idle = subprocess.Popen(["sleep", "60"])  # ends by SIGHUP
    try:
        host.systemd.says("nova-api", MainPID=idle.pid)
        if how == "gone":
            unit.end()
        assert behind(unit.server()) == []
        reread(unit.server())
        time.sleep(0.2)
        assert idle.poll() is None
    finally:
        idle.kill()
        idle.wait()


def test_one_unit_at_two_ports_is_told_once_by_systemd(host: Host) -> None:
    """Apache serves both APIs."""
    unit, log = host.unit("apache2"), host.folder / "log"
    systemctl = host.systemd.folder / "systemctl"
    systemctl.rename(host.systemd.folder / "other")
    text = SYSTEMCTL.format(log=log, pid=unit.process.pid, other=host.systemd.folder / "other")
    systemctl.write_text(text)
    systemctl.chmod(0o755)
    unit.renew()
    server = unit.server(means="reload")
    reread(server, server)
    assert log.read_text().splitlines() == ["reload apache2"]


def test_who_is_told_by_a_command_reads_by_it(host: Host) -> None:
    unit = host.unit("mariadb.service", "mysql")
    unit.renew()
    reread(unit.server(means=["kill", "-HUP", str(unit.process.pid)]))
    assert behind(unit.server()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["sh", "-c", "echo not now >&2; exit 3"], r"\(sh: not now\)"),
        (["false"], r"\(false: ended with 1\)"),
        (["/no/such/program"], r"\(/no/such/program: .*No such file or directory"),
    ],
)
def test_a_command_that_fails_is_said_with_its_words_and_not_waited_for(
    host: Host, words: list[str], said: str
) -> None:
    unit = host.unit()
    unit.renew()
    began = time.monotonic()
    with pytest.raises(SystemExit, match=rf"could not be told to read it {said}"):
        reread(unit.server(means=words), wait=60)
    assert time.monotonic() - began < 30


def test_a_unit_without_a_process_is_not_guessed_at(host: Host) -> None:
    unit = host.unit()
    unit.renew()
    host.systemd.says("nova-api", MainPID=0)
    with pytest.raises(SystemExit, match=r"could not be told to read it \(it has no process any"):
        reread(unit.server())
    ended = subprocess.Popen(["true"])
    ended.wait()
    host.systemd.says("nova-api", MainPID=ended.pid)
    with pytest.raises(SystemExit, match=r"could not be told to read it \(its process has ended"):
        reread(unit.server())
