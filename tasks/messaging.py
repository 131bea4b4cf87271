"""Stage 5: Nova's user on the message broker."""

from __future__ import annotations

from pyinfra.api.deploy import deploy

from pyinfra_nova.resources import messaging
from pyinfra_nova.run.host_plan import HostPlan


@deploy("Messaging")
def prepare(plan: HostPlan) -> None:
    """Make the broker's user, where the site does not make it elsewhere."""
    settings = plan.site.settings
    if not (settings.manage_messaging and plan.is_messaging_host):
        return
    user = messaging.BrokerUser(
        settings.messaging.user,
        plan.site.secrets.messaging_password,
        settings.messaging.virtual_host,
        settings.messaging.port,
    )
    address = str(plan.host.my_ip or "127.0.0.1")
    messaging.present(
        name="Create broker user and permissions",
        user=user,
        address=address,
        left_out=plan.scope.left_out,
    )
