"""Words that a command does not know end it with 1 where 2 means something else, or nothing."""

from __future__ import annotations

import importlib

import pytest


@pytest.mark.parametrize(("module", "words"), [
    ("audit.__main__", ["--frob"]),
    ("audit.__main__", ["-y"]),
    ("commands.status", ["--html"]),
    ("commands.backup", []),
    ("commands.backup", ["cloud.age", "--frob"]),
    ("commands.maintain", ["compute1"]),
    ("commands.maintain", ["--reboot"]),
    ("commands.restore", []),
    ("commands.restore", ["cloud.age", "--finish"]),
])  # fmt: skip
def test_a_word_that_is_not_known_is_an_error_and_no_finding(
    module: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    command = importlib.import_module(f"pyinfra_nova.{module}")
    with pytest.raises(SystemExit) as ended:
        command.main(["inventory.py", *words])
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert "usage: " in said and "error: " in said.splitlines()[-1]


def test_a_plan_of_words_that_pyinfra_does_not_know_is_an_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    plan = importlib.import_module("pyinfra_nova.commands.plan")
    assert plan.main(["inventory.py", "--frob"]) == 1
