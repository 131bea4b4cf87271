"""files/site_proof.py: what the databases and the broker have to show of the present processes."""

from __future__ import annotations

import struct
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest
import site_proof

NAMES = {"api": "nova_api", "cell0": "nova_cell0", "cell1": "nova"}
ADDRESS = "10.0.0.31"
PROCESS = 100.0
"""Seconds that every process has run."""


NOW = 1_800_000_000.0


def ago(seconds: float) -> datetime:
    """That long ago, as pymysql gives the times of Nova's databases: UTC, without saying so."""
    return datetime.fromtimestamp(NOW - seconds, tz=timezone.utc).replace(tzinfo=None)


def service(binary: str = "nova-compute", host: str = "compute1", **changes: Any) -> dict[str, Any]:
    row = {"binary": binary, "host": host, "last_seen_up": ago(5), "forced_down": 0}
    return {**row, "disabled": 0, "disabled_reason": None, **changes}


def node(host: str = "compute1", **changes: Any) -> dict[str, Any]:
    row = {"host": host, "hypervisor_hostname": host, "host_ip": ADDRESS, "mapped": 1}
    return {**row, "written": ago(PROCESS - 5), **changes}


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What is found in rows of services, nodes and mappings, for processes of a given age."""

    def found(
        services: list[dict[str, Any]],
        nodes: list[dict[str, Any]],
        mapped: tuple[str, ...] = ("compute1",),
        age: float | None = PROCESS,
        changes: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        tables = {
            "services": services,
            "compute_nodes": nodes,
            "host_mappings": [{"host": host} for host in mapped],
            "migrations": [{"host": "compute1", "guests": 2}],
        }

        def rows(_: Any, name: str, table: str, what: str, more: str = "") -> list[dict[str, Any]]:
            """Nova keeps rows of what was deleted in a cell, of other daemons, too."""
            assert name == ("nova_api" if table == "host_mappings" else "nova")
            assert (" WHERE deleted = 0" in more) == (table != "host_mappings")
            assert ("`binary` IN ('nova-compute', " in more) == (table == "services")
            assert all(column in what for row in tables[table] for column in row)
            return tables[table]

        monkeypatch.setattr(site_proof.nova_state, "read_if_there", rows)
        monkeypatch.setattr(site_proof.time, "time", lambda: NOW)
        request = {
            "names": NAMES,
            "known": {"nova-compute": ["compute1"], "nova-conductor": ["controller"]},
            "services": {"nova-compute": {"compute1": age}},
            "computes": {"compute1": ADDRESS},
            "margin": 1.5,
            "delay": 30,
            "down_time": 60,
            "broker": None,
            "queues": {},
            **(changes or {}),
        }
        answer: dict[str, Any] = site_proof.look(None, NOW, request)
        return answer

    return found


def test_a_compute_that_has_shown_itself_since_it_started_lacks_nothing(look: Any) -> None:
    found = look([service()], [node()])
    assert (found["missing"], found["unmapped"], found["strangers"]) == ({}, [], [])


@pytest.mark.parametrize(
    ("services", "nodes", "said"),
    [
        ([], [], "has not registered"),
        ([service(last_seen_up=None)], [node()], "no heartbeat since its process started"),
        ([service(last_seen_up=ago(101))], [node()], "no heartbeat since its process started"),
        # Stored in whole seconds, it may be that of the process before.
        ([service(last_seen_up=ago(99))], [node()], "no heartbeat since its process started"),
        ([service(last_seen_up=ago(70))], [node()], "its last heartbeat 70 s ago"),
        ([service(forced_down=1)], [node()], "service set --up compute1 nova-compute`"),
        (
            [service(disabled=1, disabled_reason="AUTO: Connection to libvirt lost: 1")],
            [node()],
            "has disabled itself: AUTO: Connection to libvirt lost: 1",
        ),
        ([service()], [], "has no compute node yet"),
        ([service()], [node(host_ip="127.0.0.1")], "address 127.0.0.1 instead of 10.0.0.31"),
        ([service()], [node(written=ago(140))], "not written its resources since"),
        (
            [service()],
            [node(), node(hypervisor_hostname="elsewhere")],
            "2 compute nodes: compute1, elsewhere",
        ),
    ],
)
def test_what_a_compute_has_not_shown_is_said(
    look: Any, services: list[Any], nodes: list[Any], said: str
) -> None:
    (text,) = look(services, nodes)["missing"]["compute1"]
    assert text.startswith("nova-compute ") and said in text.replace("is up but ", "")


def test_a_compute_that_is_forced_down_has_what_was_evacuated_from_it(look: Any) -> None:
    assert look([service(forced_down=1)], [node()])["forced"] == {"compute1": 2}
    assert look([service()], [node()])["forced"] == {}


def test_a_node_may_seem_a_little_older_than_its_process(look: Any) -> None:
    """Its age has grown on its way here, and another controller's clock may be behind."""
    assert look([service()], [node(written=ago(PROCESS + 30))])["missing"] == {}


def test_the_node_of_a_process_that_has_long_run_is_not_judged_by_its_time(look: Any) -> None:
    """Nova does not write it while nothing changes; a clock may have been set after the start."""
    assert look([service()], [node(written=ago(8000))], age=7200)["missing"] == {}


def test_an_operator_may_close_a_compute(look: Any) -> None:
    assert look([service(disabled=1, disabled_reason="a disk")], [node()])["missing"] == {}


def test_a_process_that_nobody_has_looked_at_needs_a_heartbeat_of_late(look: Any) -> None:
    assert look([service(last_seen_up=ago(50))], [node(written=ago(9999))], age=None) == look(
        [service()], [node()]
    )


def test_a_service_that_never_sent_a_heartbeat_is_not_said_to_have_sent_one(look: Any) -> None:
    (text,) = look([service(last_seen_up=None)], [node()], age=None)["missing"]["compute1"]
    assert text == "nova-compute has never sent a heartbeat"


def test_a_compute_without_a_mapping_is_unmapped_and_its_flag_is_told(look: Any) -> None:
    found = look([service()], [node()], mapped=())
    assert (found["unmapped"], found["flagged"]) == (["compute1"], True)
    assert look([service()], [node(mapped=0)], mapped=())["flagged"] is False


def test_what_nobody_named_is_a_stranger(look: Any) -> None:
    services = [service(), service(host="compute10"), service("nova-conductor", "old")]
    found = look(services, [node(), node("compute10")], mapped=("compute1", "compute10"))
    assert found["strangers"] == [
        "service nova-compute on compute10",
        "service nova-conductor on old",
        "compute node of compute10",
        "cell mapping of compute10",
    ]


@pytest.mark.parametrize(
    ("counts", "found"),
    [
        ({"compute.compute1": 1, "conductor.controller": 2}, {}),
        (
            {"compute.compute1": None, "conductor.controller": 2},
            {"compute1": "nobody listens on queue compute.compute1"},
        ),
        (
            {"compute.compute1": 1, "conductor.controller": 0},
            {"controller": "nobody listens on queue conductor.controller"},
        ),
        (
            {"compute.compute1": 2, "conductor.controller": 2},
            {"compute1": "another nova-compute says that it is compute1"},
        ),
    ],
)
def test_every_queue_has_somebody_who_listens_and_a_computes_has_one(
    counts: dict[str, int | None], found: dict[str, str]
) -> None:
    request = {"queues": {"compute.compute1": 1, "conductor.controller": None}}
    said = site_proof.crowds(counts, request)
    assert said.keys() == found.keys()
    for host, text in found.items():
        assert text in said[host][0]


def test_a_host_with_both_faults_has_both_said() -> None:
    request = {"queues": {"compute.aio": 1, "conductor.aio": None}}
    said = site_proof.crowds({"compute.aio": 2, "conductor.aio": 0}, request)["aio"]
    assert [text.partition(":")[0] for text in said] == [
        "nobody listens on queue conductor.aio",
        "2 listen on queue compute.aio",
    ]


def test_a_name_with_dots_is_whole() -> None:
    said = site_proof.unheard({}, {"queues": {"compute.c1.example.org": 1}})
    assert list(said) == ["c1.example.org"]


# --- the broker -----------------------------------------------------------------------------------

BROKER = {"hosts": ["mq1", "mq2"], "port": 5672, "user": "o", "password": "p", "virtual_host": "/"}
QUEUES = {"compute.compute1": 1}


@pytest.fixture
def brokers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What each broker says of its queues, or does instead; and who was asked, under "asked"."""
    said: dict[str, Any] = {"asked": []}

    def consumers(request: dict[str, Any], queues: dict[str, int | None]) -> dict[str, int]:
        said["asked"].append(request["host"])
        assert request == {**BROKER, "host": request["host"]} and queues == QUEUES
        if isinstance(found := said[request["host"]], Exception):
            raise found
        counts: dict[str, int] = found
        return counts

    monkeypatch.setattr(site_proof.messaging, "consumers", consumers)
    return said


LISTENS = {"compute.compute1": 1}
DENIED = ConnectionError("403 ACCESS_REFUSED")


@pytest.mark.parametrize(
    ("mq1", "mq2", "found", "asked"),
    [
        (LISTENS, OSError("away"), (LISTENS, None), ["mq1"]),
        (OSError("away"), LISTENS, (LISTENS, None), ["mq1", "mq2"]),
        (struct.error("half"), LISTENS, (LISTENS, None), ["mq1", "mq2"]),
        (OSError("away"), DENIED, ({}, f"RabbitMQ at mq2:5672: {DENIED}"), ["mq1", "mq2"]),
    ],
)
def test_the_first_broker_that_answers_tells_of_the_queues(
    brokers: dict[str, Any], mq1: Any, mq2: Any, found: Any, asked: list[str]
) -> None:
    brokers.update(mq1=mq1, mq2=mq2)
    assert site_proof.consumers({"broker": BROKER, "queues": QUEUES}) == found
    assert brokers["asked"] == asked


def test_queues_are_counted_once_every_service_has_shown_itself(
    look: Any, brokers: dict[str, Any]
) -> None:
    brokers.update(mq1={"compute.compute1": 0})
    with_broker = {"broker": BROKER, "queues": QUEUES}
    found = look([service()], [node()], changes=with_broker)
    said = "nobody listens on queue compute.compute1: no call to it is answered"
    assert (found["missing"], found["error"]) == ({"compute1": [said]}, None)
    assert brokers["asked"] == ["mq1"]
    found = look([], [node()], changes=with_broker)
    assert found["missing"] == {"compute1": ["nova-compute has not registered"]}
    assert brokers["asked"] == ["mq1"]


def test_a_compute_without_a_node_is_said_to_be_two_where_two_listen_for_it(
    brokers: dict[str, Any],
) -> None:
    """Each takes the other's node for one that is no more, and removes it."""
    brokers.update(mq1={"compute.compute1": 2})
    request = {"broker": BROKER, "queues": QUEUES}
    no_node = "nova-compute is up but has no compute node yet"

    def missing(answer: dict[str, Any]) -> Any:
        return site_proof.explained(answer, request)["missing"]

    two = "2 listen on queue compute.compute1: another nova-compute says that it is compute1"
    found = {"missing": {"compute1": [no_node]}, "error": None}
    assert missing(found) == {"compute1": [no_node, two]}
    assert missing(found) == {"compute1": [no_node, two]}
    assert missing({"missing": {}, "error": None}) == {}
    brokers.update(mq1=OSError("away"), mq2=OSError("away, too"))
    assert missing({"missing": {"compute1": [no_node]}, "error": None}) == {"compute1": [no_node]}


def test_a_broker_that_does_not_answer_says_of_nobody_that_he_does_not_listen(
    look: Any, brokers: dict[str, Any]
) -> None:
    brokers.update(mq1=OSError("away"), mq2=OSError("away, too"))
    found = look([service()], [node()], changes={"broker": BROKER, "queues": QUEUES})
    assert (found["missing"], found["error"]) == ({}, "RabbitMQ at mq2:5672: away, too")


# --- waiting, and the whole answer ----------------------------------------------------------------


def test_every_service_of_a_host_is_said(look: Any) -> None:
    services = {"nova-compute": {"compute1": 5.0}, "nova-conductor": {"compute1": 5.0, "b": None}}
    found = look([service("nova-conductor", "b")], [], changes={"services": services})
    assert found["missing"] == {
        "compute1": ["nova-compute has not registered", "nova-conductor has not registered"]
    }


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What is found at each look in turn, at the last one again and again; POLL passes between."""
    found: list[dict[str, Any]] = []
    clock = {"now": 50.0}
    begun: list[float] = []

    def look(_: Any, since: float, __: Any) -> dict[str, Any]:
        begun.append(since)
        assert set(begun) == {NOW}, "ages of processes are of the beginning"
        return found.pop(0) if len(found) > 1 else found[0]

    def sleep(seconds: float) -> None:
        clock["now"] += seconds

    monkeypatch.setattr(site_proof, "look", look)
    fake = SimpleNamespace(
        time=lambda: NOW + clock["now"] - 50, monotonic=lambda: clock["now"], sleep=sleep
    )
    monkeypatch.setattr(site_proof, "time", fake)
    return found


SHOWN: dict[str, Any] = {"missing": {}, "error": None, "unmapped": []}
LACKING = {**SHOWN, "missing": {"compute1": ["nova-compute has not registered"]}}
SILENT = {**SHOWN, "error": "RabbitMQ at mq1:5672: away"}


@pytest.mark.parametrize(
    ("found", "wait", "last"),
    [
        ([SHOWN, LACKING], 60, SHOWN),
        ([LACKING, SILENT, SHOWN], 60, SHOWN),
        ([LACKING], 60, LACKING),
        ([SILENT], 60, SILENT),
        ([LACKING, LACKING, LACKING, SHOWN], 1, LACKING),
    ],
)
def test_it_is_waited_until_all_is_shown_or_the_time_is_over(
    looks: list[dict[str, Any]], found: list[dict[str, Any]], wait: float, last: dict[str, Any]
) -> None:
    looks += found
    assert site_proof.wait(None, {"wait": wait}) == last


def test_where_the_databases_cannot_be_read_nothing_is_shown_and_no_api_is_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []

    def ask(api: Any) -> str:
        asked.append(api)
        return "found"

    monkeypatch.setattr(site_proof.compute_api, "answer", ask)
    request = {"computes": {"compute1": ADDRESS}, "api": {"auth_url": "x"}}

    def answer(found: Any, error: Any, early: bool = False, **changes: Any) -> dict[str, Any]:
        def looked(_: Any, read: Any) -> Any:
            assert read is site_proof.wait
            return found, error, early

        monkeypatch.setattr(site_proof.nova_state, "look", looked)
        said: dict[str, Any] = site_proof.answer({**request, **changes})
        return said

    assert answer(None, OSError("1205: Lock wait timeout"), True) == {
        "missing": {},
        "forced": {},
        "unmapped": ["compute1"],
        **{"flagged": False, "strangers": [], "joining": []},
        "closed": {},
        "unseen": ["compute1"],
        "error": "1205: Lock wait timeout",
        "early": True,
        "api": None,
    }
    # What root has found comes with the refusal of Nova's own user.
    assert answer(dict(SHOWN), OSError("1045: denied"))["error"] == "1045: denied"
    assert answer(dict(SILENT), None)["error"] == SILENT["error"]
    assert asked == []
    assert answer(dict(SHOWN), None) == {**SHOWN, "early": False, "api": "found"}
    assert answer(dict(SHOWN), None, api=None)["api"] is None
    assert asked == [{"auth_url": "x"}]


def test_computes_that_take_no_new_guests_are_said_with_the_reason(look: Any) -> None:
    closed = service(disabled=1, disabled_reason="new memory")
    assert look([closed], [node()])["closed"] == {"compute1": "new memory"}
    assert look([service(disabled=1)], [node()])["closed"] == {"compute1": ""}
    found = look([service()], [node()])
    assert (found["closed"], found["unseen"]) == ({}, [])
    assert look([], [])["unseen"] == ["compute1"]
