"""Which computes take new guests, as Nova's scheduler is told."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from pyinfra.api import StringCommand

from pyinfra_nova.resources.compute_api import places
from pyinfra_nova.resources.keystone import KeystoneAdmin
from pyinfra_nova.session.host_script import script_command
from pyinfra_nova.session.steps import Step
from pyinfra_nova.site.names import named
from pyinfra_nova.site.settings import HostSettings, Site
from pyinfra_nova.site.value_types import BY_ITSELF

USES = ("trust", "rest", "keystone", "compute_api", "cloud_session")
NEW = "is new"


@dataclass(frozen=True)
class Closed:
    """What Nova says of computes that take no new guests.

    Attributes:
        reasons: why not, by their host names in Nova.
        unseen: those that are not registered yet.
    """

    reasons: Mapping[str, str]
    unseen: frozenset[str] = frozenset()


def _differs(compute: HostSettings, closed: Closed, *, new_are_open: bool) -> str | None:
    """Why a compute is to be told something; None where it need not be."""
    name = compute.nova_host
    if name in closed.unseen:
        return None if new_are_open and compute.state == "open" else NEW
    reason = closed.reasons.get(name)
    if compute.state == "open":
        return None if reason is None or reason.startswith(BY_ITSELF) else f"was closed: {reason}"
    if reason == compute.state_reason:
        return None
    return "was open" if reason is None else f"was closed: {reason}"


def steps(site: Site, computes: Collection[HostSettings], closed: Closed) -> list[Step]:
    """What has Nova send COMPUTES new guests or none, each as its state says.

    Those with one reason are said together: many computes may join at once.
    """
    new_are_open = site.settings.enable_new_services
    said: dict[str, list[str]] = {}
    wanted: dict[str, str | None] = {}
    for compute in computes:
        if differs := _differs(compute, closed, new_are_open=new_are_open):
            wanted[compute.nova_host] = None if compute.state == "open" else compute.state_reason
            why = "" if compute.state == "open" else f", {compute.state_reason}"
            verb = "open" if compute.state == "open" else "close"
            said.setdefault(f"{verb} {{}} to new guests{why} ({differs})", []).append(compute.name)
    texts = [text.replace("{}", named(names), 1) for text, names in said.items()]
    if not texts:
        return []
    return [*map(Step, texts[:-1]), Step(texts[-1], (_tell(site, wanted),))]


def _tell(site: Site, wanted: Mapping[str, str | None]) -> StringCommand:
    settings = site.settings
    cloud = KeystoneAdmin.of(site).as_request(settings.region, places(settings))
    return script_command("compute_states", "tell", {**cloud, "computes": wanted}, USES)
