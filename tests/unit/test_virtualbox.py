"""The machines of lab/virtualbox/Vagrantfile are the hosts of inventories/virtualbox.py."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pyinfra_nova.session.connections import load
from pyinfra_nova.site.load import site_of

CHECKOUT = Path(__file__).resolve().parents[2]
VAGRANTFILE = CHECKOUT / "lab" / "virtualbox" / "Vagrantfile"
TEXT = VAGRANTFILE.read_text(encoding="utf-8")


def machines() -> dict[str, str]:
    return dict(re.findall(r'^  "([\w-]+)" => \{ ip: "([0-9.]+)"', TEXT, re.MULTILINE))


@pytest.fixture
def secrets_file(tmp_path: Path) -> Path:
    from .site_data import AWKWARD

    path = tmp_path / "secrets.yml"
    lines = (f"{key}: '{value.replace(chr(39), chr(39) * 2)}'\n" for key, value in AWKWARD.items())
    path.write_text("".join(lines))
    path.chmod(0o600)
    return path


def test_names_and_addresses_are_the_inventorys(
    secrets_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(CHECKOUT)
    state = load("inventories/virtualbox.py")
    site = site_of(state.inventory, secrets_file, "inventories/virtualbox.py")
    assert {host.name: str(host.my_ip) for host in site.hosts.values()} == machines()
    assert machines() == {"controller": "10.0.0.11", "compute1": "10.0.0.31"}
    assert [host.name for host in site.controllers] == ["controller"]
    assert [host.name for host in site.computes] == ["compute1"]


def test_hosts_are_reached_as_vagrant_leaves_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CHECKOUT)
    inventory = load("inventories/virtualbox.py").inventory
    for name, address in machines().items():
        data = inventory.get_host(name).data
        assert (data.ssh_hostname, data.ssh_user, data._sudo) == (address, "vagrant", True)
        key = f"lab/virtualbox/.vagrant/machines/{name}/virtualbox/private_key"
        assert data.ssh_key == key


def test_the_machines_are_those_of_the_exercise() -> None:
    assert 'config.vm.box = "ubuntu/jammy64"' in TEXT
    assert '"--nested-hw-virt", "on"' in TEXT
    # One network card is Vagrant's own.
    assert TEXT.count('host.vm.network "private_network"') == 2


@pytest.mark.skipif(not shutil.which("ruby"), reason="there is no ruby here")
def test_ruby_can_read_it() -> None:
    subprocess.run(["ruby", "-c", VAGRANTFILE], check=True, capture_output=True)
