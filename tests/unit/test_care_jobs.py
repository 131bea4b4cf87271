"""files/care/jobs.py: rows go in batches, never beside a deploy, and what was done is told.

What stands in is `runuser`, for there is no Nova here; locks, files and MySQL's protocol are real.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cloud_audit
import jobs
import pytest

from .nova_databases import API_HEAD, Site, deployed, migrations, site

TABLE = """
+-------------------+-------------------------+
| Table             | Number of Rows Archived |
+-------------------+-------------------------+
| cell0.instances   | 2                       |
| cell1.migrations  | 5                       |
+-------------------+-------------------------+
"""


class Manage:
    """A `nova-manage` that answers in turn, and notes how it was called."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.calls = folder, folder / "calls"

    def answers(self, *answers: tuple[int, str]) -> None:
        for number, (code, text) in enumerate(answers):
            (self.folder / f"{number}.out").write_text(text)
            (self.folder / f"{number}.code").write_text(str(code))
        script = self.folder / "runuser"
        script.write_text(
            f"#!/bin/sh\nn=$(cat {self.calls} 2>/dev/null | wc -l)\n"
            f'echo "$@" >>{self.calls}\ncat {self.folder}/$n.out\n'
            f"exit $(cat {self.folder}/$n.code)\n"
        )
        script.chmod(0o755)

    @property
    def called(self) -> list[str]:
        return self.calls.read_text().splitlines() if self.calls.exists() else []


@pytest.fixture
def manage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Manage:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return Manage(folder)


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "run" / "lock"
    monkeypatch.setattr(jobs, "LOCK", str(path))
    monkeypatch.setattr(jobs, "TURN", str(tmp_path / "turn"))
    return path


@pytest.fixture
def nova(tmp_path: Path) -> Iterator[Site]:
    with site(deployed(), migrations(tmp_path / "migrations")) as found:
        yield found


def config(nova: Site, **more: Any) -> dict[str, Any]:
    archive = {"days": 30, "batch": 1000, "pause": 0}
    return {"databases": nova.request(), "archive": archive, "purge": {"days": 90}, **more}


def state(folder: Path, job: str) -> dict[str, Any]:
    return dict(json.loads((folder / f"{job}.json").read_text()))


def test_rows_are_archived_until_nova_says_that_nothing_was(
    manage: Manage, lock: Path, nova: Site, tmp_path: Path
) -> None:
    manage.answers((1, TABLE), (1, TABLE), (0, "Nothing was archived.\n"))
    assert jobs.run("archive", config(nova), str(tmp_path)) == 0
    assert len(manage.called) == 3
    assert manage.called[0].startswith("-u nova -- nova-manage db archive_deleted_rows --all-cells")
    assert "--max_rows 1000" in manage.called[0]
    found = state(tmp_path, "archive")
    assert (found["outcome"], found["rows"], found["said"]) == ("done", 14, "")
    assert found["began"] <= found["ended"]


def test_the_rows_are_those_that_were_deleted_so_many_days_ago(
    manage: Manage, lock: Path, nova: Site, tmp_path: Path
) -> None:
    manage.answers((0, ""))
    jobs.run("archive", config(nova), str(tmp_path))
    words = manage.called[0].split("--before ")[1].split(" --max_rows")[0]
    age = time.time() - time.mktime(time.strptime(words, "%Y-%m-%d %H:%M:%S"))
    assert abs(age - 30 * 86400) < 2 * 86400


@pytest.mark.parametrize("code", [2, 3, 4, 127])
def test_another_exit_code_is_a_failure_with_novas_last_words(
    manage: Manage, lock: Path, nova: Site, tmp_path: Path, code: int
) -> None:
    manage.answers((1, TABLE), (code, "a warning\nFailed to connect to API DB\n"))
    assert jobs.run("archive", config(nova), str(tmp_path)) == 1
    found = state(tmp_path, "archive")
    assert found["outcome"] == "failed"
    assert found["said"] == (
        f"nova-manage ended with {code} after 7 rows: Failed to connect to API DB"
    )


def test_an_archive_that_does_not_say_how_much_ends_instead_of_going_on_for_ever(
    manage: Manage, lock: Path, nova: Site, tmp_path: Path
) -> None:
    manage.answers((1, "done\n"), (1, "done\n"))
    assert jobs.run("archive", config(nova), str(tmp_path)) == 1
    assert len(manage.called) == 1
    said = "nova-manage says that it archived rows, but not how many: done\n"
    assert state(tmp_path, "archive")["said"] == said


def test_a_deploy_at_work_puts_it_off(
    manage: Manage, lock: Path, nova: Site, tmp_path: Path
) -> None:
    manage.answers((1, TABLE))
    lock.parent.mkdir()
    with lock.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_SH)
        assert jobs.run("archive", config(nova), str(tmp_path)) == 0
    assert manage.called == []
    found = state(tmp_path, "archive")
    assert found["outcome"] == "put off"
    assert found["said"] == "a deploy changes this host at this moment"


def test_who_changes_the_host_is_named(
    manage: Manage, lock: Path, nova: Site, tmp_path: Path
) -> None:
    lock.parent.mkdir()
    lock.touch()
    with subprocess.Popen(["flock", "--shared", lock, "cat"], stdin=subprocess.PIPE) as process:
        deadline = time.monotonic() + 20
        while not jobs.holders() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)
        assert jobs.run("purge", config(nova), str(tmp_path)) == 0
        process.communicate(b"")
    said = state(tmp_path, "purge")["said"]
    assert said.startswith("a deploy changes this host at this moment: ")
    assert f"flock (pid {process.pid})" in said


def test_jobs_that_are_started_at_once_wait_for_one_another(
    manage: Manage, lock: Path, nova: Site, tmp_path: Path
) -> None:
    """An audit beside a purge was put off for a deploy that nobody had begun."""
    manage.answers((0, ""))
    asked = config(nova)
    jobs.has_lock()
    with ThreadPoolExecutor() as pool:
        with jobs.nobody_else("purge"):
            waits = pool.submit(jobs.run, "archive", asked, str(tmp_path))
            time.sleep(0.3)
            assert manage.called == []
        assert waits.result() == 0
    assert (len(manage.called), state(tmp_path, "archive")["outcome"]) == (1, "done")


def test_a_job_that_takes_too_long_is_named(
    manage: Manage, lock: Path, nova: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "PATIENCE", 0)
    with jobs.nobody_else("purge"):
        assert jobs.run("archive", config(nova), str(tmp_path)) == 0
    found = state(tmp_path, "archive")
    assert (found["outcome"], found["said"]) == ("put off", "nova-care-purge is at work")


def test_a_job_is_called_after_its_unit(tmp_path: Path) -> None:
    """Of who holds the lock a deploy says the name alone."""
    code = "import jobs; jobs.be_called('purge'); print(open('/proc/self/comm').read(), end='')"
    folder = Path(jobs.__file__).parent
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True
    )
    assert done.stdout == "nova-care-purge\n"


def test_a_restore_puts_it_off(
    manage: Manage, lock: Path, nova: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "restore").touch()
    monkeypatch.setattr(jobs, "RESTORE", str(tmp_path / "restore"))
    manage.answers((1, TABLE))
    assert jobs.run("archive", config(nova), str(tmp_path)) == 0
    assert (manage.called, state(tmp_path, "archive")["said"]) == ([], "a restore is under way")


def test_a_deploy_between_two_of_its_commands_puts_it_off(
    manage: Manage, lock: Path, nova: Site, tmp_path: Path
) -> None:
    manage.answers((1, TABLE))
    lock.parent.mkdir()
    lock.touch()
    assert jobs.run("archive", config(nova), str(tmp_path)) == 0
    assert manage.called == []
    assert "a deploy changed this host" in state(tmp_path, "archive")["said"]
    long_ago = time.time() - jobs.QUIET - 1
    os.utime(lock, (long_ago, long_ago))
    manage.answers((0, ""))
    jobs.run("archive", config(nova), str(tmp_path))
    assert len(manage.called) == 1


def test_a_deploy_that_makes_the_lock_at_the_same_moment_is_seen(
    manage: Manage, lock: Path, nova: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is there by now, and a moment ago it was not: its time is that deploy's."""
    manage.answers((1, TABLE))
    lock.parent.mkdir()
    lock.touch()
    exists = os.path.exists
    monkeypatch.setattr(jobs.os.path, "exists", lambda path: path != str(lock) and exists(path))
    assert jobs.run("archive", config(nova), str(tmp_path)) == 0
    assert manage.called == []
    assert "a deploy changed this host" in state(tmp_path, "archive")["said"]
    assert [path.name for path in lock.parent.iterdir()] == ["lock"]


def test_a_clock_that_was_once_ahead_does_not_put_it_off_for_years(
    manage: Manage, lock: Path, nova: Site, tmp_path: Path
) -> None:
    manage.answers((0, ""))
    lock.parent.mkdir()
    lock.touch()
    ahead = time.time() + 365 * 86400
    os.utime(lock, (ahead, ahead))
    assert jobs.run("archive", config(nova), str(tmp_path)) == 0
    assert len(manage.called) == 1


def test_nobody_waits_for_the_lock_longer_than_a_batch(
    manage: Manage, lock: Path, nova: Site, tmp_path: Path
) -> None:
    """Between two calls a deploy comes in: what was archived by then counts, and it ends."""
    manage.answers((1, TABLE), (1, TABLE))
    began = jobs.time.sleep

    def deploy_comes(_: float) -> None:
        lock.touch()

    try:
        jobs.time.sleep = deploy_comes
        assert jobs.run("archive", config(nova), str(tmp_path)) == 0
    finally:
        jobs.time.sleep = began
    found = state(tmp_path, "archive")
    assert len(manage.called) == 1
    assert (found["outcome"], found["rows"]) == ("done", 7)
    assert found["said"].startswith("ended early: a deploy changed this host")


@pytest.mark.parametrize("job", ["archive", "purge"])
def test_a_schema_on_its_way_to_another_version_is_left_alone(
    manage: Manage, lock: Path, nova: Site, tmp_path: Path, job: str
) -> None:
    nova.server.databases["nova_api"]["alembic_version"] = [{"version_num": "8f2f1571d55b"}]
    manage.answers((1, TABLE))
    assert jobs.run(job, config(nova), str(tmp_path)) == 0
    assert manage.called == []
    assert "the schema of api is not that of the installed Nova" in state(tmp_path, job)["said"]
    assert API_HEAD != "8f2f1571d55b"


def test_a_database_that_does_not_answer_is_a_failure_and_nothing_is_deleted(
    manage: Manage, lock: Path, nova: Site, tmp_path: Path
) -> None:
    manage.answers((0, ""))
    asked = config(nova)
    asked["databases"]["database"]["port"] = 1
    assert jobs.run("purge", asked, str(tmp_path)) == 1
    assert manage.called == []
    assert state(tmp_path, "purge")["outcome"] == "failed"


@pytest.mark.parametrize(("code", "said", "rows"), [
    (0, "Cell x: Deleted 3 rows from shadow_instances based on timestamp column deleted_at\n"
        "Cell x: Deleted 4 rows from shadow_migrations based on timestamp column deleted_at\n", 7),
    (3, "", 0),
])  # fmt: skip
def test_a_purge_counts_its_rows_and_none_is_no_failure(
    manage: Manage, lock: Path, nova: Site, tmp_path: Path, code: int, said: str, rows: int
) -> None:
    manage.answers((code, said))
    assert jobs.run("purge", config(nova), str(tmp_path)) == 0
    assert state(tmp_path, "purge")["rows"] == rows


@pytest.mark.parametrize("code", [1, 2, 4])
def test_a_purge_that_fails_says_so(
    manage: Manage, lock: Path, nova: Site, tmp_path: Path, code: int
) -> None:
    manage.answers((code, "Unable to get cell list from API DB.\n"))
    assert jobs.run("purge", config(nova), str(tmp_path)) == 1


def test_an_audit_amid_a_deploy_would_find_what_is_over_with_it(
    lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud_audit, "answer", lambda _: pytest.fail("it was made"))
    lock.parent.mkdir()
    lock.touch()
    assert jobs.run("audit", {"audit": {}}, str(tmp_path)) == 0
    assert state(tmp_path, "audit")["outcome"] == "put off"
    assert not (tmp_path / "findings.json").exists()


def test_a_finding_is_one_line_of_the_journal_whatever_names_and_faults_hold(
    lock: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fault = "failed:\n\x1b[2Jaudit: done: 0 in 0.1 s."
    words = {"kind": "guest-in-error", "where": "compute1", "what": fault, "remedy": "mend it"}
    answer = {"findings": [words], "silent": {"network": "no\nroute"}}
    monkeypatch.setattr(cloud_audit, "answer", lambda _: answer)
    assert jobs.run("audit", {"audit": {}}, str(tmp_path)) == 0
    finding, end = capsys.readouterr().out.splitlines()
    assert finding == (
        "guest-in-error: compute1: failed:\\n\\x1b[2Jaudit: done: 0 in 0.1 s.; remedy: mend it"
    )
    assert end.startswith("audit: done: 1 in ") and end.endswith("network: no\\nroute")
    assert json.loads((tmp_path / "findings.json").read_text())["findings"] == [words]


def test_no_metrics_are_written_where_no_node_exporter_is(nova: Site, tmp_path: Path) -> None:
    asked = config(nova, metrics={"folder": str(tmp_path / "none")})
    assert jobs.run("metrics", asked, str(tmp_path)) == 0
    found = state(tmp_path, "metrics")
    assert (found["outcome"], found["rows"]) == ("done", 0)
    assert "node_exporter is not installed here" in found["said"]


def test_a_wrong_word_and_a_missing_configuration_are_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert jobs.main(["tidy"]) == 2
    monkeypatch.setattr(jobs, "CONFIG", str(tmp_path / "none.json"))
    assert jobs.main(["purge"]) == 1
    assert "deploy again" in capsys.readouterr().err
