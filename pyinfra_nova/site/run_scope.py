"""A run that names some of the hosts (``--limit``): what its part is, and what it leaves out."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from functools import cached_property

from pyinfra_nova.site.names import named
from pyinfra_nova.site.settings import HostSettings, Site


@dataclass(frozen=True)
class RunScope:
    """The part of a site that one run deploys.

    Attributes:
        site: the site as this run sees it: what hosts that are left out would make, such as
            databases or the broker's user, is made elsewhere and only checked.
        hosts: the hosts of Nova in the run.
        left_out: the other hosts of Nova.
        retired: the computes in the run that are to be none any more, dead ones included.
        dead: the computes in the run that have no power; they have no plan.
    """

    site: Site
    hosts: tuple[HostSettings, ...]
    left_out: tuple[HostSettings, ...]
    retired: tuple[HostSettings, ...] = ()
    dead: tuple[HostSettings, ...] = ()

    def staying(self, leaving: Iterable[HostSettings]) -> tuple[HostSettings, ...]:
        """Of computes that are LEAVING those that this run leaves as they are."""
        return tuple(host for host in leaving if host.name not in self._retired_names)

    @cached_property
    def _retired_names(self) -> frozenset[str]:
        return frozenset(host.name for host in self.retired)

    @cached_property
    def names(self) -> frozenset[str]:
        """The inventory names of the hosts in the run."""
        return frozenset(host.name for host in self.hosts)

    @cached_property
    def computes(self) -> tuple[HostSettings, ...]:
        return tuple(host for host in self.hosts if host.is_compute)

    @cached_property
    def controllers_left_out(self) -> tuple[HostSettings, ...]:
        return tuple(host for host in self.left_out if host.is_controller)

    @property
    def delegate(self) -> HostSettings | None:
        """The primary controller, when it is left out but has computes to discover or to forget."""
        primary = self.site.primary_controller
        concerned = self.computes or self.retired or self.dead
        return primary if primary.name not in self.names and concerned else None


def scope_of(site: Site, active: Collection[str]) -> RunScope:
    """The part of SITE that a run on the hosts ACTIVE deploys."""
    primary, database, messaging = (
        site.primary_controller,
        site.database_host,
        site.messaging_host,
    )
    settings = site.settings
    managed = {
        "manage_identity": settings.manage_identity and primary.name in active,
        "manage_database": settings.manage_database
        and database is not None
        and database.name in active,
        "manage_messaging": settings.manage_messaging
        and messaging is not None
        and messaging.name in active,
    }
    nova = [host for host in site.hosts.values() if host.is_controller or host.is_compute]
    return RunScope(
        replace(site, settings=settings.model_copy(update=managed)),
        tuple(host for host in nova if host.name in active),
        tuple(host for host in nova if host.name not in active),
        tuple(host for host in site.retired if host.name in active),
        tuple(host for host in site.dead if host.name in active),
    )


def cut_off(what: str, left_out: Collection[HostSettings]) -> str:
    """Why WHAT is not changed in a run that leaves hosts out."""
    return (
        f"{what} differs from what is in use, and a run that leaves out "
        f"{named([host.name for host in left_out])} would cut those "
        "hosts off; run without --limit"
    )
