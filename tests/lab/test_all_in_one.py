"""One host in both groups: the same deploy, the same proof."""

from __future__ import annotations

import pytest

from .conftest import MINUTE, prepared_secrets, run

AIO = ("./run", "-i", "inventories/aio.py")


def test_one_host_alone_is_deployed_and_proven(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--keep-lab"):
        pytest.skip("--keep-lab was given, and this needs a lab of its own")
    prepared_secrets()
    assert run(*AIO, "lab", "down").returncode == 0
    result = run(*AIO, "deploy", timeout=30 * MINUTE)
    assert result.returncode == 0
    assert run(*AIO, "plan").returncode == 0
