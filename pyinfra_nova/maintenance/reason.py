"""The reason for which Nova keeps a compute closed while it is maintained.

It says when that began, and what for: all that a second call needs to go on with the same
maintenance, from whichever machine.
"""

from __future__ import annotations

import calendar
import hashlib
import re
import time
from dataclasses import dataclass

from pyinfra.api.exceptions import PyinfraError

from pyinfra_nova.site.settings import HostSettings
from pyinfra_nova.site.value_types import BY_ITSELF

FORM = "%Y-%m-%dT%H:%M:%SZ"
REASON = re.compile(r"maintenance since (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ): (.+)")
DEPLOY = "`./run deploy`"


class MaintenanceError(PyinfraError):
    """A maintenance that is not begun, or goes no further; the text names host and remedy."""


@dataclass(frozen=True)
class Work:
    """What is done on a host once it has no guests, in this order."""

    packages: bool = False
    command: str | None = None
    reboot: bool = False

    @property
    def mark(self) -> str:
        """The command, for a reason and a record: it may be long, and is nobody else's business."""
        return hashlib.sha256((self.command or "").encode()).hexdigest()[:8]

    @property
    def text(self) -> str:
        """What it is, as the reason has it."""
        parts = {
            "packages": self.packages,
            f"command {self.mark}": self.command is not None,
            "reboot": self.reboot,
        }
        return ", ".join(part for part, wanted in parts.items() if wanted)


@dataclass(frozen=True)
class Maintenance:
    """One maintenance of a host.

    Attributes:
        begun: when, by the primary controller's clock.
        work: what for.
    """

    begun: str
    work: str

    @classmethod
    def new(cls, now: float, work: Work) -> Maintenance:
        """One that begins NOW, in seconds since 1970."""
        return cls(time.strftime(FORM, time.gmtime(now)), work.text)

    @classmethod
    def of(cls, reason: str) -> Maintenance | None:
        """The one that a compute is closed for; None where REASON is another one."""
        match = REASON.fullmatch(reason)
        return cls(match[1], match[2]) if match and _is_time(match[1]) else None

    @property
    def reason(self) -> str:
        return f"maintenance since {self.begun}: {self.work}"

    @property
    def since(self) -> float:
        """When it began, in seconds since 1970."""
        return calendar.timegm(time.strptime(self.begun, FORM))


def _is_time(text: str) -> bool:
    try:
        time.strptime(text, FORM)
    except ValueError:
        return False
    return True


def maintenance_of(host: HostSettings, closed: str | None, work: Work, now: float) -> Maintenance:
    """The maintenance of HOST that is gone on with, or a new one.

    Args:
        closed: the reason for which Nova has it closed; None where it is open.

    Raises:
        MaintenanceError: it is closed for what is not ours to end.
    """
    if closed in (None, as_wanted(host)):
        return Maintenance.new(now, work)
    known = Maintenance.of(closed)
    if known and known.work == work.text:
        return known
    if known:
        raise MaintenanceError(
            f"{host.name} is in maintenance since {known.begun} for {known.work}, not for "
            f"{work.text}: finish that one by the same words as it was begun with, or end it: "
            f"{DEPLOY} has the compute as the inventory says"
        )
    if closed.startswith(BY_ITSELF):
        raise MaintenanceError(
            f"{host.name} was closed by Nova itself ({closed}): mend its libvirt first"
        )
    raise MaintenanceError(
        f"{host.name} was closed by somebody ({closed or 'without a reason'}): ask them, then say "
        f"so in the inventory, or open it: {DEPLOY}"
    )


def as_wanted(host: HostSettings) -> str | None:
    """Why Nova is to have HOST closed outside of a maintenance; None where it is to be open."""
    return None if host.state == "open" else host.state_reason


def refused(host: HostSettings | None, name: str) -> str | None:
    """Why the host NAME is none to be maintained; None where it is one."""
    if host is None:
        return f"{name} has no part in Nova: name computes"
    if host.is_controller:
        return f"{name} is a controller: its services would go, and Nova with them; name computes"
    if host.is_dead:
        return f"{name} is 'dead' in the inventory: nobody connects to it"
    if host.is_retired:
        return f"{name} is 'retired' in the inventory: it is a compute no more"
    if not host.is_compute:
        return f"{name} is no compute: it has no guests to be moved away"
    if more := sorted(host.roles & {"database", "messaging"}):
        what = f"Nova's {' and '.join(more)} {'are' if len(more) > 1 else 'is'} there, too"
        return f"{name} is no compute alone: {what}, and would go with it; name other computes"
    return None
