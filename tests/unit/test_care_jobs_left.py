"""files/care/jobs.py: what the other jobs do, and what a run leaves for the next and for verify."""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloud_audit
import cloud_metrics
import daily_backup
import jobs
import pytest
import trust
from sql import NoAnswerError

from .audit_stand_in import Cloud, needing, stand_in_for
from .nova_databases import Site
from .serving import running
from .test_care_jobs import Manage, config, lock, manage, nova, state

__all__ = ["lock", "manage", "nova"]


# --- what nova-manage is told ---------------------------------------------------------------------


def age_of(moment: str) -> float:
    """Seconds since a moment that is told in UTC."""
    return time.time() - time.mktime(time.strptime(moment, "%Y-%m-%d %H:%M:%S")) + time.timezone


@pytest.mark.parametrize(
    ("job", "beginning", "end", "days"),
    [
        (
            "archive",
            "archive_deleted_rows --all-cells --verbose --before ",
            " --max_rows 1000",
            30,
        ),
        ("purge", "purge --all-cells --verbose --before ", "", 90),
    ],
)
def test_rows_of_all_cells_go_that_were_deleted_before_the_day_by_utc(
    manage: Manage, lock: Path, nova: Site, tmp_path: Path, job: str, beginning: str, end: str,
    days: int, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        manage.answers((0, ""))
        assert jobs.run(job, config(nova), str(tmp_path)) == 0
        (called,) = manage.called
        moment = called.removeprefix("-u nova -- nova-manage db " + beginning).removesuffix(end)
        assert abs(age_of(moment) - days * 86400) < 60
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()


def test_nova_manage_works_in_a_folder_that_is_everybodys_and_its_errors_are_heard(
    manage: Manage,
) -> None:
    """The user nova may not look into root's home, from which an operator may start a job."""
    manage.answers((0, ""))
    (manage.folder / "runuser").write_text("#!/bin/sh\npwd\necho 'no cell' >&2\nexit 9\n")
    assert jobs.nova_manage("purge") == (9, "/\nno cell\n")


def test_nobody_but_root_can_take_the_lock(
    manage: Manage, lock: Path, nova: Site, tmp_path: Path
) -> None:
    manage.answers((0, ""))
    assert jobs.run("purge", config(nova), str(tmp_path)) == 0
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (lock.parent, lock)]
    assert modes == [0o700, 0o600]


def test_between_two_batches_others_get_a_pause(
    manage: Manage, lock: Path, nova: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(jobs.time, "sleep", pauses.append)
    manage.answers((1, "| cell1.instances | 5 |\n"), (0, "| cell1.instances | 2 |\n"))
    archive = {"days": 30, "batch": 1000, "pause": 1.5}
    assert jobs.run("archive", config(nova, archive=archive), str(tmp_path)) == 0
    assert pauses == [1.5] and state(tmp_path, "archive")["rows"] == 7


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Unable to get cell list from API DB.\n\n", "Unable to get cell list from API DB."),
        ("", "it says nothing"),
        ("x" * 301, "x" * 300),
    ],
)
def test_a_purge_that_fails_is_told_with_novas_last_words(
    manage: Manage, lock: Path, nova: Site, tmp_path: Path, text: str, said: str
) -> None:
    manage.answers((1, text))
    assert jobs.run("purge", config(nova), str(tmp_path)) == 1
    found = state(tmp_path, "purge")
    assert (found["outcome"], found["rows"]) == ("failed", 0)
    assert found["said"] == f"nova-manage ended with 1: {said}"


def test_every_schema_that_is_behind_is_named(
    manage: Manage, lock: Path, nova: Site, tmp_path: Path
) -> None:
    for name in ("nova", "nova_cell0"):
        nova.server.databases[name]["alembic_version"] = [{"version_num": "8f2f1571d55b"}]
    jobs.run("purge", config(nova), str(tmp_path))
    said = "the schema of cell0, cell1 is not that of the installed Nova"
    assert state(tmp_path, "purge")["said"] == said


def test_how_long_ago_a_deploy_was_is_told(
    manage: Manage, lock: Path, nova: Site, tmp_path: Path
) -> None:
    lock.parent.mkdir()
    lock.touch()
    a_while_ago = time.time() - 240
    os.utime(lock, (a_while_ago, a_while_ago))
    jobs.run("purge", config(nova), str(tmp_path))
    assert state(tmp_path, "purge")["said"].startswith("a deploy changed this host 24")


# --- audit ----------------------------------------------------------------------------------------


@needing("databases")
def strangers(evidence: Any) -> Iterator[dict[str, Any]]:
    for row in evidence.databases["services"]:
        if row["host"] != "compute1":
            told = {"what": "nobody knows it", "remedy": "delete it", "repair": None}
            yield {"kind": "stranger", "where": row["host"], "key": row["uuid"], **told}


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    monkeypatch.setattr(cloud_audit, "DETECTORS", (strangers,))
    monkeypatch.setattr(cloud_audit, "PAUSE", 0.0)
    monkeypatch.setattr(cloud_audit.figures, "of", lambda _: None)
    with running(Cloud()) as cloud:
        stand_in_for(cloud, monkeypatch)
        cloud.service("s1", "compute1", beat=5)
        cloud.service("s9", "compute9")
        yield cloud


def test_an_audit_says_each_finding_in_the_journal_and_leaves_all_of_them(
    cloud: Cloud, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert jobs.run("audit", {"audit": cloud.request()}, str(tmp_path)) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == "stranger: compute9: nobody knows it; remedy: delete it"
    assert second.startswith("audit: done: 1 in 0.")
    assert (state(tmp_path, "audit")["rows"], state(tmp_path, "audit")["said"]) == (1, "")
    left = state(tmp_path, "findings")
    assert [each["key"] for each in left["findings"]] == ["s9"]
    assert stat.S_IMODE((tmp_path / "findings.json").stat().st_mode) == 0o640


def test_what_was_silent_in_an_audit_is_told_but_hosts_which_it_never_asks(
    cloud: Cloud, tmp_path: Path
) -> None:
    cloud.queues = OSError("rabbitmqctl ended with 69")
    cloud.fail(1, "500")
    asked = {**cloud.request(), "hosts": None}
    assert jobs.run("audit", {"audit": asked}, str(tmp_path)) == 0
    silent = state(tmp_path, "findings")["silent"]
    assert {"broker", "hosts"} < set(silent)
    told = [f"{source}: {why}" for source, why in silent.items() if source != "hosts"]
    assert state(tmp_path, "audit")["said"] == "; ".join(told)


def test_an_audit_that_could_not_read_the_databases_has_failed(
    cloud: Cloud, tmp_path: Path
) -> None:
    cloud.databases_fail = NoAnswerError("db:3306", 2003, "Can't connect")
    assert jobs.run("audit", {"audit": cloud.request()}, str(tmp_path)) == 1
    said = "the databases were not read: db:3306: 2003: Can't connect"
    assert state(tmp_path, "audit")["said"] == said
    assert state(tmp_path, "findings")["findings"] == []


# --- metrics --------------------------------------------------------------------------------------


def test_metrics_are_written_where_node_exporter_reads_them(
    nova: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exposition(asked: dict[str, Any], left: Any) -> str:
        assert asked["databases"] == nova.request() and left("purge") == {"rows": 3}
        return "a 1\nb 2\n"

    monkeypatch.setattr(cloud_metrics, "exposition", exposition)
    (tmp_path / "purge.json").write_text('{"rows": 3}')
    target = tmp_path / "node_exporter"
    target.mkdir()
    (target / "nova.prom").write_text("old 1\n")
    asked = config(nova, metrics={"folder": str(target)})
    assert jobs.run("metrics", asked, str(tmp_path)) == 0
    assert (target / "nova.prom").read_text() == "a 1\nb 2\n"
    # Nothing half written stays where node_exporter would read it, which is another user.
    assert [path.name for path in target.iterdir()] == ["nova.prom"]
    assert stat.S_IMODE((target / "nova.prom").stat().st_mode) == 0o644
    assert state(tmp_path, "metrics")["rows"] == 2


# --- backup ---------------------------------------------------------------------------------------


def test_a_backup_is_told_and_one_that_is_none_has_failed(
    lock: Path, nova: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = {"keep": 3}
    monkeypatch.setattr(daily_backup, "made", lambda asked: (7, "x.age") if asked == wanted else 0)
    assert jobs.run("backup", config(nova, backup=wanted), str(tmp_path)) == 0
    assert (state(tmp_path, "backup")["rows"], state(tmp_path, "backup")["said"]) == (7, "x.age")

    def refuse(_: Any) -> None:
        raise daily_backup.NoBackupError("age ended with 1")

    monkeypatch.setattr(daily_backup, "made", refuse)
    assert jobs.run("backup", config(nova, backup=wanted), str(tmp_path)) == 1
    assert state(tmp_path, "backup")["said"] == "age ended with 1"


def test_no_backup_is_made_of_a_schema_on_its_way_nor_beside_a_deploy(
    lock: Path, nova: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(daily_backup, "made", lambda _: pytest.fail("it was made"))
    head = nova.server.databases["nova"].pop("alembic_version")
    nova.server.databases["nova"]["alembic_version"] = [{"version_num": "8f2f1571d55b"}]
    assert jobs.run("backup", config(nova, backup={}), str(tmp_path)) == 0
    assert state(tmp_path, "backup")["outcome"] == "put off"
    nova.server.databases["nova"]["alembic_version"] = head
    lock.touch()
    assert jobs.run("backup", config(nova, backup={}), str(tmp_path)) == 0
    assert state(tmp_path, "backup")["said"].startswith("a deploy changed this host")


# --- what a run leaves ----------------------------------------------------------------------------


def test_when_a_job_last_was_done_outlives_runs_that_were_put_off_or_failed(
    manage: Manage, lock: Path, nova: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manage.answers((0, "Deleted 3 rows\n"), (1, "no\n"))
    assert jobs.run("purge", config(nova), str(tmp_path)) == 0
    first = state(tmp_path, "purge")
    assert first["job"] == "purge" and first["done"] == first["ended"] >= first["began"]
    assert capsys.readouterr().out.startswith("purge: done: 3 in 0.")
    assert jobs.run("purge", config(nova), str(tmp_path)) == 1
    assert state(tmp_path, "purge")["done"] == first["done"] < state(tmp_path, "purge")["ended"]
    said = capsys.readouterr().out
    assert said.startswith("purge: failed: 0 in 0.")
    assert said.endswith(" s. nova-manage ended with 1: no\n")
    lock.touch()
    assert jobs.run("purge", config(nova), str(tmp_path)) == 0
    assert state(tmp_path, "purge")["done"] == first["done"]
    assert stat.S_IMODE((tmp_path / "purge.json").stat().st_mode) == 0o640


def test_a_job_that_never_was_done_says_so(
    manage: Manage, lock: Path, nova: Site, tmp_path: Path
) -> None:
    manage.answers((1, "no\n"))
    folder = tmp_path / "var" / "care"
    assert jobs.run("purge", config(nova), str(folder)) == 1
    assert state(folder, "purge")["done"] is None
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750


def test_an_error_without_words_is_told_by_its_kind(
    nova: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_off(*_: Any) -> None:
        raise KeyError

    monkeypatch.setitem(jobs.JOBS, "metrics", break_off)
    assert jobs.run("metrics", config(nova), str(tmp_path)) == 1
    assert state(tmp_path, "metrics")["said"] == "KeyError"


def test_what_cannot_be_put_in_place_leaves_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written beside its place, on the same disk, under a name that nobody reads."""
    beside: list[str] = []

    def rename(source: str, target: str) -> None:
        beside.append(str(Path(source).relative_to(Path(target).parent)))
        raise OSError("no room")

    monkeypatch.setattr(jobs.os, "rename", rename)
    with pytest.raises(OSError, match="no room"):
        jobs.replace(str(tmp_path / "nova.prom"), "a 1\n", 0o644)
    assert list(tmp_path.iterdir()) == []
    assert beside[0].startswith(".") and "/" not in beside[0]


@pytest.mark.parametrize("text", ['{"job": "arch', "[1]", "3"])
def test_what_is_no_whole_state_is_none(tmp_path: Path, text: str) -> None:
    assert jobs.left_by(str(tmp_path), "purge") is None
    (tmp_path / "purge.json").write_text(text)
    assert jobs.left_by(str(tmp_path), "purge") is None


def test_the_whole_job_is_one_word_and_its_exit_code_that_of_the_run(
    nova: Site,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "care.json"
    monkeypatch.setattr(jobs, "CONFIG", str(file))
    monkeypatch.setattr(jobs, "STATE", str(tmp_path))
    file.write_text(json.dumps(config(nova, metrics={"folder": str(tmp_path / "none")})))
    assert jobs.main(["metrics"]) == 0
    assert "metrics: done: 0 in 0.0 s. there is no folder" in capsys.readouterr().out
    file.write_text(json.dumps({"metrics": {}}))
    assert jobs.main(["metrics"]) == 1
    for wrong in ([], ["tidy"], ["metrics", "purge"]):
        assert jobs.main(wrong) == 2
    usage = "usage: jobs.py archive|purge|audit|metrics|backup"
    assert set(capsys.readouterr().err.splitlines()) == {usage}


def test_a_job_trusts_whom_the_file_names_at_that_moment(
    nova: Site,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file, authorities = tmp_path / "care.json", tmp_path / "ca.pem"
    monkeypatch.setattr(jobs, "CONFIG", str(file))
    monkeypatch.setattr(jobs, "STATE", str(tmp_path))
    monkeypatch.setattr(trust, "TRUSTED", None)
    metrics = {"folder": str(tmp_path / "none")}
    file.write_text(json.dumps(config(nova, metrics=metrics, trusted=str(authorities))))
    assert jobs.main(["metrics"]) == 1
    assert f"{authorities}'; deploy again" in capsys.readouterr().err
    for text in ("old", "new"):
        authorities.write_text(text)
        assert jobs.main(["metrics"]) == 0
        assert text == trust.TRUSTED
