"""Host aggregates in ``resources.yml``, and what of them does not fit the site."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field

from pyinfra_nova.resources.cloud_objects.values import Check, Found, Object, Texts, wanted
from pyinfra_nova.site.faults import closest
from pyinfra_nova.site.names import named
from pyinfra_nova.site.value_types import Text, is_truth

DEFAULT_ZONE = "nova"
"""Nova's name for hosts in no zone, where nova_conf gives them no other."""
TRAIT = re.compile(r"trait[a-zA-Z0-9_-]*:([A-Z0-9_]{1,255})")


def _zone(text: str) -> str:
    if ":" in text:
        raise ValueError("contains ':', which separates a zone from a host")
    return text


Zone = Annotated[Text, AfterValidator(_zone)]


class Aggregate(Object):
    """Hosts that belong together, and the availability zone that they make.

    Attributes:
        availability_zone: as users name it; a host is in one zone at most.
        hosts: names of computes; others in the aggregate stay, unless ``only_these_hosts``.
        metadata: ``trait:CUSTOM_X: required`` keeps the hosts to flavors that ask for the trait;
            a trait of one's own is given to the hosts' resource providers, too.
    """

    availability_zone: Zone | None = None
    hosts: list[Text] = Field(default_factory=list)
    only_these_hosts: bool = False
    metadata: Texts = Field(default_factory=dict)


class AggregateCheck(Check):
    """Hosts that are no computes, zones that exclude each other, traits without effect."""

    def faults(self, aggregates: Mapping[str, Aggregate]) -> Found:
        computes = [host.nova_host for host in self.site.all_computes]
        retired = [host.nova_host for host in self.site.retired]
        zones: dict[str, tuple[str, str]] = {}
        for name, aggregate in wanted(aggregates):
            for index, host in enumerate(aggregate.hosts):
                key = f"aggregates.{name}.hosts.{index}"
                if host in retired:
                    yield self.wrong(key, f"{host} is retired", "take it out of the aggregate")
                elif host not in computes:
                    remedy = closest(host, computes) or f"computes are {named(computes)}"
                    yield self.wrong(key, f"{host!r} is no compute of the inventory", remedy)
                if host in aggregate.hosts[:index]:
                    yield self.wrong(key, f"{host} is named more than once")
                zone = aggregate.availability_zone
                if zone is None:
                    continue
                first, other = zones.setdefault(host, (zone, name))
                if first != zone:
                    problem = f"{host} is in availability zone {first} by aggregate {other}"
                    yield self.wrong(key, problem, "a host is in one zone only")
            if aggregate.availability_zone in self._names_of_no_zone():
                # nova/doc/source/admin/availability-zones.rst; hosts in no zone are in it, so that
                # guests that ask for it cannot be moved to hosts in a zone.
                problem = f"{aggregate.availability_zone!r} is what Nova calls hosts in no zone"
                key = f"aggregates.{name}.availability_zone"
                yield self.wrong(key, problem, "name another one")
            if "availability_zone" in aggregate.metadata:
                key = f"aggregates.{name}.metadata.availability_zone"
                yield self.wrong(key, "is a key of the aggregate", "move it out of metadata")
            yield from self._isolation(name, aggregate)

    def _names_of_no_zone(self) -> set[str]:
        found = (
            self.option(host, "DEFAULT", "default_availability_zone")
            for host in self.site.controllers
        )
        return {str(zone or DEFAULT_ZONE) for zone in found}

    def _isolation(self, name: str, aggregate: Aggregate) -> Found:
        for key, value in aggregate.metadata.items():
            if not key.startswith("trait:") or value is None:
                continue
            here = f"aggregates.{name}.metadata.{key}"
            if not TRAIT.fullmatch(key):
                yield self.wrong(here, "is not trait: and a name in capitals, as CUSTOM_GPU")
            elif value != "required":
                yield self.wrong(here, f"{value!r} has no effect", "the one value is: required")
            elif problem := self.specs.problem(key, value)[0]:
                yield self.wrong(here, problem, self.specs.problem(key, value)[1])
            elif not self.site.settings.smoke_guest and not all(
                is_truth(self.option(host, "scheduler", "enable_isolated_aggregate_filtering"))
                for host in self.site.controllers
            ):
                remedy = (
                    'set nova_conf = {"scheduler": {"enable_isolated_aggregate_filtering": True}} '
                    "in group_data/controllers.py"
                )
                yield self.wrong(here, "has no effect on the scheduler as it is set", remedy)
