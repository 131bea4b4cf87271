"""files/nova_computes.py: what Nova has of its computes, and what is no answer."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import nova_computes
import pytest

from pyinfra_nova.resources.compute_identity import NovaComputes, nova_question
from pyinfra_nova.resources.host_report import HostReport, PrimaryReport, Report, questions
from pyinfra_nova.run.known_computes import questions_about
from pyinfra_nova.session.host_script import RUNNER, script_input
from pyinfra_nova.site.run_scope import scope_of

from .mysql_stand_in import Databases, Fault, Server, SqlError, serving
from .site_data import site

ONE, TWO = "11111111-0000-4000-8000-000000000000", "22222222-0000-4000-8000-000000000000"
GUEST = "457eb676-33da-42ec-9a8c-000000000001"


def databases() -> Databases:
    nodes: list[dict[str, Any]] = [
        {"uuid": ONE, "host": "compute1", "hypervisor_hostname": "compute1.example.org"},
        {"uuid": TWO, "host": None, "hypervisor_hostname": "compute2"},
        {"uuid": TWO, "host": "compute2", "hypervisor_hostname": None},
    ]
    return {
        "nova": {
            "compute_nodes": nodes,
            "services": [{"host": "compute1", "version": 64}],
            "instances": [{"uuid": GUEST, "host": "compute1"}],
        }
    }


def asked(server: Server, *, there: bool = False) -> NovaComputes:
    where = site()
    request: dict[str, Any] = nova_question(where, where.computes, there=there)
    request["database"] |= {"host": "127.0.0.1", "port": server.port}
    return NovaComputes.model_validate(nova_computes.answer(request))


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server of this machine's own is asked as root."""
    monkeypatch.setattr(nova_computes.nova_state, "SOCKETS", ())


def test_one_query_for_each_table_tells_all() -> None:
    with serving(Server(databases())) as server:
        found = asked(server, there=True)
    assert found.error is None
    assert [n.model_dump() for n in found.nodes] == [
        {"uuid": ONE, "host": "compute1", "name": "compute1.example.org"}
    ]
    assert (found.services, found.guests) == ({"compute1": 64}, {"compute1": [GUEST]})
    nodes, services, guests = server.statements
    assert nodes.endswith("FROM `nova`.`compute_nodes` WHERE deleted = 0")
    assert services.endswith(" WHERE deleted = 0 AND `binary` = 'nova-compute'")
    assert guests.endswith(
        " WHERE deleted = 0 AND launched_at IS NOT NULL AND host IN ('compute1', 'compute2')"
    )


@pytest.mark.parametrize("there", [{}, {"nova": {}}], ids=["no database", "no tables"])
def test_before_a_first_deploy_there_is_nothing(there: Databases) -> None:
    with serving(Server(there)) as server:
        found = asked(server)
        assert (found.error, found.nodes, found.services, found.guests) == (None, [], {}, {})
        late = asked(server, there=True)
    assert late.error and ("1049" in late.error or "1146" in late.error)


@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize(
    "fault",
    [Fault(1047), Fault(1205), Fault(2013, "closed"), Fault(2013, "half an answer")],
    ids=str,
)
def test_a_server_that_fails_at_any_moment_says_nothing_of_nodes(at: int, fault: Fault) -> None:
    with serving(Server(databases(), fault=fault, at=at)) as server:
        found = asked(server)
    assert found.error and not found.early
    assert (found.nodes, found.services, found.guests) == ([], {}, {})


def test_an_account_that_is_still_to_be_made_is_waited_for() -> None:
    with serving(Server(databases(), refuses={"nova": SqlError(1045, "Access denied")})) as server:
        found = asked(server)
    assert found.error and "1045" in found.error and found.early


def test_root_of_a_local_server_sees_it_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(Server(databases(), refuses={"nova": SqlError(1045, "Access denied")})) as server:
        as_root = {"host": "127.0.0.1", "port": server.port, "user": "root", "password": ""}
        monkeypatch.setattr(
            nova_computes.nova_state,
            "connect_as_root",
            lambda _: nova_computes.sql.connect("local", **as_root),
        )
        found = asked(server)
    assert (found.error, found.early, len(found.nodes)) == (None, False, 1)


def test_the_primary_controllers_report_brings_it_along() -> None:
    """The whole report, as a host runs it."""
    where = site()
    mine = where.hosts["controller"]
    asked_for = questions_about(scope_of(where, where.hosts), mine)
    with serving(Server(databases())) as server:
        asked_for["nova"]["database"] |= {"host": "127.0.0.1", "port": server.port}
        stdin = script_input("host_report", questions(**asked_for), PrimaryReport.uses)
        done = subprocess.run(
            [sys.executable, "-c", RUNNER], input="".join(stdin), capture_output=True, text=True
        )
    assert done.returncode == 0, done.stderr
    report = Report.of(json.loads(done.stdout))
    assert isinstance(report, Report) and report.nova_computes
    assert (report.nova_computes.error, len(report.nova_computes.nodes)) == (None, 1)
    assert report.compute is None


def test_a_computes_report_says_who_it_is() -> None:
    where = site()
    asked_for = questions_about(scope_of(where, where.hosts), where.hosts["compute1"])
    stdin = script_input("host_report", questions(**asked_for), HostReport.uses)
    done = subprocess.run(
        [sys.executable, "-c", RUNNER], input="".join(stdin), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    report = Report.of(json.loads(done.stdout))
    assert isinstance(report, Report) and report.compute
    assert report.nova_computes is None


def test_before_novas_packages_are_there_nobody_can_look(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: Any, **__: Any) -> Any:
        raise nova_computes.sql.NotInstalledError("PyMySQL is not installed")

    monkeypatch.setattr(nova_computes.nova_state.sql, "connect", absent)
    found = asked(Server(port=1))
    assert (found.error, found.early) == ("PyMySQL is not installed", True)
