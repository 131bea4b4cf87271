"""The databases of a cloud in an encrypted file: ``python -m pyinfra_nova.commands.backup``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pyinfra_nova.audit.report import times
from pyinfra_nova.backup import question
from pyinfra_nova.backup.cloud import Hosts
from pyinfra_nova.backup.encryption import KEY_FILE, recipients
from pyinfra_nova.backup.files import refuse_taken, written
from pyinfra_nova.backup.host_stream import printed
from pyinfra_nova.backup.seal import Contents
from pyinfra_nova.commands.site_command import ended, named_from, note
from pyinfra_nova.session.loaded_site import loaded
from pyinfra_nova.session.usage import Parser
from pyinfra_nova.site.names import named
from pyinfra_nova.site.secret_files import secrets_file
from pyinfra_nova.site.settings import Site

DESCRIPTION = """\
Write Nova's databases, and those that group_data/all.py names in `backup`, as they are at one
point in time, to FILE, encrypted with age as they come. docs/backup.md says what is in it.
"""


def _arguments(words: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(prog="./run backup", description=DESCRIPTION)
    parser.add_argument("inventory", metavar="INVENTORY", help=argparse.SUPPRESS)
    parser.add_argument("file", metavar="FILE", help="a new file, such as cloud.sql.age")
    parser.add_argument(
        "--recipient",
        action="append",
        default=[],
        metavar="AGE1...",
        help="who can open it, once or more often; without it the key that opens the secrets "
        f"file, or {KEY_FILE}, which is made, beside one that is not encrypted",
    )
    parser.add_argument("--from", dest="folder", help=argparse.SUPPRESS)
    return parser.parse_intermixed_args(words)


def told(contents: Contents, path: Path, key: str, seconds: float) -> Iterator[str]:
    """What is in a backup that has just been made."""
    header = contents.header
    at = time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(header.at))
    size = path.stat().st_size
    yield f"{path}: {size:,} bytes, encrypted, as of {at}, in {seconds:.1f} s"
    for name in header.databases:
        tables = contents.end.rows[name]
        revision = ", ".join(contents.end.revisions.get(name, [])) or "no revision"
        rows, count = times(sum(tables.values()), "row"), times(len(tables), "table")
        yield f"  {name}: {rows} in {count}, schema {revision}"
    for name in header.left_out:
        yield f"  {name}: not on this server, or not to be read: not in the backup"
    yield f"  guests: {contents.guests:,} on {times(len(set(header.guests) - {''}), 'host')}"
    yield f"  compute_id: {_identities(header.compute_ids)}"
    yield f"It is opened by {key}; whoever loses that has lost the backup."


def _identities(found: Mapping[str, str | None]) -> str:
    without = [name for name, value in found.items() if value is None]
    if not found:
        return "none: computes of this release keep no such file"
    said = f"of {times(len(found) - len(without), 'compute')}"
    return f"{said}; without {named(without)}" if without else said


def compute_ids(site: Site, hosts: Hosts) -> dict[str, str | None]:
    """What each compute knows itself by, where its release has it do so.

    One that does not answer keeps no backup from being made.
    """
    if not question.has_identity(site):
        return {}
    answers, problems = hosts.seen([host.name for host in site.computes])
    for problem in problems:
        note(f"==> {problem}: its compute_id is not in the backup")
    return {h.name: answers.get(h.name, {}).get("compute_id") for h in site.computes}


def _run(options: argparse.Namespace) -> int:
    began = time.monotonic()
    state, site = loaded(options.inventory)
    secrets = secrets_file()
    path = named_from(options.folder, options.file)
    refuse_taken(path)
    for_whom, key = recipients(options.recipient, secrets)
    hosts = Hosts(state, site)
    with hosts.opened():
        identities = compute_ids(site, hosts)
        where = question.dump_host(site)
        request = question.of_dump(site, identities)
        data = hosts.data(where)

        def dumped() -> Iterator[bytes]:
            note(f"==> dumping the databases on {where}")
            return printed(where, data, question.Dump, request)

        contents = written(path, for_whom, dumped)
    print("\n".join(told(contents, path, key, time.monotonic() - began)), flush=True)
    return 0


def main(words: Sequence[str] | None = None) -> int:
    """Make a backup, and return the exit code."""
    options = _arguments(words)
    return ended(lambda: _run(options))


if __name__ == "__main__":
    sys.exit(main())
