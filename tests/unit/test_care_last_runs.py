"""What verify makes of the timers' last runs."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import care_states

from pyinfra_nova.care.files import Job
from pyinfra_nova.care.last_runs import faults, told

NOW, DAY = 1_800_000_000.0, 86400.0
ARCHIVE = Job("archive", "Archive", at="03:10")
METRICS = Job("metrics", "Metrics", every=1)


def answer(since: float | None, **last: Any) -> dict[str, Any]:
    told = {"began": NOW - 12, "ended": NOW - 10, "outcome": "done", "rows": 7, "said": ""}
    found = {**told, "done": NOW - 10, **last} if last.get("outcome") != "none" else None
    return {"now": NOW, "jobs": {"archive": {"since": since, "last": found}}}


def said(found: dict[str, Any], job: Job = ARCHIVE) -> list[str]:
    return list(faults([job], found))


def test_a_run_that_was_done_is_well_and_told() -> None:
    found = answer(NOW - 9 * DAY)
    assert said(found) == []
    assert list(told([ARCHIVE], found)) == ["archive: done 10 s ago in 2.0 s, 7 rows"]


def test_a_run_that_failed_is_named_with_its_reason() -> None:
    found = answer(NOW - 9 * DAY, outcome="failed", said="nova-manage ended with 3: no")
    assert said(found) == [
        "archive has failed: nova-manage ended with 3: no; once that is mended, "
        "`systemctl start nova-care-archive` there"
    ]


def test_a_timer_of_today_need_not_have_run() -> None:
    assert said(answer(NOW - 100, outcome="none")) == []
    assert list(told([ARCHIVE], answer(NOW - 100, outcome="none"))) == ["archive: not yet"]


def test_a_timer_that_never_ran_is_found_after_some_days() -> None:
    assert said(answer(NOW - 4 * DAY, outcome="none")) == ["archive has not been done for 96 h"]


def test_what_is_put_off_each_time_is_found_after_some_days() -> None:
    put_off = {"outcome": "put off", "said": "a deploy changes this host"}
    assert said(answer(NOW - 9 * DAY, **put_off, done=NOW - 2 * DAY)) == []
    assert said(answer(NOW - 9 * DAY, **put_off, done=NOW - 5 * DAY)) == [
        "archive has not been done for 120 h; it was put off: a deploy changes this host"
    ]


def test_a_timer_that_is_gone_is_named() -> None:
    assert said(answer(None, outcome="none")) == ["nova-care-archive.timer is not there"]
    assert said({"now": NOW, "jobs": {}}, METRICS) == ["nova-care-metrics.timer is not there"]


def test_half_a_file_is_no_run(tmp_path: Path) -> None:
    timer = tmp_path / "x.timer"
    timer.touch()
    os.utime(timer, (5, 5))
    request = {"folder": str(tmp_path), "jobs": {"archive": str(timer), "purge": "/none"}}
    (tmp_path / "archive.json").write_text('{"job": "archi')
    answered = care_states.answer(request)
    assert abs(answered["now"] - time.time()) < 60
    found = answered["jobs"]
    assert found == {
        "archive": {"since": 5.0, "last": None},
        "purge": {"since": None, "last": None},
    }
    (tmp_path / "archive.json").write_text(json.dumps({"outcome": "done"}))
    assert care_states.answer(request)["jobs"]["archive"]["last"] == {"outcome": "done"}
