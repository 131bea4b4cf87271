"""Real hosts: these tests own the lab of the machine they run on, from nothing to nothing."""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import pytest
import yaml

from lab.settings import read_settings
from pyinfra_nova.site.secrets import PASSWORDS

ROOT = Path(__file__).resolve().parents[2]
SECRETS = ROOT / "secrets.yml"
MINUTE = 60
HAS_TLS = read_settings(ROOT / "inventory.py").has_tls
ENCRYPTED = pytest.mark.skipif(not HAS_TLS, reason="nothing is encrypted in this inventory")
BROKER_PORT = 5671 if HAS_TLS else 5672
SEED = int(os.environ.get("PYINFRA_NOVA_SEED") or datetime.now(tz=timezone.utc).toordinal())
"""Another one each day: what is sampled is all seen in time."""
ORDER = (
    "test_execs",
    "test_interrupted",
    "test_compute_id",
    "test_main_job",
    "test_sites_differ",
    "test_rpm_packages",
    "test_workshop",
    "test_moves",
    "test_drain",
    "test_maintain",
    "test_retired",
    "test_dead",
    "test_coming_back",
    "test_taken_away",
    "test_drift",
    "test_limit",
    "test_computes",
    "test_resources",
    "test_audit",
    "test_audited_meanwhile",
    "test_care",
    "test_backup",
    "test_console",
    "test_tls",
    "test_tls_rereading",
    "test_tls_scan",
    "test_tls_changes",
    "test_failure_speaks",
    "test_refused",
    "test_cut_off",
    "test_rotation",
    "test_tls_capture",
    "test_moving_over",
    "test_proof",
    "test_lab_recovers",
    "test_down",
)
"""Each module begins from nothing or from what the one before it has left, and says which."""


def run(
    *command: str, timeout: int = 15 * MINUTE, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in the checkout; its whole output is kept, and shown when a test fails."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYINFRA")} | variables
    begun = time.monotonic()
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
    ended = f"exit {result.returncode}, after {time.monotonic() - begun:.1f} s"
    print(f"$ {' '.join(command)}  ({ended})\n{result.stdout}")
    return result


def on(host: str, command: str) -> subprocess.CompletedProcess[str]:
    """Run a shell command on a lab host."""
    return run("./run", "ssh", host, command)


def inventory_with(folder: Path, name: str, **changes: object) -> Path:
    """The lab's inventory, in which CHANGES are said of the compute NAME."""
    path = folder / "changed.py"
    change = f"dict(computes)[{name!r}].update({changes!r})"
    path.write_text(f"{(ROOT / 'inventory.py').read_text()}\n{change}\n")
    return path


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--keep-lab", action="store_true", help="use the lab that is there, and leave it"
    )
    parser.addoption("--all", action="store_true", help="what takes too long for every change")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: run with --all only")
    config.addinivalue_line("markers", "sampled: an eighth of them is run, all with --all")
    config.addinivalue_line(
        "markers",
        "rotated(turn, whole=False): one of a module's, or of a named turn, is run, all with --all;"
        " with WHOLE all tests of the module are one",
    )


def pytest_report_header() -> str:
    return f"PYINFRA_NOVA_SEED={SEED} chooses what is sampled, and when runs are killed"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        return ORDER.index(item.path.stem) if item.path.stem in ORDER else -1

    items.sort(key=place)
    if config.getoption("--all"):
        return
    sampled = [item for item in items if item.get_closest_marker("sampled")]
    chosen = random.Random(SEED).sample(sampled, -(-len(sampled) // 8))
    turns: dict[Path | str, dict[Path | str, list[pytest.Item]]] = {}
    for item in items:
        marker = item.get_closest_marker("rotated")
        # Else a turn would be one in which nothing is run.
        if marker and not item.get_closest_marker("slow"):
            turn = turns.setdefault(marker.args[0] if marker.args else item.path, {})
            one = item.path if marker.kwargs.get("whole") else item.nodeid
            turn.setdefault(one, []).append(item)
    for turn in turns.values():
        chosen += list(turn.values())[SEED % len(turn)]
    part = [*sampled, *(item for turn in turns.values() for one in turn.values() for item in one)]
    for item in items:
        if item.get_closest_marker("slow") or (item in part and item not in chosen):
            item.add_marker(
                pytest.mark.skip(reason="not its turn, or takes long: ./run test --all")
            )


def hostile_secrets() -> str:
    """A secrets file whose passwords mean something to shells, SQL, INI files and URLs."""
    passwords = {
        name: f"p@ss/{number}% :$HOME#;\"'\\`&{{}}|*? end" for number, name in enumerate(PASSWORDS)
    }
    # No slash in this one: oslo.messaging cannot use it (site/secrets.py broker_usable).
    passwords["messaging_password"] = passwords["messaging_password"].replace("/", "+")
    return yaml.safe_dump(passwords)


def prepared_secrets() -> None:
    """Have a secrets file; one that somebody made is left alone."""
    if not SECRETS.exists():
        SECRETS.touch(mode=0o600)
        SECRETS.write_text(hostile_secrets())


@dataclass(frozen=True)
class Planned:
    """What was planned for hosts with nothing of Nova on them.

    Attributes:
        pending: the operations that would change something, and on which hosts.
        said: everything that was printed for people.
        differences: the files and rows that were not the same after the plan.
    """

    pending: dict[str, list[str]]
    said: str
    differences: list[str]


@pytest.fixture(scope="session")
def planned(request: pytest.FixtureRequest) -> Planned | None:
    """A plan for bare hosts; None with --keep-lab, whose hosts need not be bare."""
    prepared_secrets()
    if request.config.getoption("--keep-lab"):
        return None
    from . import traces

    assert run("./run", "lab", "down").returncode == 0
    assert run("./run", "lab", "up").returncode == 0
    before = traces.when_settled()
    result = subprocess.run(
        ["./run", "plan", "--json"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    print(result.stderr)
    assert result.returncode == 2
    pending = json.loads(result.stdout)["pending"]
    return Planned(pending, result.stderr, traces.differences(before, traces.everything()))


@pytest.fixture(scope="session")
def deployed(planned: Planned | None) -> subprocess.CompletedProcess[str]:
    """The main job, from nothing: hosts, prerequisites, Nova, proof; with --keep-lab the deploy."""
    if planned is None:
        assert run("./run", "lab", "up").returncode == 0
        return run("./run", "plan") if is_converged() else run("./run", "deploy")
    return run("./run", "deploy", timeout=30 * MINUTE)


def is_converged() -> bool:
    return run("./run", "plan").returncode == 0
