"""Values and URLs in what hosts get, read back by oslo.config rather than compared as text."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from jinja2 import UndefinedError
from pydantic import SecretStr

from pyinfra_nova.nova_conf.render import environment
from pyinfra_nova.nova_conf.urls import cell_urls, database_url, transport_url
from pyinfra_nova.nova_conf.values import option
from pyinfra_nova.site.secrets import FORBIDDEN_CATEGORIES, PLACEHOLDER
from tests.unit.rendered_conf import login, nova_conf
from tests.unit.site_data import AWKWARD, secrets, site

SECRET_WORDS = st.text(
    st.one_of(
        st.sampled_from("$\\\"'#;%=:[]{} @/?&,\u00a0\u3000"),
        st.characters(exclude_categories=list(FORBIDDEN_CATEGORIES)),  # type: ignore[arg-type]
    ),
    min_size=8,
    max_size=24,
).filter(lambda text: text != PLACEHOLDER)


@hypothesis_settings(
    max_examples=100,
    deadline=None,  # machines differ
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(values=st.lists(SECRET_WORDS, min_size=len(AWKWARD), max_size=len(AWKWARD)))
def test_every_password_is_read_back_as_it_is(tmp_path: Path, values: list[str]) -> None:
    given_values = dict(zip(AWKWARD, values, strict=True))
    # These two may hold less; see tests/unit/test_hostile_passwords.py.
    for name in ("messaging_password", "database_password"):
        ascii_only = given_values[name].encode("ascii", "replace").decode()
        given_values[name] = f"<{ascii_only.replace('/', '+')}>"
    conf = nova_conf(tmp_path, site(passwords=secrets(**given_values)), "controller")
    assert conf["keystone_authtoken"]["password"] == given_values["nova_password"]
    assert conf["service_user"]["password"] == given_values["nova_password"]
    assert conf["placement"]["password"] == given_values["placement_password"]
    assert conf["neutron"]["password"] == given_values["neutron_password"]
    secret = conf["neutron"]["metadata_proxy_shared_secret"]
    assert secret == given_values["metadata_secret"]
    for section in ("database", "api_database"):
        url = login(conf[section]["connection"])
        assert unquote(url.password or "") == given_values["database_password"]
        assert (url.hostname, url.port) == ("controller", 3306)
    broker = login(conf["DEFAULT"]["transport_url"])
    assert unquote(broker.password or "") == given_values["messaging_password"]
    assert (broker.username, broker.hostname, broker.port) == ("openstack", "controller", 5672)


@pytest.mark.parametrize(
    "value", ["$my_ip", "a\\$b", "\\\\$", "$$", "\\", '"', "'", '""', "'a\"", " x ", "#x", "a=b:c"]
)
def test_an_override_is_literal(tmp_path: Path, value: str) -> None:
    where = site({"nova_conf": {"api": {"some_option": value}}})
    assert nova_conf(tmp_path, where, "controller")["api"]["some_option"] == value


def test_values_of_other_types() -> None:
    assert option(True) == "true"
    assert option(3) == "3"
    assert option(["internal", "public"]) == "internal,public"
    assert option(SecretStr("a$b")) == "a\\$b"
    with pytest.raises(ValueError, match="newline"):
        option("a\nb = c")


@pytest.mark.parametrize("item", ["", "a,b", "'a'", '"', "'"])
def test_an_item_that_oslo_config_would_not_read_back_is_in_no_list(item: str) -> None:
    with pytest.raises(ValueError, match="list is empty, quoted or holds a comma"):
        option(["public", item])


def test_a_template_cannot_write_a_value_that_it_is_not_given() -> None:
    with pytest.raises(UndefinedError, match="'region' is undefined"):
        environment().from_string("region = {{ region }}").render()


def nova_fills_in(template: str, url: str) -> str:
    """What nova/objects/cell_mapping.py `_format_url` makes of a mapping's template."""
    parts = urlsplit(url)
    names: dict[str, object] = {
        "username": parts.username,
        "password": parts.password,
        "hostname": parts.hostname,
        "port": None if "," in parts.netloc else parts.port,
        "scheme": parts.scheme,
    }
    nodes = parts.netloc.split(",")
    for number, netloc in enumerate(nodes, 1) if len(nodes) > 1 else ():
        userpass, _, hostport = netloc.partition("@")
        names[f"username{number}"], _, names[f"password{number}"] = userpass.partition(":")
        names[f"hostname{number}"], _, names[f"port{number}"] = hostport.partition(":")
    return template.format(**names)


@pytest.mark.parametrize("hosts", [["rabbit"], ["rabbit1", "rabbit2", "rabbit3"]])
@pytest.mark.parametrize("virtual_host", ["/", "cloud"])
def test_cell_templates_become_the_urls_of_nova_conf(hosts: list[str], virtual_host: str) -> None:
    where = site({"messaging": {"hosts": hosts, "virtual_host": virtual_host}})
    cells = cell_urls(where)
    url, database = transport_url(where), database_url(where, "nova")
    assert nova_fills_in(cells["cell1"].transport_url, url) == url
    assert nova_fills_in(cells["cell1"].database_connection, database) == database
    cell0 = nova_fills_in(cells["cell0"].database_connection, database)
    assert cell0 == database_url(where, "nova_cell0")
    assert cells["cell0"].transport_url == "none:///"
    for value in where.secrets.values():
        assert value not in repr(cells)


def test_several_brokers_are_one_url() -> None:
    where = site(
        {"messaging": {"hosts": ["r1", "r2"]}}, passwords=secrets(messaging_password="a@b,c:d%e")
    )
    userinfo = "openstack:a%40b%2Cc%3Ad%25e"
    assert transport_url(where) == f"rabbit://{userinfo}@r1:5672,{userinfo}@r2:5672/"
