"""Every password at once, then broker and controller by another name; and no secret in sight."""

from __future__ import annotations

import os
import stat
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from lab import state
from pyinfra_nova.nova_conf import migration_ssh
from pyinfra_nova.nova_conf.migration_ssh import key_pair
from pyinfra_nova.session.redaction import MASK, forms
from pyinfra_nova.site.secrets import ceph_key

from .conftest import HAS_TLS, ROOT, SECRETS, on, run
from .execs import Execs, execs
from .leaks import Search
from .test_drift import RBD_SECRET
from .test_main_job import PYINFRA

Deployed = subprocess.CompletedProcess[str]
HOSTS = ("controller", "compute1", "compute2")
SMALL = 8_000_000
"""Bytes; what is larger is no place that a deploy writes to."""
NOVA_CONF = "etc/nova/nova.conf"
KEY = migration_ssh.KEY.removeprefix("/")
OF_CONTROLLER = {"database_password", "messaging_password", "nova_password", "metadata_secret"}
OF_COMPUTES = {"messaging_password", "nova_password", "placement_password", "neutron_password"}
HELD = {
    ("controller", NOVA_CONF): OF_CONTROLLER | OF_COMPUTES,
    ("controller", "root/.config/openstack/clouds.yaml"): {"admin_password"},
    **{("compute" + number, NOVA_CONF): OF_COMPUTES for number in "12"},
    **{("compute" + number, KEY): {"line 0 of the key"} for number in "12"},
    ("compute1", f"etc/libvirt/secrets/{RBD_SECRET}.base64"): {"rbd_secret_key"},
}
"""Where secrets have to be, so that a search that finds none there is known to be none."""


def secrets_now() -> dict[str, str]:
    """The secrets file's values, and of the key that is made of one the lines that tell it."""
    found: dict[str, str] = yaml.safe_load(SECRETS.read_text())
    if secret := found.get("migration_secret"):
        private, _ = key_pair(secret)
        # Of the armour, of what all keys begin with and of the short last line there are several.
        lines = private.splitlines()[3:-2]
        found |= {f"line {number} of the key": line for number, line in enumerate(lines)}
    return found


MADE = {"migration_secret", "tls_secret"}
"""Of these, hosts have only the keys that are made of them."""
PEM_LINE = 64


def keys_of_certificates() -> dict[str, str]:
    """The full lines of every private key of a certificate that stands on a host."""
    found: dict[str, str] = {}
    for host in HOSTS:
        grep = ("grep", "-rIl", "BEGIN.* PRIVATE KEY", "etc/pki", "etc/pyinfra-nova", "etc/nova")
        shown = subprocess.run(
            grep, cwd=upper(host), stdout=subprocess.PIPE, text=True, check=False
        ).stdout
        for path in shown.splitlines():
            for line in (upper(host) / path).read_text().splitlines():
                if len(line) == PEM_LINE:
                    found[f"a line of {path} of {host}: {len(found)}"] = line
    return found


def upper(host: str) -> Path:
    """What a host has of its own, as files of this machine."""
    return state.HOSTS / host / "upper"


def readable_by_all(host: str) -> Iterator[Path]:
    """What is written on a host since it was made, and others may read."""
    for folder, _, names in os.walk(upper(host)):
        for name in names:
            path = Path(folder, name)
            try:
                status = path.lstat()
            except FileNotFoundError:  # a database deletes files of its own meanwhile
                continue
            is_open = stat.S_ISREG(status.st_mode) and status.st_mode & 0o004
            if is_open and status.st_size < SMALL:
                yield path


def journal(host: str, since: float) -> str:
    """A host's journal with all its fields, command lines among them; not shown in test output."""
    command = f"journalctl -q --no-pager --all -o export --since @{int(since)}"
    shown = subprocess.run(
        ("./run", "ssh", host, command), cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    return shown.stdout.decode(errors="replace")


@dataclass(frozen=True)
class Rotation:
    """All passwords changed and deployed, with pyinfra as talkative as it gets.

    Attributes:
        secrets: the old ones and the new ones by their names.
        began: when.
        said: what was printed.
        seen: what was executed, on this machine and on the hosts.
    """

    secrets: dict[str, str]
    began: float
    said: str
    seen: Execs

    def search(self, folder: Path) -> Search:
        return Search(self.secrets, folder)


@pytest.fixture(scope="module")
def rotated(deployed: Deployed) -> Rotation:
    old = {f"old {name}": value for name, value in secrets_now().items()}
    values = yaml.safe_load(SECRETS.read_text())
    fresh = {key: "new " + value[::-1] for key, value in values.items()}
    fresh["rbd_secret_key"] = ceph_key()
    # This one is exchanged in three deploys, docs/tls.md: test_tls.py.
    fresh["tls_secret"] = values["tls_secret"]
    SECRETS.write_text(yaml.safe_dump(fresh))
    began = time.time()
    with execs() as seen:
        # What Nova builds on has passwords of this file as well.
        assert run("./run", "lab", "up").returncode == 0
        planned = run("./run", "plan", "-vvv", "--debug")
        done = run(PYINFRA, "inventory.py", "deploy.py", "-y", "-vvv", "--debug")
        for host in HOSTS:
            on(host, f"/bin/true seen-on-{host}")
    assert (planned.returncode, done.returncode) == (2, 0)
    keys = keys_of_certificates()
    assert len(keys) > 2 * len(HOSTS) or not HAS_TLS
    return Rotation(old | secrets_now() | keys, began, planned.stdout + done.stdout, seen)


def test_everything_moves_over_and_the_plan_is_empty(rotated: Rotation) -> None:
    for text in (
        "change the password of database user nova",
        "set broker user openstack and its password",
        "change the password of user nova",
        "restart nova-conductor",
        "restart nova-compute",
    ):
        assert text in rotated.said
    assert run("./run", "plan").returncode == 0
    listed = on("controller", "nova-manage cell_v2 list_cells | grep -c ' cell[01] '")
    assert listed.stdout.split()[-1] == "2"
    without_guests = ("--deselect", "tests/verify/test_guests.py")
    assert run("./run", "verify", *without_guests).returncode == 0


def test_the_search_finds_every_secret_in_every_form(rotated: Rotation, tmp_path: Path) -> None:
    search, planted = rotated.search(tmp_path), []
    for number, (name, value) in enumerate(rotated.secrets.items()):
        for one, form in enumerate(sorted(forms(value))):
            planted.append(tmp_path / f"{number}-{one}")
            planted[-1].touch(mode=0o600)
            planted[-1].write_text(f"before {form} after")
            assert name in search.in_text(f"before {form} after")
    assert search.in_files(planted) == [str(path) for path in planted]


def test_the_search_finds_every_secret_where_it_has_to_be(
    rotated: Rotation, tmp_path: Path
) -> None:
    search = rotated.search(tmp_path)
    for (host, path), names in HELD.items():
        found = search.in_file(upper(host) / path)
        assert names <= set(found), f"{path} of {host} lacks {sorted(names - set(found))}"
    given = set(yaml.safe_load(SECRETS.read_text()))
    assert given <= set(search.in_file(SECRETS))
    assert given - MADE <= set().union(*HELD.values())


def test_no_secret_is_printed_or_logged(rotated: Rotation, tmp_path: Path) -> None:
    search = rotated.search(tmp_path)
    assert MASK in rotated.said
    assert search.in_text(rotated.said) == []
    log = ROOT / "pyinfra-debug.log"
    assert search.in_text(log.read_text() if log.exists() else "") == []
    for host in HOSTS:
        logged = journal(host, rotated.began)
        assert "MESSAGE=" in logged
        assert search.in_text(logged) == []


def test_no_secret_is_in_a_command_line(rotated: Rotation, tmp_path: Path) -> None:
    seen = rotated.seen.text()
    for host in HOSTS:
        assert f"\nseen-on-{host}" in seen
    # The rotation runs no program of Nova's; those of the deploy are seen.
    assert "\nsystemctl\n" in seen or "/systemctl\n" in seen
    assert rotated.search(tmp_path).in_text(seen) == []


@pytest.mark.parametrize("host", HOSTS)
def test_no_secret_is_in_a_file_that_others_may_read(
    rotated: Rotation, tmp_path: Path, host: str
) -> None:
    paths = list(readable_by_all(host))
    assert len(paths) > 100
    assert rotated.search(tmp_path).in_files(paths) == []


ELSEWHERE = ("--data", "controller_host=10.0.0.11")


@pytest.mark.rotated("faults")
def test_the_controller_and_its_broker_by_another_name(rotated: Rotation) -> None:
    assert run("./run", "plan", *ELSEWHERE).returncode == 2
    moved = run(PYINFRA, "inventory.py", "deploy.py", "-y", *ELSEWHERE)
    assert moved.returncode == 0
    assert "move the public endpoint of compute" in moved.stdout
    assert run("./run", "plan", *ELSEWHERE).returncode == 0
    used = on("compute1", "grep -c '@controller' /etc/nova/nova.conf")
    assert used.stdout.split()[-1] == "0"
    assert run(PYINFRA, "inventory.py", "deploy.py", "-y").returncode == 0
    assert run("./run", "plan").returncode == 0
