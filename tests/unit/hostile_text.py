"""Text that means something to a shell, SQL, INI, Jinja or a URL, and what becomes of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pyinfra_nova.site.settings import Site
from tests.unit.rendered_conf import nova_conf

FRAGMENTS = [
    *("'", '"', "\\", "`", "$(id)", "${HOME}", "; id", "| id", "&", "*", "?", "~", "!", "-x", "--"),
    *("' OR 1=1 -- ", "\\'", "');", "%", "_", "/*", "\\g"),
    *("[section]", "[", "]", "=", ":", "#", ";", " # c", " ; c", "a = b", "\nb = c", "\n  more"),
    *("{{ 7*7 }}", "{% raw %}", "{#", "}}", "{username}", "{0}"),
    *("$my_ip", "$$", "\\$", "%(x)s", "%%", "$"),
    *("@", "/", "//", "://", "%2F", "%00", "+", ",", "#f", "?q=1", "[::1]", ":0", ":99999", "../"),
    *(" ", "\t", "\r", "\n", "\0", "\x0b", "\x0c", "\x1b[2J", "\x85", "\u2028", "\u2029", "\xa0"),
    *("\ufeff", "\u202e", "é", "€", "漢", "😀", "\ud800", "x" * 300, "x" * 5000),
    *("password", "CHANGE_ME", "abcdefgh", "nova", "controller", "10.0.0.1", "http://h:1/"),
]
HOSTILE = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=4), max_size=4).map("".join)
URLISH = st.text("abz09.:/?#[]@!$&'()*+,;=%-_~", max_size=12).map(lambda rest: f"http://h{rest}")

fuzzed = hypothesis_settings(
    max_examples=60,
    deadline=None,  # machines differ
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def options(tmp_path: Path, where: Site, name: str) -> dict[str, str]:
    """``section/option`` as the daemons of host NAME read them."""
    sections = nova_conf(tmp_path, where, name)
    return {f"{s}/{o}": value for s, found in sections.items() for o, value in found.items()}


def sqlalchemy_login(url: str) -> tuple[str, str, str, str]:
    """User, password, host:port and database as sqlalchemy/engine/url.py `_parse_url` has them."""
    match = re.fullmatch(
        r"[\w+]+://(?P<user>[^:/]*)(?::(?P<password>[^@]*))?@(?P<host>[^/?]*)/(?P<name>.*)", url
    )
    assert match
    user, password, host, name = match.group("user", "password", "host", "name")
    return unquote(user), unquote(password), host, name


def messaging_logins(url: str) -> tuple[list[tuple[str, str, str]], str]:
    """User, password and host:port of each node, and the virtual host, as oslo.messaging has them.

    oslo_messaging/transport.py TransportURL.parse
    """
    netloc, _, path = url.removeprefix("rabbit://").partition("/")
    assert not set("?#") & set(url)
    nodes = []
    for node in netloc.split(","):
        login, _, host = node.strip().rpartition("@")
        user, _, password = login.partition(":")
        nodes.append((unquote(user), unquote(password), host))
    return nodes, unquote(path)


def assert_same_urls(where: Site, found: Mapping[str, str]) -> None:
    database, broker = where.settings.database, where.settings.messaging
    password = where.secrets.database_password.get_secret_value()
    for place, name in (("database", database.nova), ("api_database", database.nova_api)):
        login = sqlalchemy_login(found[f"{place}/connection"])
        assert login == (database.user, password, f"{database.host}:{database.port}", name)
    password = where.secrets.messaging_password.get_secret_value()
    nodes, virtual_host = messaging_logins(found["DEFAULT/transport_url"])
    assert nodes == [(broker.user, password, f"{host}:{broker.port}") for host in broker.hosts]
    assert (virtual_host or "/") == broker.virtual_host
