"""The URLs of database and broker, in nova.conf and in the cell mappings."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from pydantic import SecretStr

from pyinfra_nova.nova_conf.plugin_name import PLUGIN
from pyinfra_nova.site.settings import Site
from pyinfra_nova.site.tls import TRUST


@dataclass(frozen=True)
class CellUrls:
    """What a cell mapping holds: templates that Nova fills from its own nova.conf, no secret."""

    transport_url: str
    database_connection: str


def _quoted(value: str | SecretStr) -> str:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    return quote(text, safe="")


def database_url(site: Site, name: str) -> str:
    """SQLAlchemy's URL of database NAME, with Nova's user and password."""
    server = site.settings.database
    login = f"{_quoted(server.user)}:{_quoted(site.secrets.database_password)}"
    return f"mysql+pymysql://{login}@{server.host}:{server.port}/{name}{_database_query(site)}"


def _database_query(site: Site) -> str:
    """What has PyMySQL verify the server's certificate, its name included, before it logs in."""
    return f"?ssl_ca={TRUST}&plugin={PLUGIN}" if site.settings.tls.is_on else ""


def _virtual_host(site: Site) -> str:
    name = site.settings.messaging.virtual_host
    return "" if name == "/" else name


def transport_url(site: Site) -> str:
    """oslo.messaging's URL of the broker, all its nodes in it."""
    broker = site.settings.messaging
    login = f"{_quoted(broker.user)}:{_quoted(site.secrets.messaging_password)}"
    nodes = ",".join(f"{login}@{host}:{broker.port}" for host in broker.hosts)
    return f"rabbit://{nodes}/{_virtual_host(site)}"


def cell_urls(site: Site) -> dict[str, CellUrls]:
    """What the mappings of cell0 and cell1 have to hold.

    The templates are those of nova's admin guide (cells, "Template URLs"): with one broker node its
    parts are named ``{username}`` and so on, with several they are numbered. ``{query}`` comes
    without its question mark, in every release (nova/objects/cell_mapping.py ``_format_url``).
    """
    query = "?{query}" if site.settings.tls.is_on else ""
    database = "{scheme}://{username}:{password}@{hostname}:{port}/"
    brokers = site.settings.messaging.hosts
    numbers = [""] if len(brokers) == 1 else [str(n + 1) for n in range(len(brokers))]
    nodes = ",".join(
        f"{{username{n}}}:{{password{n}}}@{{hostname{n}}}:{{port{n}}}" for n in numbers
    )
    return {
        "cell0": CellUrls("none:///", database + site.settings.database.nova_cell0 + query),
        "cell1": CellUrls(
            f"{{scheme}}://{nodes}/{_virtual_host(site)}",
            database + site.settings.database.nova + query,
        ),
    }
