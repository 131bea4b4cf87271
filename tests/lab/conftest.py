"""Real hosts: these tests own the lab of the machine they run on, from nothing to nothing."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import yaml

from pyinfra_nova.secrets import Secrets

ROOT = Path(__file__).resolve().parents[2]
SECRETS = ROOT / "secrets.yml"
MINUTE = 60
ORDER = (
    "test_interrupted",
    "test_main_job",
    "test_sites_differ",
    "test_drift",
    "test_limit",
    "test_rotation",
    "test_verify_finds_faults",
    "test_lab_recovers",
    "test_down",
)
"""Each module begins from nothing or from what the one before it has left, and says which."""


def run(*command: str, timeout: int = 15 * MINUTE) -> subprocess.CompletedProcess[str]:
    """Run a command in the checkout; its whole output is kept, and shown when a test fails."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYINFRA")}
    result = subprocess.run(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )
    print(f"$ {' '.join(command)}  (exit {result.returncode})\n{result.stdout}")
    return result


def on(host: str, command: str) -> subprocess.CompletedProcess[str]:
    """Run a shell command on a lab host."""
    return run("./run", "ssh", host, command)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--keep-lab", action="store_true", help="use the lab that is there, and leave it"
    )
    parser.addoption("--all", action="store_true", help="what takes too long for every change")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: run with --all only")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        return ORDER.index(item.path.stem) if item.path.stem in ORDER else -1

    items.sort(key=place)
    if not config.getoption("--all"):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="takes long: ./run test --all"))


def hostile_secrets() -> str:
    """A secrets file whose passwords mean something to shells, SQL, INI files and URLs."""
    passwords = {
        name: f"p@ss/{number}% :$HOME#;\"'\\`&{{}}|*? end"
        for number, name in enumerate(Secrets.model_fields)
    }
    # No slash in this one: oslo.messaging cannot use it (see pyinfra_nova.secrets.broker_usable).
    passwords["messaging_password"] = passwords["messaging_password"].replace("/", "+")
    return yaml.safe_dump(passwords)


def prepared_secrets() -> None:
    """Have a secrets file; one that somebody made is left alone."""
    if not SECRETS.exists():
        SECRETS.touch(mode=0o600)
        SECRETS.write_text(hostile_secrets())


@pytest.fixture(scope="session")
def deployed(request: pytest.FixtureRequest) -> subprocess.CompletedProcess[str]:
    """The main job, from nothing: hosts, prerequisites, Nova, proof."""
    if not request.config.getoption("--keep-lab"):
        assert run("./run", "lab", "down").returncode == 0
    prepared_secrets()
    return run("./run", "deploy", timeout=30 * MINUTE)
