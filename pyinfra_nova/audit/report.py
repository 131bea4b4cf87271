"""What an audit found, for people and for programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel


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


class Audit(BaseModel):
    """All that one audit has seen.

    Attributes:
        findings: what is not as it should be.
        skipped: what was not looked at, and for want of which sources.
        silent: why those sources did not answer.
        seconds: how long each source took.
        at: the epoch at which the records were read.
    """

    findings: list[Finding]
    skipped: dict[str, list[str]]
    silent: dict[str, str]
    seconds: dict[str, float]
    at: float
