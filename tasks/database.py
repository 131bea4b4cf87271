"""Stage 5: Nova's databases and its user there."""

from __future__ import annotations

from pyinfra.api.deploy import deploy

from pyinfra_nova.resources import databases
from pyinfra_nova.run.host_plan import HostPlan


@deploy("Databases")
def prepare(plan: HostPlan) -> None:
    """Make databases, user and grants, where the site does not make them elsewhere."""
    settings = plan.site.settings
    if not (settings.manage_database and plan.is_database_host):
        return
    database = settings.database
    user = databases.DatabaseUser(
        database.user,
        plan.site.secrets.database_password,
        (database.nova_api, database.nova, database.nova_cell0),
        encrypted=settings.tls.is_on,
    )
    databases.present(
        name="Create databases, user and grants",
        users=[user],
        left_out=plan.scope.controllers_left_out,
        in_plain_text=plan.in_plain_text,
    )


@deploy("Databases")
def insist(plan: HostPlan) -> None:
    """Let Nova's user in over TLS alone, once all that log in as it have been restarted."""
    settings = plan.site.settings
    if settings.tls.is_on and settings.manage_database and plan.is_database_host:
        databases.insisted(
            name="Let the user in over TLS alone",
            in_plain_text=plan.in_plain_text,
            left_out=plan.scope.controllers_left_out,
        )
