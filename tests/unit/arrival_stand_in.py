"""The cloud of drain_stand_in.py, with Neutron's ports and what Placement has of migrations.

Written after neutron/plugins/ml2/plugin.py and nova/compute/manager.py of Zed.
"""

from __future__ import annotations

import re
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

from typing_extensions import override

from .drain_stand_in import HOST, STATE, TASK, Cloud
from .serving import ApiError, Headers, Json

FAULT = (
    "Failed to activate binding for port p1 on host compute2; please check neutron logs for more "
    "information"
)


def at(age: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - age))


class ArrivalCloud(Cloud):
    """The state of the cloud.

    Attributes:
        bindings: by port, the status of its binding by host.
        owners: the guest of each port.
        kind: what the ports are to their guests.
        meanwhile: what becomes of a guest while its ports are bound.
        left: what each migration still has in Placement, and its generation.
        puts: what was written there.
        stays: whether a guest that is set active stays in ERROR.
        neutron_says: the error with which Neutron activates no binding.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bindings: dict[str, dict[str, str]] = {}
        self.owners: dict[str, str] = {}
        self.kind = "normal"
        self.meanwhile: Json = {}
        self.left: dict[str, Json] = {}
        self.puts: list[tuple[str, Json]] = []
        self.stays = False
        self.neutron_says = ""

    def arrived(self, uuid: str = "g1", *, port: str = "p1", **more: Any) -> Json:
        """A guest whose arrival on compute2 Neutron was told of twice at once."""
        fault = {"message": FAULT, "created": at(50)}
        made = self.guest(uuid, **{"state": "error", "host": "compute2", "fault": fault, **more})
        move = self.migration(uuid, "live-migration", "error")
        self.left[move["uuid"]] = {"rp-compute1": {"resources": {"VCPU": 2}}}
        self.owners[port], self.bindings[port] = uuid, {"compute1": "INACTIVE"}
        self.bindings[port]["compute2"] = "ACTIVE"
        return made

    @override
    def catalogue(self) -> list[Json]:
        url = {"interface": "internal", "region_id": "R", "url": f"{self.url}/network"}
        return [*super().catalogue(), {"type": "network", "endpoints": [url]}]

    @override
    def answer(self, method: str, target: str, body: Any, headers: Headers) -> Any:
        url = urlsplit(target)
        if url.path.endswith("/tokens"):
            self.subject = "of " + body["auth"]["identity"]["password"]["user"]["name"]
        if url.path.startswith("/network"):
            # As in 2025.1, where administrators may read.
            if method != "GET" and headers["X-Auth-Token"] != "of neutron":
                raise ApiError(403, "rule:delete_port_binding is disallowed by policy")
            words = url.path.removeprefix("/network/v2.0/").split("/")
            return self.neutron(method, words, parse_qs(url.query))
        if match := re.fullmatch(r"/placement/allocations/(\S+)", url.path):
            assert headers["OpenStack-API-Version"] == "placement 1.28"
            return self.consumer(method, match[1], body)
        return super().answer(method, target, body, headers)

    def neutron(self, method: str, words: list[str], query: dict[str, list[str]]) -> Json:
        if words == ["ports"]:
            assert query["fields"] == ["id", "binding:host_id", "binding:vnic_type"]
            mine = [port for port, guest in self.owners.items() if [guest] == query["device_id"]]
            kind = {"binding:vnic_type": self.kind}
            return {"ports": [{"id": p, "binding:host_id": self.active(p), **kind} for p in mine]}
        if method != "GET":
            self.acted.append((" ".join([method, *words]), {}))
        known = self.bindings[words[1]]
        if method == "GET":
            return {"bindings": [{"host": h, "status": s} for h, s in known.items()]}
        if method == "DELETE":
            self.guests[self.owners[words[1]]].update(self.meanwhile)
            assert known.pop(words[3]) == "INACTIVE"
            return {}
        if self.neutron_says:
            raise ApiError(500, self.neutron_says)
        known.update(dict.fromkeys(known, "INACTIVE"))
        known[words[3]] = "ACTIVE"
        return {}

    def active(self, port: str) -> str:
        return next((h for h, status in self.bindings[port].items() if status == "ACTIVE"), "")

    def consumer(self, method: str, uuid: str, body: Any) -> Json:
        if method == "GET":
            has = self.left.get(uuid, {})
            whose = {"project_id": "p", "user_id": "u", "consumer_generation": 3}
            return {"allocations": has, **(whose if has else {})}
        if body["consumer_generation"] != 3:
            raise ApiError(409, "consumer generation conflict")
        self.puts.append((uuid, body["allocations"]))
        self.left[uuid] = body["allocations"]
        return {}

    @override
    def act(self, uuid: str) -> Any:
        if "os-resetState" in (self.acted[-1][1] or {}) and not self.stays:
            self.guests[uuid].update({STATE: "active", TASK: None})
            self.guests[uuid].pop("fault")
        return super().act(uuid)

    def where(self, uuid: str = "g1") -> tuple[str, str]:
        return self.guests[uuid][HOST], self.guests[uuid][STATE]
