"""Which side moves first, and the server that insists on TLS only once nobody needs plain text."""

from __future__ import annotations

from typing import Any

import pytest
import trust
from pydantic import SecretStr

from pyinfra_nova.resources.databases import DatabaseUser, statements
from pyinfra_nova.resources.host_report import Check
from pyinfra_nova.run.moving import PAGE, remedy
from pyinfra_nova.run.preflight import checks_for, judge
from pyinfra_nova.site.run_scope import scope_of
from pyinfra_nova.site.settings import Site

from .site_data import secrets, site
from .test_preflight import report

WHERE = ("controller", 3306)


def where(mode: str) -> Site:
    return site({"tls": {"mode": mode}}, passwords=secrets(tls_secret="t" * 32))


def said(mode: str, name: str, detail: str) -> str:
    return remedy(where(mode), Check(name=name, ok=False, detail=detail), "see the settings")


@pytest.mark.parametrize(
    "detail",
    [
        trust.in_plain_text(WHERE),
        f"controller:5671 {trust.ENDS}",
        f"controller:5671 {trust._what(TimeoutError(trust.SILENT), WHERE, None)}",
        "the catalogue has http://controller:9292 for image, in plain text: with tls on it has to"
        " be https",
    ],
)
def test_a_service_in_plain_text_has_to_accept_tls_before_nova_moves(detail: str) -> None:
    text = said("internal", "MariaDB at controller:3306", detail)
    assert text == (
        "tls.mode is internal: have it accept TLS as well, beside plain text; Nova moves then, and "
        f"plain text is refused there last ({PAGE})"
    )
    assert said("off", "MariaDB at controller:3306", detail) == "see the settings"


@pytest.mark.parametrize(
    "detail",
    [
        trust.in_tls(WHERE),
        "3159: Connections using insecure transport are prohibited while"
        " --require_secure_transport=ON.",
        "POST http://controller:5000/v3/auth/tokens: 400: Bad Request Your browser sent a request"
        " that this server could not understand. Reason: You're speaking plain HTTP to an"
        " SSL-enabled server port.",
        "GET https://controller:9292: controller:9292 shows a certificate that no trusted authority"
        " has issued",
    ],
)
def test_a_service_of_tls_alone_has_to_accept_plain_text_before_nova_goes_back(detail: str) -> None:
    text = said("off", "Glance", detail)
    assert text.startswith("tls.mode is off: have it accept plain text again, beside TLS; Nova")
    assert text.endswith(f"TLS goes there last ({PAGE})")
    assert said("internal", "Glance", detail) == "see the settings"


def test_a_login_that_is_denied_may_be_one_of_tls_alone() -> None:
    detail = "1045: Access denied for user 'nova'@'10.0.0.11' (using password: YES)"
    text = said("off", "MariaDB at controller:3306", detail)
    assert text.startswith("see the settings; or ") and text.endswith("REQUIRE NONE")
    assert said("internal", "MariaDB at controller:3306", detail) == "see the settings"


def test_a_closed_port_of_the_broker_may_be_that_tls_has_another() -> None:
    detail = "[Errno 111] Connection refused"
    text = said("internal", "RabbitMQ at controller:5671", detail)
    assert text.startswith("see the settings; or nothing listens for TLS there yet, tls.mode")
    assert said("off", "RabbitMQ at controller:5672", detail) == "see the settings"
    assert said("internal", "memcached at controller:11211", detail) == "see the settings"


def test_each_service_is_named_with_what_has_to_be_done_there() -> None:
    of = where("internal")
    scope = scope_of(of, set(of.hosts))
    host = of.hosts["controller"]
    plain = [
        {"name": check["name"], "ok": False, "detail": trust.in_plain_text(WHERE)}
        for check in checks_for(scope, host)
    ]
    found = judge(scope, {"controller": report("controller", str(host.my_ip), checks=plain)}, {})
    wrong = {finding.what: finding.detail for finding in found if not finding.ok}
    assert {check["name"] for check in plain} <= {*wrong}
    assert all("have it accept TLS as well" in wrong[check["name"]] for check in plain)


# --- the user of the database server --------------------------------------------------------------


def state(**changes: Any) -> dict[str, Any]:
    user = {"name": "nova", "missing": False, "password_differs": False, "missing_grants": []}
    return {"missing_databases": [], "users": [{**user, "requires_tls": "", **changes}]}


def user(*, encrypted: bool) -> DatabaseUser:
    return DatabaseUser("nova", SecretStr("x" * 8), (), encrypted=encrypted)


def test_a_new_user_is_let_in_over_tls_alone_from_the_beginning() -> None:
    ((_, statement),) = statements(state(missing=True), [user(encrypted=True)])
    assert statement.endswith(" REQUIRE SSL;")
    ((_, statement),) = statements(state(missing=True), [user(encrypted=False)])
    assert "REQUIRE" not in statement


def test_with_the_accounts_a_user_is_only_ever_let_in_without_tls_again() -> None:
    """The other way somebody may still have to log in as the user in plain text."""
    assert statements(state(), [user(encrypted=True)]) == []
    assert statements(state(requires_tls="ANY"), [user(encrypted=True)]) == []
    assert statements(state(), [user(encrypted=False)]) == []
    found = statements(state(requires_tls="ANY"), [user(encrypted=False)])
    assert found == [
        ("let database user nova in without TLS", "ALTER USER 'nova'@'%' REQUIRE NONE;")
    ]
    # A certificate that somebody else asks of the user is theirs to ask for.
    assert statements(state(requires_tls="X509"), [user(encrypted=False)]) == []


# --- the catalogue --------------------------------------------------------------------------------


def test_where_the_catalogue_has_novas_api_is_told_with_the_administrators_login() -> None:
    of = site()
    scope = scope_of(of, set(of.hosts))
    asked = [c for c in checks_for(scope, of.hosts["controller"]) if "published" in c]
    assert [check["name"] for check in asked] == ["Keystone, as the administrator"]
    assert not [c for c in checks_for(scope, of.hosts["compute1"]) if "published" in c]
