"""What the primary controller cannot see itself: a broker and databases that are on other hosts."""

from __future__ import annotations

from typing import Any

from pyinfra_nova.audit.question import PLACEMENT_DATABASE, CloudAudit
from pyinfra_nova.session.host_script import ScriptFact
from pyinfra_nova.site.settings import Site


class Queues(ScriptFact):
    """The queues, listed on a node of the broker."""

    script = "broker_queues"
    folder = ScriptFact.folder / "audit"


class Placement(ScriptFact):
    """The rows of Placement, read on the host of its database."""

    script = "placement_records"
    uses = CloudAudit.uses[: CloudAudit.uses.index(script)]
    folder = ScriptFact.folder / "audit"


def of_broker(site: Site) -> dict[str, Any]:
    """What Queues is asked on a node of the broker."""
    return {"broker": {"virtual_host": site.settings.messaging.virtual_host}}


def of_placement(site: Site) -> dict[str, Any]:
    """What Placement is asked on the host of the databases."""
    return {
        "placement_database": PLACEMENT_DATABASE,
        "database": {"host": site.settings.database.host},
    }
