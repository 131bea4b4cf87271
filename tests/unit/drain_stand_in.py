"""Keystone, Nova and Placement as files/drains.py asks them, with guests that can be moved.

Written after the APIs' references, and after Nova's source where these say nothing. What it cannot
show is whether a real cloud answers the same; tests/lab does.
"""

from __future__ import annotations

import json
import re
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

from typing_extensions import override

from .serving import ApiError, Headers, Json, Served

ADMIN = {"username": "admin", "password": "s3cret", "user_domain": "Default"}
ADMIN |= {"project": "admin", "project_domain": "Default"}
HOST, STATE = "OS-EXT-SRV-ATTR:host", "OS-EXT-STS:vm_state"
TASK, POWER = "OS-EXT-STS:task_state", "OS-EXT-STS:power_state"
FLAVOR: Json = {"vcpus": 2, "ram": 1024, "disk": 10, "ephemeral": 0, "swap": 0, "extra_specs": {}}
HELD = {"VCPU": 2, "MEMORY_MB": 1024, "DISK_GB": 10}
GROUP = "group-1"
STATES: Json = {"closing": [], "opening": []}


class Cloud(Served):
    """The state of the cloud.

    Attributes:
        guests, migrations, services: as the API shows them.
        specs: what Nova keeps of each guest for its scheduler.
        held: what Placement has allocated, by consumer.
        room: what each compute has left, by resource class.
        is_down: the cell does not answer, and the API leaves it out.
        page: how many migrations it answers at once.
        told: how many it has answered of a host.
    """

    def __init__(self) -> None:
        super().__init__()
        self.guests: dict[str, Json] = {}
        self.migrations: list[Json] = []
        self.services: dict[str, Json] = {}
        self.specs: dict[str, Json] = {}
        self.held: dict[str, Json] = {}
        self.room = {name: dict(HELD) for name in ("compute1", "compute2", "compute3")}
        self.groups: dict[str, Json] = {}
        self.figures: dict[int, Json] = {}
        self.actions: dict[str, list[Json]] = {}
        self.acted: list[tuple[str, Json]] = []
        self.queries: list[Json] = []
        self.is_down = False
        self.page = 1000
        self.told = 0
        for name in self.room:
            self.services[name] = {
                **{"id": f"id-{name}", "host": name, "binary": "nova-compute", "state": "up"},
                **{"status": "enabled", "disabled_reason": None, "zone": "nova"},
            }
        self.services["compute1"]["status"] = "disabled"

    def guest(
        self, uuid: str, state: str = "active", host: str | None = "compute1", **more: Any
    ) -> Json:
        task, power = more.pop("task", None), {"stopped": 4, "paused": 3}.get(state, 1)
        made: Json = {
            "id": uuid,
            "name": f"web-{uuid}",
            "flavor": {**FLAVOR, **more.pop("flavor", {})},
        }
        made |= {HOST: host, STATE: state, TASK: task, POWER: power, "image": {"id": "i"}, **more}
        self.guests[uuid] = made
        self.specs.setdefault(uuid, {})
        self.held[uuid] = {"resources": dict(HELD)}
        return made

    def migration(self, uuid: str, kind: str, status: str, **more: Any) -> Json:
        times = time.strftime("%Y-%m-%dT%H:%M:%S.000000", time.gmtime(time.time() - 100))
        number = len(self.migrations) + 1
        made = {
            **{"id": number, "uuid": f"move-{number}"},
            **{"instance_uuid": uuid, "migration_type": kind},
            **{"status": status, "source_compute": "compute1", "dest_compute": "compute2"},
            **{"created_at": times, "updated_at": times},
            **{"old_instance_type_id": 1, "new_instance_type_id": 1, **more},
        }
        self.migrations.insert(0, made)
        return made

    def group(self, policy: str, *members: str, **rules: int) -> None:
        group: Json = {"id": GROUP, "name": "db {0}", "policy": policy, "members": list(members)}
        self.groups[GROUP] = {**group, "rules": rules}
        for member in members:
            self.specs[member] = {"instance_group": {"nova_object.data": {"uuid": GROUP}}}

    def request(self, **more: Any) -> Json:
        """What is asked of compute1."""
        login = {"auth_url": f"{self.url}/v3", "region": "R", "interface": "internal"}
        network = {**ADMIN, "auth_url": login["auth_url"], "username": "neutron"}
        asked = {**login, "places": {}, "admin": ADMIN, "nova": {"network": network}}
        asked |= {"names": {"api": "nova_api", "cell1": "nova"}}
        return {
            **asked,
            "hosts": ["compute1"],
            "domains": [],
            "placed": [],
            "moved": [],
            **STATES,
            **more,
        }

    @override
    def answer(self, method: str, target: str, body: Any, headers: Headers) -> Any:
        url = urlsplit(target)
        if url.path.endswith("/tokens"):
            return {"token": {"catalog": self.catalogue(), "project": {"id": "p"}}}
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        if url.path.startswith("/placement"):
            return self.placement(url.path, query, headers)
        assert headers["OpenStack-API-Version"] == "compute 2.75"
        words = url.path.removeprefix("/compute").strip("/").split("/")
        return self.nova(method, words, query, body)

    def catalogue(self) -> list[Json]:
        return [
            {
                "type": kind,
                "endpoints": [
                    {"interface": "internal", "region_id": "R", "url": f"{self.url}/{kind}"}
                ],
            }
            for kind in ("compute", "placement")
        ]

    def nova(self, method: str, words: list[str], query: Json, body: Any) -> Any:
        place = " ".join([method, *words])
        if place == "GET servers detail":
            return {"servers": self.listed(query)}
        if place == "GET os-services":
            cut = ("host", "binary") if self.is_down else self.services["compute1"].keys()
            found = [{key: row[key] for key in cut} for row in self.services.values()]
            return {"services": found}
        if place == "GET os-migrations":
            return self.page_of_migrations(query)
        if place == "GET os-hypervisors detail":
            return {"hypervisors": [{"id": f"rp-{n}", "service": {"host": n}} for n in self.room]}
        if match := re.fullmatch(r"GET os-server-groups (\S+)", place):
            return {"server_group": self.there(self.groups, match[1])}
        if match := re.fullmatch(r"GET servers (\S+)", place):
            return {"server": self.there(self.guests, match[1])}
        if match := re.fullmatch(r"GET servers \S+ migrations (\d+)", place):
            return {"migration": self.there(self.figures, int(match[1]))}
        if match := re.fullmatch(r"GET servers (\S+) os-instance-actions", place):
            return {"instanceActions": self.actions.get(match[1], [])}
        if match := re.fullmatch(r"GET servers (\S+) os-instance-actions (\S+)", place):
            actions = {action["request_id"]: action for action in self.actions[match[1]]}
            return {"instanceAction": actions[match[2]]}
        if match := re.fullmatch(r"(POST|DELETE) servers (\S+) .*", place):
            self.acted.append((place.partition(" ")[2], body))
            return self.act(match[2])
        raise ApiError(404, f"no stand-in for {place}")

    def act(self, uuid: str) -> Any:
        self.there(self.guests, uuid)
        return {}

    @staticmethod
    def there(things: dict[Any, Any], key: object) -> Any:
        if key not in things:
            raise ApiError(404, "is not there")
        return things[key]

    def listed(self, query: Json) -> list[Json]:
        assert query["all_tenants"] == "1"
        if self.is_down:
            return []
        if query.get("status") == "ERROR":
            return [guest for guest in self.guests.values() if guest[STATE] == "error"]
        assert query["soft_deleted"] == "True"
        return [guest for guest in self.guests.values() if guest[HOST] == query["host"]]

    def page_of_migrations(self, query: Json) -> Json:
        if "instance_uuid" in query:
            assert query.keys() == {"instance_uuid", "limit"}
            mine = [m for m in self.migrations if m["instance_uuid"] == query["instance_uuid"]]
            return {"migrations": mine[: int(query["limit"])]}
        assert query["limit"] == "1000"
        host, since = query["host"], query["changes-since"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", since)
        mine = [
            m
            for m in self.migrations
            if host in (m["source_compute"], m["dest_compute"])
            and (m["updated_at"] or "") >= since.removesuffix("Z")  # NULL in SQL is never
        ]
        start = int(query.get("marker", 0))
        found: Json = {"migrations": mine[start : start + self.page]}
        self.told += len(found["migrations"])
        if mine[start + self.page :]:
            more = f"host={host}&changes-since={since}&limit=1000&marker={start + self.page}"
            href = f"http://x/os-migrations?{more}"
            found["migrations_links"] = [{"rel": "next", "href": href}]
        return found

    def open_migrations(self, what: str, statement: str) -> list[Json]:
        """What the cell's database answers."""
        assert what == "instance_uuid" and "deleted = 0" in statement
        hosts = re.findall("'([^']+)'", statement.partition("source_compute IN ")[2])
        return [
            {"instance_uuid": m["instance_uuid"]}
            for m in self.migrations
            if f"'{m['status']}'" not in statement.partition("AND (")[0]
            and {m["source_compute"], m["dest_compute"]}.intersection(hosts)
        ]

    def placement(self, path: str, query: Json, headers: Headers) -> Any:
        assert headers["OpenStack-API-Version"] == "placement 1.36"
        if path.endswith("/allocations"):
            return {"allocations": self.held}
        self.queries.append(query)
        if "CUSTOM_TYPO" in query.get("required", ""):
            raise ApiError(400, "No such trait(s): CUSTOM_TYPO.")
        wanted = dict(part.split(":") for part in query["resources"].split(","))
        fitting = [
            name
            for name, room in self.room.items()
            if all(room.get(kind, 0) >= int(amount) for kind, amount in wanted.items())
        ]
        summaries = {
            f"rp-{name}": {
                "root_provider_uuid": f"rp-{name}",
                "resources": {
                    kind: {"capacity": amount, "used": 0}
                    for kind, amount in self.room[name].items()
                },
            }
            for name in fitting
        }
        requests: list[Json] = [{"allocations": {provider: {}}} for provider in summaries]
        return {"allocation_requests": requests, "provider_summaries": summaries}

    def read_table(self, _: None, name: str, table: str, what: str, statement: str) -> list[Json]:
        """What Nova's databases answer."""
        if table == "migrations":
            assert name == "nova"
            return self.open_migrations(what, statement)
        assert (name, table, what) == ("nova_api", "request_specs", "instance_uuid, spec")
        return self.rows(statement)

    def rows(self, statement: str) -> list[Json]:
        return [
            {"instance_uuid": uuid, "spec": json.dumps({"nova_object.data": spec})}
            for uuid, spec in self.specs.items()
            if f"'{uuid}'" in statement
        ]
