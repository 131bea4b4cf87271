"""Certificates that have ended and authorities that are exchanged, under a guest that runs on."""

from __future__ import annotations

import datetime as dt
import subprocess
import time
from collections.abc import Iterator

import pytest
import yaml

from pyinfra_nova.knowledge.platforms import Platform, platform_for
from pyinfra_nova.nova_conf.certificate_files import certificate_files, issued
from pyinfra_nova.session.connections import load
from pyinfra_nova.site.load import site_of
from pyinfra_nova.site.settings import Site

from .conftest import ENCRYPTED, MINUTE, ROOT, SECRETS, on, run
from .guests import deploy
from .peers import Peer
from .test_moves import move_alive, openstack, place
from .test_resources import booted
from .test_tls import HOSTS, fingerprint, put, qemu_pids

pytestmark = ENCRYPTED
Deployed = subprocess.CompletedProcess[str]
NAME = "tls-changes"
DAYS = dt.timedelta(days=1)
COMPUTES = ("compute1", "compute2")
NEXT = "the authority's next secret, of a test "


@pytest.fixture(scope="module")
def guest(deployed: Deployed) -> Iterator[str]:
    """Its compute, at the beginning."""
    assert deployed.returncode == 0
    openstack(f"flavor create --vcpus 1 --ram 128 --disk 0 {NAME}")
    try:
        assert booted(NAME, NAME)["status"] == "ACTIVE"
        yield place(NAME)
    finally:
        on("controller", f"openstack server delete --wait {NAME}")
        on("controller", f"openstack flavor delete {NAME}")


def site() -> Site:
    return site_of(load("inventory.py").inventory, SECRETS, "inventory.py")


def platform(site: Site, host: str) -> Platform:
    shown = on(host, '. /etc/os-release; echo "$ID $VERSION_ID"').stdout.split()
    return platform_for(shown[-2], shown[-1], site.settings.release)


def put_as_made(host: str, when: dt.datetime) -> None:
    """Put onto HOST what a deploy at that time would have, certificates and keys."""
    here = site()
    mine, system = here.hosts[host], platform(here, host)
    made = issued(here, mine, system, {}, when)
    files = certificate_files(here, mine, system, made)
    put(host, {file.path: file.content for file in files})


SERVED = {"controller": 8774, "compute1": 16514, "compute2": 16514}
READ_ANEW = {
    "controller": "systemctl restart nova-api",
    **dict.fromkeys(COMPUTES, "virt-admin server-update-tls libvirtd"),
}


@pytest.mark.rotated("encrypted")
def test_certificates_that_have_ended_are_made_anew_and_the_guest_runs_on(guest: str) -> None:
    """libvirt reads none that has ended, so they end while it goes on with them."""
    before, pids = {h: fingerprint(HOSTS[h], SERVED[h]) for h in HOSTS}, qemu_pids(guest)
    end = dt.datetime.now(dt.timezone.utc) + dt.timedelta(seconds=MINUTE)
    for host in HOSTS:
        put_as_made(host, end - site().settings.tls.days * DAYS)
        assert on(host, READ_ANEW[host]).returncode == 0
    time.sleep(max(0.0, (end - dt.datetime.now(dt.timezone.utc)).total_seconds() + 1))
    planned = run("./run", "plan")
    assert planned.returncode == 2
    assert "the one there ended on" in planned.stdout
    done = deploy("inventory.py")
    assert done.returncode == 0
    after = {host: fingerprint(HOSTS[host], SERVED[host]) for host in HOSTS}
    assert None not in after.values()
    assert not set(before.values()) & set(after.values())
    assert qemu_pids(guest) == pids
    assert run("./run", "plan").returncode == 0
    move_alive(NAME)
    assert run("./run", "verify", "--deselect", "tests/verify/test_guests.py").returncode == 0


def with_secrets(**secrets: str | None) -> None:
    """The secrets file with SECRETS as well; without those that are None."""
    values = yaml.safe_load(SECRETS.read_text()) | secrets
    SECRETS.write_text(yaml.safe_dump({k: v for k, v in values.items() if v is not None}))


def deployed_again(*words: str) -> None:
    assert run("./run", "lab", "up", timeout=30 * MINUTE).returncode == 0
    assert deploy("inventory.py").returncode == 0
    assert run("./run", "plan").returncode == 0


@pytest.fixture
def exchanged(guest: str) -> Iterator[tuple[str, str]]:
    """The secret of the authorities now, and what is to be its place."""
    now = yaml.safe_load(SECRETS.read_text())["tls_secret"]
    new = NEXT + now[::-1]
    yield now, new
    if yaml.safe_load(SECRETS.read_text()).get("tls_secret") != new:
        # Wherever it has ended: with these any deploy brings all hosts together again.
        with_secrets(tls_next_secret=None, tls_secret=new, tls_former_secret=now)


@pytest.mark.rotated("long", whole=True)
def test_another_authority_comes_in_three_deploys_and_the_guest_runs_on(
    exchanged: tuple[str, str],
) -> None:
    """Half-way, one compute has certificates of the new one and the other of the one before."""
    now, new = exchanged
    there = place(NAME)
    before = Peer.of("compute1")
    pids = qemu_pids(there)
    assert before.is_let_in(HOSTS["compute2"])

    with_secrets(tls_next_secret=new)
    deployed_again()
    assert before.is_let_in(HOSTS["compute2"])

    with_secrets(tls_next_secret=None, tls_secret=new, tls_former_secret=now)
    assert run("./run", "lab", "up", timeout=30 * MINUTE).returncode == 0
    half = run(
        *(str(ROOT / ".venv/bin/pyinfra"), "inventory.py", "deploy.py", "-y"),
        *("--limit", "controllers", "--limit", "compute1"),
    )
    assert half.returncode == 0
    assert qemu_pids(there) == pids
    move_alive(NAME)
    move_alive(NAME)
    pids = qemu_pids(there)
    deployed_again()
    assert before.is_let_in(HOSTS["compute2"])

    with_secrets(tls_former_secret=None)
    deployed_again()
    assert qemu_pids(there) == pids
    assert not before.is_let_in(HOSTS["compute2"])
    assert Peer.of("compute1").is_let_in(HOSTS["compute2"])
    move_alive(NAME)
    move_alive(NAME)
    assert run("./run", "verify", "--deselect", "tests/verify/test_guests.py").returncode == 0
    assert run("./run", "audit").returncode == 0
