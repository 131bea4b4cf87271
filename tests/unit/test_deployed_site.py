"""What tests/verify stands on, with this machine as the only host, or with none that answers."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import text_search

from pyinfra_nova.proof import host_proof
from pyinfra_nova.proof.deployed_site import DeployedSite, NoAnswerError
from pyinfra_nova.resources.host_report import HostReport
from pyinfra_nova.resources.host_report import questions as report_questions
from pyinfra_nova.run.host_plan import HostPlan
from pyinfra_nova.run.restores import CUT_OFF, RESTORE
from pyinfra_nova.run.verdicts import Verdict
from pyinfra_nova.site.run_scope import scope_of
from pyinfra_nova.site.settings import HostSettings
from tests.verify import questions

from .site_data import AWKWARD, debian

ROOT = Path(__file__).resolve().parents[2]
INVENTORY = """
controllers = [("@local", {"my_ip": "10.0.0.11", "nova_host": "ctl.invalid"})]
computes = [
    ("away", {"my_ip": "10.0.0.31", "ssh_hostname": "127.0.0.1", "ssh_port": 1}),
]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout's inventory, group data and secrets, and nothing else."""
    (tmp_path / "group_data").mkdir()
    (tmp_path / "group_data" / "all.py").write_text('management_network = "10.0.0.0/24"\n')
    (tmp_path / "hosts.py").write_text(INVENTORY)
    lines = (f"{key}: '{value}'\n" for key, value in _quoted().items())
    (tmp_path / "secrets.yml").write_text("".join(lines))
    (tmp_path / "secrets.yml").chmod(0o600)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _quoted() -> dict[str, str]:
    return {key: value.replace("'", "''") for key, value in AWKWARD.items()}


@pytest.fixture
def cloud(folder: Path) -> Iterator[DeployedSite]:
    cloud = DeployedSite("hosts.py", folder / "secrets.yml")
    with cloud.opened():
        yield cloud


def test_a_command_keeps_its_exit_code_and_output(cloud: DeployedSite, folder: Path) -> None:
    host = cloud.shell("@local")
    result = host.run("printf 'a\\nb'; echo c >&2; exit %s", "3")
    assert (result.rc, result.stdout, result.stderr) == (3, "a\nb", "c")
    assert host.run("echo a").stdout == "a\n"
    assert host.run("kill -9 $$").rc == 255
    assert host.file(str(folder / "secrets.yml")).mode == 0o600


def test_every_host_is_asked_and_one_without_an_answer_hides_no_other(
    cloud: DeployedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def target(host: HostSettings) -> HostPlan:
        cloud.ask(host.name, HostReport, report_questions())
        return HostPlan(host, cloud.site, debian(), "qemu", scope_of(cloud.site, cloud.site.hosts))

    def name(_: DeployedSite, target: HostPlan) -> str:
        asked.append(target.host.name)
        return target.host.name

    monkeypatch.setattr(cloud, "_target", target)
    here, away = cloud.hosts
    assert cloud.answer(name, here) == "@local"
    with pytest.raises(NoAnswerError, match="away cannot be reached"):
        cloud.answer(name, away)
    assert asked == ["@local"]


@pytest.mark.parametrize("left", [True, False])
def test_a_restore_under_way_is_all_that_is_said(
    cloud: DeployedSite, monkeypatch: pytest.MonkeyPatch, left: bool
) -> None:
    def target(host: HostSettings) -> HostPlan:
        is_it = left and host.is_controller
        cloud._verdicts[host.name] = [
            Verdict(host.name, "Nova", False, "is not there"),
            Verdict(host.name, RESTORE, not is_it, CUT_OFF),
        ]
        raise NoAnswerError("it says no more")

    monkeypatch.setattr(cloud, "_target", target)
    said = f"@local: a restore {CUT_OFF}" if left else None
    assert cloud.restore_under_way() == said
    assert "`./run restore FILE`" in CUT_OFF


def test_a_failing_script_is_named_with_its_host(cloud: DeployedSite) -> None:
    class Broken(HostReport):
        script = "unit_states"  # without the modules that it uses

    with pytest.raises(NoAnswerError, match="@local gives no answer: ModuleNotFoundError"):
        cloud.ask("@local", Broken, {})


def test_work_that_was_begun_gives_its_result_or_its_error(cloud: DeployedSite) -> None:
    assert cloud.begin(lambda: cloud.shell("@local").run("echo a").rc)() == 0
    result = cloud.begin(lambda: cloud.shell("away").run("echo a"))
    with pytest.raises(NoAnswerError, match="away cannot be reached"):
        result()


def test_names_that_dns_does_not_know_are_the_inventorys(cloud: DeployedSite) -> None:
    with cloud.names_known():
        assert socket.getaddrinfo("away", 80)[0][4][0] == "127.0.0.1"
        with pytest.raises(socket.gaierror):
            socket.getaddrinfo("stranger.invalid", 80)
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("away", 80)


def test_text_is_found_in_any_file_below_a_folder(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "nova.conf").write_bytes(b"\xff\n[database]\n")
    (tmp_path / "policy").write_text("# [database]\n")
    (tmp_path / "dangling").symlink_to("nowhere")
    request = {"folder": str(tmp_path), "patterns": [r"^\[database\]", "absent"]}
    assert text_search.answer(request) == {"files": [str(tmp_path / "sub" / "nova.conf")]}


def test_hosts_that_do_not_answer_fail_every_check_in_plain_words(folder: Path) -> None:
    (folder / "hosts.py").write_text(
        INVENTORY.replace("@local", "ctl").replace('"ctl.invalid"', '"ctl", "ssh_port": 1')
    )
    environment = {
        **os.environ,
        "PYINFRA_NOVA_INVENTORY": "hosts.py",
        "PYTHONPATH": str(ROOT),
    }
    checks = ROOT / "tests" / "verify"
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(checks)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode == 1
    assert "test_packages_are_installed[ctl]" in result.stdout
    assert "away cannot be reached" in result.stdout
    assert "passed" not in result.stdout.splitlines()[-1]
    assert "Traceback" not in result.stdout + result.stderr
    for value in AWKWARD.values():
        assert value not in result.stdout + result.stderr


def test_the_age_of_a_process_counts_from_when_its_host_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The answer is kept, and looked at again when other tests have taken their time."""
    process = {"pid": 1, "age": 100.0, "replaced": False}
    answer = {"processes": {"nova-compute": process}, "faults": []}
    monkeypatch.setattr(host_proof, "question", lambda *_: {})
    monkeypatch.setattr(host_proof, "asked", lambda *_: answer)
    monkeypatch.setattr(questions, "urls", lambda _: [])
    cloud = SimpleNamespace(on=lambda _: nullcontext())
    before = time.monotonic()
    found = questions.proof(cloud, SimpleNamespace(host=SimpleNamespace(name="c")))  # type: ignore[arg-type]
    assert before - 100 <= found.seen["nova-compute"].born <= time.monotonic() - 100
