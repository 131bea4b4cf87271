"""files/audit/cloud_audit.py: a finding is what is found twice, in records that were read twice."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import broker_queues
import cloud_audit
import evidence
import finding
import heartbeats
import placement_records
import pytest
from sql import NoAnswerError

from pyinfra_nova.audit.report import Audit

from .audit_stand_in import NOW, Cloud, needing, stand_in_for


@needing("databases")
def strangers(seen: Any) -> Iterator[dict[str, Any]]:
    for row in seen.databases["services"]:
        yield finding.finding("service-of-a-stranger", row["host"], "is odd", "none", key="s")


@needing("databases", "placement")
def others(seen: Any) -> Iterator[dict[str, Any]]:
    yield from ()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    found: list[float] = []
    monkeypatch.setattr(cloud_audit.time, "sleep", found.append)
    return found


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch, pauses: list[float]) -> Cloud:
    cloud = Cloud()
    stand_in_for(cloud, monkeypatch)
    monkeypatch.setattr(evidence.placement_records, "read", lambda _: {"providers": []})
    monkeypatch.setattr(cloud_audit, "DETECTORS", (strangers, others))
    monkeypatch.setattr(cloud_audit.figures, "of", lambda _: None)
    return cloud


def audit(cloud: Cloud) -> Audit:
    """What is answered, which the command has to be able to read."""
    return Audit.model_validate(cloud_audit.answer(cloud.request()))


def test_without_findings_there_is_one_look(cloud: Cloud, pauses: list[float]) -> None:
    found = audit(cloud)
    assert (found.findings, found.skipped, found.silent) == ([], {}, {})
    assert (cloud.reads, pauses) == (1, [])


def test_what_is_found_twice_is_said_once(cloud: Cloud, pauses: list[float]) -> None:
    cloud.service("s9", "compute9")
    assert [each.key for each in audit(cloud).findings] == ["service-of-a-stranger/compute9/s"]
    assert (cloud.reads, pauses) == (2, [cloud_audit.PAUSE])


def test_what_has_gone_a_second_later_is_not_said(cloud: Cloud) -> None:
    cloud.service("s8", "compute8")
    cloud.service("s9", "compute9")
    cloud.at_read[2] = lambda: cloud.services.pop("s9")
    assert [each.where for each in audit(cloud).findings] == ["compute8"]


def test_what_has_come_meanwhile_is_for_the_next_audit(cloud: Cloud) -> None:
    cloud.service("s8", "compute8")
    cloud.at_read[2] = lambda: cloud.service("s9", "compute9")
    assert [each.where for each in audit(cloud).findings] == ["compute8"]


def test_a_second_look_without_an_answer_finds_nothing_and_says_so(cloud: Cloud) -> None:
    cloud.service("s9", "compute9")
    error = NoAnswerError("db:3306", 2013, "Lost connection")
    cloud.at_read[2] = lambda: setattr(cloud, "databases_fail", error)
    found = audit(cloud)
    assert found.findings == []
    assert found.silent == {"databases": "db:3306: 2013: Lost connection"}
    assert found.skipped == {"strangers": ["databases"], "others": ["databases"]}


@pytest.fixture
def deaf(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A request of a cloud in which nobody listens for compute1, which has reported just now."""
    monkeypatch.setattr(cloud_audit, "DETECTORS", (heartbeats.deaf_services,))
    cloud.service("s1", "compute1", beat=5)
    request = cloud.request()
    process = {"unit": "nova-compute", "pid": 7, "since": NOW - 9e5}
    host = {"processes": {"nova-compute": process}, "time": NOW}
    request["expected"]["names"] = {"compute1": "compute1"}
    return {**request, "hosts": {"compute1": host}}


def test_a_service_is_deaf_that_reports_though_nobody_listens_and_still_does_not_after_that(
    cloud: Cloud, deaf: dict[str, Any], pauses: list[float]
) -> None:
    cloud.at_read[2] = lambda: cloud.services["s1"].update(beat=-9)
    found = cloud_audit.answer(deaf)["findings"]
    assert [each["kind"] for each in found] == ["service-deaf"]
    assert (cloud.lists, pauses) == (2, [12.0])


def test_a_service_that_is_being_restarted_is_not_deaf(cloud: Cloud, deaf: dict[str, Any]) -> None:
    """Its old process listens no more, and its new one has not reported."""
    assert cloud_audit.answer(deaf)["findings"] == []


def test_a_service_that_listens_again_is_not_deaf(cloud: Cloud, deaf: dict[str, Any]) -> None:
    cloud.at_read[2] = lambda: cloud.services["s1"].update(beat=-9)
    cloud.at_list[2] = lambda: setattr(
        cloud, "queues", {"compute.compute1": {"messages": 0, "consumers": 1}}
    )
    assert cloud_audit.answer(deaf)["findings"] == []


def test_a_list_that_was_brought_along_is_not_looked_at_twice(
    cloud: Cloud, deaf: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is of a while ago, so the broker itself is asked the second time."""
    listening = {"compute.compute1": {"messages": 0, "consumers": 1}}
    monkeypatch.setattr(evidence.own_queues, "read", lambda _: listening)
    cloud.at_read[2] = lambda: cloud.services["s1"].update(beat=-9)
    assert cloud_audit.answer({**deaf, "queues": cloud.queues})["findings"] == []


def test_a_source_that_was_silent_first_stays_so(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def read(_: Any) -> Any:
        asked.append(1)
        raise OSError("no route")

    monkeypatch.setattr(evidence.placement_records, "read", read)
    cloud.service("s9", "compute9")
    found = audit(cloud)
    assert (len(found.findings), found.skipped) == (1, {"others": ["placement"]})
    assert asked == [1]


def test_an_answer_in_another_form_makes_the_source_silent(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy's page of its own in JSON, say."""
    monkeypatch.setattr(evidence.placement_records, "read", lambda _: {"x": 1}["inventories"])
    found = audit(cloud)
    said = "it answers in another form than is known: KeyError('inventories')"
    assert found.silent == {"placement": said}


def test_the_time_for_which_hosts_were_asked_is_added_to_what_is_left_alone(cloud: Cloud) -> None:
    first = evidence.gathered({**cloud.request(), "hosts_took": 90.0})
    assert first.hosts_took == 90.0
    first.now -= 30
    assert evidence.again(cloud.request(), first).hosts_took == 120.0


def test_rows_that_were_brought_along_are_taken_for_what_they_are() -> None:
    request = {"broker": {"virtual_host": "/"}, "queues": {"q": {"messages": 0, "consumers": 1}}}
    assert broker_queues.read(request) == request["queues"]
    assert placement_records.read({"placement": {"providers": []}}) == {"providers": []}


def test_a_node_of_the_broker_that_gave_none_makes_the_source_silent() -> None:
    request = {"broker": {"virtual_host": "/"}, "queues": None, "queues_error": "rmq1 is gone"}
    with pytest.raises(broker_queues.NoQueuesError, match="rmq1 is gone"):
        broker_queues.read(request)
    assert broker_queues.answer(request) == {"error": "rmq1 is gone"}


def test_placement_without_a_database_here_is_left_to_its_api() -> None:
    request = {"placement_database": "placement", "database": {"host": "192.0.2.1"}}
    assert placement_records.answer(request) == {"placement": None}
