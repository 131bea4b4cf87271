"""Guests that are named, not moved; and what a plan says of a compute that is still to come."""

from __future__ import annotations

import pytest

from pyinfra_nova.resources.drains.decision import Run, decide
from pyinfra_nova.resources.drains.plan_lines import planned
from pyinfra_nova.site.drain import Drain

from .test_drains_decision import decided, guest, seen, stays


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("building", "is building: let it end"),
        ("shelved_offloaded", "is about to leave: where it does not, `openstack server unshelve"),
    ],
)
def test_what_is_only_passing_through_may_be_over_in_a_moment(state: str, said: str) -> None:
    (stay,) = decided(guest(state=state)).stays
    assert stay.passing and stay.why.startswith(said)


@pytest.mark.parametrize("task", ["deleting", "soft-deleting"])
def test_a_deletion_that_hangs_is_named_with_what_nova_does_not_pass_over(task: str) -> None:
    """A second deletion alone it does, as long as the first one's task is there."""
    (text,) = stays(decided(guest(task=task)))
    assert "`openstack server set --state error g1` and `openstack server delete g1`" in text


def test_what_offloading_would_lose_is_said() -> None:
    (text,) = stays(decided(guest(state="shelved", ephemeral=True)))
    assert "shelve --offload g1` after that (its ephemeral disk is lost by that)" in text
    assert "ephemeral" not in stays(decided(guest(state="shelved")))[0]


def test_nothing_leaves_a_compute_whose_service_is_down() -> None:
    (text,) = stays(decided(guest(), up="down"))
    assert text.endswith("cannot be moved while nova-compute there is down")


def test_a_plan_says_what_may_go_to_a_compute_that_the_deploy_adds() -> None:
    run, new = Run(), {"new": ["compute4"]}
    moved = "move guest web-g1 (g1) of compute1 alive, to "
    known = planned(decide(seen(guest(), target=new), Drain(), run), run)
    assert known == [moved + "compute2 or compute3 or compute4 (new)"]
    run, only = Run(), {"hosts": [], "new": ["compute4"], "why": "no other compute has it"}
    alone = planned(decide(seen(guest(), target=only), Drain(), run), run)
    assert alone == [moved + "compute4 (new), if there is room"]
