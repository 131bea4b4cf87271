"""The text of a backup: what it is, the databases in SQL, and at its end what it was.

    -- pyinfra-nova backup {"format": 1, ...}
    ... what mariadb-dump prints ...
    -- pyinfra-nova end {"sha256": of everything before this line, "bytes", "rows", ...}

Both lines are comments to a database server. A text without the last one is half a backup.
"""

import hashlib
import json
import re

HEAD = b"-- pyinfra-nova backup "
END = b"-- pyinfra-nova end "
FORMAT = 1
SANDBOX = (b"/*!999999", b"/*M!999999")
"""How the line begins that tells a client to run no programs; older ones stumble over it."""

USED = re.compile(rb"USE `((?:[^`]|``)+)`;\s*")
CREATED = re.compile(rb"CREATE TABLE `((?:[^`]|``)+)` \(\s*")
INSERTED = re.compile(rb"INSERT INTO `((?:[^`]|``)+)` VALUES\s*")
MADE = re.compile(rb"CREATE DATABASE (?:/\*!32312 IF NOT EXISTS\*/ )?`((?:[^`]|``)+)`(.*);\s*")
REVISION = re.compile(rb"\('([0-9a-zA-Z_]+)'\)[,;]\s*")
REVISIONS = "alembic_version"


class UnknownFormError(Exception):
    """mariadb-dump has printed what is not known here."""


def name_in(quoted):
    return quoted.replace(b"``", b"`").decode()


class Tally:
    """Counts rows as their lines pass: what a dump holds, whatever the tables hold by then.

    mariadb-dump prints each row on a line of its own, and a line break in a value as `\\n`.
    """

    def __init__(self):
        self.rows, self.revisions = {}, {}
        self.database = self.table = None
        self.inserting = False

    def see(self, line):
        if self.inserting:
            self._row(line)
        elif line.startswith(b"INSERT INTO "):
            found = INSERTED.fullmatch(line)
            if not found or name_in(found.group(1)) != self.table:
                raise UnknownFormError(f"INSERT into {self.database} in a form not known here")
            self.inserting = True
        elif line.startswith(b"CREATE TABLE "):
            found = CREATED.fullmatch(line)
            if not found or self.database is None:
                raise UnknownFormError(f"CREATE TABLE in {self.database} in a form not known here")
            self.table = name_in(found.group(1))
            self.rows[self.database][self.table] = 0
        elif line.startswith(b"USE "):
            found = USED.fullmatch(line)
            if not found:
                raise UnknownFormError("USE in a form not known here")
            self.database = name_in(found.group(1))
            self.rows.setdefault(self.database, {})

    def _row(self, line):
        if not line.startswith(b"("):
            raise UnknownFormError(f"a row of {self.database}.{self.table} is no line of its own")
        self.rows[self.database][self.table] += 1
        if self.table == REVISIONS:
            found = REVISION.fullmatch(line)
            self.revisions.setdefault(self.database, []).append(
                found.group(1).decode() if found else ""
            )
        self.inserting = not line.rstrip(b"\r\n").endswith(b";")


class Sealed:
    """A stream that knows the length and the digest of what has gone into it."""

    def __init__(self, out):
        self.out, self.digest, self.bytes = out, hashlib.sha256(), 0

    def write(self, data):
        self.digest.update(data)
        self.bytes += len(data)
        self.out.write(data)

    def seal(self):
        return {"sha256": self.digest.hexdigest(), "bytes": self.bytes}


def line(prefix, value):
    return prefix + json.dumps(value, sort_keys=True).encode() + b"\n"


def value_of(prefix, text):
    """What a line with PREFIX holds; None where it is no such line."""
    if not text.startswith(prefix):
        return None
    try:
        found = json.loads(text[len(prefix) :].decode())
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
