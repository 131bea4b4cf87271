"""What a deploy says at its end."""

from __future__ import annotations

from pyinfra_nova.commands.summary import summary
from pyinfra_nova.resources.compute_api import ComputeApiState

from .site_data import site


def test_the_times_of_the_parts_and_of_all_of_it() -> None:
    state = ComputeApiState(error=None)
    lines = summary(site(), state, [("Nova deploy", 106), ("verification", 59)], is_lab=False)
    times = lines[lines.index("Times") + 1 :][:3]
    assert [line.split("  ")[-1].strip() for line in times] == [
        "1 min 46 s",
        "0 min 59 s",
        "2 min 45 s",
    ]
    assert times[-1].split("  ")[1].strip() == "all of it"
