"""files/audit/api_repairs.py: what is looked at once more before a record goes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import api_repairs
import cloud_audit
import provider_allocations
import pytest
import rest
from repair_steps import Refused, Session
from typing_extensions import override

from .audit_stand_in import Cloud, stand_in_for
from .serving import Headers, Json, running


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    monkeypatch.setattr(cloud_audit, "DETECTORS", ())
    with running(Cloud()) as cloud:
        stand_in_for(cloud, monkeypatch)
        cloud.service("s1", "compute1", beat=5)
        cloud.service("s9", "compute9")
        yield cloud


def session_of(cloud: Cloud, **expected: Any) -> Session:
    request = cloud.request()
    request["expected"].update(expected)
    session = Session(request)
    session.look(("databases",))
    return session


def delete(cloud: Cloud, uuid: str = "s9", binary: str = "nova-compute", **expected: Any) -> str:
    each = {"repair": {"service": uuid, "binary": binary}}
    return str(api_repairs.delete_service(session_of(cloud, **expected), each, None))


# --- services -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("uuid", "binary"), [("s7", "nova-compute"), ("s9", "nova-conductor")])
def test_a_service_that_nova_has_no_record_of_is_refused(
    cloud: Cloud, uuid: str, binary: str
) -> None:
    with pytest.raises(Refused) as error:
        delete(cloud, uuid, binary)
    assert str(error.value) == f"cell1 has no service {binary} with the identifier {uuid}"
    assert cloud.changes() == []


def test_a_binary_whose_queue_nobody_knows_is_refused(cloud: Cloud) -> None:
    cloud.service("s8", "ctl", binary="nova-consoleauth")
    with pytest.raises(Refused) as error:
        delete(cloud, "s8", "nova-consoleauth")
    assert str(error.value) == "nobody knows on which queue nova-consoleauth listens"
    assert cloud.changes() == []


@pytest.mark.parametrize(
    ("beat", "down_time", "goes"),
    [(119, 60, False), (120, 60, True), (299, 300, False), (300, 300, True)],
)
def test_a_heartbeat_is_old_after_the_longer_of_novas_time_and_the_audits(
    cloud: Cloud, beat: int, down_time: int, goes: bool
) -> None:
    cloud.services["s9"].update(beat=beat)
    if goes:
        assert delete(cloud, down_time=down_time) == "deleted nova-compute on compute9"
        assert cloud.changes() == ["DELETE /compute/v2.1/os-services/s9"]
        return
    with pytest.raises(Refused) as error:
        delete(cloud, down_time=down_time)
    assert str(error.value) == (
        f"nova-compute on compute9 sent a heartbeat {beat} s ago: stop it there first, or its "
        "record comes back"
    )
    assert cloud.changes() == []


def test_nova_is_asked_for_this_very_service(cloud: Cloud) -> None:
    """It lists another one of that name on that host, which is up."""
    cloud.service("s7", "compute9", beat=5)
    assert delete(cloud) == "deleted nova-compute on compute9"
    assert "s7" in cloud.services

    def goes() -> None:
        del cloud.services["s8"]

    cloud.service("s8", "compute8")
    cloud.on["GET /compute/v2.1/os-services"] = goes
    with pytest.raises(Refused) as error:
        delete(cloud, "s8")
    assert str(error.value) == "Nova lists no nova-compute on compute8 with the identifier s8"


def test_a_provider_is_looked_for_where_a_compute_goes_alone(cloud: Cloud) -> None:
    """A conductor of a host that also is a compute leaves its provider where it belongs."""
    cloud.service("s8", "compute9", binary="nova-conductor")
    cloud.keeps.add("rp-compute9")
    assert delete(cloud, "s8", "nova-conductor") == "deleted nova-conductor on compute9"
    assert cloud.asked[-1] == "DELETE /compute/v2.1/os-services/s8"


def test_each_provider_that_stays_is_named_with_what_to_do(cloud: Cloud) -> None:
    cloud.nodes["rp-2"] = cloud.providers["rp-2"] = "compute9"
    cloud.keeps |= {"rp-compute9", "rp-2"}
    assert delete(cloud) == (
        "deleted nova-compute on compute9; Nova has left its resource provider rp-compute9, rp-2 "
        "in Placement: see who has a part of it (`openstack resource provider show --allocations "
        "rp-compute9`), then `openstack resource provider delete rp-compute9`"
    )


class Elsewhere(Cloud):
    """Something before Placement answers a provider's page with one of its own."""

    @override
    def answer(self, method: str, target: str, body: Any, headers: Headers) -> Any:
        if target.startswith("/placement/resource_providers/rp-compute9"):
            return {"status": "ok"}
        return super().answer(method, target, body, headers)


def test_what_is_no_word_of_placements_leaves_open_whether_a_provider_has_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cloud_audit, "DETECTORS", ())
    with running(Elsewhere()) as cloud:
        stand_in_for(cloud, monkeypatch)
        cloud.service("s9", "compute9")
        session = session_of(cloud)
        repair = {"repair": {"service": "s9", "binary": "nova-compute"}}
        said = api_repairs.delete_service(session, repair, None)
    why = (
        f"GET {cloud.url}/placement/resource_providers/rp-compute9 answers 200, but without `uuid`"
    )
    assert said == (
        "deleted nova-compute on compute9; whether its resource provider has gone nobody could "
        f"say: {why}"
    )
    assert session.trouble == why


def placement_says(status: int, body: bytes) -> Any:
    class Placement:
        def get(self, path: str, *_: str) -> None:
            assert path == "/resource_providers/rp%2F1"
            raise rest.ErrorStatus("no", rest.Answer("GET u", status, {}, body))

    return Placement()


def test_only_placements_own_404_says_that_a_provider_has_gone() -> None:
    own = b'{"errors": [{"detail": "No resource provider"}]}'
    assert provider_allocations.is_provider(placement_says(404, own), "rp/1") is False
    for status, body in ((404, b'{"message": "no such page"}'), (500, own)):
        with pytest.raises(rest.ErrorStatus):
            provider_allocations.is_provider(placement_says(status, body), "rp/1")


# --- allocations ----------------------------------------------------------------------------------


def take(cloud: Cloud, consumer: str, *providers: str) -> str:
    repair: Json = {"consumer": consumer, **({"providers": list(providers)} if providers else {})}
    session = session_of(cloud)
    held = api_repairs.allocations(session, repair)
    return str(api_repairs.delete_allocation(session, {"repair": repair}, held))


def test_what_a_consumer_has_elsewhere_stays_with_its_amounts(cloud: Cloud) -> None:
    for provider, amount in (("rp-a", 1), ("rp-b", 2), ("stays", 3)):
        cloud.hold("c", provider, amount)
    cloud.hold("other", "rp-a", 5)
    assert take(cloud, "c", "rp-a", "rp-b") == "took what c had of rp-a, rp-b out of Placement"
    assert cloud.held == {"c": {"stays": {"VCPU": 3}}, "other": {"rp-a": {"VCPU": 5}}}


@pytest.mark.parametrize("providers", [("rp-z",), ("rp-a", "rp-z")])
def test_a_provider_that_a_consumer_has_nothing_of_ends_it(
    cloud: Cloud, providers: tuple[str, ...]
) -> None:
    cloud.hold("c", "rp-a")
    with pytest.raises(Refused) as error:
        take(cloud, "c", *providers)
    assert str(error.value) == "c has nothing there any more"
    assert cloud.changes() == []


def test_a_consumer_that_has_nothing_at_all_ends_it(cloud: Cloud) -> None:
    with pytest.raises(Refused, match=r"^c has nothing there any more$"):
        take(cloud, "c")
    assert cloud.changes() == []


class Nameless(Cloud):
    """Placement as it was before 1.12, without who a consumer is."""

    lacks = "consumer_generation"

    @override
    def of_consumer(self, uuid: str) -> Json:
        found = super().of_consumer(uuid)
        found.pop(self.lacks)
        return found


@pytest.mark.parametrize("lacks", ["project_id", "user_id", "consumer_generation", "allocations"])
def test_an_answer_without_what_has_to_be_said_again_is_none(
    monkeypatch: pytest.MonkeyPatch, lacks: str
) -> None:
    with running(Nameless()) as cloud:
        cloud.lacks = lacks
        stand_in_for(cloud, monkeypatch)
        cloud.hold("c", "rp-a")
        with pytest.raises(rest.BadAnswer, match=f"/allocations/c answers 200, but.* `{lacks}`"):
            take(cloud, "c")
        assert cloud.changes() == []
