"""What the tests of several scripts stand on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .cloud_stand_in import StandIn
from .serving import running
from .systemd_stand_in import Systemd


@pytest.fixture
def cloud() -> Iterator[StandIn]:
    """A cloud whose APIs answer."""
    with running(StandIn()) as cloud:
        yield cloud


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    """A systemd that knows the units which it was told of."""
    folder = tmp_path / "systemd"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return Systemd(folder)
