"""What the operation makes of a comparison, while it plans and while it runs."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr
from pyinfra.api import OperationError

from pyinfra_nova.resources import cloud_objects
from pyinfra_nova.resources.cloud_objects import Declaration, Differences
from pyinfra_nova.resources.cloud_objects.declaration import Declared
from pyinfra_nova.resources.keystone import KeystoneAdmin
from pyinfra_nova.session import steps

NOTHING: dict[str, Any] = {kind: {} for kind in Declared.model_fields}
DECLARATION = Declaration(
    KeystoneAdmin("http://controller:5000/v3", "admin", SecretStr("s3cret")),
    "RegionOne",
    Declared.model_validate({"flavors": {"m1": {"vcpus": 1, "ram": 512, "disk": 1}}}),
    {},
    ("compute2",),
)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    texts: list[str] = []
    monkeypatch.setattr(cloud_objects, "say", texts.append)
    yield texts


def commands(monkeypatch: pytest.MonkeyPatch, executing: bool, **answer: Any) -> list[str]:
    """The commands that follow from ANSWER, as they would be shown."""
    state = SimpleNamespace(is_executing=executing)
    for module in (cloud_objects, steps):
        monkeypatch.setattr(module, "host", SimpleNamespace(name="controller", state=state))
    found = Differences.model_validate({"error": None, **answer})
    monkeypatch.setattr(Differences, "of", lambda *_: found)
    generator = cloud_objects.converged._inner(DECLARATION)
    return [str(command) for command in generator]


def test_nothing_to_change_is_no_command(monkeypatch: pytest.MonkeyPatch, said: list[str]) -> None:
    assert commands(monkeypatch, executing=True, remarks=["no host has it"]) == []
    assert said == ["no host has it"]


def test_changes_are_said_and_made_by_one_command(
    monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    (command,) = commands(monkeypatch, executing=True, changes=["create a", "create b"])
    assert "flock --shared" in command and "cloud_objects apply" in command
    assert "s3cret" not in command
    assert said == ["create a", "create b"]


def test_a_cloud_that_does_not_answer_ends_a_run_but_not_a_plan(
    monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    assert len(commands(monkeypatch, executing=False, error="no endpoint")) == 1
    assert said == ["compare what is declared once the APIs answer (no endpoint)"]
    (command,) = commands(monkeypatch, executing=True, error="no endpoint")
    assert "no endpoint" in command and command.endswith(">&2; exit 1")


def test_a_host_that_nova_does_not_know_ends_a_run_but_not_a_plan(
    monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    answer = {"unregistered": ["compute3"], "changes": ["aggregate a: add host compute3"]}
    assert len(commands(monkeypatch, executing=False, **answer)) == 1
    (command,) = commands(monkeypatch, executing=True, **answer)
    assert "host compute3 of an aggregate is no compute of this cloud" in command


def test_what_is_refused_ends_both_before_anything_is_changed(
    monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    answer = {"refused": ["flavor m1 differs", "image i, too"], "changes": ["create a"]}
    with pytest.raises(OperationError, match=r"controller: flavor m1 differs; image i, too$"):
        commands(monkeypatch, executing=False, **answer)
    (command,) = commands(monkeypatch, executing=True, **answer)
    assert command.endswith(">&2; exit 1")


def test_the_request_is_what_the_script_reads() -> None:
    """Its keys are those of files/cloud_objects.py and files/cloud_session.py."""
    assert DECLARATION.as_request(apply=False) == {
        "auth_url": "http://controller:5000/v3",
        "region": "RegionOne",
        "interface": "internal",
        "places": {},
        "admin": {
            "username": "admin",
            "password": "s3cret",
            "project": "admin",
            "user_domain": "Default",
            "project_domain": "Default",
        },
        "declared": {**NOTHING, "flavors": {"m1": {"vcpus": 1, "ram": 512, "disk": 1}}},
        "left_out": ["compute2"],
        "apply": False,
    }
    assert DECLARATION.as_request(apply=True)["apply"] is True
    assert "s3cret" not in repr(DECLARATION)


def test_a_host_that_answers_nothing_is_no_cloud_without_differences(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []
    answers: list[dict[str, Any]] = [{}, {"error": None, "changes": ["create a"]}]

    def ask(*words: Any) -> dict[str, Any]:
        asked.append(words[1:])
        return answers.pop(0)

    monkeypatch.setattr(cloud_objects, "ask", ask)
    where: Any = SimpleNamespace(name="controller")
    nothing, something = (Differences.of(where, DECLARATION) for _ in range(2))
    assert (nothing.error, nothing.changes) == ("nothing was answered", [])
    assert (something.error, something.changes) == (None, ["create a"])
    request = DECLARATION.as_request(apply=False)
    assert asked == [(cloud_objects.DeclaredDifferences, request)] * 2
