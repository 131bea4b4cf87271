"""From the inventory and group data as pyinfra itself loads them to a site."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pyinfra.api.inventory import Inventory
from pyinfra.api.state import State
from pyinfra.context import ctx_state
from pyinfra_cli.inventory import make_inventory

from pyinfra_nova.knowledge.platforms import platform_for
from pyinfra_nova.nova_conf.render import files_for
from pyinfra_nova.site.faults import MANY, Fault, SettingsError
from pyinfra_nova.site.load import site_of
from pyinfra_nova.site.secrets import add_ceph_key, create
from pyinfra_nova.site.settings import Settings
from pyinfra_nova.site.sources import pyinfra_keys
from tests.unit.site_data import read_back, site

CHECKOUT = Path(__file__).resolve().parents[2]


def load(path: Path, cwd: Path, **override_data: Any) -> Inventory:
    with ctx_state.use(State()):
        inventory = make_inventory(str(path), override_data=override_data, cwd=str(cwd))
    assert isinstance(inventory, Inventory)
    return inventory


@pytest.fixture
def secrets_file(tmp_path: Path) -> Path:
    create(tmp_path / "secrets.yml")
    add_ceph_key(tmp_path / "secrets.yml")
    return tmp_path / "secrets.yml"


def test_the_inventory_of_the_checkout(secrets_file: Path) -> None:
    where = site_of(load(CHECKOUT / "inventory.py", CHECKOUT), secrets_file)
    assert [host.name for host in where.controllers] == ["controller"]
    assert [str(host.my_ip) for host in where.computes] == ["10.0.0.31", "10.0.0.32"]
    assert where.database_host is where.primary_controller


def test_all_py_says_nothing_but_the_defaults(secrets_file: Path) -> None:
    """An operator who deletes a line of all.py gets what the line said."""
    inventory = load(CHECKOUT / "inventories" / "plain" / "inventory.py", CHECKOUT)
    assert site_of(inventory, secrets_file).settings == site().settings


def test_all_py_names_every_setting() -> None:
    text = (CHECKOUT / "group_data" / "all.py").read_text(encoding="utf-8")
    for name, field in Settings.model_fields.items():
        assert f"\n{name} = " in text or f"\n# {name} = " in text, name
        for inner in getattr(field.annotation, "model_fields", {}):
            assert f'"{inner}"' in text, f"{name}.{inner}"


def test_all_in_one(secrets_file: Path, tmp_path: Path) -> None:
    inventory = load(CHECKOUT / "inventories" / "aio.py", CHECKOUT)
    where = site_of(inventory, secrets_file, inventory_file="inventories/aio.py")
    (host,) = where.hosts.values()
    assert host.is_controller
    assert host.is_compute
    files = files_for(where, host, platform_for("debian", "12", "zed"), "kvm")
    nova_conf = tmp_path / "nova.conf"
    nova_conf.write_text(files[0].content, encoding="utf-8")
    assert read_back(nova_conf)["vnc"]["server_listen"] == "10.0.0.11"


def operators(tmp_path: Path, inventory: str, **group_data: str) -> Path:
    (tmp_path / "group_data").mkdir()
    for name, text in group_data.items():
        (tmp_path / "group_data" / f"{name}.py").write_text(text, encoding="utf-8")
    path = tmp_path / "inventory.py"
    path.write_text(inventory, encoding="utf-8")
    return path


def test_faults_of_every_file_come_together(tmp_path: Path) -> None:
    path = operators(
        tmp_path,
        'controllers = [("ctl", {"my_ip": "10.0.0.1"})]\n'
        'computes = [("cmp", {"my_ip": "10.0.0.1"})]\n',
        all='from pathlib import Path\nmanagement_network = "10.0.0.0/24"\nregoin = "x"\n',
        computes='libvirt = {"virt_typ": "kvm"}\n',
    )
    with pytest.raises(SettingsError) as caught:
        site_of(load(path, tmp_path, nova_conf={"x": 1}), tmp_path / "secrets.yml")
    text = str(caught.value)
    for fault in (
        "group_data/all.py: regoin: unknown key; did you mean 'region'?",
        "group_data/computes.py: libvirt.virt_typ: unknown key",
        "inventory.py: cmp.my_ip: 10.0.0.1 is also that of ctl",
        "--data: nova_conf.x: is not {option: value}",
        f"{tmp_path}/secrets.yml: is missing",
    ):
        assert fault in text
    assert "Path" not in text


def test_a_group_that_only_has_data_is_an_empty_group(tmp_path: Path, secrets_file: Path) -> None:
    path = operators(
        tmp_path,
        'controllers = [("ctl", {"my_ip": "10.0.0.1"})]\n',
        all='management_network = "10.0.0.0/24"\n',
        computes="nova_conf = {}\n",
    )
    with pytest.raises(SettingsError, match=r"inventory\.py: computes: has no hosts"):
        site_of(load(path, tmp_path), secrets_file)


def test_the_order_of_the_inventory_decides_who_is_primary(
    tmp_path: Path, secrets_file: Path
) -> None:
    path = operators(
        tmp_path,
        'controllers = [("z", {"my_ip": "10.0.0.9"}), ("a", {"my_ip": "10.0.0.1"})]\n'
        "computes = controllers\n",
        all='management_network = "10.0.0.0/24"\n',
    )
    assert site_of(load(path, tmp_path), secrets_file).primary_controller.name == "z"


def test_pyinfras_own_keys_are_known_from_pyinfra() -> None:
    keys = pyinfra_keys()
    assert {"ssh_hostname", "ssh_user", "ssh_key", "ssh_known_hosts_file", "_sudo"} <= keys
    assert {"fake_responses", "ssh_strict_host_key_checking"} <= keys
    assert not keys & {"my_ip", "nova_host", "libvirt", "nova_conf", *Settings.model_fields}


def test_what_somebody_wrote_neither_breaks_a_line_nor_commands_a_terminal() -> None:
    fault = Fault("a\x1b[2J.py", "k\u00e4y\n", "is \u202ewrong\r", "leave '\\' out")
    assert str(fault) == "a\\x1b[2J.py: k\u00e4y\\n: is \\u202ewrong\\r; leave '\\' out"


def test_many_faults_of_one_kind_are_counted_and_all_others_said() -> None:
    """Such as those of a thousand hosts, after one wrong letter in management_network."""
    of_hosts = [
        Fault("inventory.py", f"cmp{n}.my_ip", f"10.0.7.{n} is not in it") for n in range(99)
    ]
    other = Fault("group_data/all.py", "foo", "unknown key")
    few = [Fault("inventory.py", f"cmp{n}.nova_host", "is no name") for n in range(MANY)]
    error = SettingsError([of_hosts[0], other, *of_hosts[1:], *few])
    assert str(error).split("\n  - ") == [
        "112 faults in the settings; no host was touched:",
        *map(str, of_hosts[:5]),
        "inventory.py: my_ip: and 94 more",
        str(other),
        *map(str, few),
    ]
    assert len(error.faults) == 112
    assert str(SettingsError([other])) == (
        f"1 fault in the settings; no host was touched:\n  - {other}"
    )
    unlike = [Fault("group_data/all.py", f"key{n}", "unknown key") for n in range(MANY + 1)]
    assert str(SettingsError(unlike)).split("\n  - ")[1:] == [*map(str, unlike)]


def test_the_faults_of_hosts_name_the_inventory_that_was_loaded(
    tmp_path: Path, secrets_file: Path
) -> None:
    path = operators(
        tmp_path,
        'controllers = [("ctl", {"my_ip": "10.0.0.1"})]\n'
        'computes = [("c1", {"my_ip": "10.0.0.1"}), ("c2", {"my_ip": "10.0.0.3"})]\n',
        all='management_network = "10.0.0.0/24"\n',
        computes='libvirt = {"virt_typ": "kvm"}\n',
    )
    with pytest.raises(SettingsError) as caught:
        site_of(load(path, tmp_path), secrets_file, inventory_file="inventories/two.py")
    # What a group sets wrongly is wrong once, however many hosts are in it.
    said = {(fault.file, fault.key): fault.problem for fault in caught.value.faults}
    assert len(said) == len(caught.value.faults) == 2
    assert said["group_data/computes.py", "libvirt.virt_typ"] == "unknown key"
    assert said["inventories/two.py", "c1.my_ip"] == "10.0.0.1 is also that of ctl"


def test_what_the_command_line_sets_is_part_of_the_site(tmp_path: Path, secrets_file: Path) -> None:
    path = operators(
        tmp_path,
        'controllers = [("ctl", {"my_ip": "10.0.0.1"})]\n'
        'computes = [("c1", {"my_ip": "10.0.0.2", "nova_host": "one"})]\n',
        all='management_network = "10.0.0.0/24"\nregion = "One"\n',
        computes='libvirt = {"virt_type": "kvm"}\n',
    )
    where = site_of(load(path, tmp_path, region="Two"), secrets_file)
    assert where.settings.region == "Two"
    assert (where.hosts["c1"].nova_host, where.hosts["c1"].libvirt.virt_type) == ("one", "kvm")


def test_a_ceph_that_only_one_host_uses_needs_its_key(tmp_path: Path) -> None:
    create(tmp_path / "secrets.yml")
    uuid = "457eb676-33da-42ec-9a8c-9293d545c337"
    path = operators(
        tmp_path,
        'controllers = [("ctl", {"my_ip": "10.0.0.1"})]\n'
        'computes = [("c1", {"my_ip": "10.0.0.2"}),'
        f' ("c2", {{"my_ip": "10.0.0.3", "libvirt": {{"rbd_secret_uuid": "{uuid}"}}}})]\n',
        all='management_network = "10.0.0.0/24"\n',
    )
    with pytest.raises(SettingsError) as caught:
        site_of(load(path, tmp_path), tmp_path / "secrets.yml")
    (fault,) = caught.value.faults
    assert (fault.file, fault.key) == ("secrets.yml", "rbd_secret_key")
    assert fault.problem == f"is missing, and libvirt.rbd_secret_uuid {uuid} says that there is one"
    assert fault.remedy == (
        "add what `ceph auth get-key client.USER` prints, of the user that Cinder has; for a Ceph "
        "that is still to be made, `python -m pyinfra_nova.secrets add-ceph-key`"
    )
    add_ceph_key(tmp_path / "secrets.yml")
    assert site_of(load(path, tmp_path), tmp_path / "secrets.yml").hosts["c2"].libvirt


@pytest.mark.parametrize("name", ["inventory.py", "inventories/aio.py"])
def test_what_follows_from_encryption_stands_against_nothing_in_all_py(
    name: str, secrets_file: Path
) -> None:
    inventory = load(CHECKOUT / name, CHECKOUT)
    settings = site_of(inventory, secrets_file).settings
    assert settings.tls.is_on
    assert settings.messaging.port == 5671
    urls = [*settings.endpoints.model_dump().values(), settings.keystone.auth_url]
    assert all(url.startswith("https://") for url in urls)
