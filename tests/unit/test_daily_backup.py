"""files/care/daily_backup.py: a backup each day; older ones go only after a new one is whole."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

import daily_backup
import dump
import jobs
import nova_state
import pytest
import trust

from pyinfra_nova.backup import question
from pyinfra_nova.care import files
from pyinfra_nova.commands.restore import read
from pyinfra_nova.knowledge.platforms import platform_for
from pyinfra_nova.resources import databases
from pyinfra_nova.run.host_plan import HostPlan
from pyinfra_nova.site.faults import SettingsError
from pyinfra_nova.site.run_scope import scope_of

from . import backup_stand_in
from .backup_stand_in import CLOUD, Server
from .site_data import site

RECIPIENT = "age1w6s8lwq7strkfyxv46slu5sn4694ayrglwp2mvk56ctlcljjrc2s82t5nq"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    # Root's socket of a server of this host.
    (tmp_path / "socket").touch()
    monkeypatch.setattr(nova_state, "SOCKETS", (str(tmp_path / "socket"),))
    return Server(tmp_path, monkeypatch)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    subprocess.run(["age-keygen", "-o", path], check=True, capture_output=True)
    return path


@pytest.fixture
def wanted(tmp_path: Path, key: Path) -> dict[str, Any]:
    recipient = subprocess.run(
        ["age-keygen", "-y", key], check=True, capture_output=True, text=True
    ).stdout.strip()
    here = site({"database": {"host": "127.0.0.1"}})
    request = {**question.of_dump(here, {}), "login": databases.as_nova(here)}
    folder = str(tmp_path / "backups")
    return {"keep": 3, "folder": folder, "recipient": recipient, "request": request}


def backups(wanted: dict[str, Any]) -> list[str]:
    return sorted(path.name for path in Path(wanted["folder"]).iterdir())


def earlier(wanted: dict[str, Any], *names: str) -> None:
    folder = Path(wanted["folder"])
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text("earlier")


MINE = daily_backup.stem(question.of_dump(site({"database": {"host": "127.0.0.1"}}), {}))
OLD = [f"{MINE}2026010{day}T021000Z.sql.age" for day in range(1, 6)]


def test_what_it_makes_is_what_a_restore_takes(
    server: Server, wanted: dict[str, Any], key: Path
) -> None:
    rows, said = daily_backup.made(wanted)
    [name] = backups(wanted)
    path = Path(wanted["folder"]) / name
    contents = read(path, [key])
    assert contents.rows == rows == sum(len(r) for t in CLOUD.values() for r in t.values())
    assert name in said
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_so_many_stay_and_nothing_else_is_touched(server: Server, wanted: dict[str, Any]) -> None:
    another_site = [f"nova-00000000-2026010{day}T021000Z.sql.age" for day in range(1, 6)]
    others = [*another_site, OLD[0] + ".copy", "cloud.sql.age", "notes.txt"]
    earlier(wanted, *OLD, *others)
    _, said = daily_backup.made(wanted)
    *there, new = [name for name in backups(wanted) if name not in others]
    assert there == OLD[-2:]
    assert re.fullmatch(MINE + daily_backup.REST, new)
    assert "3 older ones are gone" in said
    assert set(others) < set(backups(wanted))


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (
            lambda s: s.dumps(backup_stand_in.dump(CLOUD)[:900], 2, "Lost connection"),
            "ended with 2",
        ),
        (lambda s: s.dumps(backup_stand_in.dump(CLOUD)[:900]), "cut off"),
        (lambda s: s.has("odd", "nova.t\tMyISAM"), "MyISAM"),
        (lambda s: s.put("age", "#!/bin/sh\ncat >/dev/null\necho broken >&2\nexit 1\n"), "broken"),
        (lambda s: s.put("age", "#!/bin/sh\nexit 1\n"), "age ended with 1"),
        (lambda s: s.put("age", "#!/bin/sh\nexec cat\n"), "is not what age writes"),
        (
            lambda s: s.put(
                "age", '#!/bin/bash\ntrap "" XFSZ\nulimit -f 0\nexec /usr/bin/age "$@" >/dev/full\n'
            ),
            "age",
        ),
    ],
)
def test_one_that_fails_leaves_all_earlier_ones(
    server: Server, wanted: dict[str, Any], break_it: Any, said: str
) -> None:
    earlier(wanted, *OLD)
    break_it(server)
    with pytest.raises(daily_backup.NoBackupError, match=re.escape(said)):
        daily_backup.made(wanted)
    assert backups(wanted) == OLD


def test_what_a_killed_run_has_left_goes_a_day_later(
    server: Server, wanted: dict[str, Any]
) -> None:
    left = [f".{MINE}abcd_123", f".{MINE}zzzz9999", ".nova-00000000-abcd_123", f".{MINE}abcd"]
    earlier(wanted, *left)
    for name in (left[0], *left[2:]):
        os.utime(Path(wanted["folder"]) / name, (1e9, 1e9))
    daily_backup.made(wanted)
    assert [name for name in left if name not in backups(wanted)] == [left[0]]


def test_one_that_is_told_to_end_leaves_nothing_half_written(
    server: Server, wanted: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by `systemctl stop`: the signal comes while the dump is read again."""
    monkeypatch.setattr(jobs, "schema_is_current", lambda _: None)
    monkeypatch.setattr(jobs, "LOCK", str(tmp_path / "run" / "lock"))
    monkeypatch.setattr(jobs, "TURN", str(tmp_path / "turn"))
    monkeypatch.setattr(jobs, "CONFIG", str(tmp_path / "care.json"))
    monkeypatch.setattr(jobs, "STATE", str(tmp_path / "state"))
    (tmp_path / "care.json").write_text(json.dumps({"backup": wanted}))
    monkeypatch.setattr(
        daily_backup.os, "posix_fadvise", lambda *_: os.kill(os.getpid(), signal.SIGTERM)
    )
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert jobs.main(["backup"]) == 1
    finally:
        signal.signal(signal.SIGTERM, before)
    assert backups(wanted) == []
    state = json.loads((tmp_path / "state" / "backup.json").read_text())
    assert (state["outcome"], state["said"]) == ("failed", "it was told to end")


def test_a_full_disk_leaves_all_earlier_ones(
    server: Server, wanted: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier(wanted, *OLD)
    monkeypatch.setattr(
        daily_backup.tempfile,
        "mkstemp",
        lambda **how: (os.open("/dev/full", os.O_WRONLY), how["dir"] + "/.nova-x"),
    )
    with pytest.raises(daily_backup.NoBackupError, match="No space left on device"):
        daily_backup.made(wanted)
    assert backups(wanted) == OLD


def test_a_file_that_reads_otherwise_than_it_was_written_is_none(
    server: Server, wanted: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier(wanted, *OLD)
    monkeypatch.setattr(daily_backup.os, "posix_fadvise", lambda *_: _spoil(wanted))
    with pytest.raises(daily_backup.NoBackupError, match="look at the disk"):
        daily_backup.made(wanted)
    assert backups(wanted) == OLD


def _spoil(wanted: dict[str, Any]) -> None:
    [path] = Path(wanted["folder"]).glob(".nova-*")
    with path.open("r+b") as stream:
        stream.seek(-1, 2)
        last = stream.read(1)
        stream.seek(-1, 2)
        stream.write(bytes([last[0] ^ 1]))


def test_of_a_server_elsewhere_novas_own_user_asks() -> None:
    login = {"host": "203.0.113.7", "port": 3306, "user": "nova", "password": "p"}
    assert daily_backup.login_of({"login": login}) == login


def test_a_password_of_a_server_elsewhere_is_in_no_command_line_and_no_file() -> None:
    login = {"host": "db", "port": 3306, "user": "nova", "password": 'a"b\\c'}
    with dump.options_of(login) as words:
        assert "a" + '"b' not in " ".join(words)
        option = words[0].split("=")[1]
        assert str(Path(option).readlink()) == "/memfd:login (deleted)"
        assert Path(option).read_text() == '[client]\npassword="a\\"b\\\\c"\n'


@pytest.mark.parametrize(
    ("program", "version", "word", "here"),
    [
        ("mariadb-dump", "11.8.3-MariaDB", "--ssl-verify-server-cert", "--skip-ssl"),
        ("mysqldump", "Ver 8.0.36", "--ssl-mode=VERIFY_IDENTITY", "--ssl-mode=DISABLED"),
    ],
)
def test_a_server_elsewhere_shows_who_it_is_and_the_one_here_need_not(
    *,
    program: str,
    version: str,
    word: str,
    here: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / program).write_text(f"#!/bin/sh\necho {version}\n")
    (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(dump, "program", lambda: program)
    monkeypatch.setattr(trust, "TRUSTED", "whom to trust\n")
    login = {"host": "db", "port": 3306, "user": "nova", "password": "p"}
    with dump.options_of(login) as words:
        authorities, verifies = words[-2:]
        assert Path(authorities.removeprefix("--ssl-ca=")).read_text() == "whom to trust\n"
        assert verifies == word
    with dump.options_of(None) as words:
        assert words == [here]


# --- the wanted state -----------------------------------------------------------------------------


def plan(care: dict[str, Any]) -> HostPlan:
    found = site({"care": care})
    platform = platform_for("debian", "12", "zed")
    return HostPlan(found.primary_controller, found, platform, "qemu", scope_of(found, found.hosts))


def test_it_is_off_until_somebody_says_for_whom_it_is() -> None:
    assert site().settings.care.backup is None
    assert "age" not in plan({}).packages
    with pytest.raises(SettingsError, match=r"care\.backup\.recipient"):
        site({"care": {"backup": {"keep": 3}}})


def test_it_brings_its_timer_and_what_it_runs() -> None:
    found = plan({"backup": {"recipient": RECIPIENT}})
    assert "age" in found.packages
    jobs = files.jobs_of(found.site)
    assert ("backup", "02:10") in [(job.name, job.at) for job in jobs]
    written = {file.path: file for file in files.files_for(found.site, found.databases)}
    for name in ("dump", "layout", "daily_backup"):
        assert f"{files.PROGRAM}/{name}.py" in written
    assert f"{files.UNITS}/nova-care-backup.timer" in written


def test_its_site_and_its_time_are_in_its_name() -> None:
    other = site({"region": "Elsewhere"})
    assert daily_backup.stem(question.of_dump(other, {})) != MINE
    name = MINE + time.strftime(daily_backup.TIME, time.gmtime()) + ".sql.age"
    assert re.fullmatch(MINE + daily_backup.REST, name)
