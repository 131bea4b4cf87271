"""Why a backup does not belong onto a site as it is now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pyinfra_nova.backup import question
from pyinfra_nova.backup.seal import Contents
from pyinfra_nova.site.settings import Site


def of_site(contents: Contents, site: Site, *, forced: bool) -> Iterator[str]:
    """What the settings alone tell."""
    header = contents.header
    if header.release != site.settings.release:
        yield (
            f"the backup is of {header.release}, this site is of {site.settings.release}: restore "
            "it onto the release that it is of, and upgrade then"
        )
    now = question.names(site)
    for kind, name in header.names.items():
        if now.get(kind) != name:
            yield f"its database {name} is called {now.get(kind)} here: set `database` accordingly"
    if site.database_host is None:
        yield (
            "the databases of this site are somebody else's (the group database is empty): they "
            "can load what `age --decrypt` makes of the file"
        )
    if forced:
        return
    for key, value in question.told_apart(site).items():
        was = header.site.get(key)
        if question.in_plain_text(was or "") != question.in_plain_text(value):
            yield (
                f"it is of another site: {key} was {was}, here it is {value}; "
                "--force-site if this site was only renamed"
            )
    computes = {host.nova_host for host in site.computes}
    if header.hosts and not computes & set(header.hosts.values()):
        yield "it is of another site: it knows none of the computes here; see --force-site"


def of_schemas(contents: Contents, known: Mapping[str, Any]) -> Iterator[str]:
    """What the installed Nova does not know: its schemas only ever go forward."""
    names, revisions = contents.header.names, contents.end.revisions
    for kind, database in names.items():
        schema = known["api" if kind == "api" else "main"]
        if not schema["known"]:
            yield "Nova is not installed on the first controller: deploy it first"
            return
        found = revisions.get(database, [])
        if not found:
            yield f"{database} has no schema revision in it: it is no database of a working Nova"
        for revision in found:
            if revision not in schema["known"]:
                yield (
                    f"the schema of {database} is {revision}, which the installed Nova does not "
                    "know: it is too old for this backup; upgrade its packages"
                )


def of_databases(contents: Contents, answer: Mapping[str, Any]) -> Iterator[str]:
    """What another restore has left on the server."""
    record = answer["progress"]
    if record and record.get("old") and record.get("sha256") != contents.end.sha256:
        how = "is not over" if record.get("swapped") == "yes" else "was cut off"
        yield (
            f"the restore of another backup {how}: `./run restore --finish`, or go on with that "
            "file, first"
        )
    if not record and answer["kept"]:
        yield f"there is a database {', '.join(answer['kept'])}, which nobody here has made"
