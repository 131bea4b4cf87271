"""A backup in the place of a cloud's databases: ``python -m pyinfra_nova.commands.restore``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pyinfra_nova.audit.report import CLEAN, ERROR, FOUND, Audit, times
from pyinfra_nova.backup import differences, question, refusals, restoring
from pyinfra_nova.backup.cloud import Hosts
from pyinfra_nova.backup.encryption import identities, plain
from pyinfra_nova.backup.restoring import Restoration
from pyinfra_nova.backup.seal import BackupError, Contents, Seal
from pyinfra_nova.commands.site_command import agreed, ended, named_from, note
from pyinfra_nova.session.loaded_site import loaded
from pyinfra_nova.session.redaction import Redactor
from pyinfra_nova.session.usage import Parser
from pyinfra_nova.site.names import named
from pyinfra_nova.site.secret_files import secrets_file

DESCRIPTION = """\
Put a backup in the place of the databases of this site. It is read to its end and compared with the
site before anything is changed. Nova stands still meanwhile; guests run on. Then Nova's records are
held against the hypervisors. Cut off, it goes on when it is called again. See docs/backup.md.
"""
EPILOG = (
    "Exit status: 0 restored or finished, 2 restored and the hypervisors differ, 1 an error, or "
    "nothing was there to be finished."
)


def arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="./run restore", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("inventory", metavar="INVENTORY", help=argparse.SUPPRESS)
    parser.add_argument("file", metavar="FILE", nargs="?", help="what ./run backup has made")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")
    parser.add_argument("--identity", metavar="KEYS", help="the file with the key that opens it")
    parser.add_argument(
        "--force-site", action="store_true", help="this site is the backup's, under another name"
    )
    parser.add_argument(
        "--finish",
        action="store_true",
        help="instead of FILE: drop what a restore has replaced, and let computes remove what "
        "Nova calls deleted again; of one that has replaced nothing yet, what it has loaded",
    )
    parser.add_argument("--from", dest="folder", help=argparse.SUPPRESS)
    found = parser.parse_intermixed_args(words)
    if bool(found.file) == found.finish:
        parser.error("give FILE, or --finish")
    return found


def read(path: Path, keys: Sequence[Path]) -> Contents:
    """What PATH is, read to its end.

    Raises:
        BackupError: it cannot be opened, or it is no whole backup.
    """
    seal = Seal()
    with plain(path, keys) as pieces:
        for piece in pieces:
            try:
                seal.feed(piece)
            except BackupError as error:
                raise BackupError(f"{path}: {error}") from None
    try:
        return seal.whole()
    except BackupError as error:
        raise BackupError(f"{path}: {error}") from None


def told(restoration: Restoration, answer: Mapping[str, Any]) -> Iterator[str]:
    """What will be replaced by what, and what happens meanwhile."""
    contents, site = restoration.contents, restoration.site
    header, record = contents.header, answer["progress"] or {}
    at = time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(header.at))
    yield f"The backup is of {at}, with {times(contents.guests, 'guest')}."
    if header.settings != question.digest(site):
        yield "The settings have changed since."
    if record.get("sha256") == contents.end.sha256 and record.get("swapped") == "yes":
        yield "It has replaced the databases already; what is left of the restore is done."
    else:
        yield f"On {restoration.server}:"
        for name in header.databases:
            yield f"  {name}: {_rows(answer['databases'].get(name))} there, replaced by " + _rows(
                contents.end.rows[name]
            )
    changed = [name for name, _ in restoration.changed_identities()]
    if changed:
        yield f"compute_id is written on {named(changed)}."
    yield (
        "Nova stands still on all hosts meanwhile, and guests run on. What is replaced is kept "
        "until the hypervisors agree."
    )
    own = {*header.names.values()}
    without = [n for n in site.settings.backup.others if n not in header.databases]
    if without:
        yield f"Not in the backup, so as they are: {', '.join(sorted(set(without) - own))}."


def _rows(tables: Mapping[str, int | None] | None) -> str:
    if tables is None:
        return "nothing"
    broken = sum(1 for rows in tables.values() if rows is None)
    count = sum(rows or 0 for rows in tables.values())
    text = f"{times(count, 'row')} in {times(len(tables), 'table')}"
    return f"{text}, {broken} of which cannot be read," if broken else text


def reported(audit: Audit, found: Mapping[differences.Heading, Sequence[str]]) -> Iterator[str]:
    """How the hypervisors differ from what was restored."""
    for heading, texts in found.items():
        yield f"{times(len(texts), *heading)}:"
        yield from (f"  {text}" for text in texts)
    told = {*differences.KINDS, differences.OWN}
    others = sum(1 for each in audit.findings if each.kind not in told)
    if others:
        yield f"{times(others, 'other finding')}: ./run audit"
    if not audit.is_whole:
        silent = [*audit.silent.values(), *audit.unreachable.values()]
        yield f"Not everything was looked at: {'; '.join(silent) or ', '.join(audit.skipped)}"


def _restored(options: argparse.Namespace) -> int:
    path = named_from(options.folder, options.file)
    secrets = secrets_file()
    given = named_from(options.folder, options.identity) if options.identity else None
    keys = identities(given, secrets)
    note(f"==> reading {path}")
    contents = read(path, keys)
    state, site = loaded(options.inventory)
    mask = Redactor(site.secrets).mask
    _refuse(list(refusals.of_site(contents, site, forced=options.force_site)))
    hosts = Hosts(state, site)
    with hosts.opened():
        restoration = Restoration(
            hosts, contents, lambda: plain(path, keys), lambda text: note(mask(f"==> {text}"))
        )
        note("==> asking the hosts")
        answer = restoration.databases()
        _refuse(restoration.refusals(answer))
        print(mask("\n".join(told(restoration, answer))), flush=True)
        if not agreed("Replace them?", yes=options.yes):
            return ERROR
        restoration.run()
        audit = restoration.audit()
        found = restoration.differences(audit)
        print(mask("\n".join(reported(audit, found))), flush=True)
        if found or not audit.is_whole:
            print(
                "Restored. What was replaced is kept, and computes remove no guest, until "
                "`./run restore --finish`.",
                flush=True,
            )
            return FOUND
        restoration.finish()
    print("Restored, and the hypervisors agree.", flush=True)
    return CLEAN


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        raise BackupError("\n".join(["nothing was changed:", *(f"  - {p}" for p in problems)]))


def _refuse_where_nothing_is_left(hosts: Hosts) -> None:
    """Where the databases know of no restore, a host may still have what one has left.

    Raises:
        BackupError: none has it, of those that answer.
    """
    answers, problems = hosts.seen(list(restoring.hold(hosts.site)))
    if any(answer["marker"] is not None or answer["log"] for answer in answers.values()):
        return
    silent = [f"what is left there is not known: {problem}" for problem in problems]
    raise BackupError("\n".join(["there is no restore to finish", *silent]))


def _finished(options: argparse.Namespace) -> int:
    state, site = loaded(options.inventory)
    if site.database_host is None:
        raise BackupError("the group database is empty: no restore was made from here")
    server = site.database_host.name
    hosts = Hosts(state, site)
    with hosts.opened():
        look = {"verb": "look", "databases": []}
        answer = hosts.ask(server, question.RestoredDatabases, look)
        record = answer["progress"]
        if record and record.get("old") and record.get("swapped") != "yes":
            raise BackupError("databases are half replaced: go on with `./run restore FILE`")
        if record is None:
            _refuse_where_nothing_is_left(hosts)
        dropped = answer["kept"] if record and record.get("swapped") == "yes" else []
        print(f"To be dropped on {server}: {', '.join(dropped) or 'nothing that was replaced'}.")
        print("Computes remove again what Nova calls deleted; nova-compute is restarted for it.")
        if not agreed("Do it?", yes=options.yes):
            return ERROR
        if record and record.get("swapped") == "yes":
            restoring.finish(hosts, server, record["sha256"])
        else:
            abandon = {"verb": "abandon", "databases": []}
            hosts.order(server, question.RestoredDatabases, "abandon", abandon)
            hosts.tell("release", {name: {"log": True} for name in restoring.hold(site)})
    print("Done; `./run deploy` starts whatever stands still.", flush=True)
    return CLEAN


def main(words: Sequence[str] | None = None) -> int:
    """Restore, and return the exit code."""
    options = arguments(words)
    return ended(lambda: _finished(options) if options.finish else _restored(options))


if __name__ == "__main__":
    sys.exit(main())
