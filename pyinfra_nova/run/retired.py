"""How the primary controller is asked about computes that are to be none any more."""

from __future__ import annotations

from collections.abc import Sequence

from pyinfra_nova.resources.retirements import Question
from pyinfra_nova.run.host_plan import HostPlan
from pyinfra_nova.site.settings import HostSettings


def question_of(primary: HostPlan, computes: Sequence[HostSettings]) -> Question:
    """What the primary controller, whose plan is PRIMARY, is asked about COMPUTES."""
    return Question(primary.site, primary.databases, primary.platform.user, computes)
