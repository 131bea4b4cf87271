"""files/pyinfra_nova_tls.py: to whom SQLAlchemy's connections say Nova's password.

Real SQLAlchemy and PyMySQL over real sockets; a server that says it has no TLS is what no honest
one of a site can be, so that one is a stand-in.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from pyinfra_nova.nova_conf.database_plugin import plugin_files
from pyinfra_nova.nova_conf.plugin_name import PLUGIN

from .mysql_stand_in import Row, Server, serving
from .site_data import debian, secrets, site
from .tls_stand_in import TRUSTED, context

pymysql = pytest.importorskip("pymysql")
sqlalchemy = pytest.importorskip("sqlalchemy")
plugin = pytest.importorskip("pyinfra_nova_tls")

PASSWORD = "p%40ss"
REFUSED = {
    "plain text": r"127\.0\.0\.1:\d+ says that it has no TLS.*Nova's password included",
    "another name": "IP address mismatch, certificate is not valid for '127.0.0.1'",
    "expired": "certificate has expired",
    "foreign": "unable to get local issuer certificate|self-signed certificate",
}


class Database(Server):
    """Answers what SQLAlchemy asks of a new acquaintance."""

    @override
    def rows(self, user: str, statement: str) -> list[Row] | None:
        if statement.startswith(("ROLLBACK", "COMMIT", "SET ")):
            return None
        known = {"isolation": "REPEATABLE-READ", "VERSION()": "10.11.6-MariaDB"}
        said = next((said for word, said in known.items() if word in statement), "1")
        return [{"what": said, "value": said}]


def database(what: str) -> Database:
    return Database(how=context(what), passwords={"nova": "p@ss"})


@pytest.fixture
def trusted(tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    path.write_text(TRUSTED)
    return path


@pytest.fixture(autouse=True)
def registered() -> None:
    sqlalchemy.dialects.plugins.register(PLUGIN, plugin.__name__, "VerifiedTls")


def url(server: Server, query: str, driver: str = "mysql+pymysql") -> str:
    return f"{driver}://nova:{PASSWORD}@127.0.0.1:{server.port}/nova?{query}"


def engine(server: Server, trusted: Path, query: str = f"&plugin={PLUGIN}", **more: Any) -> Any:
    return sqlalchemy.create_engine(url(server, f"ssl_ca={trusted}{query}"), **more)


def asked(engine: Any) -> Any:
    with engine.connect() as connection:
        return connection.execute(sqlalchemy.text("SELECT 1")).scalar()


def test_a_server_that_a_trusted_authority_vouches_for_is_told(trusted: Path) -> None:
    with serving(database("right")) as server:
        assert asked(engine(server, trusted)) == "1"
        assert server.users == ["nova"]


@pytest.mark.parametrize(("what", "said"), REFUSED.items(), ids=list(REFUSED))
def test_nobody_else_is(what: str, said: str, trusted: Path) -> None:
    with serving(database(what)) as server:
        with pytest.raises(sqlalchemy.exc.OperationalError, match=said) as raised:
            asked(engine(server, trusted))
        # oslo.db takes this number for a server that is away, and tries again later.
        assert raised.value.orig.args[0] == 2003
        assert server.users == []


@pytest.mark.skipif(pymysql.VERSION >= (1, 2), reason="PyMySQL refuses by itself from 1.2 on")
def test_without_it_the_login_goes_to_who_says_that_he_has_no_tls(trusted: Path) -> None:
    with serving(database("plain text")) as server:
        assert asked(engine(server, trusted, query="")) == "1"
        assert server.users == ["nova"]


@pytest.mark.parametrize("pings", [True, False])
def test_who_takes_a_servers_place_later_is_told_nothing_either(pings: bool, trusted: Path) -> None:
    with serving(database("right")) as server:
        nova = engine(server, trusted, pool_pre_ping=pings)
        with nova.connect() as connection:
            stream = connection.connection.driver_connection._sock
        server.how = None
        socket.socket.shutdown(stream, socket.SHUT_RDWR)
        server.users.clear()
        if not pings:
            with pytest.raises(sqlalchemy.exc.DBAPIError):
                asked(nova)  # finds the connection gone
        with pytest.raises(sqlalchemy.exc.OperationalError, match="says that it has no TLS"):
            asked(nova)
        assert server.users == []
        server.how = context()
        assert asked(nova) == "1"


def test_pymysql_connecting_again_by_itself_tells_nothing_either(trusted: Path) -> None:
    with serving(database("right")) as server:
        connection = engine(server, trusted).raw_connection().driver_connection
        server.how = None
        server.users.clear()
        connection._force_close()
        with pytest.raises(pymysql.err.OperationalError, match="says that it has no TLS"):
            connection.ping(reconnect=True)
        assert server.users == []


@pytest.mark.parametrize(
    "query", ["", "ssl_ca={}&ssl_check_hostname=false&", "ssl_ca={}&ssl_verify_cert=false&"]
)
def test_a_url_that_would_have_anybody_verified_is_refused(query: str, trusted: Path) -> None:
    with serving(database("another name")) as server:
        where = url(server, f"{query.format(trusted)}plugin={PLUGIN}")
        with pytest.raises(sqlalchemy.exc.OperationalError, match=r"not be verified|IP address"):
            asked(sqlalchemy.create_engine(where))
        assert server.users == []


def test_other_drivers_are_not_said_to_be_verified() -> None:
    with pytest.raises(sqlalchemy.exc.ArgumentError, match="for mysql\\+pymysql, not for pysqlite"):
        sqlalchemy.create_engine(f"sqlite://?plugin={PLUGIN}")


def test_a_pymysql_that_it_does_not_know_is_not_trusted(
    monkeypatch: pytest.MonkeyPatch, trusted: Path
) -> None:
    monkeypatch.setattr(plugin, "HOOK", "_gone")
    with serving(database("right")) as server:
        with pytest.raises(sqlalchemy.exc.ArgumentError, match=r"does not know PyMySQL \d"):
            engine(server, trusted)
        assert server.users == []


ASKS = """\
import sys, sqlalchemy
sys.path.append(sys.argv[1])
try:
    sqlalchemy.create_engine(sys.argv[2]).connect()
except sqlalchemy.exc.OperationalError as error:
    print(error.orig.args[1])
"""


def test_the_files_on_a_host_are_what_sqlalchemy_finds(tmp_path: Path, trusted: Path) -> None:
    where = site({"tls": {"mode": "internal"}}, passwords=secrets(tls_secret="t" * 32))
    for file in plugin_files(where, where.hosts["controller"], debian()):
        path = tmp_path / file.path[1:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.content)
    with serving(database("plain text")) as server:
        arguments = [str(tmp_path) + debian().paths.python, url(server, f"ssl_ca={trusted}")]
        arguments[1] += f"&plugin={PLUGIN}"
        program = [sys.executable, "-c", ASKS, *arguments]
        done = subprocess.run(program, capture_output=True, text=True, check=False)
        assert done.stderr == ""
        assert done.stdout.startswith(f"127.0.0.1:{server.port} says that it has no TLS")
        assert server.users == []
