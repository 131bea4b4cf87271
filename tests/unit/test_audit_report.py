"""pyinfra_nova/audit/report.py: what an audit says in words."""

from __future__ import annotations

from typing import Any

import pytest

from pyinfra_nova.audit.report import Audit, Finding, Repair, ago, as_text, counts, outcomes, plan

REPAIR = {"action": "map-hosts", "host": "c"}


def finding(where: str, kind: str = "odd", **more: Any) -> Finding:
    found = {"kind": kind, "where": where, "what": "is odd", "since": None, "effect": "harm"}
    found |= {"remedy": "do", "key": f"{kind}/{where}", "repair": None}
    return Finding.model_validate({**found, **more})


def audit(*findings: Finding, **more: Any) -> Audit:
    nothing: dict[str, Any] = {"skipped": {}, "silent": {}, "seconds": {}, "at": 0.0}
    return Audit.model_validate({**nothing, "findings": list(findings), **more})


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (-3, "now"),
        (0, "0 s ago"),
        (119, "119 s ago"),
        (120, "2 min ago"),
        (7199, "119 min ago"),
        (3 * 3600, "3 h ago"),
        (48 * 3600, "2 days ago"),
        (400 * 86400, "400 days ago"),
    ],
)
def test_a_time_is_said_to_a_person(seconds: float, said: str) -> None:
    assert ago(seconds) == said


@pytest.mark.parametrize(
    ("found", "code", "last"),
    [
        (audit(), 0, "no findings, everything was looked at"),
        (audit(finding("c")), 2, "1 finding of 1 kind, 0 for --repair"),
        (
            audit(finding("c", repair=REPAIR), finding("d"), finding("c", "even")),
            2,
            "3 findings of 2 kinds, 1 for --repair",
        ),
        (audit(silent={"broker": "down"}), 1, "no findings; 1 source did not answer"),
        (audit(unreachable={"c": "away"}), 1, "no findings; 1 host did not answer"),
        (
            audit(finding("c"), silent={"broker": "down"}, unreachable={"c": "x", "d": "y"}),
            1,
            "1 finding of 1 kind, 0 for --repair; 2 hosts did not answer, 1 source did not answer",
        ),
    ],
)
def test_the_last_line_and_the_exit_code_agree(found: Audit, code: int, last: str) -> None:
    assert (found.exit_code, counts(found), as_text(found)[-1]) == (code, last, last)


def test_of_each_finding_it_is_said_whether_it_is_repaired() -> None:
    lines = as_text(audit(finding("c", repair=REPAIR), finding("d")))
    assert lines[:7] == [
        "odd (2)",
        "  c: is odd",
        "    remedy: do",
        "    --repair does it",
        "  d: is odd",
        "    remedy: do",
        "  effect: harm",
    ]


def test_of_many_it_is_counted_how_many_are_repaired() -> None:
    many = [finding(f"c{number}", repair=REPAIR if number else None) for number in range(6)]
    assert "  --repair does it for 5 of them" in as_text(audit(*many))
    every = [finding(f"c{number}", repair=REPAIR) for number in range(6)]
    assert "  --repair does it for all of them" in as_text(audit(*every))


def test_many_hosts_that_do_not_answer_are_counted_too() -> None:
    away = {f"c{number}": f"c{number} is away" for number in range(7)}
    lines = as_text(audit(unreachable=away))
    assert "  and 2 more hosts" in lines and "  c6 is away" not in lines
    assert "  c6 is away" in as_text(audit(unreachable=away), each=True)


def test_what_guests_are_called_commands_no_terminal() -> None:
    (line,) = [
        text for text in as_text(audit(finding("c", what="guest \x1b[2J"))) if "guest" in text
    ]
    assert line == "  c: guest \\x1b[2J"


def test_a_plan_goes_in_the_order_of_the_repairs() -> None:
    service = finding("s", repair={"action": "delete-service"})
    lines = plan(audit(service, finding("c", repair=REPAIR), finding("d")))
    assert lines[0].startswith("--repair does this")
    assert [line.strip() for line in lines[1:]] == [
        "map hosts to their cell, by `nova-manage cell_v2 discover_hosts`:",
        "c: is odd",
        "delete the record of a service in Nova, if nothing runs it:",
        "s: is odd",
        "1 finding left to you: the remedies are above",
    ]


def test_a_plan_of_many_counts_them() -> None:
    many = audit(*(finding(f"c{number}", repair=REPAIR) for number in range(7)))
    assert "    and 2 more findings" in plan(many)
    assert "    c6: is odd" in plan(many, each=True)


def test_outcomes_are_said_together() -> None:
    found = audit(*(finding(f"c{number}") for number in range(7)))
    repairs = [
        Repair(key=each.key, outcome="refused" if each.where == "c3" else "mended", said="so")
        for each in found.findings
    ]
    lines = outcomes(repairs, found)
    assert lines[0] == "mended (6)" and "  and 1 more" in lines
    assert lines[-2:] == ["refused (1)", "  c3: so"]
