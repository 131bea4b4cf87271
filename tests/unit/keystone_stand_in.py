"""A stand-in for Keystone that keeps users, roles and its catalogue, and speaks over HTTP.

Written after its API reference; what it says to a login is what Keystone says since 2021, the same
for every cause.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import keystone
from typing_extensions import override

from .serving import ApiError, Headers, Json, Served

ADMIN = "s3cret-of-admin"
REFUSED = "The request you have made requires authentication."
KINDS = ("domain", "project", "role", "user", "service", "endpoint", "region")


class Keystone(Served):
    """Attributes:
    locked: users who are refused whatever their password, until somebody enables them.
    deaf: users whose new passwords are taken and not kept.
    """

    def __init__(self) -> None:
        super().__init__()
        self.numbers = itertools.count(1)
        self.things: dict[str, dict[str, Json]] = {f"{kind}s": {} for kind in KINDS}
        self.passwords: dict[str, str] = {}
        self.assigned: list[tuple[str, str, str]] = []
        self.locked: set[str] = set()
        self.deaf: set[str] = set()
        self.truncates = False
        domain = self.add("domains", name="Default")["id"]
        self.add("projects", name="service", domain_id=domain)
        for role in ("admin", "service"):
            self.add("roles", name=role)

    def add(self, kind: str, **more: Any) -> Json:
        thing = {"id": f"{kind}-{next(self.numbers)}", "enabled": True, **more}
        if password := thing.pop("password", None):
            self.passwords[thing["id"]] = password
        self.things[kind][thing["id"]] = thing
        return thing

    def named(self, kind: str, name: str) -> Json:
        return next(t for t in self.things[kind].values() if t.get("name") == name)

    @property
    def urls(self) -> list[str]:
        return [endpoint["url"] for endpoint in self.things["endpoints"].values()]

    def password_of(self, name: str) -> str:
        return self.passwords[self.named("users", name)["id"]]

    @override
    def answer(self, method: str, target: str, body: Any, headers: Headers) -> Any:
        url = urlsplit(target)
        if url.path == "/v3/auth/tokens":
            return self.token(body["auth"]["identity"]["password"]["user"])
        assert headers["X-Auth-Token"] == "t"
        if found := re.fullmatch("/v3/projects/(.+)/users/(.+)/roles(?:/(.+))?", url.path):
            return self.roles_of(method, found[1], found[2], found[3])
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        kind, _, key = url.path.removeprefix("/v3/").partition("/")
        acts: dict[str, Callable[..., Any]] = {
            "GET": self.read,
            "POST": self.create,
            "PATCH": self.change,
            "DELETE": self.delete,
        }
        return acts[method](kind, key, body, query)

    def token(self, user: Json) -> Json:
        if user.get("name") == "admin":
            if user["password"] != ADMIN:
                raise ApiError(401, REFUSED)
            return {"token": {"project": {"id": "p"}, "catalog": []}}
        found = self.things["users"].get(user.get("id", ""))
        right = found and found["enabled"] and found["id"] not in self.locked
        if not found or not right or self.passwords[found["id"]] != user["password"]:
            raise ApiError(401, REFUSED)
        return {"token": {}}

    def roles_of(self, method: str, project: str, user: str, role: str) -> Json:
        self.thing("projects", project)
        self.thing("users", user)
        if method == "PUT":
            self.thing("roles", role)
            self.assigned.append((project, user, role))
            return {}
        held = [r for p, u, r in self.assigned if (p, u) == (project, user)]
        return {"roles": [self.things["roles"][role] for role in held]}

    def read(self, kind: str, key: str, body: None, query: Json) -> Json:
        if key:
            return {kind[:-1]: self.thing(kind, key)}
        found = [
            thing
            for thing in self.things[kind].values()
            if all(thing.get(k, v) == v for k, v in query.items())
        ]
        return {kind: found, "links": {"next": None}, "truncated": self.truncates}

    def thing(self, kind: str, key: str) -> Json:
        if key not in self.things[kind]:
            raise ApiError(404, f"Could not find {kind[:-1]}: {key}.")
        return self.things[kind][key]

    def create(self, kind: str, key: str, body: Json, query: Json) -> Json:
        given = body[kind[:-1]]
        for field, of in (("domain_id", "domains"), ("service_id", "services")):
            if field in given and given[field] not in self.things[of]:
                raise ApiError(400, f"Could not find {of[:-1]}: {given[field]}.")
        return {kind[:-1]: self.add(kind, **body[kind[:-1]])}

    def change(self, kind: str, key: str, body: Json, query: Json) -> Json:
        changed = dict(body[kind[:-1]])
        if changed.get("enabled"):
            self.locked.discard(key)
        password = changed.pop("password", None)
        if password == "too short for its rules":
            raise ApiError(400, f"Invalid input for field 'password': '{password}' is too short")
        if password and key not in self.deaf:
            self.passwords[key] = password
        self.thing(kind, key).update(changed)
        return {kind[:-1]: self.thing(kind, key)}

    def delete(self, kind: str, key: str, body: None, query: Json) -> Json:
        self.thing(kind, key)
        del self.things[kind][key]
        return {}


# --- what is asked of it -------------------------------------------------------------------------

LOGIN = {
    "username": "admin",
    "password": "x",
    "user_domain": "Default",
    "project": "admin",
    "project_domain": "Default",
}
USER = {"name": "nova", "password": "n3w-secret", "project": "service", "roles": ["admin"]}
HERE = {"type": "compute", "interface": "public", "url": "http://new:8774", "region": "RegionOne"}


def asked(cloud: Keystone, **wanted: Any) -> dict[str, Any]:
    request = {
        "auth_url": cloud.url,
        "admin": {**LOGIN, "password": ADMIN},
        "domain": "Default",
        "project_domain": "Default",
        "projects": [],
        "roles": ["admin"],
        "users": [USER],
        "services": [{"type": "compute", "name": "nova", "description": "Compute"}],
        "endpoints": [HERE],
        "apply": False,
    }
    return dict(keystone.answer({**request, **wanted}))


def is_made(cloud: Keystone) -> None:
    """Have everything there that is asked for."""
    asked(cloud, apply=True)
    assert asked(cloud)["changes"] == []
