"""./run backup: one encrypted file that is there whole or not at all."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyinfra_nova.backup import files, question
from pyinfra_nova.backup.encryption import KEY_FILE, identities
from pyinfra_nova.backup.seal import END, HEAD, BackupError, Contents, Seal
from pyinfra_nova.commands import backup
from pyinfra_nova.commands.restore import read

from . import backup_stand_in
from .backup_stand_in import CLOUD, Server
from .site_data import AWKWARD, site

ROOT = Path(__file__).resolve().parents[2]
INVENTORY = "tests/unit/backup_inventory.py"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    return Server(tmp_path, monkeypatch)


@pytest.fixture
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "secrets.yml"
    path.write_text(json.dumps(AWKWARD))
    path.chmod(0o600)
    monkeypatch.setenv("PYINFRA_NOVA_SECRETS", str(path))
    for name in ("PYINFRA_NOVA_AGE_IDENTITY", "SOPS_AGE_KEY_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "no-key"))
    monkeypatch.chdir(ROOT)
    return path


@dataclass
class Done:
    code: int
    said: str
    errors: str


def run(path: Path, capsys: pytest.CaptureFixture[str], *words: str) -> Done:
    code = backup.main([INVENTORY, str(path), *words])
    return Done(code, *capsys.readouterr())


def left(folder: Path) -> list[str]:
    """What is in FOLDER beside what was there to begin with."""
    return sorted({p.name for p in folder.iterdir()} - {"secrets.yml", "server", "programs"})


# --- one that succeeds ----------------------------------------------------------------------------


def test_all_databases_are_in_one_file_that_only_its_owner_reads(
    server: Server, secrets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cloud.age"
    done = run(path, capsys)
    assert done.code == 0, done.errors
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = read(path, identities(None, secrets))
    assert found.header.databases == ["nova_api", "nova_cell0", "nova", "placement"]
    assert found.header.left_out == ["neutron"]
    assert found.header.guests == {"compute1": 2, "compute2": 1}
    rows = {name: {t: len(r) for t, r in tables.items()} for name, tables in CLOUD.items()}
    assert found.end.rows == rows
    assert found.end.revisions["nova"] == ["ccb0fa1a2252"]
    assert "neutron: not on this server" in done.said
    assert "3 on 2 hosts" in done.said


def test_one_call_in_one_transaction_reads_all_of_them(
    server: Server, secrets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path / "cloud.age", capsys)
    [words] = server.words("dump").splitlines()
    assert "--single-transaction" in words
    assert words.endswith("--databases nova_api nova_cell0 nova placement")


def test_nothing_of_it_is_plain_and_no_password_is_in_a_command_line(
    server: Server, secrets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cloud.age"
    run(path, capsys)
    assert path.read_bytes().startswith(b"age-encryption.org/")
    assert b"pyinfra-nova" not in path.read_bytes()
    for password in AWKWARD.values():
        assert password not in server.words("ssh") + server.words("dump")


def test_a_key_is_made_beside_a_plain_secrets_file_and_taken_the_next_time(
    server: Server, secrets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path / "one.age", capsys)
    key = tmp_path / KEY_FILE
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    before = key.read_text()
    done = run(tmp_path / "two.age", capsys)
    assert key.read_text() == before
    assert f"It is opened by {key}" in done.said


def test_who_can_open_it_may_be_named(
    server: Server, secrets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "mine"
    subprocess.run(["age-keygen", "-o", key], check=True, capture_output=True)
    recipient = subprocess.run(
        ["age-keygen", "-y", key], check=True, capture_output=True, text=True
    ).stdout.strip()
    assert run(tmp_path / "cloud.age", capsys, "--recipient", recipient).code == 0
    assert read(tmp_path / "cloud.age", [key]).header.release == "zed"
    assert KEY_FILE not in left(tmp_path)


def test_the_key_that_opens_the_secrets_file_opens_the_backup(
    server: Server,
    secrets: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    key = tmp_path / "mine"
    subprocess.run(["age-keygen", "-o", key], check=True, capture_output=True)
    recipient = subprocess.run(
        ["age-keygen", "-y", key], check=True, capture_output=True, text=True
    ).stdout.strip()
    encrypted = tmp_path / "secrets.yml.age"
    subprocess.run(["age", "-r", recipient, "-o", encrypted, secrets], check=True)
    monkeypatch.setenv("PYINFRA_NOVA_SECRETS", str(encrypted))
    monkeypatch.setenv("PYINFRA_NOVA_AGE_IDENTITY", str(key))
    assert run(tmp_path / "cloud.age", capsys).code == 0
    assert KEY_FILE not in left(tmp_path)


def test_what_users_have_written_is_never_taken_for_a_line_of_the_dump() -> None:
    import layout

    tally = layout.Tally()
    for line in backup_stand_in.dump(CLOUD).encode().splitlines(keepends=True):
        tally.see(line)
    assert tally.rows["nova"] == {"alembic_version": 1, "instances": 3}


# --- what ends without a file ---------------------------------------------------------------------


def no_file(done: Done, folder: Path, *texts: str) -> None:
    assert done.code == 1
    assert left(folder) == [KEY_FILE]
    assert "Traceback" not in done.errors
    for text in texts:
        assert text in done.errors


def test_a_dump_that_breaks_off_leaves_nothing(
    server: Server, secrets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = backup_stand_in.dump(CLOUD)
    said = "mysqldump: Error 2013: Lost connection to server during query"
    server.dumps(whole[: len(whole) // 2], 3, said)
    no_file(run(tmp_path / "cloud.age", capsys), tmp_path, "mariadb-dump ended with 3", said)


def test_a_dump_that_ends_early_without_a_word_leaves_nothing(
    server: Server, secrets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = backup_stand_in.dump(CLOUD)
    server.dumps(whole[: whole.index("USE `nova`")])
    no_file(run(tmp_path / "cloud.age", capsys), tmp_path, "cut off", "nova, placement")


def test_an_ssh_that_is_killed_leaves_nothing(
    server: Server, secrets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.put("mariadb-dump", f"#!/bin/sh\nhead -c 900 {server.folder}/dump.sql\nkill -9 $PPID\n")
    no_file(run(tmp_path / "cloud.age", capsys), tmp_path, "controller")


def test_half_a_stream_that_ends_well_leaves_nothing(
    server: Server, secrets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.put("ssh", backup_stand_in.SSH.format(folder=server.folder).replace("exec sh", "sh"))
    text = (server.programs / "ssh").read_text().rstrip("\n")
    server.put("ssh", text + " | head -c 1500\n")
    no_file(run(tmp_path / "cloud.age", capsys), tmp_path, "its last line is missing")


def test_a_full_disk_leaves_nothing(
    server: Server, secrets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A limit of the shell in the place of a disk: age is told so by the same call.
    big = {**CLOUD, "nova": {"instances": [f"({n},'{os.urandom(400).hex()}')" for n in range(900)]}}
    server.dumps(backup_stand_in.dump(big))
    server.put("age", '#!/bin/bash\ntrap "" XFSZ\nulimit -f 8\nexec /usr/bin/age "$@"\n')
    done = run(tmp_path / "cloud.age", capsys)
    no_file(done, tmp_path, f"{tmp_path}/cloud.age cannot be written", "file too large")


def test_a_backup_that_is_killed_leaves_nothing(
    server: Server, secrets: Path, tmp_path: Path
) -> None:
    server.put("mariadb-dump", f"#!/bin/sh\nhead -c 900 {server.folder}/dump.sql\nexec sleep 60\n")
    path = tmp_path / "cloud.age"
    process = subprocess.Popen(
        [sys.executable, "-m", "pyinfra_nova.commands.backup", INVENTORY, str(path)],
        stderr=subprocess.PIPE,
        cwd=ROOT,
        text=True,
    )
    deadline = time.monotonic() + 30
    while not list(tmp_path.glob(".cloud.age.*")) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert left(tmp_path) == [KEY_FILE]


def test_what_is_there_is_not_overwritten(
    server: Server, secrets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cloud.age"
    path.write_text("the last good one")
    done = run(path, capsys)
    assert (done.code, path.read_text()) == (1, "the last good one")
    assert done.errors.splitlines() == [
        f"{path} is there already: name another file, or move it away"
    ]
    assert left(tmp_path) == ["cloud.age"], "no key was made for it"


def test_where_nothing_can_be_written_no_database_is_dumped(
    server: Server, secrets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "none" / "cloud.age"
    done = run(path, capsys)
    assert done.code == 1
    assert done.errors == f"{path} cannot be written: there is no folder {path.parent}\n"


@pytest.mark.parametrize("links", [True, False])
def test_of_two_that_are_made_at_once_under_one_name_the_first_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, links: bool
) -> None:
    path = tmp_path / "cloud.sql.age"
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(1, "no")))
    with pytest.raises(BackupError, match="by somebody else meanwhile"), files.placed(path):
        path.write_text("the other one")
    assert path.read_text() == "the other one"
    assert list(tmp_path.iterdir()) == [path]
    path.unlink()
    with files.placed(path) as descriptor:
        os.write(descriptor, b"mine")
    assert (path.read_text(), list(tmp_path.iterdir())) == ("mine", [path])


def test_tables_that_are_not_of_one_time_are_refused(
    server: Server, secrets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.has("odd", "neutron.quotas\tMyISAM", "nova.seen\tVIEW")
    done = run(tmp_path / "cloud.age", capsys)
    no_file(done, tmp_path, "neutron.quotas (MyISAM), nova.seen (VIEW)")


def test_a_database_that_nova_needs_is_not_left_out(
    server: Server, secrets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.has("databases", "nova_api", "nova")
    no_file(run(tmp_path / "cloud.age", capsys), tmp_path, "there is no database nova_cell0")


def test_a_form_of_dump_that_is_not_known_is_no_backup(
    server: Server, secrets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.dumps(backup_stand_in.dump(CLOUD).replace("VALUES\n(1),\n(2)", "VALUES (1),(2)"))
    no_file(run(tmp_path / "cloud.age", capsys), tmp_path, "in a form not known here")


def test_a_word_that_is_no_recipient_is_refused_before_anything(
    server: Server, secrets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run(tmp_path / "cloud.age", capsys, "--recipient", "secret")
    assert (done.code, left(tmp_path)) == (1, [])
    assert "'secret' is no recipient of age" in done.errors


# --- the seal -------------------------------------------------------------------------------------


def sealed() -> bytes:
    import hashlib

    header = question.header(site(), {"compute1": "c1"})
    more = {"at": 1.0, "databases": ["nova"], "left_out": [], "guests": {"compute1": 1}}
    text = HEAD + json.dumps({**header, **more}).encode() + b"\nUSE `nova`;\n" + b"x" * 3000 + b"\n"
    end = {"sha256": hashlib.sha256(text).hexdigest(), "bytes": len(text), "seconds": 1}
    rows = {"rows": {"nova": {"t": 1}}, "revisions": {"nova": ["r"]}}
    return text + END + json.dumps({**end, **rows}).encode() + b"\n"


def judged(text: bytes, size: int = 700) -> Contents:
    seal = Seal()
    for start in range(0, len(text), size):
        seal.feed(text[start : start + size])
    return seal.whole()


@given(st.integers(1, 5000))
@settings(max_examples=40, deadline=None)
def test_a_whole_backup_is_whole_in_whatever_pieces_it_comes(size: int) -> None:
    assert judged(sealed(), size).end.rows == {"nova": {"t": 1}}


@given(st.integers(0, len(sealed()) - 1))
@settings(max_examples=200, deadline=None)
def test_no_part_of_a_backup_is_taken_for_one(length: int) -> None:
    with pytest.raises(BackupError):
        judged(sealed()[:length])


@given(st.integers(0, len(sealed()) - 1), st.integers(1, 255))
@settings(max_examples=200, deadline=None)
def test_a_backup_with_another_byte_in_its_databases_is_damaged(place: int, other: int) -> None:
    text = bytearray(sealed())
    text[place] ^= other
    try:
        found = judged(bytes(text))
    except BackupError:
        return
    # Only within the last line's own words, which say nothing of what was changed.
    assert place > bytes(text).rfind(b"\n" + END)
    assert found.end.sha256 == judged(sealed()).end.sha256


def test_another_format_is_refused_by_name() -> None:
    text = sealed().replace(b'"format": 1', b'"format": 2')
    with pytest.raises(BackupError, match="its form is 2, and this version knows 1"):
        judged(text)


def test_memory_does_not_grow_with_the_backup() -> None:
    import tracemalloc

    seal = Seal()
    seal.feed(sealed()[:1000])
    tracemalloc.start()
    for _ in range(1000):
        seal.feed(b"y" * 65536)
    assert tracemalloc.get_traced_memory()[1] < 40 << 20
    tracemalloc.stop()


def test_both_ends_know_the_same_form() -> None:
    import layout

    from pyinfra_nova.backup import seal

    assert (layout.HEAD, layout.END, layout.FORMAT) == (HEAD, END, seal.FORMAT)


def test_the_settings_digest_is_the_same_for_the_same_settings_and_holds_no_secret() -> None:
    assert question.digest(site()) == question.digest(site())
    assert question.digest(site()) != question.digest(site({"report_interval": 11}))
