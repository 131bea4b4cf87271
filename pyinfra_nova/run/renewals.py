"""What becomes of the hosts' certificates in this run, and when the next ones are made."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pyinfra_nova.certificates.purposes import PURPOSES
from pyinfra_nova.certificates.trust import folder_of, is_trusted
from pyinfra_nova.nova_conf.certificate_files import MARKER, certificate_paths, places
from pyinfra_nova.run.host_plan import HostPlan
from pyinfra_nova.run.verdicts import Verdict
from pyinfra_nova.site.run_scope import RunScope
from pyinfra_nova.site.settings import HostSettings
from pyinfra_nova.site.sources import bare_name


def question(scope: RunScope, host: HostSettings) -> dict[str, Any]:
    """What HOST is asked for beside the preflight's checks."""
    paths = certificate_paths(scope.site, host)
    return {"certificates": paths} if paths else {}


NOT_OURS = (
    "not this project's, and would be replaced with its key; move both away, or provide them (tls "
    "in group_data/all.py, mode provided)"
)


def verdicts(plans: Iterable[HostPlan]) -> Iterator[Verdict]:
    """A line of the preflight's table for each host that has certificates."""
    for plan in plans:
        if plan.is_deployed and plan.certificates:
            whose = _of_somebody_else(plan)
            yield Verdict(plan.host.name, "certificates", not whose, whose or _detail(plan))


def _of_somebody_else(plan: HostPlan) -> str:
    """Why a certificate that stands where this project's goes is not replaced; empty if none is.

    It would be lost with its key. Once anything here has this project's mark, what is changed in it
    is put right again as in any file.
    """
    if plan.written.get("certificates"):
        return ""
    found = plan.certificates_found
    paths = [
        place.pairs[0][0]
        for place in places(plan.site, plan.encrypted, plan.platform)
        if MARKER not in found.get(place.pairs[0][0], MARKER)
        and plan.certificates[place.purpose].is_new
    ]
    return f"{', '.join(paths)}: {NOT_OURS}" if paths else ""


MEANWHILE = (
    "; until all have theirs, some refuse others, because authorities of before are trusted no "
    "more: docs/tls.md, Another authority"
)


def _meanwhile(plan: HostPlan) -> str:
    """What is to be said of a host whose certificates others refuse once they are deployed."""
    for place in places(plan.site, plan.encrypted, plan.platform):
        found = plan.certificates_found.get(place.pairs[0][0])
        purpose, name = PURPOSES[place.purpose], bare_name(plan.host.name)
        if found and not is_trusted(plan.site, purpose, name, found):
            return MEANWHILE
    return ""


def _provided(plan: HostPlan, made: Mapping[str, Sequence[str]], end: dt.datetime) -> str:
    """Of certificates that the site makes, which no deploy renews."""
    purposes = [purpose for group in made.values() for purpose in group]
    what = f"{', '.join(purposes)} of this machine go there; " if made else ""
    days = (end - plan.now).days
    late = days <= plan.site.settings.tls.renew_days
    remedy = f", in {days} days: put another one in its place" if late else ""
    return f"{what}the first ends on {end:%Y-%m-%d}{remedy}{_meanwhile(plan)}"


def _detail(plan: HostPlan) -> str:
    made: dict[str, list[str]] = {}
    for purpose, certificate in plan.certificates.items():
        if certificate.is_new:
            made.setdefault(certificate.reason, []).append(purpose)
    first = min(certificate.not_after for certificate in plan.certificates.values())
    if folder_of(plan.site):
        return _provided(plan, made, first)
    if made:
        what = (f"{', '.join(purposes)}: {reason}" for reason, purposes in made.items())
        return f"new ones are made ({'; '.join(what)}){_meanwhile(plan)}"
    renewal = first - dt.timedelta(days=plan.site.settings.tls.renew_days)
    return f"good until {first:%Y-%m-%d}, and a deploy renews them from {renewal:%Y-%m-%d} on"
