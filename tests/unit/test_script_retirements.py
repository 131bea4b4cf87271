"""files/retirements.py: what is left of a compute that is to be none any more, and how it goes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import rest
import retirements

from .retired_stand_in import Cloud, stand_in_for
from .serving import ApiError, Json, running


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Any]]:
    def made() -> Any:
        cloud = Cloud()
        stand_in_for(cloud, monkeypatch)
        return running(cloud)

    yield made


@pytest.fixture
def cloud(make: Callable[[], Any]) -> Iterator[Cloud]:
    with make() as cloud:
        yield cloud


def read(cloud: Cloud, *hosts: str) -> Json:
    found: Json = retirements.answer(cloud.request(hosts=list(hosts or ("compute2",))))
    assert found["error"] is None
    left: Json = found["left"]
    return left if hosts else left["compute2"]


def retire(cloud: Cloud) -> None:
    assert retirements.answer(cloud.request(retire="compute2")) == {}


def refused(cloud: Cloud) -> str:
    with pytest.raises(SystemExit) as ended:
        retire(cloud)
    return str(ended.value)


NOTHING: Json = {
    **{"guests": [], "moves": [], "service": None, "nodes": [], "cell": None, "aggregates": []},
    **{"providers": [], "queues": [], "unconfirmed": [], "unconfirmable": []},
}
ALIVE = {"id": "O2", "kind": "Open vSwitch agent", "alive": True, "bound": 0}
DEAD = {"id": "D2", "kind": "DHCP agent", "alive": False, "bound": 0}


# --- what is read ---------------------------------------------------------------------------------


def test_all_of_it_is_told(cloud: Cloud) -> None:
    cloud.insert("nova.instances", "g1", "compute2", 0)
    cloud.insert("nova.instances", "g2", "compute1", 0)
    cloud.insert("nova.migrations", "m2", "g2", "compute1", "compute2", "running", 0)
    assert read(cloud) == {
        "guests": ["g1"],
        "moves": ["g2"],
        "unconfirmed": [],
        "unconfirmable": [],
        "service": "s2",
        "nodes": ["n2"],
        "cell": "cell-1",
        "aggregates": [{"id": 7, "name": "fast"}],
        "providers": [{"uuid": "n2", "name": "compute2.example.org"}],
        "agents": [DEAD, ALIVE],
        "queues": ["compute.compute2"],
    }


def test_what_is_over_is_not(cloud: Cloud) -> None:
    """Ended moves, moves of guests that are gone, deleted guests, another service's record."""
    cloud.insert("nova.instances", "g1", "compute2", 4)
    cloud.insert("nova.instances", "g2", "compute1", 0)
    cloud.insert("nova.migrations", "m1", "g1", "compute2", "compute1", "running", 0)
    cloud.insert("nova.migrations", "m2", "g2", "compute2", "compute1", "completed", 0)
    cloud.insert("nova.services", "s9", "compute2", "nova-conductor", 0)
    found = read(cloud)
    assert (found["guests"], found["moves"], found["service"]) == ([], [], "s2")
    cloud.insert("nova.migrations", "m3", "g2", "compute2", "compute1", "queued", 0)
    assert read(cloud)["moves"] == ["g2"]


def test_any_number_of_hosts_costs_the_same(cloud: Cloud) -> None:
    """But for agents that are dead: each of those is asked what is bound to it."""
    cloud.agents["D1"]["alive"] = True
    read(cloud)
    one = list(cloud.asked)
    cloud.asked.clear()
    assert set(read(cloud, "compute1", "compute2", "compute9")) == {
        *("compute1", "compute2", "compute9")
    }
    assert cloud.asked == one
    assert len(one) == 7


def test_names_are_compared_whole(cloud: Cloud) -> None:
    """compute2 is neither compute22 nor Compute2, and no part of what they have is its own."""
    for name in ("compute22", "Compute2"):
        cloud.insert("nova.services", f"s-{name}", name, "nova-compute", 0)
        cloud.insert("nova.compute_nodes", f"n-{name}", name, f"{name}.example.org", 0)
        cloud.provider(f"n-{name}", f"{name}.example.org")
        cloud.aggregates["7"]["hosts"].append(name)
    before = cloud.state()
    retire(cloud)
    after = cloud.state()
    assert after["aggregates"]["7"]["hosts"] == ["compute1", "compute22", "Compute2"]
    gone = set(before["providers"]) - set(after["providers"])
    assert gone == {"n2"}
    assert cloud.has("nova.services", "compute22") and cloud.has("nova.services", "Compute2")


def test_a_provider_is_known_by_the_node_that_was(cloud: Cloud) -> None:
    cloud.keeps.add("n2")
    cloud.delete_service("s2")
    assert read(cloud)["providers"] == [{"uuid": "n2", "name": "compute2.example.org"}]
    # Archived, its row says nothing any more; its own name does.
    cloud.sql("DELETE FROM nova.compute_nodes WHERE host = 'compute2'")
    assert read(cloud)["providers"] == []
    cloud.provider("n8", "compute2")
    assert read(cloud)["providers"] == [{"uuid": "n8", "name": "compute2"}]


def test_a_provider_of_another_compute_is_never_its_own(cloud: Cloud) -> None:
    """A node that another host has now, as after a rename, and one of another host's name."""
    cloud.sql("UPDATE nova.compute_nodes SET deleted = 3 WHERE uuid = 'n2'")
    cloud.insert("nova.compute_nodes", "n2", "compute3", "compute2.example.org", 0)
    assert read(cloud)["providers"] == []


def test_what_is_under_a_provider_goes_first(cloud: Cloud) -> None:
    cloud.provider("child", "compute2.example.org_vgpu", "n2")
    cloud.provider("grandchild", "compute2.example.org_vgpu_1", "child")
    cloud.keeps.add("n2")
    names = [each["uuid"] for each in read(cloud)["providers"]]
    assert names == ["grandchild", "child", "n2"]
    retire(cloud)
    assert sorted(cloud.providers) == ["n1"]


def test_a_silent_database_is_told_and_no_api_is_asked(cloud: Cloud) -> None:
    cloud.sql_fails = "PyMySQL is not installed"
    found = retirements.answer(cloud.request())
    assert (found["left"], found["error"]) == ({}, "PyMySQL is not installed")
    assert cloud.asked == []


@pytest.mark.parametrize("table", ["instances", "migrations", "services", "compute_nodes"])
def test_only_before_a_first_deploy_is_a_table_that_is_not_there_an_empty_one(
    cloud: Cloud, table: str
) -> None:
    """A database of another name, or one that is half restored, has no guests either."""
    cloud.sql(f"DROP TABLE nova.{table}")
    assert retirements.answer(cloud.request())["error"] is None
    error = f"nova.{table}: 1146: no such table: nova.{table}"
    assert retirements.answer(cloud.request(there=True)) == {
        **{"left": {}, "error": error, "early": False}
    }
    asked = len(cloud.asked)
    assert error in refused(cloud)
    assert cloud.asked[asked:] == ["POST /v3/auth/tokens", "SQL"]


# --- what goes ------------------------------------------------------------------------------------


def test_all_goes_but_what_lives_and_what_is_anothers(cloud: Cloud) -> None:
    retire(cloud)
    assert read(cloud) == {**NOTHING, "agents": [ALIVE]}
    assert read(cloud, "compute1")["compute1"]["service"] == "s1"
    assert cloud.changes() == [
        *["SQL", "AMQP counts", "AMQP counts", "POST /compute/os-aggregates/7/action"],
        *["DELETE /compute/os-services/s2", "SQL", "AMQP counts", "AMQP delete"],
        *["DELETE /network/v2.0/agents/D2", "SQL", "AMQP counts", "SQL", "AMQP counts"],
        *["SQL", "AMQP counts"],
    ]
    assert cloud.managed == []


def test_what_nova_has_left_behind_with_204_goes_too(cloud: Cloud) -> None:
    cloud.keeps |= {"n2", "mapping"}
    cloud.hold("nobody", "n2")
    cloud.hold("elsewhere-too", "n1", "n2")
    retire(cloud)
    assert read(cloud) == {**NOTHING, "agents": [ALIVE]}
    assert cloud.held == {"elsewhere-too": {"n1": 1}}
    assert cloud.managed == ["cell_v2 delete_host --cell_uuid cell-1 --host compute2"]


def test_what_a_guest_has_of_it_ends_it(cloud: Cloud) -> None:
    cloud.insert("nova.instances", "g1", "compute1", 0)
    cloud.hold("g1", "n1", "n2")
    assert "guest g1, which Nova has, still has allocations of resource provider" in refused(cloud)
    assert cloud.held == {"g1": {"n1": 1, "n2": 1}} and "n2" in cloud.providers


def test_a_404_of_another_service_is_not_novas_word_that_there_is_no_guest(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    def anothers(_: Any, method: str, path: str) -> rest.Answer:
        body = b'{"error": {"code": 404, "message": "Could not find"}}'
        return rest.Answer(f"{method} {path}", 404, {}, body)

    monkeypatch.setattr(rest.Client, "request", anothers)
    with pytest.raises(rest.ErrorStatus, match="answers 404: Could not find"):
        retirements.nova_has(rest.Client("http://x"), "/servers/g1")


def test_so_does_what_a_move_has(cloud: Cloud) -> None:
    cloud.insert("nova.instances", "g1", "compute1", 0)
    cloud.insert("nova.migrations", "m1", "g1", "compute1", "compute3", "running", 0)
    cloud.hold("m1", "n2")
    assert "migration m1, which Nova has, still has allocations" in refused(cloud)
    assert "n2" in cloud.providers


@pytest.mark.parametrize(
    ("happens", "said"),
    [
        (lambda c: c.insert("nova.instances", "g1", "compute2", 0), "compute2 has guests: g1"),
        (
            lambda c: (
                c.insert("nova.instances", "g1", "compute1", 0),
                c.insert("nova.migrations", "m", "g1", "compute2", "compute1", "queued", 0),
            ),
            "compute2 has moves under way of guests: g1",
        ),
        (
            lambda c: c.queues.update({"compute.compute2": 1}),
            "1 listen on queue compute.compute2: a nova-compute runs that says it is compute2",
        ),
    ],
)
def test_one_that_is_in_use_is_left_as_it_is(
    cloud: Cloud, happens: Any, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retirements, "DROPPED", 0)
    happens(cloud)
    before = cloud.state()
    assert said in refused(cloud)
    assert cloud.state() == before


def test_the_broker_has_a_moment_to_notice_that_nobody_listens(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.queues["compute.compute2"] = 1
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        cloud.queues["compute.compute2"] = 0

    monkeypatch.setattr("time.sleep", sleep)
    retire(cloud)
    assert slept == [1] and "n2" not in cloud.providers


def test_a_service_that_is_still_there_is_seen(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud, "delete_service", lambda _: None)
    assert "Nova says that nova-compute on compute2 was deleted, and still has" in refused(cloud)
    assert "n2" in cloud.providers and cloud.has("nova_api.host_mappings")


def test_a_service_that_the_api_does_not_list_so_is_left(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloud, "list_services", lambda: {"services": []})
    assert "Nova's API lists no nova-compute on compute2" in refused(cloud)
    assert cloud.has("nova.services")


def test_novas_own_no_is_its_words(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    def no(_: str) -> None:
        raise ApiError(409, "Unable to delete compute service that has in-progress migrations.")

    monkeypatch.setattr(cloud, "delete_service", no)
    assert "answers 409: Unable to delete compute service that has in-progress" in refused(cloud)
    assert "n2" in cloud.providers and cloud.has("nova_api.host_mappings")


def test_a_node_without_a_service_is_named_and_left(cloud: Cloud) -> None:
    cloud.sql("UPDATE nova.services SET deleted = 2 WHERE uuid = 's2'")
    said = refused(cloud)
    assert "no nova-compute on compute2 but its compute node n2" in said
    assert "set its state to 'drained' and deploy, then to 'retired'" in said
    assert "n2" in cloud.providers and cloud.has("nova_api.host_mappings")


def test_an_aggregate_that_nova_takes_it_out_of_no_more_is_said_with_the_remedy(
    cloud: Cloud,
) -> None:
    """As where somebody has deleted all else by hand."""
    cloud.delete_service("s2")
    cloud.aggregates["7"]["hosts"].append("compute2")
    said = refused(cloud)
    assert "takes compute2 out of aggregate fast only as long as it has a nova-compute" in said
    assert "set its state to 'drained' and deploy, then to 'retired'" in said


def test_what_does_not_go_is_seen(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each service may say that it has done something, and not have."""
    cloud.keeps.add("n2")
    monkeypatch.setattr(cloud, "delete_provider", lambda _: None)
    assert "after all was deleted compute2 still has providers" in refused(cloud)


# --- what goes unanswered, and where a run is cut off ---------------------------------------------


def whole(cloud: Cloud) -> None:
    """One for which every request is made that there is."""
    cloud.keeps |= {"n2", "mapping"}
    cloud.provider("child", "compute2.example.org_vgpu", "n2")
    cloud.hold("nobody", "n2", "n1")


UNANSWERED = ("500", "503", "silence", "reset", "half", "page")


@pytest.mark.parametrize("fault", [*UNANSWERED, "lost"])
def test_no_answer_ends_it_and_the_next_run_ends_where_an_undisturbed_one_does(
    make: Callable[[], Any], fault: str
) -> None:
    with make() as cloud:
        whole(cloud)
        retire(cloud)
        end, asked = cloud.state(), list(cloud.asked)
    assert "nova-manage" in asked and "PUT /placement/allocations/nobody" in asked
    for at in range(1, len(asked) + 1):
        with make() as cloud:
            whole(cloud)
            cloud.fail(at, fault)
            if fault == "lost" and asked[at - 1] == "SQL":
                continue  # a read that was answered
            said = refused(cloud)
            assert "Traceback" not in said and said, asked[at - 1]
            # Nothing more is asked.
            assert cloud.asked == asked[:at], asked[at - 1]
            cloud.fails_at = 0
            retire(cloud)
            assert cloud.state() == end, (at, asked[at - 1])


@pytest.mark.parametrize("fault", UNANSWERED)
def test_a_look_that_is_not_answered_says_so(make: Callable[[], Any], fault: str) -> None:
    with make() as cloud:
        read(cloud)
        asked = list(cloud.asked)
    for at in range(1, len(asked) + 1):
        with make() as cloud:
            cloud.fail(at, fault)
            found = retirements.answer(cloud.request())
            assert found["error"] and found["left"] == {}, asked[at - 1]


@pytest.mark.parametrize("cut", range(6))
def test_each_state_half_way_is_gone_on_from(cloud: Cloud, cut: int) -> None:
    """As Nova itself leaves it when it is killed within its own deletion."""
    cloud.hold("nobody", "n2")
    steps: list[Callable[[], Any]] = [
        lambda: cloud.aggregates["7"]["hosts"].remove("compute2"),
        lambda: cloud.sql("DELETE FROM nova_api.host_mappings WHERE host = 'compute2'"),
        lambda: (
            cloud.sql("UPDATE nova.services SET deleted = 9 WHERE host = 'compute2'"),
            cloud.sql("UPDATE nova.compute_nodes SET deleted = 9 WHERE host = 'compute2'"),
        ),
        lambda: cloud.held.clear(),
        lambda: cloud.providers.pop("n2"),
    ]
    for step in steps[:cut]:
        step()
    retire(cloud)
    assert read(cloud) == {**NOTHING, "agents": [ALIVE]}


def test_once_all_has_gone_nothing_more_is_changed(cloud: Cloud) -> None:
    retire(cloud)
    before = cloud.state()
    retire(cloud)
    assert cloud.state() == before
