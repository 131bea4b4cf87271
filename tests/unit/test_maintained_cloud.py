"""A host that is waited for: another boot has to answer, and to have started or take too long."""

from __future__ import annotations

from typing import Any

import pytest

from pyinfra_nova.maintenance import cloud
from pyinfra_nova.maintenance.cloud import MaintainedCloud
from pyinfra_nova.maintenance.reason import MaintenanceError
from pyinfra_nova.resources.maintenance import HostState

from .site_data import site

OLD, AWAY = "boot-1", "compute1 cannot be reached: timed out"


def answer(boot: str, *, starting: bool = False) -> HostState:
    return HostState(
        boot=boot, starting=starting, rebooted=False, done=[], upgrades=None, wants_reboot=None
    )


class Host(MaintainedCloud):
    """A host that says one thing after the other, the last one for ever; each takes 10 seconds."""

    def __init__(self, *answers: HostState | str) -> None:
        state: Any = None
        self.said: list[str] = []
        super().__init__(state, site(), "inventory.py", self.said.append)
        self.answers = list(answers)
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def _attempt(self, name: str, begun: str) -> HostState | str:
        assert (name, begun) == ("compute1", "then")
        self.now += 10
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture(autouse=True)
def no_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloud, "EVERY", 0)


def awaited(
    host: Host, monkeypatch: pytest.MonkeyPatch, patience: float = 600, boot: str | None = OLD
) -> float:
    """Seconds for which HOST was waited for."""
    monkeypatch.setattr(cloud, "time", host)
    host.awaited("compute1", "then", patience, boot)
    return host.now


def test_the_boot_before_is_not_the_one_that_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = Host(answer(OLD), answer(OLD), AWAY, answer("boot-2"))
    assert awaited(host, monkeypatch) == 40


def test_a_host_that_answers_is_waited_for_until_it_has_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    host = Host(AWAY, *[answer("boot-2", starting=True)] * 3, answer("boot-2"))
    assert awaited(host, monkeypatch) == 50


def test_one_that_starts_for_ever_is_left_to_the_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(AWAY, answer("boot-2", starting=True))
    assert awaited(host, monkeypatch, patience=30) == 20 + cloud.STARTING
    assert host.said[0] == "wait for compute1, 40 s by now: it still starts"


@pytest.mark.parametrize(("says", "why"), [(AWAY, AWAY), (answer(OLD), "it has not gone down")])
def test_one_that_is_not_back_in_time_is_named_with_why(
    monkeypatch: pytest.MonkeyPatch, says: HostState | str, why: str
) -> None:
    host = Host(says)
    with pytest.raises(MaintenanceError) as late:
        awaited(host, monkeypatch, patience=60)
    assert str(late.value).startswith(f"compute1 is not back after 60 s: {why}; see to it")
    assert host.said == [f"wait for compute1, 40 s by now: {why}"]


def test_one_that_goes_away_again_is_not_back(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(answer("boot-2", starting=True), AWAY)
    with pytest.raises(MaintenanceError, match="is not back after 60 s"):
        awaited(host, monkeypatch, patience=60)


def test_any_boot_will_do_where_none_was_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    assert awaited(Host(AWAY, answer(OLD)), monkeypatch, boot=None) == 20
