"""What becomes of the hosts' certificates in this run, and when the next ones are made."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator

from pyinfra_nova.run.host_plan import HostPlan
from pyinfra_nova.run.verdicts import Verdict


def verdicts(plans: Iterable[HostPlan]) -> Iterator[Verdict]:
    """A line of the preflight's table for each host that has certificates."""
    for plan in plans:
        if plan.is_deployed and plan.certificates:
            yield Verdict(plan.host.name, "certificates", True, _detail(plan))


def _detail(plan: HostPlan) -> str:
    made: dict[str, list[str]] = {}
    for purpose, certificate in plan.certificates.items():
        if certificate.is_new:
            made.setdefault(certificate.reason, []).append(purpose)
    if made:
        what = (f"{', '.join(purposes)}: {reason}" for reason, purposes in made.items())
        return f"new ones are made ({'; '.join(what)})"
    first = min(certificate.not_after for certificate in plan.certificates.values())
    renewal = first - dt.timedelta(days=plan.site.settings.tls.renew_days)
    return f"good until {first:%Y-%m-%d}, and a deploy renews them from {renewal:%Y-%m-%d} on"
