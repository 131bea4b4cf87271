"""How guests are moved away from computes that are to have none."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pyinfra_nova.site.section import Section

AtOnce = Annotated[int, Field(ge=1, le=1000)]


class Drain(Section):
    """What a run may do at once, and how long a move may take.

    Attributes:
        at_once_per_host: guests on the way from one compute; nova-compute itself sends off one live
            migration at a time (max_concurrent_live_migrations) and lets others wait.
        at_once: guests on the way from all of them.
        timeout: seconds that a move may take, from when Nova was told of it; of a live migration
            that a run has seen wait in nova-compute's queue, from the end of that.
        then: what becomes of a live migration that takes longer: it is given up, and its guest
            stays; or it is brought to its end, for which Nova pauses the guest, or goes over to
            post-copy where nova.conf permits that. A cold one goes on, but is not waited for.
    """

    at_once_per_host: AtOnce = 1
    at_once: AtOnce = 4
    timeout: Annotated[int, Field(ge=10, le=86400)] = 600
    then: Literal["abort", "force_complete"] = "abort"
