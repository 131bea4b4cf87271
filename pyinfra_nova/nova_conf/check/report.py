"""Findings as text for people, JSON for programs and SARIF for code review."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any
from urllib.parse import quote

from pyinfra_nova.knowledge.releases import Table
from pyinfra_nova.nova_conf.check.config import Finding, Role

Report = Callable[[Sequence[Finding], Table, Role], str]


def _what(finding: Finding) -> str:
    section = f"[{finding.section}]" if finding.section else ""
    return f"{section} {finding.option}".strip()


def _counted(findings: Sequence[Finding]) -> str:
    if not findings:
        return "no findings"
    counts = Counter(finding.level for finding in findings)
    parts = [f"{n} {level}{'' if n == 1 else 's'}" for level, n in sorted(counts.items())]
    return ", ".join(parts)


def text(findings: Sequence[Finding], table: Table, role: Role) -> str:
    """A paragraph each, and a last line that counts them."""
    lines = []
    for finding in findings:
        where = f"{finding.file}:{finding.line}" if finding.line else finding.file
        what = _what(finding)
        about = f"{what}: " if what else ""
        lines.append(f"{where}: {finding.level}: {finding.kind}: {about}{finding.problem}")
        lines += [f"    remedy: {finding.remedy}"] if finding.remedy else []
        lines += [f"    source: {finding.source}"] if finding.source else []
    lines.append(f"{_counted(findings)} (Nova {table.nova}, {table.release}, {role})")
    return "\n".join(lines)


def as_json(findings: Sequence[Finding], table: Table, role: Role) -> str:
    """An object with ``release``, ``nova``, ``role`` and ``findings``."""
    value = {
        "release": table.release,
        "nova": table.nova,
        "role": role,
        "findings": [asdict(finding) for finding in findings],
    }
    return json.dumps(value, indent=2)


def _result(finding: Finding) -> Mapping[str, Any]:
    location: dict[str, Any] = {"artifactLocation": {"uri": quote(finding.file)}}
    if finding.line:
        location["region"] = {"startLine": finding.line}
    message = ". ".join(filter(None, (f"{_what(finding)}: {finding.problem}", finding.remedy)))
    return {
        "ruleId": finding.kind,
        "level": finding.level,
        "message": {"text": message},
        "locations": [{"physicalLocation": location}],
    }


def sarif(findings: Sequence[Finding], table: Table, role: Role) -> str:
    """SARIF 2.1.0, which code hosts show beside the lines."""
    rules = [{"id": kind} for kind in sorted({finding.kind for finding in findings})]
    value = {
        "version": "2.1.0",
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "runs": [
            {
                "tool": {"driver": {"name": "pyinfra-nova check", "rules": rules}},
                "properties": {"release": table.release, "nova": table.nova, "role": role},
                "results": [_result(finding) for finding in findings],
            }
        ],
    }
    return json.dumps(value, indent=2)


FORMATS: Mapping[str, Report] = {"text": text, "json": as_json, "sarif": sarif}
