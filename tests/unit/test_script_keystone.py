"""files/keystone.py and its like, asked over real sockets: what answers wrongly is named."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import compute_api
import host_report
import http_answers
import keystone
import pytest
import rest
from typing_extensions import override

from .keystone_stand_in import ADMIN, HERE, LOGIN, REFUSED, USER, Keystone, asked, is_made
from .serving import FAULTS, ApiError, Headers, Json, running


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


@pytest.fixture
def cloud() -> Iterator[Keystone]:
    with running(Keystone()) as cloud:
        yield cloud


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


def test_what_is_missing_is_made_and_then_there_is_nothing_left(cloud: Keystone) -> None:
    planned = asked(cloud)["changes"]
    assert planned == [
        "create user nova",
        "give user nova role admin in project service",
        "create service nova (compute)",
        "create region RegionOne",
        "create the public endpoint of compute in RegionOne: http://new:8774",
    ]
    assert asked(cloud, apply=True)["changes"] == planned
    assert cloud.password_of("nova") == "n3w-secret"
    assert asked(cloud)["changes"] == []


def test_a_domain_that_is_not_there_or_disabled_is_named(cloud: Keystone) -> None:
    answer = asked(cloud, domain="Defualt {{ x }}")
    assert (answer["answers"], answer["refuses"], answer["changes"]) == (False, False, [])
    assert answer["error"] == f"{cloud.url}/v3 has no domain Defualt {{{{ x }}}}"
    cloud.named("domains", "Default")["enabled"] = False
    assert "has domain Default disabled" in asked(cloud)["error"]


def test_a_project_that_is_not_there_is_named(cloud: Keystone) -> None:
    cloud.things["projects"].clear()
    assert asked(cloud)["error"] == f"{cloud.url}/v3 has no project service in domain Default"
    assert asked(cloud, projects=["service"])["changes"][0] == "create project service"


def test_a_role_that_others_have_made_is_given_and_one_that_nobody_has_is_named(
    cloud: Keystone,
) -> None:
    assert asked(cloud, roles=[], apply=True)["answers"]
    assert asked(cloud, roles=[])["changes"] == []
    lacking = {**USER, "roles": ["auditor"]}
    assert asked(cloud, users=[lacking], roles=[])["error"] == f"{cloud.url}/v3 has no role auditor"


# --- passwords ------------------------------------------------------------------------------------


def test_a_password_that_keystone_refuses_is_changed(cloud: Keystone) -> None:
    is_made(cloud)
    cloud.passwords[cloud.named("users", "nova")["id"]] = "old"
    answer = asked(cloud)
    assert answer["changes"] == ["change the password of user nova"]
    assert answer["new_passwords"] == ["nova"]
    assert cloud.password_of("nova") == "old"
    asked(cloud, apply=True)
    assert cloud.password_of("nova") == "n3w-secret"


def test_an_account_that_is_locked_is_unlocked_and_keeps_its_password(cloud: Keystone) -> None:
    is_made(cloud)
    cloud.locked = {cloud.named("users", "nova")["id"]}
    cloud.deaf = set(cloud.locked)
    asked(cloud, apply=True)
    assert cloud.locked == set()
    assert asked(cloud)["changes"] == []


def test_a_password_that_is_not_taken_ends_the_run(cloud: Keystone) -> None:
    is_made(cloud)
    user = cloud.named("users", "nova")["id"]
    cloud.passwords[user], cloud.deaf = "old", {user}
    with pytest.raises(SystemExit) as error:
        asked(cloud, apply=True)
    said = "refuses user nova although the password was changed to this one"
    assert str(error.value) == f"{cloud.url}/v3 {said}"


def test_what_keystone_says_of_a_password_is_shown_without_it(cloud: Keystone) -> None:
    is_made(cloud)
    short = {**USER, "password": "too short for its rules"}
    with pytest.raises(SystemExit) as error:
        asked(cloud, users=[short], apply=True)
    assert "answers 400: Invalid input for field 'password': '***' is too short" in str(error.value)


class Receipt(Keystone):
    """The password is right, and more than that is asked for."""

    @override
    def answer(self, method: str, target: str, body: Any, headers: Headers) -> Any:
        user = body and body.get("auth", {}).get("identity", {}).get("password", {}).get("user", {})
        if user and "id" in user:
            raise ApiError(401, REFUSED, {"Openstack-Auth-Receipt": "r"})
        return super().answer(method, target, body, headers)


def test_a_user_who_has_to_show_more_than_a_password_keeps_it() -> None:
    with running(Receipt()) as cloud:
        cloud.add("users", name="nova", password="n3w-secret")
        answer = asked(cloud)
    assert answer["changes"] == [] and "POST" in answer["error"] and "401" in answer["error"]


def test_a_401_of_a_proxy_is_no_word_of_keystones() -> None:
    assert not keystone.is_keystones(rest.Answer("POST u", 401, {}, b"<html>401</html>"))
    assert not keystone.is_keystones(rest.Answer("POST u", 401, {}, b'{"message": "no"}'))
    assert keystone.is_keystones(rest.Answer("POST u", 401, {}, b'{"error": {"code": 401}}'))


def test_only_keystones_own_401_refuses_the_administrator(cloud: Keystone) -> None:
    answer = asked(cloud, admin={**LOGIN, "password": "wrong"})
    assert (answer["answers"], answer["refuses"]) == (False, True)
    assert answer["error"] == f"{cloud.url}/v3 refuses user admin (401): {REFUSED}"
    cloud.fail(1, "503")
    answer = asked(cloud)
    assert (answer["answers"], answer["refuses"]) == (False, False)


# --- endpoints ------------------------------------------------------------------------------------


def test_an_endpoint_that_moved_is_changed_and_a_second_one_removed(cloud: Keystone) -> None:
    is_made(cloud)
    (first,) = cloud.things["endpoints"].values()
    cloud.add("endpoints", **{**first, "id": "second", "url": "http://old:8774"})
    asked(cloud, apply=True)
    assert cloud.urls == ["http://new:8774"]


class Moving(Keystone):
    """Somebody moves the endpoint that stays, as soon as everything was listed."""

    @override
    def read(self, kind: str, key: str, body: None, query: Json) -> Json:
        if key:
            self.things["endpoints"]["first"]["url"] = "http://elsewhere:8774"
        return super().read(kind, key, body, query)


def test_a_second_endpoint_stays_when_the_first_has_changed_meanwhile() -> None:
    with running(Moving()) as cloud:
        is_made(cloud)
        (first,) = cloud.things["endpoints"].values()
        cloud.things["endpoints"] = {"first": {**first, "id": "first"}}
        cloud.add("endpoints", **{**first, "id": "second", "url": "http://old:8774"})
        with pytest.raises(SystemExit, match="have changed meanwhile: run it again"):
            asked(cloud, apply=True)
        assert set(cloud.things["endpoints"]) == {"first", "second"}


def test_a_list_that_keystone_cuts_off_is_no_list(cloud: Keystone) -> None:
    cloud.truncates = True
    assert "not with the whole list" in asked(cloud)["error"]


# --- no answer ------------------------------------------------------------------------------------


def work(cloud: Keystone) -> None:
    """Have something of every kind to be done: a password, a role, two endpoints, a region."""
    cloud.add("users", name="nova", password="old")
    service = cloud.add("services", type="compute", name="nova")["id"]
    place = {"service_id": service, "interface": "public", "region_id": "RegionOne"}
    cloud.add("endpoints", **place, url="http://old:8774")
    cloud.add("endpoints", **place, url="http://older:8774")


WANTED = {"endpoints": [HERE, {**HERE, "interface": "internal"}]}


@pytest.mark.parametrize("fault", FAULTS)
def test_after_a_request_without_an_answer_nothing_is_asked_or_changed(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keystone, "TIMEOUT", 0.2)
    monkeypatch.setattr(rest, "TIMEOUT", 0.2)
    number = 0
    while True:
        number += 1
        with running(Keystone()) as cloud:
            work(cloud)
            cloud.fail(number, fault)
            try:
                asked(cloud, apply=True, **WANTED)
            except SystemExit as error:
                said = str(error)
            else:
                break
        assert len(cloud.asked) == number
        method, path = cloud.asked[-1].split(" ")
        assert f"{method} {cloud.url}{path}" in said and FAULTS[fault] in said
        assert ADMIN not in said and "n3w-secret" not in said
        passed = "PATCH /v3/users" in " ".join(cloud.asked[:-1])
        assert passed or cloud.password_of("nova") == "old"
    assert number > 15
    assert cloud.password_of("nova") == "n3w-secret"


def test_what_a_run_that_was_cut_off_has_left_is_finished_by_the_next() -> None:
    number = 0
    while True:
        number += 1
        with running(Keystone()) as cloud:
            work(cloud)
            cloud.fail(number, "lost")
            try:
                asked(cloud, apply=True, **WANTED)
            except SystemExit:
                cloud.fail(0, "")
                asked(cloud, apply=True, **WANTED)
            else:
                break
            assert asked(cloud, **WANTED)["changes"] == []
            assert sorted(cloud.urls) == ["http://new:8774", "http://new:8774"]
            assert cloud.password_of("nova") == "n3w-secret"
    assert number > 15
