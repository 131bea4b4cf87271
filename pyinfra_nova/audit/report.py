"""What an audit found, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel

from pyinfra_nova.site.faults import printable
from pyinfra_nova.site.names import FEW, named

CLEAN, ERROR, FOUND = 0, 1, 2
VERSION = 1
"""Of the JSON: another one only where something that is there would mean something else."""
FIRST = ("restore-under-way", "restore-unfinished", "broker-down")
"""The kinds that explain others (``files/audit/causes.py``)."""


class Finding(BaseModel):
    """Something that is not as it should be; the words are those of ``files/audit/``.

    Attributes:
        kind: its name in docs/audit.md.
        where: the host or service that it is about.
        what: the fact, in a sentence.
        since: the epoch at which it began, if anybody knows.
        effect: what it does to whom.
        remedy: a command, or a line of the inventory.
        key: tells it from all others, and is the same in the next audit.
        repair: what mends it, if ``--repair`` does.
    """

    kind: str
    where: str
    what: str
    since: float | None
    effect: str
    remedy: str
    key: str
    repair: Mapping[str, Any] | None


class Repair(BaseModel):
    """What has come of one repair; ``files/audit/repairs.py`` says what each outcome means."""

    key: str
    outcome: Literal["mended", "remains", "unproven", "unneeded", "refused", "failed", "untried"]
    said: str


class Audit(BaseModel):
    """All that one audit has seen.

    Attributes:
        findings: what is not as it should be.
        skipped: what was not looked at, and for want of which sources.
        silent: why those sources did not answer.
        seconds: how long each source took.
        at: the epoch at which the records were read.
        unreachable: why hosts did not answer, by their names in the inventory.
        figures: the cloud in figures, as of ``files/audit/figures.py``; None without its records.
    """

    findings: list[Finding]
    skipped: dict[str, list[str]]
    silent: dict[str, str]
    seconds: dict[str, float]
    at: float
    unreachable: dict[str, str] = {}
    figures: Mapping[str, Any] | None = None

    @property
    def causes(self) -> list[Finding]:
        """What is to be seen to before all else."""
        return [finding for finding in self.findings if finding.kind in FIRST]

    @property
    def is_whole(self) -> bool:
        """Whether everything was looked at."""
        return not (self.silent or self.skipped or self.unreachable)

    @property
    def exit_code(self) -> int:
        if not self.is_whole:
            return ERROR
        return FOUND if self.findings else CLEAN


# --- for programs ---------------------------------------------------------------------------------


def as_json(audit: Audit, repairs: Sequence[Repair], mask: Callable[[str], str]) -> str:
    """The whole audit, in the form of docs/audit.md, without secrets."""
    found = {
        "version": VERSION,
        **audit.model_dump(),
        "repairs": [repair.model_dump() for repair in repairs],
    }
    return json.dumps(_masked(found, mask), indent=2)


def _masked(value: Any, mask: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, dict):
        return {mask(key): _masked(each, mask) for key, each in value.items()}
    if isinstance(value, list):
        return [_masked(each, mask) for each in value]
    return value


def masked(audit: Audit, mask: Callable[[str], str]) -> Audit:
    """AUDIT without secrets, to be put into another form, in which they would look otherwise."""
    return Audit.model_validate(_masked(audit.model_dump(), mask))


# --- for people -----------------------------------------------------------------------------------


def times(number: int, one: str, many: str = "") -> str:
    """NUMBER of things: ``1 finding``, ``1,000 findings``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def ago(seconds: float) -> str:
    """A time in the past, to two digits or so."""
    if seconds < 0:
        return "now"
    for size, unit in ((86400, "day"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            count = int(seconds / size)
            return f"{count:,} {unit}{'s' if unit == 'day' else ''} ago"
    return f"{int(seconds)} s ago"


def _what(finding: Finding, at: float) -> str:
    since = "" if finding.since is None else f", since {ago(at - finding.since)}"
    return finding.what + since


def _by_kind(findings: Iterable[Finding]) -> dict[str, list[Finding]]:
    kinds: dict[str, list[Finding]] = {}
    for finding in findings:
        kinds.setdefault(finding.kind, []).append(finding)
    return kinds


def _one_by_one(findings: Sequence[Finding], at: float) -> Iterator[str]:
    for finding in findings:
        yield f"  {finding.where}: {_what(finding, at)}"
        yield f"    remedy: {finding.remedy}"
        if finding.repair:
            yield "    --repair does it"


def _together(findings: Sequence[Finding], at: float) -> Iterator[str]:
    """Many of a kind: they are counted, some are named, and one is shown."""
    first = findings[0]
    yield f"  at {named(list(dict.fromkeys(finding.where for finding in findings)))}"
    yield f"  such as {first.where}: {_what(first, at)}"
    yield f"    remedy: {first.remedy}"
    repaired = sum(1 for finding in findings if finding.repair)
    if repaired:
        which = "all of them" if repaired == len(findings) else f"{repaired:,} of them"
        yield f"  --repair does it for {which}"


def _not_seen(audit: Audit, *, each: bool) -> Iterator[str]:
    if audit.is_whole:
        return
    yield "not looked at:"
    names = list(audit.unreachable)
    shown = names if each else names[:FEW]
    yield from (f"  {audit.unreachable[name]}" for name in shown)
    if len(shown) < len(names):
        yield f"  and {times(len(names) - len(shown), 'more host')}"
    yield from (f"  {source}: {why}" for source, why in audit.silent.items())
    for detector, sources in audit.skipped.items():
        yield f"  {detector}: for want of {', '.join(sources)}"
    yield ""


def counts(audit: Audit) -> str:
    """The last line: all that was found, in numbers."""
    found = audit.findings
    if not found:
        said = "no findings"
    else:
        kinds = times(len({finding.kind for finding in found}), "kind")
        repaired = sum(1 for finding in found if finding.repair)
        said = f"{times(len(found), 'finding')} of {kinds}, {repaired:,} for --repair"
    if audit.is_whole:
        return said + ("" if found else ", everything was looked at")
    unseen = []
    if audit.unreachable:
        unseen.append(f"{times(len(audit.unreachable), 'host')} did not answer")
    if audit.silent or audit.skipped:
        unseen.append(f"{times(len(audit.silent), 'source')} did not answer")
    return f"{said}; {', '.join(unseen)}"


def as_text(audit: Audit, *, each: bool = False) -> list[str]:
    """The lines of the report; with EACH every finding has its own."""
    lines: list[str] = []
    for kind, findings in _by_kind(audit.findings).items():
        lines.append(kind if len(findings) == 1 else f"{kind} ({len(findings):,})")
        lines += (_one_by_one if each or len(findings) <= FEW else _together)(findings, audit.at)
        lines += [f"  effect: {findings[0].effect}", ""]
    lines += [*_not_seen(audit, each=each), counts(audit)]
    return [printable(line) for line in lines]


# --- repairs --------------------------------------------------------------------------------------

ACTIONS = {
    "map-hosts": "map hosts to their cell, by `nova-manage cell_v2 discover_hosts`",
    "delete-service": "delete the record of a service in Nova, if nothing runs it",
    "delete-allocation": "take an allocation out of Placement",
    "end-migration": "put the record of a move that nobody can confirm into error, by SQL",
    "sync-aggregates": "put hosts into Placement's aggregates, by "
    "`nova-manage placement sync_aggregates`",
}
"""What each repair does; the order is that of ``files/audit/repairs.py``."""


def plan(audit: Audit, *, each: bool = False) -> list[str]:
    """What ``--repair`` is going to do, for which findings, and what it leaves."""
    lines = []
    todo = [finding for finding in audit.findings if finding.repair]
    for action, text in ACTIONS.items():
        findings = [finding for finding in todo if (finding.repair or {}).get("action") == action]
        if not findings:
            continue
        lines.append(f"{text}:")
        shown = findings if each else findings[:FEW]
        lines += [f"  {finding.where}: {finding.what}" for finding in shown]
        if len(shown) < len(findings):
            lines.append(f"  and {times(len(findings) - len(shown), 'more finding')}")
    left = len(audit.findings) - len(todo)
    head = "--repair does this, each only if it is still found right before:"
    lines = [head, *(f"  {line}" for line in lines)] if lines else ["--repair can do nothing here"]
    if left:
        lines.append(f"{times(left, 'finding')} left to you: the remedies are above")
    return [printable(line) for line in lines]


def outcomes(repairs: Sequence[Repair], audit: Audit, *, each: bool = False) -> list[str]:
    """What has come of the repairs of AUDIT's findings."""
    where = {finding.key: finding.where for finding in audit.findings}
    lines = []
    for outcome in dict.fromkeys(repair.outcome for repair in repairs):
        mine = [repair for repair in repairs if repair.outcome == outcome]
        lines.append(f"{outcome} ({len(mine):,})")
        said = dict.fromkeys(
            f"{where.get(repair.key, repair.key)}: {repair.said}" for repair in mine
        )
        shown = list(said) if each else list(said)[:FEW]
        lines += [f"  {text}" for text in shown]
        if len(shown) < len(said):
            lines.append(f"  and {len(said) - len(shown):,} more")
    return [printable(line) for line in lines]


def is_unsure(repairs: Sequence[Repair]) -> bool:
    """Whether nobody can say of some repair whether it is done."""
    return any(repair.outcome in ("failed", "untried", "unproven") for repair in repairs)
