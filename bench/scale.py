"""``./run bench --scale``: what a dry run of a converged site costs this machine, by its size.

The hosts are pyinfra's ``@fake`` ones, which answer at once, so all of it is the control side's own
work. The same number of operations without any content, with pyinfra as it comes, stands beside it.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pyinfra_nova.session.typed_pyinfra import PYINFRA, clean_environment
from pyinfra_nova.site.secrets import PASSWORDS

ROOT = Path(__file__).resolve().parents[1]
SITE = "tests/plan/many.py"
DRY = ("deploy.py", "--dry", "--data", "management_network=10.0.0.0/16")
BARE = ("bench/bare_deploy.py", "--dry", "--config", os.devnull)
START, *SIZES = (2, 10, 100, 1000)
"""Computes; a site of two does all that there is to do, so it is the fixed start of the others."""
BARE_SIZE = 100
REPEATED = 3
"""A size is run, in turns with the others, until its so many least figures are the same."""
SAME = 0.01
"""By how much figures may differ and still are the same. A busy neighbour makes a run dearer by a
third, which is more than a hundred hosts cost; what comes again is what was not disturbed."""
MOST_ROUNDS = 24


@dataclass(frozen=True)
class Cost:
    """What one run took.

    Attributes:
        cpu: seconds, its own and the system's for it.
        wall: seconds.
        memory: the most it had in use, in MB.
    """

    cpu: float
    wall: float
    memory: float


def secrets_file(folder: Path) -> Path:
    """A file of all passwords, so that the files of migration are there, too."""
    path = folder / "secrets.yml"
    passwords = {name: f"{name}-{'x' * 20}" for name in PASSWORDS}
    path.write_text(json.dumps(passwords))
    path.chmod(0o600)
    return path


def run(command: Sequence[str], environment: Mapping[str, str]) -> Cost:
    """What COMMAND costs; a failure ends the benchmark with what it said."""
    with tempfile.TemporaryFile("w+") as output:
        begun = time.monotonic()
        process = subprocess.Popen(
            list(command),
            cwd=ROOT,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            print(*output.read().splitlines()[-40:], sep="\n", file=sys.stderr)
            raise SystemExit(f"bench: {' '.join(command[:3])} ended with {process.returncode}")
    return Cost(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024)


def cost(computes: int, arguments: Sequence[str]) -> Cost:
    """What a run of a site of COMPUTES costs."""
    print(f"{computes} computes, {arguments[0]} ...", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        environment = clean_environment(os.environ) | {
            "FAKE_COMPUTES": str(computes),
            "PYINFRA_NOVA_SECRETS": str(secrets_file(Path(folder))),
            "PYTHONPATH": str(ROOT),
            "PYTHONHASHSEED": "0",
        }
        command = [str(PYINFRA), SITE, *arguments]
        return run(command, environment)


def is_steady(costs: Sequence[Cost]) -> bool:
    """Whether the least of COSTS has come again, so that it is what a size costs undisturbed."""
    least = sorted(cost.cpu for cost in costs)[:REPEATED]
    return len(least) == REPEATED and least[-1] <= least[0] * (1 + SAME)


def least(sizes: Sequence[int], arguments: Sequence[str]) -> dict[int, Cost]:
    """What runs of sites of SIZES cost when they are disturbed least."""
    costs: dict[int, list[Cost]] = {size: [] for size in sizes}
    for _ in range(MOST_ROUNDS):
        unsteady = [size for size in sizes if not is_steady(costs[size])]
        if not unsteady:
            break
        for size in unsteady:
            costs[size].append(cost(size, arguments))
    return {size: min(found, key=lambda one: one.cpu) for size, found in costs.items()}


def beyond(costs: Mapping[int, Cost], computes: int) -> float:
    """Seconds of CPU that COMPUTES cost beyond the fixed start."""
    return costs[computes].cpu - costs[START].cpu


def exponent(costs: Mapping[int, Cost], small: int, large: int) -> float:
    """By which power of its size a site costs more: 1 is twice as much for twice as many."""
    growth = math.log(beyond(costs, large) / beyond(costs, small))
    return growth / math.log((large - START) / (small - START))


def _a_host(costs: Mapping[int, Cost], computes: int) -> float:
    """Milliseconds of CPU for each compute beyond the fixed start."""
    return round(1000 * beyond(costs, computes) / (computes - START), 2)


def measured() -> dict[str, object]:
    """All figures, as they are kept."""
    costs = least((START, *SIZES), DRY)
    bare = least((START, BARE_SIZE), BARE)
    return {
        "computes": {
            size: {
                **{key: round(value, 2) for key, value in asdict(costs[size]).items()},
                "cpu_ms_per_host": _a_host(costs, size),
            }
            for size in SIZES
        },
        "start_cpu": round(costs[START].cpu, 2),
        "exponent": round(exponent(costs, *SIZES[-2:]), 3),
        "bare_pyinfra_cpu_ms_per_host": _a_host(bare, BARE_SIZE),
    }


def table(figures: Mapping[str, object]) -> list[str]:
    """FIGURES for people."""
    rows: list[tuple[str, ...]] = [("computes", "CPU s", "wall s", "CPU ms a host", "memory MB")]
    computes = figures["computes"]
    assert isinstance(computes, dict)
    for size, found in computes.items():
        cells = (found["cpu"], found["wall"], found["cpu_ms_per_host"], found["memory"])
        rows.append((f"{size:,}", *(f"{cell:.1f}" for cell in cells)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.rjust, row, widths)) for row in rows]
    lines.append(f"fixed start: {figures['start_cpu']} s of CPU")
    lines.append(f"exponent of growth, from the last but one to the last: {figures['exponent']}")
    floor = figures["bare_pyinfra_cpu_ms_per_host"]
    lines.append(f"pyinfra as it comes, the same operations without content: {floor} ms a host")
    return lines
