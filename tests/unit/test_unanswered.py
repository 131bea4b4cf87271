"""What operations do with what a database answered or did not, in a plan and while they run.

The answers are those of the scripts themselves, from a server that fails where it is told to.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nova_state
import pytest
import units as units_script
from pydantic import SecretStr
from pyinfra.api import OperationError
from pyinfra.context import ctx_host

from pyinfra_nova.proof import stage
from pyinfra_nova.resources import (
    cells,
    config_files,
    databases,
    http_answers,
    hugepages,
    libvirt_secrets,
    messaging,
    security,
    timers,
    units,
)
from pyinfra_nova.session import steps
from pyinfra_nova.session.host_script import script_input

from .mysql_stand_in import Fault, Server, SqlError
from .nova_databases import Site, alone, cut_off, deployed, folders, site
from .test_cells import DATABASES
from .test_host_plan import controller

__all__ = ["alone", "folders"]
Folders = dict[str, str]
Answer = dict[str, Any]
REFUSAL = SqlError(1045, "Access denied for user 'nova'@'controller'")
PRIMARY = controller()
PROOFS = stage.Proofs({"controller": PRIMARY}, {})


@pytest.fixture(autouse=True)
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    texts: list[str] = []
    for module in (cells, databases, libvirt_secrets, stage, steps):
        monkeypatch.setattr(module, "say", texts.append)
    return texts


class Run:
    """What of pyinfra's state is asked for; as that is, one of a kind."""

    def __init__(self, *, is_executing: bool) -> None:
        self.is_executing = is_executing


@contextmanager
def on_a_host(answer: Answer, *, executing: bool) -> Iterator[None]:
    state = Run(is_executing=executing)
    host = SimpleNamespace(name="controller", state=state, get_fact=lambda *_, **__: answer)
    with ctx_host.use(host):
        yield


def commands(operation: Any, answer: Answer, *arguments: Any, executing: bool) -> list[str]:
    with on_a_host(answer, executing=executing):
        return [str(command) for command in operation._inner(*arguments)]


def with_units(answer: Answer) -> Answer:
    cell_mappings = {key: answer[key] for key in ("error", "early")}
    return {"units": [], "daemon_reload": False, "processes": {}, "cells": cell_mappings}


# Each with how the script that it asks is asked.
OPERATIONS: dict[str, Any] = {
    "cells": lambda answer, **how: commands(cells.converged, answer, DATABASES, **how),
    "mapped": lambda answer, **how: commands(stage.mapped, answer, PRIMARY, PROOFS, **how),
    "units": lambda answer, **how: commands(
        units.running, with_units(answer), [units.Unit("x")], DATABASES, **how
    ),
}


def answered(asked: Site, operation: str) -> Answer:
    """What the script that OPERATION asks says of a site."""
    return asked.prove() if operation == "mapped" else asked.read()


each_operation = pytest.mark.parametrize("operation", OPERATIONS)


# --- Nova's databases -----------------------------------------------------------------------------


@each_operation
@pytest.mark.parametrize(
    "fault", [Fault(1047), Fault(1205), Fault(1020), Fault(2013, "closed"), Fault(1040)], ids=str
)
def test_a_server_that_fails_ends_plan_and_run_with_its_words(
    folders: Folders, operation: str, fault: Fault
) -> None:
    for at in (0, 1, 3):
        with site(deployed(), folders, fault=fault, at=at) as asked:
            answer = answered(asked, operation)
        with pytest.raises(OperationError, match=f"could not be read: .*: {fault.number}: "):
            OPERATIONS[operation](answer, executing=False)
        (only,) = OPERATIONS[operation](answer, executing=True)
        assert f": {fault.number}: " in only and only.endswith(">&2; exit 1")


@each_operation
def test_a_server_that_is_away_ends_plan_and_run(folders: Folders, operation: str) -> None:
    answer = answered(Site(Server(port=1), folders), operation)
    with pytest.raises(OperationError, match="1: 2003: Can't connect"):
        OPERATIONS[operation](answer, executing=False)
    (only,) = OPERATIONS[operation](answer, executing=True)
    assert "2003: Can" in only and only.endswith(">&2; exit 1")


@each_operation
def test_half_an_answer_of_a_script_ends_plan_and_run(operation: str) -> None:
    # pyinfra gives {} for a script that printed nothing.
    def asked(*, executing: bool) -> list[str]:
        if operation == "units":
            return commands(units.running, {}, [units.Unit("x")], DATABASES, executing=executing)
        return list(OPERATIONS[operation]({}, executing=executing))

    with pytest.raises(OperationError, match="answered"):
        asked(executing=False)
    (only,) = asked(executing=True)
    assert "answered" in only and only.endswith(">&2; exit 1")


@each_operation
def test_an_account_that_the_run_itself_puts_right_is_waited_for_by_a_plan_alone(
    folders: Folders, operation: str, said: list[str]
) -> None:
    with site(deployed(), folders, refuses={"nova": REFUSAL}) as asked:
        answer = answered(asked, operation)
    planned = OPERATIONS[operation](answer, executing=False)
    assert not any("nova-manage api_db" in c or "create_cell" in c for c in planned)
    (only,) = OPERATIONS[operation](answer, executing=True)
    assert "1045: Access denied" in only and only.endswith(">&2; exit 1")


def test_a_plan_says_what_it_cannot_see_and_claims_no_change_of_it(
    folders: Folders, said: list[str]
) -> None:
    with site(deployed(), folders, refuses={"nova": REFUSAL}) as asked:
        answer, proof = asked.read(), asked.prove()
    assert len(OPERATIONS["cells"](answer, executing=False)) == 1
    (text,) = said
    assert text.startswith("compare schemas and cells once nova_api, nova_cell0, nova can be read")
    assert "1045: Access denied" in text
    said.clear()
    assert len(OPERATIONS["mapped"](proof, executing=False)) == 1
    assert said == ["map compute1 to cell1 where they are not yet"]


def test_a_host_without_the_client_is_planned_as_one_with_empty_databases(
    folders: Folders, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pymysql", None)
    answer = nova_state.answer(Site(Server(), folders).request())
    OPERATIONS["cells"](answer, executing=False)
    assert said == [
        "Nova cannot look into its databases yet (PyMySQL is not installed)",
        "bring the schema of nova_api up to date",
        "map cell0",
        "create cell1",
        "bring the schemas of nova_cell0 and nova up to date",
    ]
    (only,) = OPERATIONS["cells"](answer, executing=True)
    assert "PyMySQL is not installed" in only and only.endswith(">&2; exit 1")


def test_a_package_that_is_not_there_yet_makes_no_schema_old_or_empty(
    tmp_path: Path, said: list[str]
) -> None:
    absent = {"api": str(tmp_path / "api"), "main": str(tmp_path / "main")}
    for state, never in ((deployed(), "sync"), (cut_off(), "api_db sync"), (cut_off(), "clear")):
        with site(state, absent) as asked:
            answer = asked.read()
        planned = OPERATIONS["cells"](answer, executing=False)
        assert not any(never in command for command in planned)
        assert said[0].startswith("compare schemas and cells once nova_api")
        (only,) = OPERATIONS["cells"](answer, executing=True)
        assert "Nova is not installed" in only
        said.clear()


def test_a_deployed_site_is_left_alone(folders: Folders, said: list[str]) -> None:
    with site(deployed(), folders) as asked:
        answers = {operation: answered(asked, operation) for operation in OPERATIONS}
    for operation, answer in answers.items():
        for executing in (False, True):
            assert OPERATIONS[operation](answer, executing=executing) == []
    assert said == []


def test_the_time_of_the_cell_mappings_is_told_from_not_knowing_it(folders: Folders) -> None:
    with site(deployed(), folders) as asked:
        seconds, cell_mappings = units_script.cells_read(asked.request())
        assert seconds > 0 and cell_mappings == {"error": None, "early": False}
        asked.server.events, asked.server.at, asked.server.fault = 0, 1, Fault(1205)
        answer = units_script.answer({"units": [], "cells": asked.request()})
    assert ": 1205: " in answer["cells"]["error"] and answer["cells"]["early"] is False


def test_units_without_databases_ask_none() -> None:
    answer = {"units": [], "daemon_reload": False, "processes": {}}
    assert commands(units.running, answer, [units.Unit("x")], executing=True) == []


# --- the server that databases are made on --------------------------------------------------------

BROKER_USER = messaging.BrokerUser("openstack", SecretStr("s3cret"))
USER = databases.DatabaseUser("nova", SecretStr("s3cret"), ("nova_api",))
MISSING = {"name": "nova", "missing": True, "password_differs": False, "missing_grants": []}


def unanswered(error: str, *, early: bool) -> Answer:
    known = {"missing_databases": ["nova_api"], "users": [MISSING]}
    unknown = {"missing_databases": None, "users": None}
    return {"server": None, "error": error, "early": early, **(known if early else unknown)}


@pytest.mark.parametrize(
    "answer",
    [unanswered("mysql.user: 1142: SELECT command denied", early=False), {}],
    ids=["refused", "nothing"],
)
def test_what_a_server_did_not_answer_is_never_created(answer: Answer) -> None:
    words = "1142: SELECT command denied" if answer else "nothing was answered"
    with pytest.raises(OperationError, match=words):
        commands(databases.present, answer, [USER], executing=False)
    (only,) = commands(databases.present, answer, [USER], executing=True)
    assert words in only and only.endswith(">&2; exit 1")


# Each asks a script; an empty answer is what pyinfra makes of one that ends without a word.
ASKING: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "files": (config_files.written, ((),)),
    "units": (units.running, ((units.Unit("x"),),)),
    "huge pages": (hugepages.set_aside, ((), "libvirtd.service")),
    "URLs": (http_answers.answering, ((),)),
    "SELinux and firewalld": (security.allowed, ((), ("8774/tcp",), "10.0.0.11")),
    "timers": (timers.running, (("nova-care-audit.timer",),)),
    "the broker": (messaging.present, (BROKER_USER, "10.0.0.11")),
}


@pytest.mark.parametrize("what", ASKING)
def test_nothing_is_as_it_should_be_because_nothing_was_said_of_it(what: str) -> None:
    operation, arguments = ASKING[what]
    if what != "the broker":  # that an earlier operation of a plan may start
        with pytest.raises(OperationError, match="nothing was answered"):
            commands(operation, {}, *arguments, executing=False)
    (only,) = commands(operation, {}, *arguments, executing=True)
    assert only.endswith(">&2; exit 1")


def test_of_libvirts_secrets_nothing_is_known_where_nothing_was_said() -> None:
    assert len(commands(libvirt_secrets.kept, {}, None, ("uuid",), executing=False)) == 1
    (only,) = commands(libvirt_secrets.kept, {}, None, ("uuid",), executing=True)
    assert "nothing was answered" in only and only.endswith(">&2; exit 1")


def test_a_server_that_an_earlier_operation_starts_is_missing_in_a_plan_alone(
    said: list[str],
) -> None:
    text = "the databases: 2002: Can't connect to local server through socket '/x' (2)"
    answer = unanswered(text, early=True)
    assert len(commands(databases.present, answer, [USER], executing=False)) == 1
    assert said[1:] == ["create database nova_api", "create database user nova"]
    assert said[0] == f"no database server is there yet: {text}"
    (only,) = commands(databases.present, answer, [USER], executing=True)
    assert "2002: Can" in only and "flock" not in only


def test_scripts_come_with_what_they_share() -> None:
    (sent,) = script_input("databases", {}, databases.DatabaseDifferences.uses)
    modules = [name for name, _ in json.loads(sent)["modules"]]
    assert modules == ["trust", "sql", "databases"]
