"""A compute gets its identity back: the file as Nova writes it, never over another one."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import compute_identity as script
import pytest
from pyinfra.api import OperationError
from pyinfra.context import ctx_host

from pyinfra_nova.resources import compute_identity
from pyinfra_nova.resources.compute_identity import NovaComputes, Outcome
from pyinfra_nova.resources.host_report import HostReport, PrimaryReport
from pyinfra_nova.run.known_computes import KnownComputes, questions_about
from pyinfra_nova.session import steps
from pyinfra_nova.site.run_scope import scope_of

from .site_data import debian, site
from .test_identities import GUESTS, ONE, TWO, Case, node
from .test_unanswered import Run

USER, GROUP = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name


def write(path: Path, uuid: str = ONE) -> Any:
    return script.answer({"path": str(path), "uuid": uuid, "user": USER, "group": GROUP})


# --- the file -------------------------------------------------------------------------------------


def test_the_file_is_as_nova_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "compute_id"
    before = os.umask(0o077)
    try:
        assert write(path) == {}
    finally:
        os.umask(before)
    assert path.read_text() == ONE
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [path]


def test_one_that_has_appeared_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "compute_id"
    path.write_text(TWO)
    with pytest.raises(SystemExit, match="has appeared meanwhile: deploy again"):
        write(path)
    assert path.read_text() == TWO
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    """The folder is on a disk that is not mounted, say, or the file a link into one."""
    with pytest.raises(SystemExit, match="compute_id cannot be written: No such file or directory"):
        write(tmp_path / "gone" / "compute_id")
    path = tmp_path / "compute_id"
    path.symlink_to("/nowhere/compute_id")
    with pytest.raises(SystemExit, match="compute_id cannot be written: No such file or directory"):
        write(path)
    assert list(tmp_path.iterdir()) == [path] and path.is_symlink()


def test_the_same_one_is_right(tmp_path: Path) -> None:
    path = tmp_path / "compute_id"
    path.write_text(f"{ONE}\n")
    assert write(path) == {}
    assert path.read_text() == f"{ONE}\n"


def test_without_its_owner_nothing_is_left(tmp_path: Path) -> None:
    request = {"path": str(tmp_path / "compute_id"), "uuid": ONE, "user": "no-such-user"}
    with pytest.raises(LookupError):
        script.answer({**request, "group": GROUP})
    assert list(tmp_path.iterdir()) == []


# --- what is asked --------------------------------------------------------------------------------


def test_a_compute_is_asked_where_its_nova_would_look() -> None:
    where = site(group_data={"computes": {"nova_conf": {"DEFAULT": {"instances_path": "/srv/i"}}}})
    assert compute_identity.presence_question(where.hosts["compute1"], "zed") == {
        "user": "nova",
        "files": ["/etc/nova/nova.conf", "/etc/nova/nova-compute.conf"],
        "state": "/var/lib/nova",
        "instances": "/srv/i",
        "units": ["nova-compute", "openstack-nova-compute"],
    }
    assert compute_identity.presence_question(where.hosts["controller"], "zed") is None


def test_only_the_primary_controller_of_a_run_with_computes_is_asked_what_nova_has() -> None:
    where = site()
    whole = scope_of(where, where.hosts)
    asked = {name: questions_about(whole, host) for name, host in where.hosts.items()}
    assert [name for name, found in asked.items() if "nova" in found] == ["controller"]
    assert asked["controller"]["nova"]["hosts"] == ["compute1", "compute2"]
    alone = scope_of(where, {"controller"})
    assert "nova" not in questions_about(alone, where.hosts["controller"])


def test_what_is_asked_of_nova_is_sent_to_the_primary_controller_alone() -> None:
    assert "nova_computes" in PrimaryReport.uses
    assert "nova_computes" not in HostReport.uses


# --- the operation --------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def no_host() -> Iterator[None]:
    """After an exception pyinfra leaves the host at hand the current one."""
    yield
    ctx_host.reset()


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    texts: list[str] = []
    monkeypatch.setattr(steps, "say", texts.append)
    return texts


def kept(found: Callable[[], Outcome], *, executing: bool) -> list[str]:
    host = SimpleNamespace(name="compute1", state=Run(is_executing=executing))
    with ctx_host.use(host):
        commands = compute_identity.kept._inner(found, debian())
        return [str(command) for command in commands]


@pytest.mark.parametrize("executing", [False, True])
def test_what_is_put_back_is_said(said: list[str], executing: bool) -> None:
    (command,) = kept(lambda: Outcome(lost=ONE), executing=executing)
    assert "compute_identity write" in command
    assert said == [f"put back /var/lib/nova/compute_id: Nova has this host as {ONE}"]


@pytest.mark.parametrize("executing", [False, True])
def test_what_is_right_is_left_alone(said: list[str], executing: bool) -> None:
    assert kept(Outcome, executing=executing) == []
    assert said == []


def test_what_is_wrong_ends_the_run() -> None:
    with pytest.raises(OperationError, match="compute1: it was renamed"):
        kept(lambda: Outcome(fault="it was renamed"), executing=False)
    (command,) = kept(lambda: Outcome(fault="it was renamed"), executing=True)
    assert "it was renamed" in command and command.endswith(">&2; exit 1")


# --- what the preflight could not see yet ---------------------------------------------------------


class Controller:
    """A primary controller that counts how often it is asked."""

    def __init__(self, **answer: Any) -> None:
        self.answer, self.asked = answer, 0
        self.name, self.state = "controller", Run(is_executing=True)

    def get_fact(self, *_: Any, **__: Any) -> dict[str, Any]:
        self.asked += 1
        return self.answer


def pending(**changes: Any) -> KnownComputes:
    known = Case().known(**changes)
    known.nova = NovaComputes(error="1045: Access denied", early=True)
    return known


def settled(known: KnownComputes, controller: Any, *, executing: bool) -> list[Outcome]:
    host = SimpleNamespace(name="compute1", state=Run(is_executing=executing))
    with ctx_host.use(host):
        return [known.settled(compute, controller) for compute in known.scope.computes]


def test_in_a_plan_nobody_asks_again() -> None:
    controller = Controller()
    assert settled(pending(), controller, executing=False) == [Outcome(), Outcome()]
    assert controller.asked == 0


def test_while_operations_run_it_is_asked_once_for_all_computes() -> None:
    nodes = [node(ONE, "compute1"), node(TWO, "compute2")]
    services, guests = {"compute1": 68, "compute2": 68}, {"compute1": GUESTS}
    answer = {"nodes": nodes, "services": services, "error": None, "early": False}
    controller = Controller(**answer, guests={})
    first, second = settled(pending(identities=[]), controller, executing=True)
    assert (first.lost, second.fault, second.lost) == (ONE, None, None)
    assert controller.asked == 1
    first, _ = settled(pending(), Controller(**answer, guests=guests), executing=True)
    assert first.fault and "Nova has 8 guests" in first.fault


@pytest.mark.parametrize("answer", [{}, {"error": "2013: Lost connection", "early": True}])
def test_what_still_gives_no_answer_starts_no_compute(answer: dict[str, Any]) -> None:
    controller = Controller(**answer)
    for outcome in settled(pending(identities=[]), controller, executing=True):
        assert outcome.fault and outcome.fault.startswith("what Nova has of computes is not known")
        assert outcome.lost is None
    assert controller.asked == 1
