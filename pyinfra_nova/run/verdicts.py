"""What the preflight found on the hosts, for people: in a table, and as the end of the run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pyinfra.api.exceptions import DeployError

from pyinfra_nova.site.names import FEW, counted, named


@dataclass(frozen=True)
class Verdict:
    """One thing that was looked at on a host, and what was found."""

    host: str
    what: str
    ok: bool
    detail: str


class PreflightError(DeployError):
    """Something does not hold; nothing was changed anywhere."""

    def __init__(self, findings: Sequence[Verdict]) -> None:
        wrong = [f"{named(hosts)}: {what}: {detail}" for (what, detail), hosts in _wrong(findings)]
        super().__init__("\n  - ".join(["the preflight failed; nothing was changed:", *wrong]))


def _wrong(findings: Sequence[Verdict]) -> Iterable[tuple[tuple[str, str], list[str]]]:
    """What does not hold and how, and on which hosts it is the same."""
    found: dict[tuple[str, str], list[str]] = {}
    for finding in findings:
        if not finding.ok:
            found.setdefault((finding.what, finding.detail), []).append(finding.host)
    return found.items()


def _right(findings: Sequence[Verdict]) -> Iterator[tuple[str, int, str]]:
    """What holds, on how many hosts, and what was found there unless it is another on each."""
    found: dict[str, list[str]] = {}
    for finding in findings:
        if finding.ok:
            found.setdefault(finding.what, []).append(finding.detail)
    for what, details in found.items():
        distinct = list(dict.fromkeys(details))
        yield what, len(details), ", ".join(distinct) if len(distinct) <= FEW else ""


def table(findings: Sequence[Verdict], *, each: bool = False) -> list[str]:
    """The findings as aligned lines: what, verdict, hosts, detail.

    Hosts on which something holds are counted, those on which it does not are named; with EACH a
    line is one finding of one host.
    """
    if each:
        rows = [(f.host, f.what, "ok" if f.ok else "NO", f.detail) for f in findings]
    else:
        rows = [(what, "ok", counted(count), detail) for what, count, detail in _right(findings)]
        rows += [(what, "NO", named(hosts), detail) for (what, detail), hosts in _wrong(findings)]
    widths = [max(len(row[column]) for row in rows) for column in range(3)] if rows else []
    return ["  ".join([*map(str.ljust, row, widths), row[-1]]).rstrip() for row in rows]
