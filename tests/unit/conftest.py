"""What the tests of several scripts stand on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import drain_targets
import pytest

from .cloud_stand_in import StandIn
from .drain_stand_in import Cloud
from .evacuation_stand_in import DeadCloud
from .serving import running
from .smoke_stand_in import Cloud as NewComputes
from .systemd_stand_in import Systemd


@pytest.fixture
def cloud() -> Iterator[StandIn]:
    """A cloud whose APIs answer."""
    with running(StandIn()) as cloud:
        yield cloud


@pytest.fixture
def draining(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """A cloud whose guests can be moved; compute1 is closed."""
    with running(Cloud()) as cloud:
        nova_state = drain_targets.nova_state
        monkeypatch.setattr(nova_state, "read_table", cloud.read_table)
        monkeypatch.setattr(
            nova_state, "look", lambda asked, read: (read(None, asked), None, False)
        )
        yield cloud


@pytest.fixture
def dead_cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[DeadCloud]:
    """A cloud in which compute1 has no power, and has not been forced down."""
    with running(DeadCloud()) as cloud:
        nova_state = drain_targets.nova_state
        monkeypatch.setattr(nova_state, "read_table", cloud.read_table)
        monkeypatch.setattr(
            nova_state, "look", lambda asked, read: (read(None, asked), None, False)
        )
        yield cloud


@pytest.fixture
def joining() -> Iterator[NewComputes]:
    """A cloud in which compute1 and compute2 have just registered."""
    with running(NewComputes()) as cloud:
        yield cloud


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    """A systemd that knows the units which it was told of."""
    folder = tmp_path / "systemd"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return Systemd(folder)
