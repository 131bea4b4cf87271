"""The cloud on one screen: ``python -m pyinfra_nova.commands.status INVENTORY [--html FILE]``.

Hosts, services, guests, capacity as Placement gives it away, what the audit finds, and how the
timers have fared. Exit: 0 the cloud was seen whole, 1 it was not.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pyinfra_nova.audit.cloud import AuditedCloud
from pyinfra_nova.audit.report import Audit, Finding, masked
from pyinfra_nova.care import last_runs
from pyinfra_nova.care.files import jobs_of
from pyinfra_nova.commands.site_command import ERROR, ended, named_from, note
from pyinfra_nova.commands.summary import Row, aligned
from pyinfra_nova.nova_conf.render import TEMPLATES
from pyinfra_nova.session.answering import answering
from pyinfra_nova.session.host_script import ask
from pyinfra_nova.session.loaded_site import loaded
from pyinfra_nova.session.redaction import Redactor
from pyinfra_nova.session.usage import Parser
from pyinfra_nova.site.faults import printable
from pyinfra_nova.site.settings import Site

FEW, MANY = 40, 10
"""Hosts that a screen has room for; of more, those that are not up and then those with the least
room are shown."""
GIB = 1024
SHOWN = (
    ("VCPU", "CPUs", 1),
    ("PCPU", "pinned CPUs", 1),
    ("MEMORY_MB", "GiB memory", GIB),
    ("DISK_GB", "GB disk", 1),
)
"""Placement's classes, what they are called here, and how many make one of what is shown."""


def share(capacity: Mapping[str, Mapping[str, int]] | None, name: str) -> float | None:
    """The part of a class that is given away; None where there is none of it."""
    found = (capacity or {}).get(name)
    return min(found["used"] / found["total"], 1.0) if found and found["total"] > 0 else None


def amount(capacity: Mapping[str, Mapping[str, int]] | None, name: str, divisor: int) -> str:
    """``3/64``: how much of a class is given away, of how much; ``?`` where nobody said."""
    if capacity is None:
        return "?"
    found = capacity.get(name)
    return f"{found['used'] // divisor}/{found['total'] // divisor}" if found else "-"


def taken(compute: Mapping[str, Any]) -> float:
    """The part that is given away of what a compute has least of."""
    return max((share(compute["capacity"], name) or 0.0) for name, _, _ in SHOWN)


def states(service: Mapping[str, Any], down_time: float) -> str:
    """A service in a word, with the reason where somebody gave one."""
    if service["forced_down"]:
        return "forced down"
    if service["age"] is None or service["age"] > down_time:
        silent = "ever" if service["age"] is None else f"for {service['age']:.0f} s"
        return f"down: no report {silent}"
    if service.get("runs") is False:
        return "down: its process does not run"
    if not service["enabled"]:
        return f"closed: {service['reason'] or 'no reason given'}"
    return "up"


def _cause(finding: Finding) -> Iterator[str]:
    yield ""
    yield f"{finding.where}: {finding.what}"
    yield f"  {finding.remedy}"


def _pages() -> Environment:
    """Jinja2 for HTML: whatever a name holds, it is text."""
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )


class Status:
    """What the page says, for a terminal and for a browser."""

    def __init__(self, site: Site, audit: Audit, care: Sequence[str]) -> None:
        self.site = site
        self.audit = audit
        self.care = care
        figures = audit.figures or {"services": [], "computes": [], "guests": {}, "busy": 0}
        self.services: Sequence[Mapping[str, Any]] = figures["services"]
        self.computes: Sequence[Mapping[str, Any]] = figures["computes"]
        self.guests: Mapping[str, int] = figures["guests"]
        self.busy: int = figures["busy"]
        self.shown = self._worst()

    def _worst(self) -> list[Mapping[str, Any]]:
        """The computes to be shown; in their own order where all have a line."""
        if len(self.computes) <= FEW:
            return list(self.computes)

        def worth_a_line(compute: Mapping[str, Any]) -> tuple[bool, float]:
            return self.state_of_compute(compute) != "up", taken(compute)

        return sorted(self.computes, key=worth_a_line, reverse=True)[:FEW]

    @property
    def at(self) -> str:
        moment = datetime.fromtimestamp(self.audit.at, tz=timezone.utc)
        return f"{moment:%Y-%m-%d %H:%M:%S} UTC"

    @property
    def guest_line(self) -> str:
        counts = ", ".join(f"{n} {state}" for state, n in sorted(self.guests.items()))
        busy = f"; {self.busy} with a task under way" if self.busy else ""
        return (counts or "none") + busy

    @property
    def kinds(self) -> dict[str, int]:
        """How many findings of each kind."""
        counts: dict[str, int] = {}
        for finding in self.audit.findings:
            counts[finding.kind] = counts.get(finding.kind, 0) + 1
        return counts

    @property
    def unseen(self) -> list[str]:
        """What could not be looked at, and why; of many hosts some."""
        silent = [f"{source}: {reason}" for source, reason in self.audit.silent.items()]
        hosts = list(self.audit.unreachable.values())
        more = [f"and {len(hosts) - MANY:,} more hosts"] if len(hosts) > MANY else []
        return [*hosts[:MANY], *more, *silent]

    @property
    def hidden(self) -> str:
        """In words, the computes that are not shown."""
        count = len(self.computes) - len(self.shown)
        down = sum(1 for each in self.computes if self.state_of_compute(each) != "up")
        down -= sum(1 for each in self.shown if self.state_of_compute(each) != "up")
        which = f", {down} of which are not up" if down else " with more room"
        return f"and {count} more{which}" if count else ""

    @property
    def none_found(self) -> str:
        return "none" if not self.unseen else "none in what was looked at"

    def state_of(self, service: Mapping[str, Any]) -> str:
        return states(service, self.site.settings.service_down_time)

    @cached_property
    def _of_computes(self) -> dict[str, Mapping[str, Any]]:
        return {s["host"]: s for s in self.services if s["binary"] == "nova-compute"}

    def state_of_compute(self, compute: Mapping[str, Any]) -> str:
        if any(host.nova_host == compute["host"] for host in self.site.dead):
            return "dead"
        service = self._of_computes.get(compute["host"])
        return self.state_of(service) if service else "no service"

    def compute_rows(self) -> Iterator[Row]:
        classes = {name for each in self.shown for name in each["capacity"] or ()}
        columns = [row for row in SHOWN if row[0] in classes]
        for compute in self.shown:
            yield (
                compute["host"],
                self.state_of_compute(compute),
                f"guests: {sum(compute['guests'].values())}",
                *(f"{amount(compute['capacity'], n, size)} {title}" for n, title, size in columns),
                compute["hypervisor"],
            )

    def bars(self, compute: Mapping[str, Any]) -> Iterator[tuple[str, str, float]]:
        """Of each class that a compute has: its name, its amounts, and the part in use."""
        for name, title, divisor in SHOWN:
            part = share(compute["capacity"], name)
            if part is not None:
                yield title, amount(compute["capacity"], name, divisor), part

    def lines(self) -> list[str]:
        """The page for a terminal; what others have named sends it no commands."""
        others = [s for s in self.services if s["binary"] != "nova-compute"]
        services = [(s["binary"], s["host"], self.state_of(s)) for s in others]
        more = [f"  {self.hidden}"] if self.hidden else []
        findings = [(kind, str(count)) for kind, count in sorted(self.kinds.items())]
        lines = [
            f"Nova {self.site.settings.release}, region {self.site.settings.region}, {self.at}",
            *(line for each in self.audit.causes for line in _cause(each)),
            *aligned("Services", sorted(services)),
            *aligned("Computes (in use of what Placement gives away)", self.compute_rows()),
            *more,
            "",
            f"Guests: {self.guest_line}",
            *aligned("Care", [tuple(line.split(": ", 1)) for line in self.care]),
            *(
                aligned("Findings (./run audit says more)", findings)
                or ["", f"Findings: {self.none_found}"]
            ),
            *aligned("Not looked at", [(text,) for text in self.unseen]),
        ]
        return [printable(line) for line in lines]

    def html(self) -> str:
        """The page for a browser, with nothing outside of it."""
        return _pages().get_template("status.html.j2").render(page=self)


def written(path: Path, text: str) -> None:
    """Put a page in place whole, so that who looks at it meanwhile sees the old one or the new."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.absolute().parent)
    beside = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
        beside.chmod(0o644)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _run(options: argparse.Namespace) -> int:
    state, site = loaded(options.inventory)
    mask = Redactor(site.secrets).mask
    cloud = AuditedCloud(state, site, lambda text: note(mask(f"==> {text}")))
    jobs = jobs_of(site)
    with cloud.opened():
        audit = cloud.audit()
        care: list[str] = []
        if jobs:
            with answering(state, site.primary_controller.name) as host:
                answer = ask(host, last_runs.CareStates, last_runs.question(jobs))
            care = [mask(line) for line in last_runs.told(jobs, answer)]
    page = Status(site, masked(audit, mask), care)
    if options.html:
        path = named_from(options.folder, options.html)
        written(path, page.html())
        note(f"{path}: written")
    else:
        print("\n".join(page.lines()))
    return 0 if audit.is_whole and audit.figures else ERROR


def main(arguments: Sequence[str] | None = None) -> int:
    """Show the page, and return the exit code."""
    parser = Parser(prog="status", description=__doc__)
    parser.add_argument("inventory", metavar="INVENTORY")
    parser.add_argument("--html", metavar="FILE", help="write it as one self-contained page")
    parser.add_argument("--from", dest="folder", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)

    def work() -> int:
        try:
            return _run(options)
        except BrokenPipeError:
            raise
        except OSError as error:
            note(f"{error.filename or options.html}: {error.strerror}")
            return ERROR

    return ended(work)


if __name__ == "__main__":
    sys.exit(main())
