"""A stand-in for Keystone, Nova, Placement and Glance that keeps state and speaks over HTTP.

It knows the requests that files/cloud_objects.py makes and the errors that it has to report,
written after the APIs' references (api-ref of each project). What it cannot show is whether a real
cloud answers the same; tests/lab and tests/verify do.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from typing_extensions import override

from .serving import ApiError, Headers, Json, Served

PROJECT, OTHER = "project-of-admin", "project-of-others"
PROJECTS = {"admin": PROJECT, "others": OTHER}


class StandIn(Served):
    """The state of the cloud, what was asked of it, and how it answers."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = itertools.count(1)
        self.flavors: dict[str, Json] = {}
        self.access: dict[str, list[str]] = {}
        self.guests: list[str] = []  # the flavors of guests, by id
        self.aggregates: dict[str, Json] = {}
        self.hosts = ["compute1", "compute2"]
        self.away: list[str] = []  # hosts of a cell that does not answer
        self.traits: dict[str, list[str]] = {
            f"rp-{name}": ["HW_CPU_X86_AVX"] for name in self.hosts
        }
        self.known_traits = {"HW_CPU_X86_AVX", "HW_GPU_API_VULKAN"}
        self.conflicts = 0
        self.groups: dict[str, Json] = {}
        self.quotas: dict[str, int] = {}  # of the administrator's project
        self.quotas_of_others: dict[str, int] = {}
        self.keypairs: dict[str, Json] = {}
        self.images: dict[str, Json] = {}
        self.services: tuple[str, ...] = ("compute", "placement", "image")

    @override
    def answer(self, method: str, target: str, body: Any, headers: Headers) -> Any:
        url = urlsplit(target)
        if url.path.startswith("/compute"):
            assert headers["OpenStack-API-Version"] == "compute 2.75"
        if url.path.startswith("/placement"):
            assert headers["OpenStack-API-Version"] == "placement 1.20"
        if method == "PATCH":
            assert headers["Content-Type"] == "application/openstack-images-v2.1-json-patch"
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        for pattern, function in ROUTES:
            verb, _, path = pattern.partition(" ")
            match = re.fullmatch(path, url.path)
            if verb == method and match:
                return function(self, body, query, *map(unquote, match.groups()))
        raise ApiError(404, f"no stand-in for {method} {target}")

    def new_id(self) -> str:
        return f"id-{next(self.numbers)}"

    def flavor(self, name: str, **more: Any) -> Json:
        """Somebody's flavor, as Nova has it; what a request calls otherwise is renamed."""
        flavor = {
            **{"id": self.new_id(), "name": name, "vcpus": 1, "ram": 512, "disk": 1, "swap": 0},
            **{"OS-FLV-EXT-DATA:ephemeral": 0, "os-flavor-access:is_public": True},
            **{"description": None, "extra_specs": {}},
            **more,
        }
        self.flavors[flavor["id"]] = flavor
        return flavor

    def listed_flavors(self, body: None, query: Json) -> Json:
        """The public ones, and for `is_public=None` those that only some projects see as well."""
        everybodys = query.get("is_public") != "None"
        listed = self.flavors.values()
        found = [f for f in listed if f["os-flavor-access:is_public"] or not everybodys]
        return {"flavors": found}

    def listed_servers(self, body: None, query: Json) -> Json:
        """Guests are of projects that are not the administrator's."""
        everybodys = query.get("all_tenants") == "1"
        return {"servers": [g for g in self.guests if everybodys and g == query["flavor"]]}

    def make_flavor(self, body: Json, query: Json) -> Json:
        given = body["flavor"]
        for flavor in self.flavors.values():
            if given["name"] == flavor["name"] or given.get("id") == flavor["id"]:
                raise ApiError(409, f"Flavor with name {given['name']} already exists.")
        return {"flavor": self.flavor(**given)}

    def delete_flavor(self, body: None, query: Json, key: str) -> Json:
        if self.flavors.pop(key, None) is None:
            raise ApiError(404, f"Flavor {key} could not be found.")
        self.access.pop(key, None)
        return {}

    def extra_specs(self, key: str, *names: str) -> dict[str, str]:
        """Those of a flavor, which are to have NAMES."""
        held: dict[str, str] = self.flavors.get(key, {}).get("extra_specs", {})
        if key not in self.flavors or not {*names} <= {*held}:
            raise ApiError(404, f"Flavor {key} has no extra specs with key {names}.")
        return held

    def add_access(self, body: Json, query: Json, key: str) -> Json:
        projects = self.access.setdefault(key, [])
        if (project := body["addTenantAccess"]["tenant"]) in projects:
            raise ApiError(409, f"Flavor access already exists for project {project}.")
        projects.append(project)
        return {}

    def change_aggregate(self, body: Json, query: Json, key: str) -> Json:
        aggregate = self.aggregates[key]
        if host := body.get("add_host", {}).get("host"):
            if host not in self.hosts:
                raise ApiError(404, f"Compute host {host} could not be found.")
            aggregate["hosts"].append(host)
        if host := body.get("remove_host", {}).get("host"):
            aggregate["hosts"].remove(host)
        for name, value in body.get("set_metadata", {}).get("metadata", {}).items():
            aggregate["metadata"][name] = value
            if value is None:
                del aggregate["metadata"][name]
        return {"aggregate": aggregate}

    def delete_aggregate(self, body: None, query: Json, key: str) -> Json:
        if key not in self.aggregates:
            raise ApiError(404, f"Aggregate {key} could not be found.")
        if self.aggregates[key]["hosts"]:
            raise ApiError(400, "Cannot remove aggregate. Reason: Host aggregate is not empty.")
        del self.aggregates[key]
        return {}

    def make_aggregate(self, body: Json, query: Json) -> Json:
        made = {"hosts": [], "metadata": {}, "availability_zone": None, **body["aggregate"]}
        made["id"] = next(self.numbers)
        self.aggregates[str(made["id"])] = made
        return {"aggregate": made}

    def providers(self, body: None, query: Json) -> Json:
        trait = query["required"]
        if trait not in self.known_traits:
            raise ApiError(400, f"No such trait(s): {trait}.")
        return {"resource_providers": [{} for held in self.traits.values() if trait in held]}

    def put_traits(self, body: Json, query: Json, key: str) -> Json:
        if self.conflicts:
            self.conflicts -= 1
            raise ApiError(409, "resource provider generation conflict")
        self.traits[key] = body["traits"]
        return body

    def make_group(self, body: Json, query: Json) -> Json:
        made = {"id": self.new_id(), "members": [], "rules": {}, **body["server_group"]}
        self.groups[made["id"]] = made
        return {"server_group": made}

    def held(self, project: str) -> dict[str, int]:
        return {PROJECT: self.quotas, OTHER: self.quotas_of_others}[project]

    def put_quota(self, body: Json, query: Json, key: str) -> Json:
        if body["quota_set"].get("cores") == 1:
            raise ApiError(400, "Quota limit 1 for cores must be greater than or equal to 4.")
        self.held(key).update(body["quota_set"])
        return {}

    def projects(self, body: None, query: Json) -> Json:
        found = PROJECTS.get(query["name"]) if query["domain_id"] == "d" else None
        return {"projects": [{"id": found}] if found else []}

    def make_keypair(self, body: Json, query: Json) -> Json:
        self.keypairs[body["keypair"]["name"]] = body["keypair"]
        return {}

    def make_image(self, body: Json, query: Json) -> Json:
        made = {"id": self.new_id(), "status": "queued", "owner": PROJECT, "min_ram": 0, **body}
        self.images[made["id"]] = made
        return made

    def put_image(self, body: bytes, query: Json, key: str) -> Json:
        value = hashlib.sha512(body).hexdigest()
        more = {"status": "active", "os_hash_algo": "sha512", "os_hash_value": value}
        self.images[key].update(more, size=len(body))
        return {}

    def patch_image(self, body: list[Json], query: Json, key: str) -> Json:
        for change in body:
            # JSON pointers, RFC 6901.
            assert re.fullmatch("/(?:[^/~]|~[01])+", change["path"])
            assert change["op"] in ("add", "replace", "remove")
            name = change["path"][1:].replace("~1", "/").replace("~0", "~")
            assert (name in self.images[key]) == (change["op"] != "add")
            if change["op"] == "remove":
                del self.images[key][name]
            else:
                self.images[key][name] = change["value"]
        return self.images[key]

    def token(self, body: Json, query: Json) -> Json:
        if body["auth"]["identity"]["password"]["user"]["password"] != "x":
            raise ApiError(401, "The request you have made requires authentication.")
        paths = {"compute": "/compute/v2.1", "placement": "/placement", "image": "/image"}
        catalogue = [
            {
                "type": service,
                "endpoints": [
                    {
                        "interface": "internal",
                        "region_id": "RegionOne",
                        "url": self.url + paths[service],
                    }
                ],
            }
            for service in self.services
        ]
        return {"token": {"project": {"id": PROJECT}, "catalog": catalogue}}

    def pages_of_images(self, body: None, query: Json) -> Json:
        """Two on a page."""
        mine = [image for image in self.images.values() if image["owner"] == query["owner"]]
        start = int(query.get("marker", 0))
        page: Json = {"images": mine[start : start + 2]}
        if mine[start + 2 :]:
            page["next"] = f"/v2/images?owner={query['owner']}&marker={start + 2}"
        return page


DEFAULT_QUOTA = {"cores": 20, "instances": 10, "ram": 51200}
Route = Callable[..., Any]
NOVA = "/compute/v2\\.1"


def _listed(kind: str, name: str) -> Route:
    return lambda cloud, *_: {name: list(getattr(cloud, kind).values())}


def _page(kind: str, name: str) -> Route:
    """A list that goes on at the offset that is asked for."""
    return lambda cloud, body, query: {
        name: list(getattr(cloud, kind).values())[int(query.get("offset", 0)) :]
    }


def _one(kind: str, name: str = "") -> Route:
    def read(cloud: StandIn, body: None, query: Json, key: str) -> Json:
        found: Json | None = getattr(cloud, kind).get(key)
        if found is None:
            raise ApiError(404, "is not there")
        return {name: found} if name else found

    return read


def _deleted(kind: str) -> Route:
    def delete(cloud: StandIn, body: None, query: Json, key: str) -> Json:
        if getattr(cloud, kind).pop(key, None) is None:
            raise ApiError(404, "is not there")
        return {}

    return delete


ROUTES: list[tuple[str, Route]] = [
    ("POST /identity/v3/auth/tokens", StandIn.token),
    ("GET /identity/v3/domains", lambda *_: {"domains": [{"id": "d", "name": "Default"}]}),
    ("GET /identity/v3/projects", StandIn.projects),
    (f"GET {NOVA}/flavors/detail", StandIn.listed_flavors),
    (f"GET {NOVA}/flavors/([^/]+)", _one("flavors", "flavor")),
    (f"POST {NOVA}/flavors", StandIn.make_flavor),
    (f"DELETE {NOVA}/flavors/([^/]+)", StandIn.delete_flavor),
    (
        f"PUT {NOVA}/flavors/([^/]+)",
        lambda cloud, body, query, key: cloud.flavors[key].update(body["flavor"]),
    ),
    (
        f"POST {NOVA}/flavors/([^/]+)/os-extra_specs",
        lambda cloud, body, query, key: cloud.flavors[key]["extra_specs"].update(
            body["extra_specs"]
        ),
    ),
    (
        f"DELETE {NOVA}/flavors/([^/]+)/os-extra_specs/([^/]+)",
        lambda cloud, body, query, key, name: cloud.extra_specs(key, name).pop(name) and {},
    ),
    (
        f"GET {NOVA}/flavors/([^/]+)/os-flavor-access",
        lambda cloud, body, query, key: {
            "flavor_access": [{"tenant_id": p} for p in cloud.access.get(key, [])]
        },
    ),
    (f"POST {NOVA}/flavors/([^/]+)/action", StandIn.add_access),
    (
        f"GET {NOVA}/flavors/([^/]+)/os-extra_specs",
        lambda cloud, body, query, key: {"extra_specs": cloud.extra_specs(key)},
    ),
    (f"GET {NOVA}/servers", StandIn.listed_servers),
    (f"GET {NOVA}/os-aggregates", _listed("aggregates", "aggregates")),
    (f"GET {NOVA}/os-aggregates/([^/]+)", _one("aggregates", "aggregate")),
    (f"POST {NOVA}/os-aggregates", StandIn.make_aggregate),
    (
        f"PUT {NOVA}/os-aggregates/([^/]+)",
        lambda cloud, body, query, key: cloud.aggregates[key].update(body["aggregate"]),
    ),
    (f"POST {NOVA}/os-aggregates/([^/]+)/action", StandIn.change_aggregate),
    (f"DELETE {NOVA}/os-aggregates/([^/]+)", StandIn.delete_aggregate),
    (
        f"GET {NOVA}/os-services",
        lambda cloud, body, query: {
            "services": [
                {"host": host, "status": "UNKNOWN" if host in cloud.away else "enabled"}
                for host in cloud.hosts
                if query["binary"] == "nova-compute"
            ]
        },
    ),
    (
        f"GET {NOVA}/os-hypervisors/detail",
        lambda cloud, *_: {
            "hypervisors": [{"id": f"rp-{h}", "service": {"host": h}} for h in cloud.hosts]
        },
    ),
    (f"GET {NOVA}/os-server-groups", _page("groups", "server_groups")),
    (f"GET {NOVA}/os-server-groups/([^/]+)", _one("groups", "server_group")),
    (f"POST {NOVA}/os-server-groups", StandIn.make_group),
    (f"DELETE {NOVA}/os-server-groups/([^/]+)", _deleted("groups")),
    (
        f"GET {NOVA}/os-quota-sets/([^/]+)",
        lambda cloud, body, query, key: {
            "quota_set": {"id": key, **DEFAULT_QUOTA, **cloud.held(key)}
        },
    ),
    (
        f"GET {NOVA}/os-quota-sets/([^/]+)/defaults",
        lambda cloud, body, query, key: {"quota_set": {"id": key, **DEFAULT_QUOTA}},
    ),
    (f"PUT {NOVA}/os-quota-sets/([^/]+)", StandIn.put_quota),
    (
        f"DELETE {NOVA}/os-quota-sets/([^/]+)",
        lambda cloud, body, query, key: cloud.held(key).clear(),
    ),
    (
        f"GET {NOVA}/os-keypairs",
        lambda cloud, *_: {"keypairs": [{"keypair": key} for key in cloud.keypairs.values()]},
    ),
    (f"GET {NOVA}/os-keypairs/([^/]+)", _one("keypairs", "keypair")),
    (f"POST {NOVA}/os-keypairs", StandIn.make_keypair),
    (f"DELETE {NOVA}/os-keypairs/([^/]+)", _deleted("keypairs")),
    ("GET /placement/resource_providers", StandIn.providers),
    (
        "GET /placement/resource_providers/([^/]+)/traits",
        lambda cloud, body, query, key: {
            "traits": cloud.traits[key],
            "resource_provider_generation": 1,
        },
    ),
    ("PUT /placement/resource_providers/([^/]+)/traits", StandIn.put_traits),
    (
        "PUT /placement/traits/(.+)",
        lambda cloud, body, query, trait: cloud.known_traits.add(trait),
    ),
    ("GET /image/v2/images", StandIn.pages_of_images),
    ("GET /image/v2/images/([^/]+)", _one("images")),
    ("POST /image/v2/images", StandIn.make_image),
    ("PUT /image/v2/images/([^/]+)/file", StandIn.put_image),
    ("PATCH /image/v2/images/([^/]+)", StandIn.patch_image),
    ("DELETE /image/v2/images/([^/]+)", _deleted("images")),
]
