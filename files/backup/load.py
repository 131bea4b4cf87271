"""Load a backup from standard input beside what is there, and say whether it is whole.

Request: {"suffix": text, "bytes": n, "sha256": digest of the backup,
          "cells": {name: {"transport_url", "database_connection"}}}, then the backup itself.
Answer:  {"rows": {database: {table: n}}, "revisions": {database: [texts]}, "evacuations": n}
Each database NAME goes to NAME + suffix, which nobody uses; `restored_databases.py` puts it in
place. What an earlier call has left there is begun anew: it is this project's own, by its record.
The record says that all is loaded only after the rows were counted in the server.
"""

import contextlib
import subprocess
import sys
import tempfile

import layout
import nova_state
import restored_databases as databases
import sql

LIMIT = 8 << 20
"""Bytes of the first and the last line."""


EVACUATED = (
    "{}.migrations WHERE deleted = 0 AND migration_type = 'evacuation'"
    " AND status IN ('accepted', 'pre-migrating', 'done')"
)
"""Evacuations whose old host has not come back. When nova-compute starts there, it destroys those
guests, disks included (nova/compute/manager.py, _destroy_evacuated_instances), also one that has
been moved back since the backup was made."""


class Client:
    """The program that takes SQL, as root over the local socket."""

    def __init__(self):
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the program
        client = databases.client()
        options = ("--batch", "--binary-mode", "--max-allowed-packet=1G")
        self.process = subprocess.Popen(
            [client, sql.in_plain_text(client), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self.errors,
        )

    def write(self, data):
        try:
            self.process.stdin.write(data)
        except BrokenPipeError:
            self.end()
            raise SystemExit("mariadb has ended before the backup did") from None

    def end(self):
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        code = self.process.wait()
        self.errors.seek(0)
        said = self.errors.read(4000).decode(errors="replace")
        found = sql.ERROR.search(said)
        if code or found:
            # The number alone: MariaDB's words quote the statement, which holds users' data.
            number = found.group(1) if found else "none"
            raise SystemExit(f"mariadb does not take the backup: error {number}, exit {code}")


class Discarded:
    def write(self, data):
        pass


def renamed(line, suffix):
    """LINE, in which another database is meant where it names one."""
    for pattern in (layout.USED, layout.MADE):
        found = pattern.fullmatch(line)
        if found:
            end = found.end(1)
            return line[:end] + suffix.encode() + line[end:]
    return line


def load(stream, suffix, client):
    """Feed CLIENT, and return what went by: the first line, the last one, and the counts."""
    sealed, tally, head, end = layout.Sealed(Discarded()), layout.Tally(), None, None
    for line in stream:
        if not line.endswith(b"\n"):
            break  # in the midst of it
        if end is not None:
            raise SystemExit("the backup goes on after its last line")
        if line.startswith(layout.END) and not tally.inserting:
            end = layout.value_of(layout.END, line)
            continue
        sealed.write(line)
        if head is None:
            head = layout.value_of(layout.HEAD, line)
            if head is None:
                raise SystemExit("this is no backup")
            continue
        tally.see(line)
        client.write(line if tally.inserting else renamed(line, suffix))
    if end is None or sealed.seal() != {key: end[key] for key in ("sha256", "bytes")}:
        raise SystemExit("the backup has not come whole")
    return head, end, tally


def answer(request):
    try:
        return loaded(request, sys.stdin.buffer)
    except (sql.NoAnswerError, sql.NotInstalledError, layout.UnknownFormError) as error:
        raise SystemExit(f"nothing was replaced: {error}") from None


def loaded(request, stream):
    suffix, names = request["suffix"], request["databases"]
    databases.begin(request["sha256"], names, suffix)
    client = Client()
    try:
        head, end, tally = load(stream, suffix, client)
        client.end()
    finally:
        if client.process.poll() is None:
            client.process.kill()
            client.process.wait()
    if head["databases"] != names or end["sha256"] != request["sha256"]:
        raise SystemExit("this is another backup than the one that was looked at")
    if tally.rows != end["rows"]:
        raise SystemExit("the backup has other rows than its last line says")
    found = {name: databases.counted(name + suffix) for name in names}
    if found != end["rows"]:
        raise SystemExit("the server has other rows than were loaded; nothing was replaced")
    count = forget_evacuations(sql.quoted(head["names"]["cell1"] + suffix))
    point_cells(sql.quoted(head["names"]["api"] + suffix), request["cells"])
    databases.note(loaded="yes", tables=found)
    return {"rows": found, "revisions": tally.revisions, "evacuations": count}


def forget_evacuations(cell):
    """Have no host destroy guests for what was so when the backup was made; how many there were.

    What is left on an old host the audit finds, and a person ends it.
    """
    place = EVACUATED.format(cell)
    count = int(databases.run("the evacuations", f"SELECT COUNT(*) FROM {place}")[0][0])
    if count:
        table, _, where = place.partition(" ")
        databases.run("the evacuations", f"UPDATE {table} SET status = 'completed' {where}")
    return count


def point_cells(api, cells):
    """Have Nova reach CELLS as the site says now.

    When the backup was made it may have spoken no TLS to them, and would do so again, or there were
    other brokers.
    """
    is_cell0 = f"uuid = {databases.text(nova_state.CELL0)}"
    for name, urls in cells.items():
        which = is_cell0 if name == "cell0" else f"name = {databases.text(name)} AND NOT {is_cell0}"
        told = ", ".join(f"{key} = {databases.text(url)}" for key, url in urls.items())
        databases.run("the cells", f"UPDATE {api}.cell_mappings SET {told} WHERE {which}")
