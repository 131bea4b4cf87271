"""What is compared of a lab with and without encryption."""

from __future__ import annotations

from collections import Counter

from bench.encryption import figures


def test_medians_and_commands_of_both_are_compared() -> None:
    counts = {
        "plain": Counter(controller=13, compute1=5),
        "encrypted": Counter(controller=13, compute1=6),
    }
    times = {
        "plain": {"boots": [4.0, 5.0, 30.0], "moves": [10.0, 10.0, 10.0]},
        "encrypted": {"boots": [5.5, 5.0, 5.5], "moves": [11.0, 9.0, 12.0]},
    }
    found = figures(counts, times)
    assert found["remote_commands_more"] == {"compute1": 1, "controller": 0}
    assert (found["boot_ratio"], found["live_migration_ratio"]) == (1.1, 1.1)
    assert found["seconds"]["plain"] == {"boots": 5.0, "moves": 10.0}
