"""The reason in Nova is all that a second call has: only one wholly of our form is read as ours."""

from __future__ import annotations

import pytest

from pyinfra_nova.maintenance.reason import Maintenance, Work
from pyinfra_nova.site.settings import HostSettings

NOW = 1_795_819_318.9
BEGUN = "2026-11-27T22:41:58Z"


@pytest.mark.parametrize(
    ("work", "text"),
    [
        (Work(reboot=True), "reboot"),
        (Work(packages=True), "packages"),
        (Work(True, "date", True), "packages, command 0e87632c, reboot"),
    ],
)
def test_it_says_when_and_what_for_and_is_read_back(work: Work, text: str) -> None:
    found = Maintenance.new(NOW, work)
    assert found.reason == f"maintenance since {BEGUN}: {text}"
    assert Maintenance.of(found.reason) == found
    assert found.since == int(NOW)


def test_it_is_a_reason_that_settings_take() -> None:
    reason = Maintenance.new(NOW, Work(True, "x" * 10_000, True)).reason
    host = {"name": "c", "roles": {"compute"}, "nova_host": "c", "state": "drained"}
    assert HostSettings.model_validate({**host, "state_reason": reason}).state_reason == reason


def test_another_command_is_another_work() -> None:
    assert Work(command="date").text != Work(command="date ").text


@pytest.mark.parametrize(
    "reason",
    [
        "",
        "a fan",
        "maintenance",
        "maintenance since noon: reboot",
        f"maintenance since {BEGUN}: ",
        f"maintenance since {BEGUN}",
        f"my maintenance since {BEGUN}: reboot",
        "maintenance since 2026-13-27T22:41:58Z: reboot",
        f"maintenance since {BEGUN}: reboot\nand more",
    ],
)
def test_what_somebody_else_has_written_is_no_maintenance(reason: str) -> None:
    assert Maintenance.of(reason) is None
