"""files/retirements.py: which moves keep a compute, and what is said of them."""

from __future__ import annotations

import pytest

from .retired_stand_in import Cloud
from .test_script_retirements import cloud, make, read, refused

__all__ = ["cloud", "make"]


@pytest.mark.parametrize(
    ("state", "task", "kind"),
    [
        ("resized", None, "unconfirmed"),
        ("active", None, "unconfirmable"),
        ("stopped", None, "unconfirmable"),
        ("error", None, "unconfirmable"),
        ("active", "resize_finish", "moves"),
        ("resized", "resize_reverting", "moves"),
    ],
)
def test_moves_that_wait_to_be_confirmed_are_told_from_those_that_nobody_can_confirm(
    cloud: Cloud, state: str, task: str | None, kind: str
) -> None:
    """Nova confirms a move of a guest in VERIFY_RESIZE alone."""
    cloud.insert("nova.instances", "g2", "compute1", 0, state, task)
    cloud.insert("nova.migrations", "m3", "g2", "compute2", "compute1", "finished", 0)
    found = read(cloud)
    assert {name: found[name] for name in ("moves", "unconfirmed", "unconfirmable")} == {
        **{"moves": [], "unconfirmed": [], "unconfirmable": []},
        kind: ["g2"],
    }


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("active", "compute2 has moves that nobody can confirm (see `./run audit`) of guests: g1"),
        (
            "resized",
            "compute2 has moves that wait for `openstack server resize confirm` of guests: g1",
        ),
    ],
)
def test_one_with_a_move_that_waits_is_left_as_it_is(cloud: Cloud, state: str, said: str) -> None:
    cloud.insert("nova.instances", "g1", "compute1", 0, state, None)
    cloud.insert("nova.migrations", "m", "g1", "compute2", "compute1", "finished", 0)
    before = cloud.state()
    assert said in refused(cloud)
    assert cloud.state() == before
