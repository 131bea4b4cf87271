"""What a run knows of its computes and of what Nova has of them: asked, judged, and asked again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from gevent.lock import RLock
from pyinfra import host as at_hand
from pyinfra.api.host import Host
from pyinfra.context import ctx_host

from pyinfra_nova.knowledge import releases
from pyinfra_nova.resources.compute_identity import (
    ComputesOfNova,
    NovaComputes,
    Outcome,
    Presence,
    nova_question,
    presence_question,
)
from pyinfra_nova.resources.host_report import NoReport, Report
from pyinfra_nova.run.identities import Compute
from pyinfra_nova.run.preflight import DATABASE
from pyinfra_nova.run.verdicts import Verdict
from pyinfra_nova.session.host_script import ask
from pyinfra_nova.site.faults import printable
from pyinfra_nova.site.run_scope import RunScope
from pyinfra_nova.site.settings import HostSettings

Reports = Mapping[str, Report | NoReport]
WHAT = "identity"


def questions_about(scope: RunScope, host: HostSettings) -> dict[str, Any]:
    """What HOST is asked for beside the preflight's checks."""
    found = {"compute": presence_question(host, scope.site.settings.release)}
    if host.name == scope.site.primary_controller.name and scope.computes:
        found["nova"] = nova_question(scope.site, scope.computes)
    return found


def _nova(primary: Report | NoReport | None) -> NovaComputes | None:
    """What the controller says that Nova has; None where what it says instead is a finding."""
    if not isinstance(primary, Report):
        return None
    silent = any(not check.ok and check.name.startswith(DATABASE) for check in primary.checks)
    return None if silent else primary.nova_computes or NovaComputes()


@dataclass
class KnownComputes:
    """The computes of a run, by what the preflight has found.

    Attributes:
        nova: what Nova has; None where nobody was asked, or why there is no answer is said already.
    """

    scope: RunScope
    presences: Mapping[str, Presence | None]
    nova: NovaComputes | None

    def __post_init__(self) -> None:
        self._lock = RLock()

    @classmethod
    def of(cls, scope: RunScope, reports: Reports) -> KnownComputes:
        computes = [compute.name for compute in scope.computes]
        usable = {name: reports.get(name) for name in computes}
        presences = {name: r.compute for name, r in usable.items() if isinstance(r, Report)}
        primary = reports.get(scope.site.primary_controller.name)
        return cls(scope, presences, _nova(primary) if computes else None)

    @property
    def is_pending(self) -> bool:
        """Whether Nova's records can only be read once this run has brought what that takes."""
        return self.nova is not None and bool(self.nova.error) and self.nova.early

    @cached_property
    def _inventory(self) -> Mapping[str, str]:
        return {host.nova_host: host.name for host in self.scope.site.hosts.values()}

    @cached_property
    def _holders(self) -> Mapping[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name, presence in self.presences.items():
            files = presence.identities if presence else ()
            for uuid in {file.uuid for file in files if file.uuid}:
                found.setdefault(uuid, []).append(name)
        return found

    def outcome(self, host: HostSettings) -> Outcome:
        """What is right for HOST; nothing where it is not known (yet)."""
        presence, nova = self.presences.get(host.name), self.nova
        if presence is None or nova is None or nova.error:
            return Outcome()
        version = releases.VERSIONS[self.scope.site.settings.release]
        known = (self._inventory, self._holders)
        found = Compute(host, presence, nova, version, *known).outcome
        return replace(found, fault=printable(found.fault) if found.fault else None)

    def findings(self) -> Iterator[Verdict]:
        """What is right and what is wrong, compute by compute."""
        if self.nova is None:
            return
        if self.nova.error:
            detail = f"what Nova has of them is not known: {printable(self.nova.error)}"
            if self.nova.early:
                detail += "; looked at before nova-compute starts"
            yield Verdict(self.scope.site.primary_controller.name, WHAT, self.nova.early, detail)
        for host in self.scope.computes:
            if host.name not in self.presences:
                continue
            if self.presences[host.name] is None:
                yield Verdict(host.name, WHAT, False, "it does not say who it is")
            elif not self.nova.error:
                found = self.outcome(host)
                yield Verdict(host.name, WHAT, not found.fault, found.fault or found.said)

    def settled(self, host: HostSettings, controller: Host) -> Outcome:
        """The same, once Nova's records can be read; CONTROLLER is asked once for all computes."""
        with self._lock:
            if self.is_pending and at_hand.state.is_executing:
                with ctx_host.use(controller):
                    request = nova_question(self.scope.site, self.scope.computes, there=True)
                    answer = ask(controller, ComputesOfNova, request)
                self.nova = NovaComputes.model_validate({**answer, "early": False})
        if self.nova and self.nova.error and at_hand.state.is_executing:
            return Outcome(fault=f"what Nova has of computes is not known: {self.nova.error}")
        return self.outcome(host)
