# Written by pyinfra-nova; the next deploy undoes what is changed here.
"""Nova's connections to its database, where `ssl_ca` in the URL is to hold whoever answers.

PyMySQL before 1.2 takes the server's word for whether it has TLS: without it the login goes out in
plain text (pymysql/connections.py, _request_authentication), to whoever answers in its name. A URL
with `plugin=pyinfra-nova-tls` has SQLAlchemy connect by the class below, which says nothing then.

It is loaded into every process of Nova's that asks a database. The names that begin with an
underscore are PyMySQL's, the same from 0.9 to 1.2; one that has them no more is not trusted.
"""

import pymysql
from pymysql.connections import Connection
from pymysql.constants import CLIENT
from sqlalchemy import event, exc
from sqlalchemy.engine import CreateEnginePlugin

NAME = "pyinfra-nova-tls"
CANNOT_CONNECT = 2003
"""As PyMySQL calls a certificate that is refused; oslo.db takes it for a server that is away."""
HOOK = "_request_authentication"
"""What PyMySQL calls between the server's first words and its own."""


class VerifiedConnection(Connection):
    """A connection of PyMySQL's, also when it connects again, that logs in over TLS alone."""

    def _request_authentication(self):
        fault = _fault(self)
        if fault:
            where = self.unix_socket or "{}:{}".format(self.host, self.port)
            text = "{} {}: nothing was said to it, Nova's password included".format(where, fault)
            raise pymysql.err.OperationalError(CANNOT_CONNECT, text)
        super()._request_authentication()


def _fault(connection):
    """Why nobody logs in by CONNECTION, whose server has said what it can; None if all is well."""
    how = getattr(connection, "ctx", None) if connection.ssl else None
    # Python checks no name of a certificate that it does not verify (ssl.SSLContext.verify_mode).
    if how is None or not how.check_hostname:
        return "would not be verified: the URL has to name ssl_ca, and nothing that takes it back"
    if not connection.server_capabilities & CLIENT.SSL:
        return "says that it has no TLS, which the URL asks for (ssl_ca)"
    return None


def connect(_dialect, _record, args, options):
    """What SQLAlchemy connects by, where this is in the URL."""
    return VerifiedConnection(*args, **options)


class VerifiedTls(CreateEnginePlugin):
    """Says so to a new engine."""

    def update_url(self, url):
        return url  # SQLAlchemy 2.0 asks, and has taken `plugin` out itself

    def engine_created(self, engine):
        driver = engine.dialect.driver
        if driver != "pymysql":
            raise exc.ArgumentError("{} is for mysql+pymysql, not for {}".format(NAME, driver))
        if not hasattr(Connection, HOOK):
            version = ".".join(str(part) for part in pymysql.VERSION[:3])
            raise exc.ArgumentError("{} does not know PyMySQL {}".format(NAME, version))
        event.listen(engine, "do_connect", connect)
