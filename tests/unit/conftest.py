"""What the tests of several scripts stand on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .cloud_stand_in import StandIn
from .serving import running


@pytest.fixture
def cloud() -> Iterator[StandIn]:
    """A cloud whose APIs answer."""
    with running(StandIn()) as cloud:
        yield cloud
