"""Stage 5: Nova's user, roles, service and endpoints in Keystone."""

from __future__ import annotations

from dataclasses import replace

from pyinfra.api.deploy import deploy

from pyinfra_nova.resources import keystone
from pyinfra_nova.run.host_plan import HostPlan
from pyinfra_nova.site.settings import Site

# `service` lets other services accept Nova's service token (CVE-2023-2088).
ROLES = ("admin", "service")


@deploy("Identity")
def prepare(plan: HostPlan) -> None:
    """Make Nova's entries in Keystone, where the site does not make them elsewhere."""
    if plan.site.settings.manage_identity and plan.is_primary_controller:
        entries, later = _entries(plan.site), plan.interfaces_to_move
        now = tuple(each for each in entries.endpoints if each.interface not in later)
        keystone.present(
            name="Create user, roles, service and endpoints",
            admin=keystone.KeystoneAdmin.of(plan.site),
            entries=replace(entries, endpoints=now),
            left_out=plan.scope.left_out,
        )


@deploy("Identity")
def publish(plan: HostPlan) -> None:
    """Move endpoints from http to https, or back, now that the APIs speak it."""
    if not (plan.site.settings.manage_identity and plan.is_primary_controller):
        return
    later = plan.interfaces_to_move
    if later:
        found = _entries(plan.site).endpoints
        domain = plan.site.settings.keystone.user_domain_name
        keystone.present(
            name="Move the endpoints to what the APIs speak",
            admin=keystone.KeystoneAdmin.of(plan.site),
            entries=keystone.KeystoneEntries(
                domain, domain, endpoints=tuple(e for e in found if e.interface in later)
            ),
        )


def _entries(site: Site) -> keystone.KeystoneEntries:
    settings = site.settings
    nova = settings.keystone
    user = keystone.KeystoneUser(
        nova.username, site.secrets.nova_password, nova.project_name, ROLES
    )
    urls = settings.endpoints.model_dump()
    return keystone.KeystoneEntries(
        domain=nova.user_domain_name,
        project_domain=nova.project_domain_name,
        roles=ROLES,
        users=(user,),
        services=(keystone.KeystoneService("compute", "nova", "OpenStack Compute"),),
        endpoints=tuple(
            keystone.KeystoneEndpoint("compute", interface, url, settings.region)
            for interface, url in urls.items()
        ),
    )
