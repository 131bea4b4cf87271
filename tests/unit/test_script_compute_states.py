"""files/compute_states.py against a stand-in for Nova's list of services."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import compute_states
import pytest
from typing_extensions import override

from .serving import FAULTS, ApiError, Headers, Json, Served, running

ADMIN = {"username": "admin", "password": "s3cret", "user_domain": "Default"}
ADMIN |= {"project": "admin", "project_domain": "Default"}


class Nova(Served):
    """Keystone, and the computes by identifier."""

    def __init__(self) -> None:
        super().__init__()
        self.services: dict[str, Json] = {}
        for name in ("compute1", "compute10"):
            self.services[f"id-{name}"] = {
                **{"id": f"id-{name}", "host": name, "binary": "nova-compute"},
                **{"status": "enabled", "disabled_reason": None},
            }

    @override
    def answer(self, method: str, target: str, body: Any, headers: Headers) -> Any:
        url = urlsplit(target)
        if url.path.endswith("/tokens"):
            place = {"interface": "internal", "region_id": "R", "url": f"{self.url}/compute"}
            entry = {"type": "compute", "endpoints": [place]}
            return {"token": {"catalog": [entry], "project": {"id": "p"}}}
        assert headers["OpenStack-API-Version"] == "compute 2.75"
        if method == "GET":
            assert url.query == "binary=nova-compute"
            return {"services": list(self.services.values())}
        service = self.services[url.path.rpartition("/")[2]]
        if body["status"] == "enabled" and "disabled_reason" in body:
            raise ApiError(400, "Specifying disabled_reason requires that status is disabled.")
        service.update(disabled_reason=None)
        service.update(body)
        return {"service": service}

    def tell(self, **computes: str | None) -> None:
        request = {"auth_url": f"{self.url}/v3", "region": "R", "interface": "internal"}
        compute_states.answer({**request, "places": {}, "admin": ADMIN, "computes": computes})

    def put(self) -> list[str]:
        return [line.rpartition("/")[2] for line in self.changes()]


@pytest.fixture
def nova() -> Iterator[Nova]:
    with running(Nova()) as service:
        yield service


def test_a_compute_is_closed_for_a_reason_and_opened_again(nova: Nova) -> None:
    mine = nova.services["id-compute1"]
    nova.tell(compute1="new memory")
    assert (mine["status"], mine["disabled_reason"]) == ("disabled", "new memory")
    nova.tell(compute1="another fan")
    assert mine["disabled_reason"] == "another fan"
    nova.tell(compute1=None)
    assert (mine["status"], mine["disabled_reason"]) == ("enabled", None)
    assert nova.put() == ["id-compute1"] * 3


def test_what_is_so_already_is_not_asked_for_again(nova: Nova) -> None:
    nova.services["id-compute10"].update(status="disabled", disabled_reason="fan")
    nova.tell(compute1=None, compute10="fan")
    assert nova.put() == []


def test_what_nova_has_closed_itself_is_not_opened(nova: Nova) -> None:
    reason = "AUTO: Connection to libvirt lost: 1"
    nova.services["id-compute1"].update(status="disabled", disabled_reason=reason)
    nova.tell(compute1=None)
    assert nova.put() == []
    nova.tell(compute1="fan")
    assert nova.services["id-compute1"]["disabled_reason"] == "fan"


def test_one_that_nova_does_not_know_is_named_once_the_others_are_told(nova: Nova) -> None:
    with pytest.raises(SystemExit, match=r"^Nova has no nova-compute on compute2, compute3$"):
        nova.tell(compute3=None, compute2="fan", compute1="fan")
    assert nova.put() == ["id-compute1"]


def test_a_service_of_a_cell_that_does_not_answer_is_named(nova: Nova) -> None:
    nova.services["id-compute1"] = {"host": "compute1", "binary": "nova-compute"}
    nova.tell(compute10="fan")  # no concern of it
    with pytest.raises(SystemExit, match="without `id`"):
        nova.tell(compute1="fan")


@pytest.mark.parametrize("fault", sorted(FAULTS.keys() - {"hang"}))
@pytest.mark.parametrize("at", [1, 2, 3])
def test_what_goes_unanswered_ends_it_with_the_words(nova: Nova, fault: str, at: int) -> None:
    nova.fail(at, fault)
    with pytest.raises(SystemExit, match=FAULTS[fault]):
        nova.tell(compute1="fan")
    assert nova.services["id-compute1"]["status"] == "enabled"


def test_what_was_told_though_the_answer_was_lost_is_read_and_the_others_are_told_too(
    nova: Nova,
) -> None:
    """Nova notes it, then calls the compute: one that is broken keeps the answer for a minute."""
    nova.fail(3, "lost")
    nova.tell(compute1="fan", compute10="fan")
    assert {each["status"] for each in nova.services.values()} == {"disabled"}
    assert nova.put() == ["id-compute1", "id-compute10"]
