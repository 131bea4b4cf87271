"""A backup of a moment, encrypted as it comes, and as many earlier ones as are to be kept.

The controller cannot open what it has written: it has the recipient's public key alone. What can be
verified here is that the file on the disk is what age has put out, to its end.
"""

import hashlib
import json
import os
import re
import subprocess
import tempfile
import threading
import time

import dump
import layout
import nova_state
import sql

TIME = "%Y%m%dT%H%M%SZ"
REST = r"\d{8}T\d{6}Z\.sql\.age"
ABANDONED = 86400
"""Seconds after which nobody writes any more to what was begun."""
AGE = b"age-encryption.org/v1\n"
PIECE = 1 << 20


def stem(request):
    """How the names begin of this site's backups: another one may keep its own beside them."""
    site = json.dumps(request["header"]["site"], sort_keys=True)
    return "nova-" + hashlib.sha256(site.encode()).hexdigest()[:8] + "-"


class NoBackupError(Exception):
    """There is no new backup, and no earlier one was touched."""


class Drain(threading.Thread):
    """Writes what a program prints to a file, and knows its digest."""

    def __init__(self, source, target):
        super().__init__()
        self.source, self.target = source, target
        self.digest, self.error = hashlib.sha256(), None

    def run(self):
        try:
            for piece in iter(lambda: self.source.read(PIECE), b""):
                self.digest.update(piece)
                self.target.write(piece)
            self.target.flush()
            os.fsync(self.target.fileno())
        except OSError as error:
            self.error = error
            self.source.close()  # whoever writes to the program is to hear of it


def login_of(request):
    """None where root's socket on this host is that of the site's server."""
    here = any(os.path.exists(path) for path in nova_state.SOCKETS)
    return None if here and nova_state.is_here(request["login"]["host"]) else request["login"]


def encrypted(request, recipient, target):
    """The digest of what was written to TARGET, and the last line of the backup."""
    with tempfile.TemporaryFile() as errors:
        try:
            age = subprocess.Popen(
                ["age", "--encrypt", "--recipient", recipient],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        except OSError as error:
            raise NoBackupError(f"age does not run: {error.strerror}; deploy again") from None
        drain = Drain(age.stdout, target)
        drain.start()
        try:
            end = dump.write({**request, "login": login_of(request)}, age.stdin)
            age.stdin.write(json.dumps(end, sort_keys=True).encode() + b"\n")
            age.stdin.close()
            code = age.wait()
            drain.join()
        except BrokenPipeError:
            age.kill()
            drain.join()
            code, end = age.wait(), None
        except BaseException:
            age.kill()
            age.wait()
            drain.join()
            raise
        if drain.error:
            raise NoBackupError(f"the backup cannot be written: {drain.error.strerror}")
        if code or end is None:
            errors.seek(0)
            said = errors.read(400).decode(errors="replace").strip().splitlines()
            raise NoBackupError(f"age ended with {code}: {said[0] if said else 'it says nothing'}")
        return drain.digest.hexdigest(), end


def verify(path, digest):
    """Read a file again from its beginning to its end."""
    found = hashlib.sha256()
    with open(path, "rb") as stream:
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        if not stream.read(len(AGE)) == AGE:
            raise NoBackupError(f"{path} is not what age writes")
        stream.seek(0)
        for piece in iter(lambda: stream.read(PIECE), b""):
            found.update(piece)
    if found.hexdigest() != digest:
        raise NoBackupError(f"{path} is not what was written: look at the disk")


def made(wanted):
    """The number of rows in a new backup, and what there is now."""
    folder = wanted["folder"]
    os.makedirs(folder, mode=0o700, exist_ok=True)
    mine = stem(wanted["request"])
    name = mine + time.strftime(TIME, time.gmtime()) + ".sql.age"
    path = os.path.join(folder, name)
    clear_abandoned(folder, mine)
    descriptor, beside = tempfile.mkstemp(prefix="." + mine, dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as target:
            digest, end = encrypted(wanted["request"], wanted["recipient"], target)
        verify(beside, digest)
        os.rename(beside, path)
        settle(folder)
    except (sql.NoAnswerError, sql.NotInstalledError, layout.UnknownFormError) as error:
        raise NoBackupError(str(error)) from None
    except SystemExit as error:
        raise NoBackupError(str(error.code)) from None
    except OSError as error:
        raise NoBackupError(f"{folder}: {error.strerror or error}") from None
    finally:
        if os.path.exists(beside):
            os.unlink(beside)
    gone = clear(folder, mine, wanted["keep"], name)
    size = os.stat(path).st_size
    rows = sum(sum(tables.values()) for tables in end["rows"].values())
    said = f"{name}, {size} bytes, sha256 {digest}"
    return rows, said + (f"; {len(gone)} older ones are gone" if gone else "")


def settle(folder):
    """Have a new name on the disk before an older one goes."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def clear_abandoned(folder, mine):
    """Delete what a run that was killed has left half written."""
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        is_begun = re.fullmatch(re.escape("." + mine) + r"[a-z0-9_]{8}", name)
        if is_begun and time.time() - os.stat(path).st_mtime > ABANDONED:
            os.unlink(path)


def clear(folder, mine, keep, newest):
    """Delete the oldest of more than KEEP backups; what has another name is somebody else's."""
    own = re.compile(re.escape(mine) + REST)
    names = sorted(name for name in os.listdir(folder) if own.fullmatch(name))
    gone = [name for name in names[:-keep] if name != newest]
    for name in gone:
        os.unlink(os.path.join(folder, name))
    return gone
