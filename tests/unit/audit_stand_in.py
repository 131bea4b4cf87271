"""A cloud with services, providers and allocations, for what mends them, over HTTP.

It answers as Nova and Placement do according to their API references; rows of Nova's databases are
plain data beside it, which follow what is done by the API.
"""

from __future__ import annotations

import datetime
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import evidence
import finding
import pytest
from typing_extensions import override

from .serving import ApiError, Headers, Json, Served

NOW = 1_800_000_000.0
PLACEMENT = "placement 1.28"


def ago(seconds: float) -> datetime.datetime:
    """That long ago, as pymysql gives the times of Nova's databases: UTC, without saying so."""
    moment = datetime.datetime.fromtimestamp(NOW - seconds, tz=datetime.timezone.utc)
    return moment.replace(tzinfo=None)


Detector = Callable[[Any], Iterator[Json]]


def needing(*sources: str) -> Callable[[Detector], Detector]:
    """Marks a detector with its sources, as finding.py does."""
    marked: Callable[[Detector], Detector] = finding.needs(*sources)
    return marked


class Cloud(Served):
    """Attributes:
    services: as Nova lists them, by identifier; `beat` is how long ago the last heartbeat was.
    nodes: the hosts of compute nodes, by the identifier, which is their provider's, too.
    keeps: providers that Nova leaves where they are when it deletes their service.
    held: what consumers have: {consumer: {provider: {class: amount}}}.
    generations: how often what a consumer has was changed.
    queues: as of broker_queues.py, or why there are none.
    on: what happens right before a request is answered, by its beginning; done once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.services: dict[str, Json] = {}
        self.nodes: dict[str, str] = {}
        self.providers: dict[str, str] = {}
        self.keeps: set[str] = set()
        self.held: dict[str, dict[str, dict[str, int]]] = {}
        self.generations: dict[str, int] = {}
        self.queues: dict[str, Json] | Exception = {"conductor": {"messages": 0, "consumers": 2}}
        self.on: dict[str, Any] = {}
        self.databases_fail: Exception | None = None
        self.reads = self.lists = 0
        self.at_read: dict[int, Any] = {}
        self.at_list: dict[int, Any] = {}

    def service(self, uuid: str, host: str, binary: str = "nova-compute", beat: int = 9000) -> None:
        state = "up" if beat < 60 else "down"
        self.services[uuid] = {"id": uuid, "host": host, "binary": binary, "state": state}
        self.services[uuid]["beat"] = beat
        if binary == "nova-compute":
            self.nodes[f"rp-{host}"] = self.providers[f"rp-{host}"] = host

    def hold(self, consumer: str, provider: str, amount: int = 1) -> None:
        self.providers.setdefault(provider, provider)
        self.held.setdefault(consumer, {})[provider] = {"VCPU": amount}
        self.generations[consumer] = self.generations.get(consumer, 0) + 1

    # --- databases and the broker -----------------------------------------------------------------

    def databases(self, _: Json) -> Json:
        self.reads += 1
        self.at_read.pop(self.reads, lambda: None)()
        if self.databases_fail:
            raise self.databases_fail
        found: dict[str, list[Json]] = {
            "services": [
                {**each, "uuid": uuid, "last_seen_up": ago(each["beat"]), "created_at": ago(1e6)}
                for uuid, each in self.services.items()
            ],
            "compute_nodes": [
                {"uuid": uuid, "host": host, "mapped": 0} for uuid, host in self.nodes.items()
            ],
        }
        return defaultdict(list, found)  # all other tables are empty

    def broker(self, _: Json) -> Any:
        self.lists += 1
        self.at_list.pop(self.lists, lambda: None)()
        if isinstance(self.queues, Exception):
            raise self.queues
        return self.queues

    # --- the APIs ---------------------------------------------------------------------------------

    @override
    def answer(self, method: str, target: str, body: Any, headers: Headers) -> Any:
        url = urlsplit(target)
        line = f"{method} {url.path}"
        for beginning in [key for key in self.on if line.startswith(key)]:
            self.on.pop(beginning)()
        if url.path == "/identity/v3/auth/tokens":
            return self.token()
        assert headers["X-Auth-Token"] == "t"
        if url.path.startswith("/compute"):
            assert headers["OpenStack-API-Version"] == "compute 2.53"
            return self.nova(method, url.path, parse_qs(url.query))
        return self.placement(method, url.path, body, headers["OpenStack-API-Version"])

    def token(self) -> Json:
        paths = {"compute": "/compute/v2.1", "placement": "/placement"}
        endpoint = {"interface": "internal", "region_id": "RegionOne"}
        catalogue = [
            {"type": kind, "name": kind, "endpoints": [{**endpoint, "url": self.url + path}]}
            for kind, path in paths.items()
        ]
        return {"token": {"user": {"name": "nova"}, "catalog": catalogue}}

    def nova(self, method: str, path: str, query: dict[str, list[str]]) -> Json:
        if method == "GET" and path == "/compute/v2.1/os-services":
            wanted = {key: values[0] for key, values in query.items()}
            found = [
                each
                for each in self.services.values()
                if all(each[key] == value for key, value in wanted.items())
            ]
            return {"services": found}
        match = re.fullmatch("/compute/v2.1/os-services/(.+)", path)
        if method == "DELETE" and match:
            return self.delete_service(match[1])
        raise ApiError(404, f"no stand-in for {method} {path}")

    def delete_service(self, uuid: str) -> Json:
        if uuid not in self.services:
            raise ApiError(404, f"Service {uuid} not found.")
        host = self.services.pop(uuid)["host"]
        for node in [node for node, its in self.nodes.items() if its == host]:
            del self.nodes[node]
            if node not in self.keeps:
                del self.providers[node]
        return {}

    def placement(self, method: str, path: str, body: Any, version: str) -> Json:
        _, _, kind, *rest = path.split("/")
        if (method, kind) == ("PUT", "allocations"):
            assert version == PLACEMENT
            return self.put(rest[0], body)
        assert method == "GET"
        if kind == "allocations":
            assert version == PLACEMENT
            return self.of_consumer(rest[0])
        if not rest:
            return {
                "resource_providers": [
                    {"uuid": uuid, "name": name, "parent_provider_uuid": None}
                    for uuid, name in self.providers.items()
                ]
            }
        return self.of_provider(*rest)

    def of_provider(self, uuid: str, what: str = "") -> Json:
        if uuid not in self.providers:
            raise ApiError(404, f"No resource provider with uuid {uuid} found")
        allocations = {
            consumer: {"resources": held[uuid]}
            for consumer, held in self.held.items()
            if uuid in held
        }
        found: Json = {"aggregates": [], "inventories": {}, "allocations": allocations}
        return {what: found[what]} if what else {"uuid": uuid}

    def of_consumer(self, uuid: str) -> Json:
        held = self.held.get(uuid, {})
        found = {provider: {"generation": 9, "resources": r} for provider, r in held.items()}
        if not held:
            return {"allocations": {}}
        who = {"project_id": "p", "user_id": "u", "consumer_generation": self.generations[uuid]}
        return {"allocations": found, **who}

    def put(self, uuid: str, body: Json) -> Json:
        assert (body["project_id"], body["user_id"]) == ("p", "u")
        if body["consumer_generation"] != self.generations[uuid]:
            raise ApiError(409, "consumer generation conflict")
        self.generations[uuid] += 1
        self.held[uuid] = {p: part["resources"] for p, part in body["allocations"].items()}
        return {}

    def request(self, *keys: str) -> Json:
        login = {"username": "nova", "password": "x", "user_domain": "Default"}
        login |= {"project": "service", "project_domain": "Default"}
        api = {"auth_url": self.url + "/identity", "region": "RegionOne", "interface": "internal"}
        return {
            "database": {"host": "db", "port": 3306, "user": "nova", "password": "x"},
            "names": {"api": "nova_api", "cell0": "nova_cell0", "cell1": "nova"},
            "api": {**api, "places": {}, "login": login},
            "broker": {"virtual_host": "/"},
            "expected": {
                **{"services": {"nova-compute": ["compute1"]}, "down_time": 60, "dead": []},
            },
            "hosts": {},
            "repairs": list(keys),
        }


def stand_in_for(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the scripts of an audit read CLOUD's rows, at the time that it is there."""
    monkeypatch.setattr(evidence.nova_tables, "read", cloud.databases)
    monkeypatch.setattr(evidence.broker_queues, "read", cloud.broker)
    monkeypatch.setattr(evidence.cloud_services, "network", lambda _: {"agents": []})
    monkeypatch.setattr(evidence.cloud_services, "identity", lambda _: {"endpoints": []})
    # Where it is there: what is asked of Nova once more about uuids that only others speak of.
    monkeypatch.setattr(evidence, "asked_about_strangers", lambda *_: None, raising=False)
    monkeypatch.setattr(evidence.time, "time", lambda: NOW)
