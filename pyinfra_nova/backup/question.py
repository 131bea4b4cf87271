"""What is asked of hosts to make a backup, and what tells the site that it is of."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pyinfra_nova.backup.seal import FORMAT
from pyinfra_nova.knowledge import releases
from pyinfra_nova.resources import databases
from pyinfra_nova.session.host_script import ScriptFact
from pyinfra_nova.site.settings import Site

IDENTIFIED = 27
"""Since this release a compute keeps its UUID in a file (nova/virt/node.py)."""


class Dump(ScriptFact):
    """The text of a backup, streamed."""

    script = "dump"
    uses = ("trust", "sql", "layout")
    folder = ScriptFact.folder / "backup"


class RestoredHost(ScriptFact):
    """What a restore needs to know of a host, and does there."""

    script = "restored_host"
    folder = ScriptFact.folder / "backup"


class Load(ScriptFact):
    """Takes a backup, and loads it beside what is there."""

    script = "load"
    uses = ("trust", "sql", "layout", "nova_state", "restored_databases")
    folder = ScriptFact.folder / "backup"


class RestoredDatabases(ScriptFact):
    """The databases that a restore replaces, and what it has left beside them."""

    script = "restored_databases"
    uses = ("trust", "sql")
    folder = ScriptFact.folder / "backup"


class KnownRevisions(ScriptFact):
    """Which schemas the installed Nova knows."""

    script = "known_revisions"
    uses = ("trust", "sql", "nova_state")
    folder = ScriptFact.folder / "backup"


def has_identity(site: Site) -> bool:
    """Whether computes of this release keep their UUID in a file."""
    return releases.VERSIONS[site.settings.release] >= IDENTIFIED


def names(site: Site) -> dict[str, str]:
    database = site.settings.database
    return {"api": database.nova_api, "cell0": database.nova_cell0, "cell1": database.nova}


def in_plain_text(url: str) -> str:
    """URL as it was before there was TLS: a site is no other one for it."""
    return re.sub("^https:", "http:", url)


def told_apart(site: Site) -> dict[str, str]:
    """What another site would have otherwise."""
    settings, url = site.settings, site.settings.keystone.auth_url
    return {
        "region": settings.region,
        "controller_host": settings.controller_host,
        "management_network": str(settings.management_network),
        "keystone.auth_url": in_plain_text(url) if settings.tls.is_on else url,
    }


def digest(site: Site) -> str:
    """The same for the same settings; no secret goes into it."""
    hosts = [host.model_dump(mode="json") for host in site.hosts.values()]
    for host in hosts:
        host["roles"] = sorted(host["roles"])
    value = {"settings": site.settings.model_dump(mode="json"), "hosts": hosts}
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def header(site: Site, compute_ids: Mapping[str, str | None]) -> dict[str, Any]:
    """What a backup of SITE says of itself before the databases."""
    return {
        "format": FORMAT,
        "release": site.settings.release,
        "names": names(site),
        "site": told_apart(site),
        "hosts": {host.name: host.nova_host for host in site.hosts.values()},
        "settings": digest(site),
        "compute_ids": dict(compute_ids),
    }


def of_dump(site: Site, compute_ids: Mapping[str, str | None]) -> dict[str, Any]:
    """What Dump is asked: on the host of the databases as root, else on a controller as Nova."""
    is_here = site.database_host is not None
    return {
        "header": header(site, compute_ids),
        "databases": list(names(site).values()),
        "also": list(site.settings.backup.others),
        "cell": site.settings.database.nova,
        "login": None if is_here else databases.as_nova(site),
    }


def dump_host(site: Site) -> str:
    """Where the databases are dumped."""
    return (site.database_host or site.primary_controller).name


def of_look(units: Sequence[str] = ()) -> dict[str, Any]:
    """What RestoredHost is asked where nothing is to be changed."""
    return {"verb": "look", "units": list(units)}
