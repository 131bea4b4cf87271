"""What the tests of command lines rest on: that no command line goes unseen."""

from __future__ import annotations

import subprocess

from .execs import Audit, arguments, execs

SHORT = 1000
AWKWARD = ("a b", "with \"both' kinds", "$HOME\n", "é", "", "x" * 100_000)


def test_not_one_of_a_thousand_processes_that_live_a_millisecond_is_missed() -> None:
    loop = f"i=0; while [ $i -lt {SHORT} ]; do i=$((i+1)); /bin/true planted-$i; done"
    with execs() as seen:
        subprocess.run(["sh", "-c", loop], check=True)
    planted = {line[1] for line in seen.lines if line[0] == b"/bin/true" and len(line) == 2}
    assert planted == {f"planted-{number}".encode() for number in range(1, SHORT + 1)}


def test_every_word_is_seen_as_it_is() -> None:
    with execs() as seen:
        subprocess.run(["/bin/true", *AWKWARD], check=True)
    assert tuple(word.encode() for word in ("/bin/true", *AWKWARD)) in seen.lines


def test_the_machine_s_audit_is_afterwards_as_it_was() -> None:
    before = Audit().status()
    with execs():
        pass
    after = Audit().status()
    kept = ("enabled", "pid", "backlog_limit", "lost")
    assert {name: before[name] for name in kept} == {name: after[name] for name in kept}


def test_records_of_one_call_are_put_together() -> None:
    records = [
        b'audit(1.0:7): argc=2 a0="ls" a1_len=6 a1[0]="abc"',
        b'audit(1.0:8): argc=1 a0="w"',
        b"audit(1.0:7):  a1[1]=646520",
    ]
    assert arguments(records) == [(b"ls", b"abcde "), (b"w",)]
