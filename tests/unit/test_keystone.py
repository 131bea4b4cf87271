"""What the operations make of Keystone's answer, while they plan and while they run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr
from pyinfra.api import OperationError

from lab import operations
from pyinfra_nova.resources import keystone
from pyinfra_nova.resources.keystone import KeystoneAdmin, KeystoneEntries
from pyinfra_nova.session import steps
from tests.unit.site_data import site

ADMIN = KeystoneAdmin("http://controller:5000/v3", "admin", SecretStr("s3cret"))
SILENT: dict[str, Any] = {
    "answers": False,
    "refuses": False,
    "error": "POST u does not answer: timed out",
}
REFUSES: dict[str, Any] = {"answers": False, "refuses": True, "error": "u refuses user admin (401)"}


def commands(
    monkeypatch: pytest.MonkeyPatch,
    operation: Any,
    *arguments: Any,
    executing: bool = True,
    **answer: Any,
) -> list[str]:
    state = SimpleNamespace(is_executing=executing)
    for module in (keystone, operations, steps):
        here = SimpleNamespace(name="controller", state=state, print_prefix="")
        monkeypatch.setattr(module, "host", here)
    monkeypatch.setattr(keystone, "ask", lambda *_: answer)
    return [str(command) for command in operation._inner(*arguments)]


def test_changes_are_made_by_one_command(monkeypatch: pytest.MonkeyPatch) -> None:
    call = (keystone.present, ADMIN, KeystoneEntries())
    (command,) = commands(monkeypatch, *call, answers=True, changes=["create user nova"])
    assert "keystone apply" in command and "s3cret" not in command
    assert commands(monkeypatch, *call, answers=True) == []


@pytest.mark.parametrize("answer", [SILENT, REFUSES, {}])
def test_a_comparison_without_an_end_ends_run_and_plan(
    monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any]
) -> None:
    call = (keystone.present, ADMIN, KeystoneEntries())
    error = answer.get("error", "nothing was answered")
    (command,) = commands(monkeypatch, *call, **answer)
    assert error in command and command.endswith(">&2; exit 1")
    with pytest.raises(OperationError) as raised:
        commands(monkeypatch, *call, executing=False, **answer)
    assert error in str(raised.value)


def test_a_password_that_left_out_hosts_use_is_not_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    call = (keystone.present, ADMIN, KeystoneEntries(), [site().hosts["compute1"]])
    more: dict[str, Any] = {
        "changes": ["change the password of user nova"],
        "new_passwords": ["nova"],
    }
    (command,) = commands(monkeypatch, *call, answers=True, **more)
    assert "the password of Keystone user nova" in command and command.endswith("exit 1")


def test_the_labs_keystone_is_set_up_only_where_it_refuses_its_administrator(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    call = (operations.keystone_bootstrapped, ADMIN, ["keystone-manage", "bootstrap"])
    assert commands(monkeypatch, *call, answers=True) == []
    (command,) = commands(monkeypatch, *call, **REFUSES)
    assert "keystone-manage bootstrap" in command
    (command,) = commands(monkeypatch, *call, **SILENT)
    assert "timed out" in command and command.endswith("exit 1")
    assert "bootstrap" in commands(monkeypatch, *call, executing=False, **SILENT)[0]
