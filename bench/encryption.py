"""What encryption costs: remote commands, boots and moves of the same lab with and without it."""

from __future__ import annotations

import json
import statistics
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.cloud.guests import GUEST_IMAGE

GUESTS = 5
"""Boots and moves with each; the median of them is compared."""
SCRIPT = Path(__file__).resolve().parent / "files/guest_times.py"
INVENTORIES = {"plain": "inventories/plain/inventory.py", "encrypted": "inventory.py"}
MOST_COMMANDS = 2
MOST_TIME = 1.15
"""What it may cost: remote commands a host more in a deploy that changes nothing, and how many
times as long a boot or a live migration may take."""

Timed = dict[str, list[float]]


def guest_times(inventory: str, controller: str) -> Timed:
    """The seconds of boots and moves on the lab as it is now."""
    words = f"python3 - {GUESTS} {GUEST_IMAGE}"
    with SCRIPT.open() as script:
        found = subprocess.run(
            ["./run", "-i", inventory, "ssh", controller, words],
            stdin=script,
            capture_output=True,
            text=True,
            check=False,
        )
    if found.returncode:
        raise SystemExit(f"bench: guests on {inventory}:\n{found.stderr[-2000:]}")
    times: Timed = json.loads(found.stdout.splitlines()[-1])
    return times


def measured(
    deployed: Callable[[str], object],
    commands: Callable[[str], Counter[str]],
    controller: str = "controller",
) -> dict[str, Any]:
    """The figures of both; DEPLOYED brings the lab to an inventory, COMMANDS counts there."""
    counts: dict[str, Counter[str]] = {}
    times: dict[str, Timed] = {}
    for name, inventory in INVENTORIES.items():
        deployed(inventory)
        counts[name] = commands(inventory)
        times[name] = guest_times(inventory, controller)
    return figures(counts, times)


def figures(counts: dict[str, Counter[str]], times: dict[str, Timed]) -> dict[str, Any]:
    """What is compared of both."""
    hosts = sorted(counts["encrypted"])
    more = {host: counts["encrypted"][host] - counts["plain"][host] for host in hosts}

    def ratio(what: str) -> float:
        encrypted, plain = (statistics.median(times[name][what]) for name in ("encrypted", "plain"))
        return round(encrypted / plain, 2)

    return {
        "remote_commands_more": more,
        "remote_commands_more_at_most": MOST_COMMANDS,
        "boot_ratio": ratio("boots"),
        "live_migration_ratio": ratio("moves"),
        "ratio_at_most": MOST_TIME,
        "seconds": {
            name: {what: round(statistics.median(values), 1) for what, values in timed.items()}
            for name, timed in times.items()
        },
    }
