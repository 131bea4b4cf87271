"""The cloud on one screen, and as a page."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from pyinfra_nova.audit.report import Audit, masked
from pyinfra_nova.commands.status import FEW, Status, written

from .site_data import site

NOW = 1_800_000_000.0


def service(binary: str, host: str, **changes: Any) -> dict[str, Any]:
    found = {"binary": binary, "host": host, "age": 4.0, "enabled": True, "reason": ""}
    return {**found, "forced_down": False, "version": 64, **changes}


def compute(host: str, used: int = 2, **changes: Any) -> dict[str, Any]:
    capacity = {"VCPU": {"total": 64, "used": used}, "MEMORY_MB": {"total": 8192, "used": 1024}}
    found = {"host": host, "address": "10.0.0.31", "hypervisor": "QEMU 7.2.15"}
    return {**found, "guests": {"active": 2}, "capacity": capacity, **changes}


def audit(
    services: list[dict[str, Any]] | None = None,
    computes: list[dict[str, Any]] | None = None,
    **changes: Any,
) -> Audit:
    figures = {
        "services": services or [service("nova-conductor", "controller")],
        "computes": computes if computes is not None else [compute("compute1")],
        "guests": {"active": 2, "error": 1},
        "busy": 1,
        "unplaced": 0,
    }
    found = {"findings": [], "skipped": {}, "silent": {}, "seconds": {}, "at": NOW}
    return Audit.model_validate({**found, "figures": figures, **changes})


def finding(what: str = "is odd", where: str = "compute9") -> dict[str, Any]:
    words = {"kind": "service-of-a-stranger", "where": where, "what": what, "since": None}
    return {**words, "effect": "harm", "remedy": "`mend`", "key": what, "repair": None}


def status(found: Audit, care: tuple[str, ...] = ()) -> Status:
    return Status(site(), found, care)


def screen(found: Audit, care: tuple[str, ...] = ()) -> str:
    return "\n".join(status(found, care).lines())


@pytest.mark.parametrize(("changes", "said"), [
    ({}, "up"),
    ({"age": 61.0}, "down: no report for 61 s"),
    ({"age": None}, "down: no report ever"),
    ({"enabled": False, "reason": "a new disk"}, "closed: a new disk"),
    ({"enabled": False}, "closed: no reason given"),
    ({"forced_down": True, "age": 900.0}, "forced down"),
    ({"runs": False}, "down: its process does not run"),
    ({"runs": None}, "up"),
])  # fmt: skip
def test_a_service_is_told_in_a_word(changes: dict[str, Any], said: str) -> None:
    text = screen(audit([service("nova-compute", "compute1", **changes)]))
    assert re.search(rf"compute1 +{re.escape(said)} +guests: 2", text)


def test_capacity_is_what_placement_gives_away_in_units_that_people_use() -> None:
    text = screen(audit([service("nova-compute", "compute1")]))
    assert re.search(r"guests: 2 +2/64 CPUs +1/8 GiB memory +QEMU 7\.2\.15", text)
    assert "disk" not in text  # there is none


def test_without_placement_it_says_that_nobody_knows() -> None:
    text = screen(audit(computes=[compute("compute1", capacity=None)]))
    assert "no service" in text and "/64" not in text


def test_of_many_computes_the_fullest_are_shown() -> None:
    computes = [compute(f"compute{number:04}", used=number % 64) for number in range(1000)]
    services = [service("nova-compute", each["host"]) for each in computes]
    page = status(audit(services, computes))
    assert len(page.shown) == FEW
    assert all(each["capacity"]["VCPU"]["used"] > 60 for each in page.shown)
    assert f"and {1000 - FEW} more with more room" in "\n".join(page.lines())


def test_a_compute_that_is_down_has_a_line_however_many_there_are() -> None:
    computes = [compute(f"compute{number:04}", used=60) for number in range(1000)]
    computes[700] = compute("compute0700", used=0)
    services = [service("nova-compute", each["host"]) for each in computes]
    services[700]["age"] = 900.0
    text = screen(audit(services, computes))
    assert re.search(r"compute0700 +down: no report for 900 s", text)
    for each in services:
        each["age"] = 900.0
    assert f"and {1000 - FEW} more, {1000 - FEW} of which are not up" in screen(
        audit(services, computes)
    )


def test_of_many_hosts_that_do_not_answer_some_are_named() -> None:
    found = {f"c{number}": f"c{number} does not answer" for number in range(500)}
    text = screen(audit(unreachable=found))
    assert "c9 does not answer" in text and "c10 does not answer" not in text
    assert "and 490 more hosts" in text
    assert "Findings: none in what was looked at" in text


def test_a_name_sends_a_terminal_no_commands() -> None:
    evil = "a\x1b]0;owned\x07\nb"
    reason = {"enabled": False, "reason": evil}
    text = screen(audit([service("nova-compute", "compute1", **reason)]), (f"purge: {evil}",))
    assert text.count("a\\x1b]0;owned\\x07\\nb") == 2


def test_a_secret_is_masked_before_it_becomes_html() -> None:
    """In HTML it would look otherwise."""
    found = audit(findings=[finding("the password is s<cret")], silent={"x": "s<cret"})
    page = status(masked(found, lambda text: text.replace("s<cret", "***"))).html()
    assert "cret" not in page and page.count("***") == 2


def test_findings_are_counted_by_kind_and_what_was_not_seen_is_named() -> None:
    found = audit(findings=[finding(), finding("is odder")], silent={"broker": "it is down"})
    text = screen(found)
    assert re.search(r"service-of-a-stranger +2", text)
    assert "broker: it is down" in text
    assert "Findings: none" in screen(audit())


def test_what_explains_the_rest_is_said_first() -> None:
    cause = {**finding("a restore is under way", "ctl"), "kind": "restore-under-way"}
    found = audit(findings=[cause, finding()])
    title, _, said, remedy, _, services, *_ = status(found).lines()
    assert title.startswith("Nova zed") and services == "Services"
    assert (said, remedy) == ("ctl: a restore is under way", "  `mend`")
    html = status(found).html()
    assert html.index("a restore is under way") < html.index("<h2>Computes")


def test_guests_and_the_timers_have_their_lines() -> None:
    text = screen(audit(), ("archive: done 5 min ago in 2.0 s, 7 rows", "purge: not yet"))
    assert "Guests: 2 active, 1 error; 1 with a task under way" in text
    assert re.search(r"archive +done 5 min ago", text)


class Page(HTMLParser):
    """What a browser would fetch, and what text it would show."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [str(value) for key, value in attrs if key in ("src", "href", "data")]
        if tag not in ("meta", "rect"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_needs_nothing_but_itself_and_is_well_formed() -> None:
    html = status(audit(findings=[finding()]), ("purge: not yet",)).html()
    page = Page(html)
    assert page.fetched == [] and "url(" not in html and "@import" not in html
    assert page.open == []
    assert "is odd" in page.text and "purge: not yet" in page.text


def test_a_name_is_text_whatever_it_holds() -> None:
    evil = "<script>alert(1)</script>"
    html = status(audit(findings=[finding(evil, evil)], computes=[compute(evil)])).html()
    assert "<script" not in html
    assert evil in Page(html).text


def test_a_page_is_put_in_place_whole(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("old")
    written(path, "new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_page_goes_through_nobodys_link(tmp_path: Path) -> None:
    """A folder may be one in which others write, too."""
    (tmp_path / "mine").write_text("mine")
    (tmp_path / ".page.html.part").symlink_to(tmp_path / "mine")
    written(tmp_path / "page.html", "new")
    assert (tmp_path / "mine").read_text() == "mine"


def test_a_page_is_named_from_where_the_caller_is() -> None:
    """`./run` has changed to its own folder."""
    text = (Path(__file__).parents[2] / "run").read_text()
    assert "status | backup | restore)" in text
