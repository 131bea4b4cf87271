"""python -m pyinfra_nova.audit: what it prints and how it ends, over hosts that only answer."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pyinfra_nova.audit.__main__ import main

from .site_data import AWKWARD

ROOT = Path(__file__).resolve().parents[2]
INVENTORY = "tests/unit/audit_hosts.py"
Run = Callable[..., "Done"]
NOTHING: dict[str, Any] = {"findings": [], "skipped": {}, "silent": {}, "seconds": {}, "at": 9000.0}


def finding(where: str, what: str = "is odd", **more: Any) -> dict[str, Any]:
    found = {"kind": "odd", "where": where, "what": what, "since": None, "effect": "harm"}
    return {**found, "remedy": "do", "key": f"odd/{where}", "repair": None, **more}


def audit(*findings: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**NOTHING, "findings": list(findings), **more}


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of answers and secrets, which the environment names."""
    secrets = tmp_path / "secrets.yml"
    secrets.write_text(json.dumps(AWKWARD))
    secrets.chmod(0o600)
    monkeypatch.setenv("AUDIT_ANSWERS", str(tmp_path / "answers.json"))
    monkeypatch.setenv("PYINFRA_NOVA_SECRETS", str(secrets))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(ROOT)
    return tmp_path


@pytest.fixture
def run(files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command, in this process, without a terminal."""
    monkeypatch.setattr(sys, "stdin", (files / "input").open("w+"))

    def command(told: dict[str, Any], *words: str, inventory: str = INVENTORY) -> Done:
        tell(files, told)
        code = main([inventory, *words])
        return Done(code, *capsys.readouterr())

    return command


def tell(files: Path, told: dict[str, Any]) -> None:
    (files / "answers.json").write_text(json.dumps({"audits": [NOTHING], **told}))


def process(*words: str, **how: Any) -> subprocess.CompletedProcess[str]:
    """The command, as somebody calls it."""
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.run(
        [sys.executable, "-m", "pyinfra_nova.audit", *words],
        **{**pipes, **how},
        text=True,
        timeout=120,
        check=False,
    )


REPAIR = {"action": "delete-service", "service": "s9", "binary": "nova-compute"}
STALE = finding("compute9", repair=REPAIR)
MENDED = {"repairs": [{"key": "odd/compute9", "outcome": "mended", "said": "deleted it"}]}


def test_a_clean_cloud_is_said_to_be_clean(run: Run) -> None:
    done = run({})
    assert (done.returncode, done.stdout) == (0, "no findings, everything was looked at\n")
    assert "asking @fake/controller, @fake/compute1, @fake/compute2" in done.stderr


def test_findings_are_said_with_their_remedies(run: Run) -> None:
    done = run({"audits": [audit(finding("compute9", "is a stranger", since=9000.0 - 7300))]})
    assert done.returncode == 2
    assert done.stdout.splitlines() == [
        "odd",
        "  compute9: is a stranger, since 2 h ago",
        "    remedy: do",
        "  effect: harm",
        "",
        "1 finding of 1 kind, 0 for --repair",
    ]


def test_json_holds_everything_in_its_documented_form(run: Run) -> None:
    done = run({"audits": [audit(STALE)], "silent": ["away"]}, "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 1
    documented = (ROOT / "docs" / "audit.md").read_text()
    for key in (*found, *found["findings"][0]):
        assert f'"{key}"' in documented
    assert found["findings"] == [STALE]
    assert "cannot be reached" in found["unreachable"]["away"]


def test_a_host_that_cannot_be_reached_is_named_and_hides_nothing(run: Run) -> None:
    done = run({"audits": [audit(finding("c"))], "silent": ["away"]})
    assert done.returncode == 1
    assert "  c: is odd" in done.stdout
    assert "not looked at:\n  away cannot be reached" in done.stdout
    assert done.stdout.splitlines()[-1].endswith("1 host did not answer")


def test_a_source_that_did_not_answer_is_named_with_what_rests_on_it(run: Run) -> None:
    silent = {"silent": {"broker": "it is down"}, "skipped": {"deaf services": ["broker"]}}
    done = run({"audits": [audit(**silent)]})
    assert done.returncode == 1
    assert "  broker: it is down\n  deaf services: for want of broker" in done.stdout


def test_hosts_of_the_broker_and_the_databases_are_asked_for_theirs(run: Run) -> None:
    done = run({"apart": True}, "-v")
    assert done.returncode == 0, done.stderr
    assert "@fake/compute2, @fake/rmq, @fake/db about themselves" in done.stderr


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({}, "gives no answer that can be read"),
        ({"findings": 1}, "gives no answer that can be read"),
        ("Traceback of something", "gives no answer"),
    ],
)
def test_a_controller_that_answers_nonsense_is_an_error(run: Run, answer: Any, said: str) -> None:
    done = run({"audits": [answer]})
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr and "Traceback (" not in done.stderr


def test_no_secret_is_said(run: Run) -> None:
    secret = AWKWARD["database_password"]
    told = {"audits": [audit(finding("c", f"says {secret}"), silent={"broker": f"no {secret}"})]}
    for words in ([], ["--json"], ["-v"]):
        done = run(told, *words)
        assert secret not in done.stdout + done.stderr and "********" in done.stdout


# --- many -----------------------------------------------------------------------------------------


def test_many_of_a_kind_are_counted_and_a_few_are_named(run: Run) -> None:
    told = {"audits": [audit(*(finding(f"c{number}") for number in range(1000)))]}
    done = run(told)
    assert len(done.stdout.splitlines()) == 7
    assert "odd (1,000)\n  at c0, c1, c2, c3, c4 and 995 more" in done.stdout
    listed = run(told, "-v").stdout
    assert all(f"  c{number}: is odd" in listed for number in range(1000))


# --- repairs --------------------------------------------------------------------------------------


def test_without_a_terminal_and_without_y_a_repair_is_only_shown(run: Run) -> None:
    done = run({"audits": [audit(STALE, finding("c"))]}, "--repair")
    assert done.returncode == 2
    assert "  delete the record of a service in Nova, if nothing runs it:" in done.stdout
    assert "    compute9: is odd\n1 finding left to you" in done.stdout
    assert "nothing was done" in done.stderr and "repairing" not in done.stderr


def test_with_y_it_is_done_and_audited_again(run: Run) -> None:
    done = run({"audits": [audit(STALE), NOTHING], "repairs": MENDED}, "--repair", "-y")
    assert done.returncode == 0, done.stderr
    assert "mended (1)\n  compute9: deleted it" in done.stdout
    assert done.stdout.splitlines()[-1] == "no findings, everything was looked at"


def test_what_is_left_after_repairs_decides_the_exit_code(run: Run) -> None:
    told = {"audits": [audit(STALE, finding("c")), audit(finding("c"))], "repairs": MENDED}
    assert run(told, "--repair", "-y").returncode == 2


@pytest.mark.parametrize("outcome", ["failed", "untried", "unproven"])
def test_a_repair_of_which_nobody_knows_is_an_error(run: Run, outcome: str) -> None:
    repairs = {"repairs": [{"key": "odd/compute9", "outcome": outcome, "said": "no answer"}]}
    told = {"audits": [audit(STALE), NOTHING], "repairs": repairs}
    assert run(told, "--repair", "-y").returncode == 1


def test_json_has_what_came_of_the_repairs(run: Run) -> None:
    told = {"audits": [audit(STALE), NOTHING], "repairs": MENDED}
    done = run(told, "--json", "--repair", "-y")
    found = json.loads(done.stdout)
    assert (found["repairs"], found["findings"]) == (MENDED["repairs"], [])
    assert "compute9: is odd" in done.stderr


def test_where_nothing_can_be_repaired_nobody_is_asked(run: Run) -> None:
    done = run({"audits": [audit(finding("c"))]}, "--repair")
    assert done.returncode == 2
    assert "--repair can do nothing here\n1 finding left to you" in done.stdout


def test_a_repair_that_breaks_off_is_an_error_in_its_own_words(run: Run) -> None:
    done = run({"audits": [audit(STALE)], "fails": "KeyError: 'x'"}, "--repair", "-y")
    assert done.returncode == 1
    assert "controller gives no answer: KeyError: 'x'" in done.stderr
    assert "Traceback (" not in done.stderr


@pytest.mark.parametrize(("typed", "code"), [("y\n", 0), ("n\n", 2), ("\n", 2)])
def test_at_a_terminal_somebody_is_asked(
    run: Run, monkeypatch: pytest.MonkeyPatch, typed: str, code: int
) -> None:
    master, terminal = pty.openpty()
    os.write(master, typed.encode())
    monkeypatch.setattr(sys, "stdin", os.fdopen(terminal))
    told = {"audits": [audit(STALE), NOTHING], "repairs": MENDED}
    done = run(told, "--repair")
    os.close(master)
    assert done.returncode == code and "Do it? [y/N]" in done.stderr
    assert ("repairing" in done.stderr) == (code == 0)


# --- mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "no such inventory file"),
        ("controllers = [", "SyntaxError"),
        ("import no_such_module", "no_such_module"),
        ("controllers = []", "controllers"),
    ],
)
def test_a_wrong_inventory_is_one_line(
    run: Run, tmp_path: Path, text: str | None, said: str
) -> None:
    path = tmp_path / "hosts.py"
    if text is not None:
        path.write_text(text)
    done = run({}, inventory=str(path))
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr and "Traceback" not in done.stderr


def test_a_missing_secrets_file_is_named_with_its_remedy(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYINFRA_NOVA_SECRETS", str(tmp_path / "none.yml"))
    done = run({})
    assert done.returncode == 1
    assert "none.yml: is missing; make it with" in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_words_are_explained() -> None:
    done = process(INVENTORY, "-y")
    assert done.returncode == 1 and "-y goes with --repair" in done.stderr


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_output_that_nobody_reads_ends_without_a_traceback(files: Path, name: str) -> None:
    tell(files, {"audits": [audit(*(finding(f"c{number}") for number in range(2000)))]})
    reading, writing = os.pipe()
    os.close(reading)
    done = process(INVENTORY, "-v", **{name: writing})
    os.close(writing)
    assert "Traceback" not in (done.stderr or "") + (done.stdout or "")
    assert done.returncode == 1


@pytest.mark.parametrize("closed", [">&-", "2>&-"])
def test_output_that_is_closed_ends_without_a_traceback(files: Path, closed: str) -> None:
    tell(files, {"audits": [audit(finding("c"))]})
    words = f"{sys.executable} -m pyinfra_nova.audit {INVENTORY} --json {closed}"
    done = subprocess.run(["sh", "-c", words], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr and done.returncode == 2
    if closed == "2>&-":
        assert json.loads(done.stdout)["findings"]


def test_help_needs_no_host_and_no_settings() -> None:
    done = process("nowhere.py", "--help")
    assert done.returncode == 0
    for word in ("--repair", "--json", "Exit status: 0 nothing was found, 2 something was"):
        assert word in done.stdout
