"""What pyinfra works out for each operation of each host, held against pyinfra's own."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pyinfra
import pytest
from pyinfra.api import Config, Inventory, State, arguments, facts, inventory, util
from pyinfra.context import ctx_config, ctx_state

from pyinfra_nova.session import worked_out_once
from pyinfra_nova.session.worked_out_once import operation_order, pop_global_arguments

OPERATION: Any = import_module("pyinfra.api.operation")
DEPLOY: Any = import_module("pyinfra.api.deploy")


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> Iterator[State]:
    """Two hosts that differ in what pyinfra reads of them, in its command's own mode."""
    monkeypatch.setattr(pyinfra, "is_cli", True)
    hosts = [("@fake/plain", {}), ("@fake/own", {"_sudo": True, "_env": {"A": "own"}, "x": 1})]
    made = State(
        Inventory((hosts, {"_shell_executable": "bash"}), computes=(["@fake/own"], {"_retries": 3}))
    )
    with ctx_state.use(made):
        yield made


def called_through(state: State, depth: int) -> tuple[list[int], list[int]]:
    if depth:
        return called_through(state, depth - 1)
    # One line, because lines are what is compared.
    return operation_order(state), util.get_operation_order_from_stack(state)


@pytest.mark.parametrize("depth", [0, 1, 5])
@pytest.mark.parametrize("deploy_file", [__file__, None, "another.py"])
def test_an_operation_has_the_place_that_pyinfra_gives_it(
    state: State, depth: int, deploy_file: str | None
) -> None:
    state.current_deploy_filename = deploy_file
    state.current_op_file_number = 7
    mine, its = called_through(state, depth)
    assert mine == its
    assert mine[0] == 7
    assert (len(mine) > depth + 1) is (deploy_file != "another.py")


@pytest.mark.parametrize("name", ["@fake/plain", "@fake/own"])
@pytest.mark.parametrize("given", [{}, {"_sudo": False, "name": "it", "other": 1}, {"_retries": 9}])
@pytest.mark.parametrize("around", [None, {"_sudo_user": "nova", "_if": []}])
def test_an_operation_has_the_arguments_that_pyinfra_gives_it(
    state: State, name: str, given: dict[str, Any], around: dict[str, Any] | None
) -> None:
    host: Any = state.inventory.get_host(name)
    host.current_deploy_kwargs = around
    mine, its = dict(given), dict(given)
    with ctx_config.use(Config(SUDO_USER="config")):
        found = pop_global_arguments(state, host, mine)
        assert found == worked_out_once._pop_global_arguments(state, host, its)
    assert mine == its  # what is not pyinfra's is left for the operation


def test_what_an_operation_does_with_its_arguments_stays_with_it(state: State) -> None:
    host: Any = state.inventory.get_host("@fake/own")
    for _ in range(2):
        found, _keys = pop_global_arguments(state, host, {})
        environment: Any = found["_env"]
        assert environment == {"A": "own"}
        environment["A"] = "changed"


def test_pyinfra_uses_them_once_they_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in (
        (arguments, "all_global_arguments"),
        (inventory, "get_all_connectors"),
        (OPERATION, "get_operation_order_from_stack"),
        *((module, "pop_global_arguments") for module in (OPERATION, DEPLOY, facts)),
    ):
        monkeypatch.setattr(module, name, getattr(module, name))  # so that it is put back
    worked_out_once.install()
    worked_out_once.install()
    assert OPERATION.get_operation_order_from_stack is operation_order
    for module in (OPERATION, DEPLOY, facts):
        assert module.pop_global_arguments is pop_global_arguments
    assert arguments.all_global_arguments() is arguments.all_global_arguments()
    assert inventory.get_all_connectors() is inventory.get_all_connectors()
