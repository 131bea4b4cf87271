"""files/audit/repairs.py: only what is found again is mended, and nothing for want of an answer."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import cloud_audit
import pytest
import repair_steps
import repairs
from broker_queues import NoQueuesError
from sql import NoAnswerError

from pyinfra_nova.audit import report

from .audit_stand_in import Cloud, needing, stand_in_for
from .serving import FAULTS, running


def made(kind: str, where: str, key: str, repair: dict[str, Any]) -> dict[str, Any]:
    return {"kind": kind, "where": where, "key": key, "repair": repair}


@needing("databases")
def strangers(evidence: Any) -> Iterator[dict[str, Any]]:
    for row in evidence.databases["services"]:
        if row["host"] != "compute1":
            repair = {"action": "delete-service", "service": row["uuid"], "binary": row["binary"]}
            yield made("stranger", row["host"], f"stranger/{row['uuid']}", repair)


@needing("databases", "placement")
def unused(evidence: Any) -> Iterator[dict[str, Any]]:
    """Allocations of consumers called so."""
    for row in evidence.placement["allocations"]:
        if row["consumer"].startswith("nobody") and row["provider"] != "stays":
            repair = {"action": "delete-allocation", "consumer": row["consumer"]}
            repair |= {} if row["consumer"].endswith("all") else {"providers": [row["provider"]]}
            yield made("unused", row["provider"], f"unused/{row['consumer']}", repair)


@needing("databases")
def unmapped(evidence: Any) -> Iterator[dict[str, Any]]:
    for row in evidence.databases["compute_nodes"]:
        if row["host"].startswith("unmapped"):
            repair = {"action": "map-hosts", "host": row["host"]}
            yield made("unmapped", row["host"], f"unmapped/{row['host']}", repair)


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    monkeypatch.setattr(cloud_audit, "DETECTORS", (strangers, unused, unmapped))
    with running(Cloud()) as cloud:
        stand_in_for(cloud, monkeypatch)
        cloud.service("s1", "compute1", beat=5)
        yield cloud


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commands that are run; each ends with 0."""
    commands: list[str] = []

    def run(words: list[str], **_: Any) -> Any:
        commands.append(" ".join(words))
        return SimpleNamespace(returncode=0, stdout="", stderr="")

    monkeypatch.setattr(subprocess, "run", run)
    return commands


def mend(cloud: Cloud, *keys: str) -> list[tuple[str, str]]:
    """The outcome of each key, with what is said of it."""
    answer = repairs.answer(cloud.request(*keys))
    assert [each["key"] for each in answer["repairs"]] == list(keys)
    return [(each["outcome"], each["said"]) for each in answer["repairs"]]


# --- services -------------------------------------------------------------------------------------


def test_a_stale_service_is_deleted_and_seen_to_be_gone(cloud: Cloud) -> None:
    cloud.service("s9", "compute9")
    assert mend(cloud, "stranger/s9") == [("mended", "deleted nova-compute on compute9")]
    assert cloud.changes() == ["DELETE /compute/v2.1/os-services/s9"]
    assert list(cloud.services) == ["s1"]


def test_a_provider_that_nova_has_left_behind_is_named(cloud: Cloud) -> None:
    cloud.service("s9", "compute9")
    cloud.keeps.add("rp-compute9")
    ((outcome, said),) = mend(cloud, "stranger/s9")
    assert outcome == "mended"
    assert "has left its resource provider rp-compute9 in Placement" in said
    assert "`openstack resource provider delete rp-compute9`" in said


def test_a_service_is_gone_though_nobody_could_say_it_of_its_provider(cloud: Cloud) -> None:
    cloud.service("s9", "compute9")
    cloud.hold("nobody", "rp-a")
    asked = requests_of(cloud, "stranger/s9")
    cloud.service("s9", "compute9")
    cloud.fail(next(at for at, line in enumerate(asked, 1) if line.startswith("DELETE")) + 1, "500")
    (outcome, said), (other, why) = mend(cloud, "stranger/s9", "unused/nobody")
    # The request after it is a login to Placement.
    assert outcome == "mended" and "has gone nobody could say: " in said
    assert other == "untried" and "nothing more was done after this" in why


def _comes_back(cloud: Cloud) -> None:
    cloud.services["s9"].update(beat=10)


def _listens(cloud: Cloud) -> None:
    cloud.queues = {"compute.compute9": {"messages": 0, "consumers": 1}}


def _no_broker(cloud: Cloud) -> None:
    cloud.queues = NoQueuesError("rabbitmqctl ended with 69")


def _is_up(cloud: Cloud) -> None:
    cloud.services["s9"].update(state="up")


def _not_listed(cloud: Cloud) -> None:
    cloud.on["GET /compute/v2.1/os-services"] = lambda: cloud.services.pop("s9")


@pytest.mark.parametrize(
    ("happens", "said"),
    [
        (_comes_back, "sent a heartbeat 10 s ago: stop it there first"),
        (_listens, "somebody listens on compute.compute9"),
        (_no_broker, "still listens: rabbitmqctl ended with 69"),
        (_is_up, "Nova says that nova-compute on compute9 is up"),
        (_not_listed, "Nova lists no nova-compute on compute9"),
    ],
)
def test_a_service_that_may_run_is_not_deleted(cloud: Cloud, happens: Any, said: str) -> None:
    cloud.service("s9", "compute9")
    happens(cloud)
    ((outcome, why),) = mend(cloud, "stranger/s9")
    assert outcome == "refused" and said in why
    assert cloud.changes() == []


def test_a_service_of_the_inventory_is_never_deleted(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    @needing("databases")
    def wrong(evidence: Any) -> Iterator[dict[str, Any]]:
        repair = {"action": "delete-service", "service": "s1", "binary": "nova-compute"}
        yield made("wrong", "compute1", "wrong", repair)

    monkeypatch.setattr(cloud_audit, "DETECTORS", (wrong,))
    cloud.services["s1"].update(beat=9000, state="down")
    assert mend(cloud, "wrong") == [("refused", "the inventory has nova-compute on compute1")]
    assert cloud.changes() == []


def test_novas_own_refusal_is_said_and_the_others_go_on(cloud: Cloud) -> None:
    cloud.service("s8", "compute8")
    cloud.service("s9", "compute9")

    def refuse() -> None:
        from .serving import ApiError

        raise ApiError(409, "Unable to delete compute service that is hosting instances.")

    cloud.on["DELETE"] = refuse
    (refused, why), done = mend(cloud, "stranger/s8", "stranger/s9")
    assert refused == "refused" and "that is hosting instances" in why
    assert done == ("mended", "deleted nova-compute on compute9")


# --- allocations ----------------------------------------------------------------------------------


def test_an_allocation_is_taken_out_and_the_consumers_others_stay(cloud: Cloud) -> None:
    cloud.hold("nobody", "rp-a", 2)
    cloud.hold("nobody", "stays", 3)
    ((outcome, said),) = mend(cloud, "unused/nobody")
    assert (outcome, said) == ("mended", "took what nobody had of rp-a out of Placement")
    assert cloud.held["nobody"] == {"stays": {"VCPU": 3}}
    assert cloud.changes() == ["PUT /placement/allocations/nobody"]


def test_all_that_a_consumer_has_is_taken_where_no_provider_is_named(cloud: Cloud) -> None:
    cloud.hold("nobody-all", "rp-a")
    cloud.hold("nobody-all", "stays")
    ((outcome, _),) = mend(cloud, "unused/nobody-all")
    assert outcome == "mended" and cloud.held["nobody-all"] == {}


def test_who_changes_an_allocation_meanwhile_wins(cloud: Cloud) -> None:
    cloud.hold("nobody", "rp-a")
    cloud.on["PUT"] = lambda: cloud.hold("nobody", "stays")
    ((outcome, why),) = mend(cloud, "unused/nobody")
    assert outcome == "refused" and "consumer generation conflict" in why
    assert cloud.held["nobody"] == {"rp-a": {"VCPU": 1}, "stays": {"VCPU": 1}}


def test_what_changed_between_two_readings_is_left_alone(cloud: Cloud) -> None:
    cloud.hold("nobody", "rp-a")
    cloud.at_read[2] = lambda: cloud.hold("nobody", "rp-a", 4)
    ((outcome, why),) = mend(cloud, "unused/nobody")
    assert (outcome, why) == ("refused", "what nobody has in Placement has just changed")
    assert cloud.changes() == []


# --- commands -------------------------------------------------------------------------------------


def test_one_discovery_maps_all_hosts(cloud: Cloud, ran: list[str]) -> None:
    cloud.nodes |= {"n1": "unmapped1", "n2": "unmapped2"}
    found = mend(cloud, "unmapped/unmapped1", "unmapped/unmapped2")
    assert ran == ["runuser -u nova -- nova-manage cell_v2 discover_hosts --verbose"]
    # It has mapped nobody, and that is said.
    assert found == [("remains", "`nova-manage cell_v2 discover_hosts --verbose` was run")] * 2


def test_a_host_flagged_as_mapped_is_discovered_by_its_service(ran: list[str]) -> None:
    nodes = [{"host": "c1", "mapped": 1}]
    session: Any = SimpleNamespace(seen=SimpleNamespace(databases={"compute_nodes": nodes}))
    session.managed = {}
    repairs.map_hosts(session, {"where": "c1", "repair": {"action": "map-hosts"}}, None)
    assert ran[0].endswith("discover_hosts --verbose --by-service")


def test_what_a_command_has_done_before_its_error_is_seen(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.nodes |= {"n1": "unmapped1", "n2": "unmapped2"}

    def run(*_: Any, **__: Any) -> Any:
        cloud.nodes.pop("n1", None)
        return SimpleNamespace(
            returncode=4, stdout="no mapping for n2\n", stderr="a library warns of eventlet\n"
        )

    monkeypatch.setattr(repair_steps.subprocess, "run", run)
    found = mend(cloud, "unmapped/unmapped1", "unmapped/unmapped2")
    assert [outcome for outcome, _ in found] == ["mended", "remains"]


def test_a_command_that_never_ends_is_the_last(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.nodes |= {"n1": "unmapped1"}

    def run(*_: Any, **__: Any) -> Any:
        raise subprocess.TimeoutExpired("nova-manage", 1)

    monkeypatch.setattr(repair_steps.subprocess, "run", run)
    ((outcome, said),) = mend(cloud, "unmapped/unmapped1")
    assert outcome == "failed" and "has not ended after 600 s" in said


def test_a_command_that_fails_is_the_last(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.nodes |= {"n1": "unmapped1"}
    cloud.service("s9", "compute9")
    failed = SimpleNamespace(returncode=2, stdout="", stderr="ERROR: Duplicate host mapping\n")
    monkeypatch.setattr(repair_steps.subprocess, "run", lambda *_, **__: failed)
    found = mend(cloud, "stranger/s9", "unmapped/unmapped1")
    words = "`nova-manage cell_v2 discover_hosts --verbose` ended with 2: ERROR: Duplicate"
    assert [outcome for outcome, _ in found] == ["untried", "remains"]
    assert all(words in said for _, said in found)
    assert cloud.changes() == []


# --- the fresh look -------------------------------------------------------------------------------


def test_the_command_that_may_fail_though_it_did_its_work_comes_after_all_others() -> None:
    # It ends with 4 where a member of another aggregate has no mapping (nova/cmd/manage.py).
    assert list(repairs.ACTIONS)[-1] == "sync-aggregates"
    assert list(report.ACTIONS) == list(repairs.ACTIONS)


def test_what_is_no_longer_found_is_left_alone(cloud: Cloud) -> None:
    assert mend(cloud, "stranger/s9") == [("unneeded", "it is no longer so")]
    assert cloud.changes() == []


def test_a_reason_that_goes_between_the_looks_is_none(cloud: Cloud) -> None:
    cloud.service("s9", "compute9")
    cloud.at_read[2] = lambda: cloud.services["s9"].update(host="compute1")
    assert mend(cloud, "stranger/s9") == [("unneeded", "it is no longer so")]
    assert cloud.changes() == []


def test_nothing_is_done_where_the_databases_do_not_answer(cloud: Cloud) -> None:
    cloud.service("s9", "compute9")
    cloud.databases_fail = NoAnswerError("db:3306", 2003, "Can't connect")
    ((outcome, why),) = mend(cloud, "stranger/s9")
    assert outcome == "untried" and "databases: db:3306: 2003: Can't connect" in why
    assert cloud.changes() == []


def test_nothing_is_done_where_the_second_look_is_not_answered(cloud: Cloud) -> None:
    cloud.service("s9", "compute9")
    error = NoAnswerError("db:3306", 2013, "Lost connection")
    cloud.at_read[2] = lambda: setattr(cloud, "databases_fail", error)
    ((outcome, _),) = mend(cloud, "stranger/s9")
    assert outcome == "untried" and cloud.changes() == []


def test_what_nobody_can_look_at_afterwards_is_not_called_mended(cloud: Cloud) -> None:
    cloud.service("s9", "compute9")
    error = NoAnswerError("db:3306", 2013, "Lost connection")
    cloud.at_read[3] = lambda: setattr(cloud, "databases_fail", error)
    assert mend(cloud, "stranger/s9") == [("unproven", "deleted nova-compute on compute9")]


def test_a_source_that_was_silent_before_leaves_no_doubt_of_others(cloud: Cloud) -> None:
    """Allocations are not looked at without Placement; the service rests on the databases."""
    cloud.service("s9", "compute9", binary="nova-conductor")
    cloud.fail(2, "500")  # the first page of providers
    assert mend(cloud, "stranger/s9")[0] == ("mended", "deleted nova-conductor on compute9")


def test_many_are_looked_at_in_parts(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repairs, "AT_ONCE", 2)
    for number in range(5):
        cloud.hold(f"nobody{number}", "rp-a")
    found = mend(cloud, *(f"unused/nobody{number}" for number in range(5)))
    assert [outcome for outcome, _ in found] == ["mended"] * 5
    assert cloud.reads == 1 + 3 + 1


# --- services that do not answer ------------------------------------------------------------------


def requests_of(cloud: Cloud, *keys: str) -> list[str]:
    mend(cloud, *keys)
    return list(cloud.asked)


@pytest.mark.parametrize("fault", [name for name in FAULTS if name != "hang"])
def test_nothing_is_done_after_a_request_without_an_answer(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """Every request in turn, up to the first that changes something and that one itself."""

    def prepare() -> None:
        cloud.services = {uuid: its for uuid, its in cloud.services.items() if uuid == "s1"}
        cloud.service("s9", "compute9")
        cloud.held.clear()
        cloud.hold("nobody", "rp-a")

    keys = ("stranger/s9", "unused/nobody")
    prepare()
    asked = requests_of(cloud, *keys)
    changes = [at for at, line in enumerate(asked, 1) if line.startswith(("DELETE", "PUT"))]
    assert len(changes) == 2
    for at in range(1, changes[-1] + 1):
        prepare()
        cloud.fail(at, fault)
        outcomes = [outcome for outcome, _ in mend(cloud, *keys)]
        done = [line for line in cloud.asked[at:] if line.startswith(("DELETE", "PUT"))]
        if "failed" in outcomes:
            assert done == [], (at, asked[at - 1], outcomes)
        else:  # one that an audit makes: what rests on it is not mended
            assert "untried" in outcomes or at > changes[0], (at, asked[at - 1], outcomes)
            assert "PUT /placement/allocations/nobody" not in done


def test_a_change_whose_answer_is_lost_is_no_success(cloud: Cloud) -> None:
    cloud.service("s9", "compute9")
    cloud.hold("nobody", "rp-a")
    asked = requests_of(cloud, "stranger/s9")
    cloud.service("s9", "compute9")
    delete = next(at for at, line in enumerate(asked, 1) if line.startswith("DELETE"))
    cloud.fail(delete, "lost")
    (first, why), (second, _) = mend(cloud, "stranger/s9", "unused/nobody")
    assert (first, second) == ("failed", "untried") and "does not answer" in why
    assert cloud.held.get("nobody")
