"""The cloud of drain_stand_in.py, in which compute1 is dead, and what Nova's database has of it."""

from __future__ import annotations

import re
import time
from datetime import datetime, timezone
from typing import Any

from typing_extensions import override

from .drain_stand_in import Cloud
from .serving import ApiError, Headers, Json

DOWN_TIME = 60


def ago(seconds: float) -> datetime:
    """As pymysql gives Nova's times: UTC, without saying so."""
    return datetime.fromtimestamp(time.time() - seconds, tz=timezone.utc).replace(tzinfo=None)


class DeadCloud(Cloud):
    """The state of the cloud.

    Attributes:
        records: Nova's rows of nova-compute, by host.
        evacuated: how many guests Nova has evacuated from a host and not yet cleared there.
        agents: Neutron's.
        ports: of each guest.
    """

    def __init__(self) -> None:
        super().__init__()
        self.services["compute1"].update(state="down")
        self.records: dict[str, Json] = {
            name: {
                **{"uuid": f"id-{name}", "host": name, "last_seen_up": ago(5), "forced_down": 0},
            }
            for name in self.services
        }
        self.records["compute1"]["last_seen_up"] = ago(600)
        self.evacuated: dict[str, int] = {}
        self.agents: list[Json] = []
        self.ports: dict[str, list[Json]] = {}

    @override
    def guest(
        self, uuid: str, state: str = "active", host: str | None = "compute1", **more: Any
    ) -> Json:
        """One that was booted from a volume, unless MORE has an image."""
        return super().guest(uuid, state, host, **{"image": "", "addresses": {}, **more})

    @override
    def request(self, **more: Any) -> Json:
        return super().request(**{"down_time": DOWN_TIME, "addresses": False, **more})

    @override
    def catalogue(self) -> list[Json]:
        url = {"interface": "internal", "region_id": "R", "url": f"{self.url}/network"}
        return [*super().catalogue(), {"type": "network", "endpoints": [url]}]

    @override
    def answer(self, method: str, target: str, body: Any, headers: Headers) -> Any:
        if target.startswith("/network"):
            return {"agents": self.agents}
        return super().answer(method, target, body, headers)

    @override
    def nova(self, method: str, words: list[str], query: Json, body: Any) -> Any:
        place = " ".join([method, *words])
        if match := re.fullmatch(r"GET servers (\S+) os-interface", place):
            return {"interfaceAttachments": self.ports.get(match[1], [])}
        if match := re.fullmatch(r"PUT os-services id-(\S+)", place):
            self.acted.append((place.partition(" ")[2], body))
            if body["forced_down"] is False and self.evacuated.get(match[1]):
                raise ApiError(
                    400, "Unable to force up host as `done` evacuation migrations remain"
                )
            self.records[match[1]]["forced_down"] = int(body["forced_down"])
            return {"service": {}}
        return super().nova(method, words, query, body)

    @override
    def read_table(self, _: None, name: str, table: str, what: str, statement: str) -> list[Json]:
        if table == "services":
            assert (name, what) == ("nova", "uuid, host, last_seen_up, forced_down")
            assert "`binary` = 'nova-compute'" in statement
            return [dict(row) for row in self.records.values()]
        if table == "migrations" and "migration_type" in statement:
            assert "migration_type = 'evacuation'" in statement
            return [{"host": host, "guests": n} for host, n in self.evacuated.items() if n]
        return super().read_table(_, name, table, what, statement)
