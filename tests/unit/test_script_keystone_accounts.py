"""files/keystone.py: what is sent for accounts, and in whose domain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keystone
import pytest
from typing_extensions import override

from .keystone_stand_in import ADMIN, HERE, LOGIN, USER, Keystone, asked, is_made
from .serving import ApiError, Headers, Json, running


@pytest.fixture
def cloud() -> Iterator[Keystone]:
    with running(Keystone()) as cloud:
        yield cloud


# --- logins ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["", "/", "/v3", "/v3/"])
def test_keystone_is_asked_below_v3_whether_the_url_says_so_or_not(end: str) -> None:
    found = keystone.Keystone("http://ctl:5000/identity" + end)
    assert found.url == found.auth_url == "http://ctl:5000/identity/v3"


class Noting(Keystone):
    """Keeps what logins hold."""

    def __init__(self) -> None:
        super().__init__()
        self.logins: list[Json] = []

    @override
    def answer(self, method: str, target: str, body: Any, headers: Headers) -> Any:
        if target == "/v3/auth/tokens":
            self.logins.append(body)
        return super().answer(method, target, body, headers)


def test_the_administrator_is_of_one_domain_and_the_project_of_another() -> None:
    admin = {"username": "admin", "password": ADMIN, "user_domain": "Staff"}
    admin |= {"project": "ops", "project_domain": "Machines"}
    with running(Noting()) as cloud:
        is_made(cloud)
        nova = cloud.named("users", "nova")["id"]
        cloud.logins.clear()
        assert asked(cloud, admin=admin)["error"] is None
    user = {"name": "admin", "password": ADMIN, "domain": {"name": "Staff"}}
    identity = {"methods": ["password"], "password": {"user": user}}
    scope = {"project": {"name": "ops", "domain": {"name": "Machines"}}}
    first, second = cloud.logins
    assert first["auth"] == {"identity": identity, "scope": scope}
    # A password is tried without a project, where the account may have no role yet.
    tried = {"user": {"id": nova, "password": USER["password"]}}
    assert second["auth"] == {"identity": {"methods": ["password"], "password": tried}}


class Elsewhere(Keystone):
    """Another service at this address, which takes whatever it is sent."""

    def __init__(self, header: str, answers: Json) -> None:
        super().__init__()
        self.subject, self.answers = header, answers

    @override
    def token(self, user: Json) -> Json:
        return self.answers


@pytest.mark.parametrize(
    ("header", "body"),
    [("t", {"status": "ok"}), ("t", {"token": "t"}), ("", {"token": {"project": {"id": "p"}}})],
)
def test_a_login_that_is_answered_without_a_token_or_what_it_is_for_is_none(
    header: str, body: Json
) -> None:
    with running(Elsewhere(header, body)) as cloud:
        answer = asked(cloud)
    assert answer["error"].startswith(f"POST {cloud.url}/v3/auth/tokens answers 201")
    assert answer["error"].endswith(", but with no token") and answer["refuses"] is False


def test_what_a_service_repeats_of_a_refused_login_is_shown_without_the_password() -> None:
    class Repeating(Keystone):
        @override
        def token(self, user: Json) -> Json:
            raise ApiError(400, f"{user['password']} is not of the type 'string'")

    with running(Repeating()) as cloud:
        error = asked(cloud, admin={**LOGIN, "password": ADMIN})["error"]
    assert error.endswith("answers 400: *** is not of the type 'string'")


# --- domains --------------------------------------------------------------------------------------


def test_users_and_projects_are_looked_for_and_made_in_their_own_domains(cloud: Keystone) -> None:
    """Somebody else's user and project have the same names in the other domain."""
    people = cloud.named("domains", "Default")["id"]
    machines = cloud.add("domains", name="Machines")["id"]
    cloud.things["projects"].clear()
    cloud.add("projects", name="service", domain_id=people)
    theirs = cloud.add("users", name="nova", domain_id=machines, password="theirs")
    wanted: Json = {"project_domain": "Machines", "projects": ["service"]}
    planned = asked(cloud, **wanted)["changes"]
    assert planned[:2] == ["create project service", "create user nova"]
    assert asked(cloud, **wanted, apply=True)["changes"] == planned
    user, project = list(cloud.things["users"].values())[-1], list(cloud.things["projects"])[-1]
    assert (user["name"], user["domain_id"]) == ("nova", people)
    assert cloud.things["projects"][project]["name"] == "service"
    assert cloud.things["projects"][project]["domain_id"] == machines
    assert cloud.assigned == [(project, user["id"], cloud.named("roles", "admin")["id"])]
    assert cloud.passwords[theirs["id"]] == "theirs"
    assert asked(cloud, **wanted)["changes"] == []


def test_a_domain_of_projects_that_is_not_there_is_named(cloud: Keystone) -> None:
    assert asked(cloud, project_domain="Machines")["error"] == (
        f"{cloud.url}/v3 has no domain Machines"
    )


# --- what is answered ----------------------------------------------------------------------------


def test_a_keystone_that_is_right_and_one_that_cannot_be_compared_are_told_apart(
    cloud: Keystone,
) -> None:
    is_made(cloud)
    nothing: Json = {"changes": [], "new_passwords": []}
    assert asked(cloud) == {"answers": True, "refuses": False, "error": None, **nothing}
    error = f"{cloud.url}/v3 has no domain None-such"
    assert asked(cloud, domain="None-such") == {
        **{"answers": False, "refuses": False, "error": error},
        **nothing,
    }


def test_a_catalogue_without_the_service_names_each_interface_that_would_do() -> None:
    with pytest.raises(keystone.Refused) as error:
        keystone.endpoint([{"type": "image"}], "image", "A", ["internal", "public"])
    assert str(error.value) == (
        "the catalogue has no internal or public endpoint of type image in A"
    )


# --- roles, users and services --------------------------------------------------------------------


def test_a_role_that_nobody_has_made_is_made_and_given(cloud: Keystone) -> None:
    wanted: Json = {"roles": ["admin", "reader"], "users": [{**USER, "roles": ["reader"]}]}
    planned = asked(cloud, **wanted)["changes"]
    assert planned[:3] == [
        "create role reader",
        "create user nova",
        "give user nova role reader in project service",
    ]
    assert asked(cloud, **wanted, apply=True)["changes"] == planned
    assert [role for _, _, role in cloud.assigned] == [cloud.named("roles", "reader")["id"]]
    assert asked(cloud, **wanted)["changes"] == []


@pytest.mark.parametrize("password", [USER["password"], "old"])
def test_a_user_that_is_disabled_is_enabled_and_only_then_is_the_password_judged(
    cloud: Keystone, password: str
) -> None:
    is_made(cloud)
    user = cloud.named("users", "nova")
    user["enabled"], cloud.passwords[user["id"]] = False, password
    answer = asked(cloud)
    assert (answer["changes"], answer["new_passwords"]) == (["enable user nova"], [])
    assert user["enabled"] is False
    new = [] if password == USER["password"] else ["nova"]
    assert asked(cloud, apply=True)["new_passwords"] == new
    assert user["enabled"] and cloud.password_of("nova") == USER["password"]
    assert asked(cloud)["changes"] == []


def test_a_service_that_is_disabled_is_enabled(cloud: Keystone) -> None:
    is_made(cloud)
    (service,) = cloud.things["services"].values()
    service["enabled"] = False
    assert asked(cloud)["changes"] == ["enable service nova (compute)"]
    assert service["enabled"] is False
    asked(cloud, apply=True)
    assert service["enabled"] and len(cloud.things["services"]) == 1


def test_an_account_that_only_was_locked_is_never_sent_another_password(cloud: Keystone) -> None:
    is_made(cloud)
    user = cloud.named("users", "nova")["id"]
    cloud.locked = {user}
    cloud.asked.clear()
    asked(cloud, apply=True)
    assert cloud.changes() == [f"PATCH /v3/users/{user}"]


# --- endpoints ------------------------------------------------------------------------------------


def test_an_endpoint_of_another_interface_or_region_is_not_taken_for_this_one(
    cloud: Keystone,
) -> None:
    is_made(cloud)
    (service,) = cloud.things["services"]
    (first,) = cloud.things["endpoints"].values()
    assert {key: first[key] for key in ("service_id", "interface", "region_id", "url")} == {
        "service_id": service,
        "interface": "public",
        "region_id": "RegionOne",
        "url": "http://new:8774",
    }
    two = {**HERE, "region": "RegionTwo"}
    there = [HERE, {**HERE, "interface": "admin"}, two, {**two, "interface": "admin"}]
    assert asked(cloud, endpoints=there)["changes"] == [
        "create the admin endpoint of compute in RegionOne: http://new:8774",
        "create region RegionTwo",
        "create the public endpoint of compute in RegionTwo: http://new:8774",
        "create the admin endpoint of compute in RegionTwo: http://new:8774",
    ]


PLACE = "the public endpoint of compute in RegionOne"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"url": "http://old:8774"}, f"move {PLACE} from http://old:8774 to http://new:8774"),
        ({"enabled": False}, f"enable {PLACE}: http://new:8774"),
    ],
)
def test_the_only_endpoint_is_put_right_where_it_is(
    cloud: Keystone, wrong: Json, said: str
) -> None:
    is_made(cloud)
    (first,) = cloud.things["endpoints"].values()
    first.update(wrong)
    assert asked(cloud)["changes"] == [said]
    asked(cloud, apply=True)
    assert list(cloud.things["endpoints"].values()) == [
        {**first, "url": "http://new:8774", "enabled": True}
    ]


def doubled(cloud: Keystone) -> Json:
    """Have a second endpoint before the one that is right, in the order of the list."""
    is_made(cloud)
    (right,) = cloud.things["endpoints"].values()
    cloud.things["endpoints"].clear()
    second = cloud.add("endpoints", **{**right, "id": "second", "url": "http://old:8774"})
    cloud.add("endpoints", **right)
    return second


def test_the_endpoint_that_is_right_stays_and_a_plan_removes_none(cloud: Keystone) -> None:
    doubled(cloud)
    assert asked(cloud)["changes"] == [
        "remove the second public endpoint of compute in RegionOne: http://old:8774"
    ]
    assert sorted(cloud.urls) == ["http://new:8774", "http://old:8774"]
    asked(cloud, apply=True)
    assert cloud.urls == ["http://new:8774"]


class Meanwhile(Keystone):
    """Somebody is at the second endpoint, too, as soon as everything was listed."""

    happens: Any = None

    @override
    def read(self, kind: str, key: str, body: None, query: Json) -> Json:
        if key == "second":
            self.happens(self.things["endpoints"])
        return super().read(kind, key, body, query)


def test_a_second_endpoint_that_somebody_has_put_elsewhere_stays() -> None:
    with running(Meanwhile()) as cloud:
        second = doubled(cloud)
        cloud.happens = lambda endpoints: endpoints["second"].update(interface="admin")
        with pytest.raises(SystemExit, match="of compute in RegionOne have changed meanwhile"):
            asked(cloud, apply=True)
        assert second["id"] in cloud.things["endpoints"]


class Removed(Keystone):
    """Somebody removes an endpoint at the moment in which it is to be removed."""

    @override
    def delete(self, kind: str, key: str, body: None, query: Json) -> Json:
        super().delete(kind, key, body, query)
        return super().delete(kind, key, body, query)


def test_a_second_endpoint_that_goes_at_that_moment_is_no_error() -> None:
    with running(Removed()) as cloud:
        doubled(cloud)
        assert asked(cloud, apply=True)["answers"]
        assert cloud.urls == ["http://new:8774"]


def test_a_second_endpoint_that_somebody_has_removed_is_no_error() -> None:
    with running(Meanwhile()) as cloud:
        doubled(cloud)
        cloud.happens = lambda endpoints: endpoints.pop("second")
        assert asked(cloud, apply=True)["answers"]
        assert cloud.urls == ["http://new:8774"]


# --- answers in another form ----------------------------------------------------------------------


class Silent(Keystone):
    """Answers what is made with something else than it."""

    @override
    def create(self, kind: str, key: str, body: Json, query: Json) -> Json:
        super().create(kind, key, body, query)
        return {"status": "ok"}


def test_what_is_made_and_not_shown_ends_the_run_with_its_name() -> None:
    with running(Silent()) as cloud, pytest.raises(SystemExit) as error:
        asked(cloud, apply=True)
    assert str(error.value) == f"POST {cloud.url}/v3/users answers without a user"


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("domains", "id"),
        ("users", "name"),
        ("services", "enabled"),
        ("endpoints", "service_id"),
    ],
)
def test_a_list_in_another_form_is_named(cloud: Keystone, kind: str, field: str) -> None:
    is_made(cloud)
    for thing in cloud.things[kind].values():
        del thing[field]
    error = asked(cloud)["error"]
    assert f"GET {cloud.url}/v3/{kind}" in error and f"but one without `{field}`" in error
