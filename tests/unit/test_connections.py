"""connection.py: what it needs of ``pyinfra_cli`` holds for the installed pyinfra."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from paramiko import SSHClient, SSHException
from pyinfra.api.exceptions import ConnectError, NoHostError, PyinfraError
from pyinfra.context import ctx_host
from pyinfra.facts.server import Command
from typing_extensions import override

from pyinfra_nova.session.connections import (
    connected,
    load,
    load_inventory,
    notice_loss,
    reached,
)
from pyinfra_nova.site.faults import SettingsError

CHECKOUT = Path(__file__).resolve().parents[2]
INVENTORY = """
controllers = [("@local", {"my_ip": "10.0.0.11"})]
computes = [("compute1", {"my_ip": "10.0.0.31", "ssh_hostname": "127.0.0.1", "ssh_port": 9})]
"""


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory like a checkout, the current one."""
    (tmp_path / "inventory.py").write_text(INVENTORY)
    (tmp_path / "group_data").mkdir()
    (tmp_path / "group_data" / "computes.py").write_text('libvirt = {"virt_type": "qemu"}\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_hosts_groups_and_group_data_are_those_of_the_current_directory(site: Path) -> None:
    inventory = load_inventory("inventory.py")
    assert list(inventory.hosts) == ["@local", "compute1"]
    assert [host.name for host in inventory.get_group("computes")] == ["compute1"]
    assert inventory.hosts["compute1"].data.libvirt == {"virt_type": "qemu"}
    assert inventory.hosts["compute1"].data.my_ip == "10.0.0.31"


def test_what_config_py_sets_is_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a failed host that pyinfra goes past, computes would start without their controller."""
    monkeypatch.chdir(CHECKOUT)
    config = load("inventory.py").config
    assert config.FAIL_PERCENT == 0
    assert config.REQUIRE_PYINFRA_VERSION == ">=3.10,<4"


def test_a_directory_without_config_py_will_do(site: Path) -> None:
    assert load("inventory.py").config.FAIL_PERCENT is None


def test_a_missing_inventory_is_a_fault_and_not_the_name_of_a_host(site: Path) -> None:
    with pytest.raises(SettingsError, match=r"hosts\.py: no such inventory file"):
        load("hosts.py")


def test_a_connected_host_answers_and_is_pyinfras_current_one(site: Path) -> None:
    state = load("inventory.py")
    with connected(state, "@local") as host:
        assert ctx_host.get() is host
        assert host.get_fact(Command, command="echo here") == "here"
        with connected(state, "@local") as again:
            assert again is host
    assert not ctx_host.isset()


def test_after_an_error_no_host_is_the_current_one(site: Path) -> None:
    with pytest.raises(ValueError, match="no"), connected(load("inventory.py"), "@local"):
        raise ValueError("no")
    assert not ctx_host.isset()


def test_a_host_that_cannot_be_reached_is_an_error(site: Path) -> None:
    state = load("inventory.py")
    with pytest.raises(ConnectError), connected(state, "compute1"):
        pass
    with pytest.raises(NoHostError), connected(state, "compute2"):
        pass


def test_a_host_that_a_run_leaves_out_is_connected_for_the_question_alone(site: Path) -> None:
    state = load("inventory.py")
    stage = state.current_stage
    with reached(state, "@local") as host:
        assert host.get_fact(Command, command="echo here") == "here"
        with reached(state, "@local"):
            pass
        assert host.connected
    assert not host.connected and not ctx_host.isset()
    assert state.current_stage == stage
    with pytest.raises(PyinfraError), reached(state, "compute1"):
        pass
    with pytest.raises(PyinfraError, match="@local gives no answer: it is over"):
        end(state)
    assert not host.connected


def test_what_a_host_that_a_run_leaves_out_does_not_answer_is_no_failure_of_the_run(
    site: Path,
) -> None:
    state = load("inventory.py")
    state.activate_host(state.inventory.get_host("compute1"))
    with reached(state, "@local") as host:
        assert host.get_fact(Command, command="exit 1") is None
    assert state.failed_hosts == set()
    state.fail_hosts({host})
    with reached(state, "@local"):
        pass
    assert state.failed_hosts == {host}


def end(state: Any) -> None:
    with reached(state, "@local"):
        raise SSHException("it is over")


class Ended(SSHClient):
    """As paramiko's own where the peer is gone between two commands."""

    @override
    def exec_command(self, *_: Any, **__: Any) -> Any:
        raise EOFError


def test_a_connection_that_ends_before_a_command_is_an_error_of_its_host() -> None:
    client = Ended()
    host: Any = SimpleNamespace(connector=SimpleNamespace(client=client))
    notice_loss(host)
    with pytest.raises(SSHException, match="the connection has ended"):
        client.exec_command("true")
