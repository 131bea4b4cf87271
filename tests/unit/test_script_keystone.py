"""files/keystone.py and its like, asked over real sockets: what answers wrongly is named."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import compute_api
import host_report
import http_answers
import keystone
import pytest
import rest
from typing_extensions import override

LOGIN = {
    "username": "admin",
    "password": "x",
    "user_domain": "Default",
    "project": "admin",
    "project_domain": "Default",
}


@pytest.fixture
def ssh_server() -> Iterator[str]:
    """The URL of a port on which somebody listens who does not speak HTTP."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            while True:
                try:
                    stream, _ = server.accept()
                except OSError:
                    return
                with stream:
                    stream.recv(4096)
                    stream.sendall(b"SSH-2.0-OpenSSH_9.2p1\r\n")

        threading.Thread(target=greet, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


class OneDomain(BaseHTTPRequestHandler):
    """A Keystone with domain ``Default`` and no project in it."""

    def answer(self, status: int, body: dict[str, Any]) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(status)
        self.send_header("X-Subject-Token", "t")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def do_POST(self) -> None:
        self.answer(201, {"token": {}})

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        kind, query = url.path.rpartition("/")[2], parse_qs(url.query)
        known = [{"id": "d", "name": "Default"}] if query.get("name") == ["Default"] else []
        users = [{"id": "u", "name": "nova"}]
        self.answer(200, {kind: {"domains": known, "users": users}.get(kind, [])})

    @override
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def one_domain() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), OneDomain)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v3"
    server.shutdown()
    server.server_close()


def test_a_port_that_speaks_no_http_is_named(ssh_server: str) -> None:
    silent = r"/v3/auth/tokens does not answer: SSH-2\.0"
    with pytest.raises(rest.NoAnswer, match=f"^POST {ssh_server}{silent}"):
        keystone.Keystone(ssh_server).login("nova", "x", "Default")
    with pytest.raises(rest.NoAnswer, match=r"does not answer: SSH-2\.0"):
        rest.Client(ssh_server).get("/")
    assert "SSH-2.0" in http_answers.problem({"url": ssh_server, "holds": "x"})
    with pytest.raises(rest.NoAnswer, match=r"SSH-2\.0"):
        host_report.service_problem(ssh_server)


def test_a_service_is_asked_at_the_first_interface_it_has_in_its_own_region() -> None:
    def endpoint(interface: str, region: str) -> dict[str, str]:
        return {"interface": interface, "region_id": region, "url": f"http://{interface}.{region}"}

    catalogue = [
        {"type": "compute", "endpoints": [endpoint("public", "A"), endpoint("internal", "A")]},
        {"type": "placement", "endpoints": [endpoint("internal", "A"), endpoint("public", "B")]},
    ]
    places = {"placement": {"region": "B", "interfaces": ["internal", "public"]}}
    request = {"region": "A", "interface": "internal", "places": places}
    assert compute_api.endpoint(catalogue, "compute", request) == "http://internal.A"
    assert compute_api.endpoint(catalogue, "placement", request) == "http://public.B"
    with pytest.raises(keystone.Refused, match="no internal endpoint of type image in A"):
        compute_api.endpoint(catalogue, "image", request)


def asked(auth_url: str, **wanted: Any) -> dict[str, Any]:
    request = {
        "auth_url": auth_url,
        "admin": LOGIN,
        "domain": "Default",
        "project_domain": "Default",
        **{key: [] for key in ("projects", "roles", "services", "endpoints")},
        "users": [{"name": "nova", "password": "x", "project": "service", "roles": ["admin"]}],
        "apply": False,
    }
    return dict(keystone.answer({**request, **wanted}))


def test_a_domain_that_is_not_there_is_named(one_domain: str) -> None:
    answer = asked(one_domain, domain="Defualt {{ x }}")
    assert (answer["answers"], answer["changes"]) == (False, [])
    assert answer["error"] == f"{one_domain} has no domain Defualt {{{{ x }}}}"


def test_a_project_that_is_not_there_is_named(one_domain: str) -> None:
    error = asked(one_domain)["error"]
    assert error == f"{one_domain} has no project service in domain Default"
    assert asked(one_domain, projects=["service"])["error"] is None
