"""What the console's proxy has to speak to the screens of guests that run, by what hosts say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pyinfra_nova.nova_conf.consoles import (
    CLIENT,
    NO_CONSOLES,
    PLAIN_SCHEME,
    TLS_SCHEME,
    Consoles,
)
from pyinfra_nova.resources.host_report import NoReport, Proxy, Report
from pyinfra_nova.run.verdicts import Verdict
from pyinfra_nova.site.names import FEW, named
from pyinfra_nova.site.run_scope import RunScope
from pyinfra_nova.site.settings import HostSettings

Reports = Mapping[str, Report | NoReport]
NOVA_CONF = "/etc/nova/nova.conf"
"""On every system of platforms.yaml."""
REMEDY = "move them live or start them anew (openstack server reboot --hard), then deploy again"


def question(scope: RunScope, host: HostSettings) -> dict[str, Any]:
    """What HOST is asked for beside the preflight's checks."""
    if not scope.site.settings.vnc.enabled:
        return {}
    guests = host.is_compute or host.is_retired
    path = NOVA_CONF if host.is_controller else None
    return {"screens": {"guests": guests, "proxy": path}} if guests or path else {}


@dataclass(frozen=True)
class FoundConsoles:
    """What has been found of guests' screens and of the proxies that ask them.

    Attributes:
        scope: of the run.
        computes: that may have guests, with what they say; None for those that were not asked.
        of_controllers: what the controllers' present nova.conf says, of those that have one.
    """

    scope: RunScope
    computes: Mapping[str, Report | None]
    of_controllers: Sequence[Proxy]

    @classmethod
    def of(
        cls, scope: RunScope, reports: Reports, leaving: Sequence[HostSettings]
    ) -> FoundConsoles:
        """What REPORTS say; LEAVING are retired computes that may have guests still."""
        usable = {name: r for name, r in reports.items() if isinstance(r, Report)}
        asked = {name: report for name, report in usable.items() if report.screens}
        computes = [compute.name for compute in (*scope.site.all_computes, *leaving)]
        proxies = [report.proxy for report in usable.values() if report.proxy]
        return cls(scope, {name: asked.get(name) for name in computes}, proxies)

    @property
    def unknown(self) -> list[str]:
        return [name for name, report in self.computes.items() if report is None]

    def guests(self, kind: Literal["plain", "tls"]) -> tuple[int, list[str]]:
        """How many guests have a screen of that KIND, and some of them with their computes."""
        count, some = 0, []
        for name, report in self.computes.items():
            if report and report.screens:
                found = report.screens.plain if kind == "plain" else report.screens.tls
                count += found.count
                some += [f"{guest} on {name}" for guest in found.few]
        return count, some[:FEW]

    @property
    def consoles(self) -> Consoles:
        """What of it the files of controllers follow."""
        settings, unknown = self.scope.site.settings, bool(self.unknown)
        if not settings.vnc.enabled:
            return NO_CONSOLES
        if not settings.tls.is_on:
            # Without our certificate there it is somebody else's to say what is spoken.
            is_ours = any(proxy.certificate == CLIENT for proxy in self.of_controllers)
            return Consoles(tls=is_ours and (unknown or self.guests("tls")[0] > 0))
        was_plain = any(PLAIN_SCHEME in proxy.schemes for proxy in self.of_controllers)
        # Who is dead tells nobody a URL.
        left_out = any(host.is_compute for host in self.scope.left_out)
        had_page = any(not proxy.encrypted_only for proxy in self.of_controllers)
        return Consoles(
            plain=self.guests("plain")[0] > 0 or (unknown and was_plain),
            page_in_plain=left_out and had_page,
        )

    def verdicts(self) -> Iterator[Verdict]:
        """A line of the preflight's table where guests keep the proxy from what the site wants."""
        found, is_on = self.consoles, self.scope.site.settings.tls.is_on
        if not (found.plain or found.tls):
            return
        count, some = self.guests("plain" if is_on else "tls")
        what = "no TLS" if is_on else "TLS"
        parts = []
        if count:
            more = f" and {count - len(some):,} more" * (count > len(some))
            who = "1 guest" if count == 1 else f"{count:,} guests"
            parts.append(f"the screen of {who} speaks {what} ({', '.join(some)}{more})")
        if self.unknown:
            parts.append(f"those on {named(self.unknown)} are not known in this run")
        kept = f"the proxy speaks {TLS_SCHEME} and {PLAIN_SCHEME} to them"
        detail = f"{'; '.join(parts)}: {kept}; {REMEDY}"
        yield Verdict(self.scope.site.primary_controller.name, "consoles", True, detail)

    def refusals(self) -> Iterator[Verdict]:
        """Why computes are not deployed before their controllers."""
        primary, is_on = self.scope.site.primary_controller, self.scope.site.settings.tls.is_on
        computes = [compute.name for compute in self.scope.computes]
        if primary.name in self.scope.names or not computes:
            return
        needed = TLS_SCHEME if is_on else PLAIN_SCHEME
        for proxy in self.of_controllers:
            # Without TLS of ours, overrides may say what screens are asked by.
            if not (is_on or proxy.certificate == CLIENT):
                continue
            if self.scope.site.settings.vnc.enabled and needed not in proxy.schemes:
                what = "no TLS" if is_on else "nothing but TLS"
                detail = (
                    f"the proxy there speaks {what} to guests' screens, so those that start on "
                    f"{named(computes)} would have no console: deploy the controllers first "
                    f"(--limit controllers), or all hosts together"
                )
                yield Verdict(primary.name, "consoles", False, detail)
