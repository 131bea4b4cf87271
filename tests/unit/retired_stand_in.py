"""Nova, Placement, Neutron and the broker as files/retirements.py asks them; compute2 is to go.

Nova's databases are real SQL, in SQLite, and follow what is done by the API. Written after the
references of the APIs, and after Nova's source where these say nothing.
"""

from __future__ import annotations

import re
import sqlite3
import subprocess
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
import sql
from typing_extensions import override

from .drain_stand_in import ADMIN
from .serving import ApiError, Headers, Json, Served

TABLES = {
    "nova": {
        "services": "uuid, host, binary, deleted",
        "compute_nodes": "uuid, host, hypervisor_hostname, deleted",
        "instances": "uuid, host, deleted, vm_state, task_state",
        "migrations": "uuid, instance_uuid, source_compute, dest_compute, status, deleted",
    },
    "nova_api": {"host_mappings": "host, cell_id", "cell_mappings": "id, uuid"},
}


class Cloud(Served):
    """The state of the cloud.

    Attributes:
        aggregates, providers, agents: as the APIs show them, by their identifiers.
        held: what consumers have: {consumer: {provider: amount}}.
        bound: networks, by the agent that serves them.
        queues: how many listen, by name.
        keeps: providers that Nova leaves where they are when it deletes their service.
        managed: what nova-manage was run for.
        sql_fails: what Nova's databases say instead.
    """

    def __init__(self) -> None:
        super().__init__()
        self.database = sqlite3.connect(":memory:", check_same_thread=False)
        for name, tables in TABLES.items():
            self.sql(f"ATTACH ':memory:' AS {name}")
            for table, columns in tables.items():
                self.sql(f"CREATE TABLE {name}.{table} ({columns})")
        self.aggregates: dict[str, Json] = {}
        self.providers: dict[str, Json] = {}
        self.agents: dict[str, Json] = {}
        self.held: dict[str, dict[str, int]] = {}
        self.generations: dict[str, int] = {}
        self.bound: dict[str, list[str]] = {}
        self.queues: dict[str, int] = {}
        self.keeps: set[str] = set()
        self.managed: list[str] = []
        self.sql_fails: str | None = None
        self.insert("nova_api.cell_mappings", 1, "cell-1")
        for number in (1, 2):
            self.compute(number)

    def compute(self, number: int) -> None:
        host, node = f"compute{number}", f"n{number}"
        self.insert("nova.services", f"s{number}", host, "nova-compute", 0)
        self.insert("nova.compute_nodes", node, host, f"{host}.example.org", 0)
        self.insert("nova_api.host_mappings", host, 1)
        self.provider(node, f"{host}.example.org")
        self.aggregates.setdefault("7", {"id": 7, "name": "fast", "hosts": []})["hosts"] += [host]
        for kind, alive in (("DHCP agent", False), ("Open vSwitch agent", True)):
            name = f"{kind[0]}{number}"
            self.agents[name] = {"id": name, "host": host, "agent_type": kind, "alive": alive}
        self.queues[f"compute.{host}"] = 1 if number == 1 else 0

    def provider(self, uuid: str, name: str, parent: str | None = None) -> None:
        root = self.providers[parent]["root_provider_uuid"] if parent else uuid
        self.providers[uuid] = {
            **{"uuid": uuid, "name": name, "generation": 1},
            **{"root_provider_uuid": root, "parent_provider_uuid": parent},
        }

    def hold(self, consumer: str, *providers: str) -> None:
        self.held[consumer] = dict.fromkeys(providers, 1)
        self.generations[consumer] = 1

    def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        return self.database.execute(statement, values).fetchall()

    def insert(self, table: str, *values: object) -> None:
        name, _, place = table.partition(".")
        columns = TABLES[name][place].split(", ")[: len(values)]
        marks = ", ".join("?" * len(values))
        self.sql(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", *values)  # noqa: S608

    def has(self, table: str, host: str = "compute2") -> bool:
        alive = "" if table == "nova_api.host_mappings" else " AND deleted = 0"
        return bool(self.sql(f"SELECT 1 FROM {table} WHERE host = ?{alive}", host))  # noqa: S608

    def state(self) -> Json:
        """All that there is, to compare the ends of two runs."""
        tables = [f"{name}.{table}" for name, of in TABLES.items() for table in of]
        return {
            **{table: sorted(self.sql(f"SELECT * FROM {table}"), key=str) for table in tables},  # noqa: S608
            "aggregates": self.aggregates,
            "providers": sorted(self.providers),
            "agents": sorted(self.agents),
            "held": self.held,
            "queues": self.queues,
        }

    def request(self, **more: Any) -> Json:
        login = {"auth_url": f"{self.url}/v3", "region": "R", "interface": "internal"}
        broker = {"hosts": ["rabbit1"], "port": 5672, "user": "u", "password": "p"}
        return {
            **{**login, "places": {}, "admin": ADMIN, "user": "nova", "hosts": ["compute2"]},
            "there": False,
            "names": {"api": "nova_api", "cell0": "nova_cell0", "cell1": "nova"},
            "broker": {**broker, "virtual_host": "/"},
            **more,
        }

    # --- the APIs ---------------------------------------------------------------------------------

    @override
    def answer(self, method: str, target: str, body: Any, headers: Headers) -> Any:
        path = urlsplit(target).path
        if path.endswith("/tokens"):
            return {"token": {"catalog": self.catalogue(), "project": {"id": "p"}}}
        place = f"{method} {path}"
        routes: tuple[tuple[str, Any], ...] = (
            ("GET /compute/os-aggregates", self.list_aggregates),
            (r"GET /compute/os-aggregates/(\w+)", self.get_aggregate),
            (r"POST /compute/os-aggregates/(\w+)/action", self.leave),
            ("GET /compute/os-services", self.list_services),
            (r"DELETE /compute/os-services/(\w+)", self.delete_service),
            (r"GET /compute/servers/(\S+)", self.get_server),
            ("GET /placement/resource_providers", self.list_providers),
            (r"GET /placement/resource_providers/(\w+)", self.get_provider),
            (r"GET /placement/resource_providers/(\w+)/allocations", self.allocations_of),
            (r"DELETE /placement/resource_providers/(\w+)", self.delete_provider),
            (r"GET /placement/allocations/(\S+)", self.get_allocations),
            (r"PUT /placement/allocations/(\S+)", self.put_allocations),
            ("GET /network/v2.0/agents", self.list_agents),
            (r"GET /network/v2.0/agents/(\w+)", self.get_agent),
            (r"GET /network/v2.0/agents/(\w+)/dhcp-networks", self.list_networks),
            (r"DELETE /network/v2.0/agents/(\w+)", self.delete_agent),
        )
        for pattern, function in routes:
            if match := re.fullmatch(pattern, place):
                return function(*match.groups(), *([body] if body is not None else []))
        raise ApiError(404, f"no stand-in for {place}")

    def catalogue(self) -> list[Json]:
        found = []
        for kind in ("compute", "placement", "network"):
            url = {"interface": "internal", "region_id": "R", "url": f"{self.url}/{kind}"}
            found.append({"type": kind, "endpoints": [url]})
        return found

    @staticmethod
    def there(things: dict[str, Any], key: str) -> Any:
        if key not in things:
            raise ApiError(404, f"{key} is not there")
        return things[key]

    def list_aggregates(self) -> Json:
        return {"aggregates": list(self.aggregates.values())}

    def get_aggregate(self, number: str) -> Json:
        return {"aggregate": self.there(self.aggregates, number)}

    def leave(self, number: str, body: Json) -> Json:
        host = body["remove_host"]["host"]
        if not self.has("nova_api.host_mappings", host):
            raise ApiError(404, f"Host '{host}' is not mapped to any cell")
        self.there(self.aggregates, number)["hosts"].remove(host)
        return self.get_aggregate(number)

    def list_services(self) -> Json:
        rows = self.sql("SELECT uuid, host, binary FROM nova.services WHERE deleted = 0")
        return {"services": [{"id": u, "host": h, "binary": b} for u, h, b in rows]}

    def delete_service(self, uuid: str) -> None:
        ((host,),) = self.sql("SELECT host FROM nova.services WHERE uuid = ?", uuid)
        if self.has("nova.instances", host):
            raise ApiError(409, "Unable to delete compute service that is hosting instances.")
        for aggregate in self.aggregates.values():
            aggregate["hosts"] = [each for each in aggregate["hosts"] if each != host]
        for (node,) in self.sql("SELECT uuid FROM nova.compute_nodes WHERE host = ?", host):
            if node not in self.keeps and not any(node in held for held in self.held.values()):
                self.providers.pop(node, None)
        if "mapping" not in self.keeps:
            self.sql("DELETE FROM nova_api.host_mappings WHERE host = ?", host)
        for table in ("services", "compute_nodes"):
            self.sql(f"UPDATE nova.{table} SET deleted = 9 WHERE host = ?", host)  # noqa: S608

    def get_server(self, uuid: str) -> Json:
        if not self.sql("SELECT 1 FROM nova.instances WHERE uuid = ? AND deleted = 0", uuid):
            raise ApiError(404, f"Instance {uuid} could not be found.")
        return {"server": {"id": uuid}}

    def list_providers(self) -> Json:
        return {"resource_providers": list(self.providers.values())}

    def get_provider(self, uuid: str) -> Any:
        return self.there(self.providers, uuid)

    def allocations_of(self, uuid: str) -> Json:
        self.there(self.providers, uuid)
        part = {"resources": {"VCPU": 1}}
        return {"allocations": {name: part for name, held in self.held.items() if uuid in held}}

    def delete_provider(self, uuid: str) -> None:
        self.there(self.providers, uuid)
        if any(uuid in held for held in self.held.values()):
            raise ApiError(409, f"Unable to delete resource provider {uuid}: in use.")
        if any(each["parent_provider_uuid"] == uuid for each in self.providers.values()):
            raise ApiError(409, f"Unable to delete parent resource provider {uuid}.")
        del self.providers[uuid]

    def get_allocations(self, consumer: str) -> Json:
        held = self.held.get(consumer, {})
        if not held:
            return {"allocations": {}}
        parts = {each: {"resources": {"VCPU": amount}} for each, amount in held.items()}
        found = {"allocations": parts, "project_id": "p", "user_id": "u"}
        return {**found, "consumer_generation": self.generations[consumer]}

    def put_allocations(self, consumer: str, body: Json) -> None:
        if body["consumer_generation"] != self.generations[consumer]:
            raise ApiError(409, "consumer generation conflict")
        self.generations[consumer] += 1
        self.held[consumer] = dict.fromkeys(body["allocations"], 1)
        if not self.held[consumer]:
            del self.held[consumer]

    def list_agents(self) -> Json:
        return {"agents": list(self.agents.values())}

    def get_agent(self, name: str) -> Json:
        return {"agent": self.there(self.agents, name)}

    def list_networks(self, name: str) -> Json:
        self.there(self.agents, name)
        return {"networks": [{"id": each} for each in self.bound.get(name, ())]}

    def delete_agent(self, name: str) -> None:
        self.there(self.agents, name)
        del self.agents[name]

    # --- the databases, the broker and nova-manage ------------------------------------------------

    def due(self, what: str) -> str:
        """Note that something was asked of who speaks no HTTP, and how that fails, if it does."""
        self.asked.append(what)
        return self.fault if len(self.asked) == self.fails_at else ""

    def look(self, request: Json, read: Any) -> tuple[Any, str | None, bool]:
        if self.sql_fails or self.due("SQL") not in ("", "lost"):
            return None, self.sql_fails or "2013: Lost connection to server", False
        try:
            return read(None, request), None, False
        except sql.NoAnswerError as error:
            return None, str(error), False

    def read_table(self, _: None, name: str, table: str, what: str, more: str = "") -> list[Json]:
        try:
            rows = self.sql(f"SELECT {what} FROM `{name}`.`{table}`{more}")  # noqa: S608
        except sqlite3.OperationalError as error:
            raise sql.NotThereError(f"{name}.{table}", 1146, str(error)) from None
        return [dict(zip(what.split(", "), row, strict=True)) for row in rows]

    def counts(self, _: Json, queues: list[str]) -> dict[str, tuple[int, int] | None]:
        if self.due("AMQP counts"):
            raise ConnectionError("Connection reset by peer")
        return {name: (3, self.queues[name]) if name in self.queues else None for name in queues}

    def consumers(self, broker: Json, queues: list[str]) -> dict[str, int | None]:
        found = self.counts(broker, queues)
        return {name: count and count[1] for name, count in found.items()}

    def delete_unused(self, _: Json, queues: list[str]) -> None:
        fault = self.due("AMQP delete")
        if fault in ("", "lost"):
            for name in queues:
                if self.queues[name]:
                    raise ConnectionError(f"406 PRECONDITION_FAILED - queue '{name}' in use")
                del self.queues[name]
        if fault:
            raise ConnectionError("Connection reset by peer")

    def run(self, words: list[str], **_: Any) -> Any:
        assert words[:5] == ["runuser", "-u", "nova", "--", "nova-manage"]
        self.managed.append(" ".join(words[5:]))
        fault = self.due("nova-manage")
        if fault in ("", "lost"):
            self.sql("DELETE FROM nova_api.host_mappings WHERE host = ?", words[-1])
        if fault:
            raise subprocess.TimeoutExpired(words, 300)
        return SimpleNamespace(returncode=0, stdout="", stderr="")


def stand_in_for(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    import messaging
    import nova_state

    monkeypatch.setattr(nova_state, "look", cloud.look)
    monkeypatch.setattr(nova_state, "read_table", cloud.read_table)
    monkeypatch.setattr(subprocess, "run", cloud.run)
    for name in ("counts", "consumers", "delete_unused"):
        monkeypatch.setattr(messaging, name, getattr(cloud, name))
