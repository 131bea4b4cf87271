"""lab/files/workshop_state.py with the real openstacksdk, against pages of a cloud over HTTP."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from .small_lab import place

SCRIPT = Path(__file__).resolve().parents[2] / "lab" / "files" / "workshop_state.py"
PATHS = {"compute": "/compute/v2.1", "network": "/network", "block-storage": "/volume/v3/p1"}
NUMBERS = {"network": {"limit": 100, "used": 2, "reserved": 0}}
EMPTY: dict[str, Any] = {
    "/compute/v2.1/flavors": {"flavors": [{"name": "m1.tiny"}]},
    "/compute/v2.1/os-keypairs": {"keypairs": [{"keypair": {"name": "somebody"}}]},
    "/compute/v2.1/os-server-groups": {"server_groups": []},
    "/compute/v2.1/servers/detail": {"servers": []},
    "/compute/v2.1/limits": {"limits": {"rate": [], "absolute": {"totalCoresUsed": 3}}},
    "/network/v2.0/networks": {"networks": []},
    "/network/v2.0/subnets": {"subnets": []},
    "/network/v2.0/routers": {"routers": []},
    "/network/v2.0/ports": {"ports": []},
    "/network/v2.0/security-groups": {"security_groups": [{"name": "default"}]},
    "/network/v2.0/floatingips": {"floatingips": []},
    "/network/v2.0/quotas/p1/details": {"quota": NUMBERS},
    "/volume/v3/p1/volumes/detail": {"volumes": []},
    "/volume/v3/p1/limits": {"limits": {"absolute": {"totalVolumesUsed": 1}}},
}
RULES = [
    {"protocol": None, "port_range_min": None},
    {"protocol": "icmp", "port_range_min": None},
    {"protocol": "tcp", "port_range_min": 22},
]
FULL: dict[str, Any] = {
    **EMPTY,
    "/compute/v2.1/flavors": {"flavors": [{"name": "workshop"}]},
    "/compute/v2.1/os-keypairs": {"keypairs": [{"keypair": {"name": "workshop"}}]},
    "/compute/v2.1/os-server-groups": {"server_groups": [{"name": "workshop"}]},
    "/compute/v2.1/servers/detail": {
        "servers": [
            {"name": "workshop-2", "status": "ERROR"},
            {
                "name": "workshop-1",
                "status": "ACTIVE",
                "os-extended-volumes:volumes_attached": [{"id": "v"}],
            },
        ]
    },
    "/network/v2.0/networks": {"networks": [{}]},
    "/network/v2.0/subnets": {"subnets": [{}]},
    "/network/v2.0/routers": {"routers": [{"id": "r", "external_gateway_info": {"a": 1}}]},
    "/network/v2.0/ports": {"ports": [{"device_owner": "network:router_interface"}]},
    "/network/v2.0/security-groups": {
        "security_groups": [{"name": "workshop", "security_group_rules": RULES}]
    },
    "/network/v2.0/floatingips": {
        "floatingips": [
            {
                "floating_ip_address": "198.51.100.253",
                "description": "workshop",
                "port_id": "p",
            },
            {"floating_ip_address": "198.51.100.254", "description": "mine", "port_id": None},
        ]
    },
    "/volume/v3/p1/volumes/detail": {"volumes": [{"name": "workshop"}]},
}


class Pages(BaseHTTPRequestHandler):
    """Answers with PAGES, a token, and the documents by which services name their versions."""

    pages: dict[str, Any]
    services: tuple[str, ...]

    @property
    def own(self) -> str:
        return f"http://{self.headers['Host']}"

    def version(self, path: str, number: str) -> Any:
        links = [{"rel": "self", "href": f"{self.own}{path}"}]
        return {"id": number, "status": "CURRENT", "links": links}

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].rstrip("/")
        found: Any = self.pages.get(path)
        if path == "/identity/v3":
            found = {"version": self.version("/identity/v3/", "v3.14")}
        if path == "/compute/v2.1":
            found = {"version": self.version("/compute/v2.1/", "v2.1")}
        if path == "/network":
            found = {"versions": [self.version("/network/v2.0/", "v2.0")]}
        self.reply(200 if found else 404, found or {})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        catalog = [
            {"type": type_, "name": type_, "id": type_, "endpoints": self.endpoints(PATHS[type_])}
            for type_ in self.services
        ]
        token = {"project": {"id": "p1", "name": "admin", "domain": {"id": "d", "name": "D"}}}
        more = {"catalog": catalog, "expires_at": "2999-01-01T00:00:00Z", "methods": ["password"]}
        user = {"user": {"id": "u", "name": "admin", "domain": {"id": "d", "name": "D"}}}
        self.reply(201, {"token": {**token, **more, **user, "roles": []}})

    def endpoints(self, path: str) -> Any:
        return [
            {
                "interface": "internal",
                "region": "RegionOne",
                "region_id": "RegionOne",
                "url": self.own + path,
                "id": path,
            }
        ]

    def reply(self, status: int, found: Any) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Subject-Token", "t")
        self.end_headers()
        self.wfile.write(json.dumps(found).encode())

    @override
    def log_message(self, format: str, *args: object) -> None:
        pass


def asked(folder: Path, pages: dict[str, Any], services: tuple[str, ...] = tuple(PATHS)) -> Any:
    """What the script says of a cloud with PAGES."""
    handler = type("Handler", (Pages,), {"pages": pages, "services": services})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    auth = {
        "auth_url": f"http://127.0.0.1:{server.server_port}/identity/v3",
        **{"username": "admin", "password": "x", "project_name": "admin"},
        **{"user_domain_name": "Default", "project_domain_name": "Default"},
    }
    cloud = {"auth": auth, "region_name": "RegionOne", "interface": "internal"}
    (folder / "clouds.yaml").write_text(json.dumps({"clouds": {"admin": cloud}}))
    here = place()
    try:
        process = subprocess.Popen(
            [sys.executable, "-", "workshop", here.first, here.second],
            cwd=folder,
            env={"OS_CLOUD": "admin", "HOME": str(folder), "PATH": "/usr/bin:/bin"},
            stdin=SCRIPT.open(),
            stdout=subprocess.PIPE,
            text=True,
        )
        said, _ = process.communicate(timeout=60)
    finally:
        server.shutdown()
        server.server_close()
    return json.loads(said)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path


def test_nothing_of_the_exercise_is_there(folder: Path) -> None:
    answer = asked(folder, EMPTY)
    assert answer["things"] == []
    assert answer["numbers"] == {
        "compute totalCoresUsed": 3,
        "network network limit": 100,
        "network network used": 2,
        "volume totalVolumesUsed": 1,
    }


def test_everything_of_the_exercise_is_found(folder: Path) -> None:
    (folder / "workshop.pub").touch()
    answer = asked(folder, FULL)
    assert set(answer["things"]) == {
        *("flavor", "keypair", "public key file", "server group", "workshop-1", "workshop-2"),
        *("network", "subnet", "router", "router gateway", "router interface", "volume"),
        *("security group", "security group rule icmp", "security group rule ssh"),
        *("floating ip 198.51.100.253", "floating ip 198.51.100.253 in use"),
        "volume at workshop-1",
    }
    assert answer["broken"] == ["workshop-2"]


def test_without_block_storage_nothing_of_it_is_asked(folder: Path) -> None:
    answer = asked(folder, EMPTY, ("compute", "network"))
    assert answer["services"] == ["compute", "network"]
    assert "volume totalVolumesUsed" not in answer["numbers"]


def test_without_nova_nothing_more_is_asked(folder: Path) -> None:
    answer = asked(folder, {}, ("network",))
    assert answer == {"services": ["network"], "things": [], "broken": [], "numbers": {}}
