"""files/compute_api.py against a stand-in for a large site."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import compute_api
import pytest
import rest
from typing_extensions import override

from .serving import FAULTS, ApiError, Headers, Json, Served, running

PAGE = 1000
LOGIN = {"username": "nova", "password": "s3cret", "user_domain": "Default"}
LOGIN |= {"project": "service", "project_domain": "Default"}


OFFERED = ["DISK_GB", "MEMORY_MB", "VCPU"]
PINNED = ["DISK_GB", "MEMORY_MB", "PCPU"]


class LargeSite(Served):
    """Nova with COUNT hypervisors, of which it lists a thousand at a time, as any Nova does."""

    def __init__(self, count: int = 3) -> None:
        super().__init__()
        self.hosts = [f"c{number}" for number in range(count)]
        self.bare: set[str] = set()
        """Unknown to Placement, which is no compute's state for long."""
        self.full: set[str] = set()
        self.pinned: set[str] = set()
        """Those whose guests' CPUs are pinned, so there are no others."""

    @override
    def answer(self, method: str, target: str, body: Any, headers: Headers) -> Any:
        url = urlsplit(target)
        kind = url.path.rpartition("/")[2]
        if kind == "tokens":
            return {"token": {"catalog": [self.entry(kind) for kind in ("compute", "placement")]}}
        if kind == "os-services":
            more = {"binary": "nova-compute", "state": "up", "status": "enabled"}
            return {"services": [{"host": host, **more} for host in self.hosts]}
        if kind == "detail":
            return self.hypervisors(int(parse_qs(url.query).get("marker", ["0"])[0]))
        if kind == "resource_providers":
            return {"resource_providers": self.with_room(parse_qs(url.query))}
        if (host := url.path.split("/")[-2]) in self.bare:
            raise ApiError(404, f"No resource provider with uuid {host} found")
        return {"inventories": {name: {} for name in self.classes(host)}}

    def classes(self, host: str) -> list[str]:
        return ["PCPU" if host in self.pinned else "VCPU", "MEMORY_MB", "DISK_GB"]

    def with_room(self, query: dict[str, list[str]]) -> list[Json]:
        """As Placement: a provider without an inventory of a class has no room for it."""
        assert query["required"] == ["COMPUTE_NODE"]
        wanted = {part.partition(":")[0] for part in query["resources"][0].split(",")}
        others = [{"uuid": "somebody else's", "name": "c0"}]
        return others + [
            {"uuid": host, "name": host}
            for host in self.hosts
            if host not in self.bare | self.full and wanted <= {*self.classes(host)}
        ]

    def entry(self, kind: str) -> Json:
        place = {"interface": "internal", "region_id": "R", "url": f"{self.url}/{kind}"}
        return {"type": kind, "endpoints": [place]}

    def hypervisors(self, start: int) -> Json:
        found: Json = {
            "hypervisors": [
                {
                    **{"id": host, "hypervisor_hostname": host, "service": {"host": host}},
                    **{"state": "up", "status": "enabled", "host_ip": "10.0.0.1"},
                }
                for host in self.hosts[start : start + PAGE]
            ]
        }
        if self.hosts[start + PAGE :]:
            link = f"http://elsewhere/os-hypervisors/detail?marker={start + PAGE}"
            found["hypervisors_links"] = [{"rel": "next", "href": link}]
        return found


def asked(site: LargeSite, **more: Any) -> dict[str, Any]:
    request = {"auth_url": site.url, "login": LOGIN, "region": "R", "interface": "internal"}
    return dict(compute_api.answer({**request, **more}))


@pytest.fixture
def site() -> Iterator[LargeSite]:
    with running(LargeSite()) as site:
        yield site


class TwoNodes(LargeSite):
    """A compute whose hypervisor has another name than its service, and a controller's service."""

    @override
    def answer(self, method: str, target: str, body: Any, headers: Headers) -> Any:
        path = urlsplit(target).path
        if path.startswith("/compute"):
            assert headers["X-Auth-Token"] == "t"
            assert headers["OpenStack-API-Version"] == "compute 2.53"
        if path.startswith("/placement"):
            assert headers["X-Auth-Token"] == "t"
            assert headers["OpenStack-API-Version"] == "placement 1.20"
        if path == "/compute/os-services":
            up = {"binary": "nova-compute", "host": "c0", "state": "up", "status": "enabled"}
            down = {"binary": "nova-scheduler", "host": "ctl", "state": "down"}
            return {"services": [{**up, "id": "s1"}, {**down, "status": "disabled", "id": "s2"}]}
        if path == "/compute/os-hypervisors/detail":
            node = {"id": "rp-c0", "hypervisor_hostname": "c0.example", "host_ip": "10.0.0.31"}
            more = {"service": {"host": "c0"}, "state": "down", "status": "disabled"}
            return {"hypervisors": [{**node, **more, "vcpus": 4}]}
        return super().answer(method, target, body, headers)


def test_each_service_and_hypervisor_is_told_as_nova_says_it() -> None:
    with running(TwoNodes()) as site:
        answer = asked(site)
        assert site.asked[-1] == "GET /placement/resource_providers/rp-c0/inventories"
    assert answer == {
        "error": None,
        "services": [
            {"binary": "nova-compute", "host": "c0", "state": "up", "status": "enabled"},
            {"binary": "nova-scheduler", "host": "ctl", "state": "down", "status": "disabled"},
        ],
        "hypervisors": [
            {
                "name": "c0.example",
                "host": "c0",
                "state": "down",
                "status": "disabled",
                "address": "10.0.0.31",
            }
        ],
        "inventories": {"c0.example": OFFERED},
    }


def test_a_thousand_and_one_hypervisors_are_seen_in_two_requests() -> None:
    with running(LargeSite(PAGE + 1)) as site:
        answer = asked(site, inventories=["c7", "c1000"])
    assert len(answer["hypervisors"]) == len(answer["services"]) == PAGE + 1
    assert answer["inventories"] == dict.fromkeys(("c7", "c1000"), OFFERED)
    assert len(site.asked) == 6


def test_inventories_of_a_thousand_hypervisors_are_two_requests_more() -> None:
    with running(LargeSite(PAGE)) as site:
        site.pinned = {"c3"}
        answer = asked(site)
    assert answer["inventories"] == {
        name: PINNED if name == "c3" else OFFERED for name in site.hosts
    }
    assert len(site.asked) == 5


def test_one_that_is_full_or_has_nothing_is_asked_by_itself(site: LargeSite) -> None:
    """Placement names neither among those with room; only its own answer tells them apart."""
    site.full, site.bare = {"c0"}, {"c1"}
    assert asked(site)["inventories"] == {"c0": OFFERED, "c1": [], "c2": OFFERED}
    assert [path for path in site.asked if path.endswith("/inventories")] == [
        f"GET /placement/resource_providers/{name}/inventories" for name in ("c0", "c1")
    ]
    assert asked(site, inventories=[])["inventories"] == {}


def test_of_few_hypervisors_no_list_of_all_is_asked_for(site: LargeSite) -> None:
    asked(site, inventories=["c0", "c2"])
    assert "GET /placement/resource_providers" not in site.asked
    site.asked.clear()
    asked(site)
    assert site.asked.count("GET /placement/resource_providers") == 2


class Lacking(LargeSite):
    """A list whose last page has things without a field, as of a proxy that rewrites answers."""

    def __init__(self, page: str, field: str) -> None:
        super().__init__()
        self.page, self.field = page, field

    @override
    def answer(self, method: str, target: str, body: Any, headers: Headers) -> Any:
        answer = super().answer(method, target, body, headers)
        if urlsplit(target).path.endswith(self.page):
            (found,) = [answer] if self.field in answer else answer.values()
            for thing in [found] if isinstance(found, dict) else found:
                del thing[self.field]
        return answer


@pytest.mark.parametrize(
    ("page", "field"),
    [
        ("/compute/os-services", "state"),
        ("/compute/os-hypervisors/detail", "host_ip"),
        ("/placement/resource_providers", "uuid"),
        ("/placement/resource_providers/c0/inventories", "inventories"),
    ],
)
def test_what_lacks_a_field_is_named_with_it(page: str, field: str) -> None:
    with running(Lacking(page, field)) as site:
        site.full = {"c0"}
        error = asked(site)["error"]
    assert page in error and error.endswith(f"without `{field}`")


class Misplaced(LargeSite):
    """Something else answers where Placement should, and knows no such page."""

    @override
    def answer(self, method: str, target: str, body: Any, headers: Headers) -> Any:
        answer = super().answer(method, target, body, headers)
        text = copy.deepcopy(answer)
        for entry in text.get("token", {}).get("catalog", []):
            entry["endpoints"][0]["url"] = entry["endpoints"][0]["url"].replace(
                "/placement", "/elsewhere"
            )
        if target.startswith("/elsewhere"):
            raise ApiError(404, "no such page")
        return text


@pytest.mark.parametrize(
    ("wanted", "page"),
    [
        (["c0"], "/c0/inventories"),
        (None, "?required=COMPUTE_NODE&resources=VCPU:1,MEMORY_MB:1,DISK_GB:1"),
    ],
    ids=["one", "all"],
)
def test_somebody_elses_404_is_no_word_of_placements(wanted: list[str] | None, page: str) -> None:
    with running(Misplaced()) as site:
        answer = asked(site, inventories=wanted)
    assert answer["inventories"] == {}
    assert answer["error"].endswith(
        f"/elsewhere/resource_providers{page} answers 404: no such page"
    )


@pytest.mark.parametrize("fault", FAULTS)
def test_a_request_without_an_answer_is_an_error_and_nothing_is_concluded(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest, "TIMEOUT", 0.2)
    monkeypatch.setattr("keystone.TIMEOUT", 0.2)
    for number in range(1, 7):
        with running(LargeSite()) as site:
            site.full = {"c0"}
            site.fail(number, fault)
            answer = asked(site)
        method, path = site.asked[-1].split(" ")
        assert len(site.asked) == number
        assert f"{method} {site.url}{path}" in answer.pop("error")
        assert answer == {"services": [], "hypervisors": [], "inventories": {}}
