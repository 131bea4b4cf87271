"""Write the databases of a cloud, as they are at one point in time, to standard output.

Request: {"header": object, "databases": [names], "also": [names], "cell": name, "login": null or
          {"host", "port", "user", "password"}}
Output:  as layout.py says; what is between the braces of its last line is the answer.
`databases` have to be there, `also` are taken where they are. Without `login` root asks over the
local socket. One mariadb-dump in one transaction reads all of them, so they belong together; that
holds for InnoDB alone, so a table of another engine is refused, and so is what a dump of tables
leaves out: views, triggers, routines, events.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time

import layout
import sql
import trust

OPTIONS = (
    "--single-transaction",
    "--skip-lock-tables",
    "--quick",
    "--hex-blob",
    "--skip-comments",
    "--skip-triggers",
    "--skip-add-drop-table",
    "--skip-add-locks",
    "--skip-disable-keys",
    "--skip-force",
    "--no-autocommit",
    "--extended-insert",
    "--default-character-set=utf8mb4",
    "--max-allowed-packet=1G",
)
MARIADB = "mariadb-dump"
PROGRAMS = (MARIADB, "mysqldump")
SYSTEM = ("mysql", "information_schema", "performance_schema", "sys")


class Server:
    """Who is asked: root's client over the socket, or PyMySQL with a login."""

    def __init__(self, login):
        self.login = login

    def rows(self, subject, statement):
        if self.login is None:
            return sql.client_rows(subject, statement)
        with contextlib.closing(sql.connect(subject, **self.login)) as connection:
            return [
                ["NULL" if value is None else str(value) for value in row.values()]
                for row in sql.rows(connection, subject, statement)
            ]


def text(value):
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def chosen(server, request):
    """The databases that are dumped, and those of `also` that cannot be read here."""
    there = {name for (name,) in server.rows("the databases", "SHOW DATABASES")}
    missing = [name for name in request["databases"] if name not in there]
    if missing:
        raise SystemExit(f"there is no database {', '.join(missing)}, or no right to read it")
    also = [name for name in request["also"] if name in there and name not in SYSTEM]
    return [*request["databases"], *also], [name for name in request["also"] if name not in also]


def refuse_what_is_not_at_one_time(server, names):
    listed = ", ".join(text(name) for name in names)
    found = server.rows(
        "the tables",
        "SELECT CONCAT(table_schema, '.', table_name), IF(table_type = 'BASE TABLE', engine,"
        f" table_type) FROM information_schema.tables WHERE table_schema IN ({listed})"
        " AND (table_type <> 'BASE TABLE' OR engine IS NULL OR engine <> 'InnoDB')"
        " UNION SELECT CONCAT(trigger_schema, '.', trigger_name), 'TRIGGER'"
        f" FROM information_schema.triggers WHERE trigger_schema IN ({listed})"
        " UNION SELECT CONCAT(routine_schema, '.', routine_name), routine_type"
        f" FROM information_schema.routines WHERE routine_schema IN ({listed})"
        " UNION SELECT CONCAT(event_schema, '.', event_name), 'EVENT'"
        f" FROM information_schema.events WHERE event_schema IN ({listed})",
    )
    if found:
        named = ", ".join(f"{name} ({kind})" for name, kind in found[:5])
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        raise SystemExit(f"no InnoDB tables, so they cannot be backed up here: {named}{more}")


def guests(server, cell):
    """How many guests each host has, a moment before the dump."""
    found = server.rows(
        "the guests",
        f"SELECT COALESCE(host, ''), COUNT(*) FROM {sql.quoted(cell)}.instances"
        " WHERE deleted = 0 GROUP BY host",
    )
    return {host: int(count) for host, count in found}


@contextlib.contextmanager
def options_of(login):
    """The words that name who logs in; a password is in a file that is nowhere on a disk."""
    if login is None:
        yield [sql.in_plain_text(program())]
        return
    password = login["password"].replace("\\", "\\\\").replace('"', '\\"')
    with unnamed("login", f'[client]\npassword="{password}"\n') as file, encryption() as how:
        words = [f"--{key}={login[key]}" for key in ("host", "port", "user")]
        yield [f"--defaults-extra-file={file}", *words, *how]


@contextlib.contextmanager
def encryption():
    """The words that have a client speak TLS alone, to whom it was asked for by name."""
    if trust.TRUSTED is None:
        yield []
        return
    with unnamed("authorities", trust.TRUSTED) as file:
        mine = "--ssl-verify-server-cert" if program() == MARIADB else "--ssl-mode=VERIFY_IDENTITY"
        yield [f"--ssl-ca={file}", mine]


@contextlib.contextmanager
def unnamed(name, text):
    """The path of a file that holds TEXT and is nowhere on a disk."""
    descriptor = os.memfd_create(name)
    try:
        os.fchmod(descriptor, 0o600)
        os.write(descriptor, text.encode())
        yield f"/proc/{os.getpid()}/fd/{descriptor}"
    finally:
        os.close(descriptor)


def program():
    for name in PROGRAMS:
        if shutil.which(name):
            return name
    raise SystemExit("neither mariadb-dump nor mysqldump is installed here: mariadb-client has it")


def dumped(names, login):
    """The lines that mariadb-dump prints; it raises where the last of them is not the end."""
    with options_of(login) as who, tempfile.TemporaryFile() as errors:
        command = [program(), *who, *OPTIONS, "--databases", *names]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors
        )
        try:
            with process.stdout as lines:
                for line in lines:
                    if not line.startswith(layout.SANDBOX):
                        yield line
            code = process.wait()
        finally:
            process.kill()
            process.wait()
        errors.seek(0)
        said = errors.read(4000).decode(errors="replace").strip().splitlines()
        if code or any(": Error" in each or "Got error" in each for each in said):
            last = said[-1] if said else "it says nothing"
            raise SystemExit(f"{command[0]} ended with {code}: {last}")


def write(request, out):
    """Write a backup to OUT but for the braces of its last line, which are returned."""
    server = Server(request.get("login"))
    names, left_out = chosen(server, request)
    refuse_what_is_not_at_one_time(server, names)
    header = {
        **request["header"],
        "format": layout.FORMAT,
        "databases": names,
        "left_out": left_out,
        "guests": guests(server, request["cell"]),
        "at": time.time(),
    }
    sealed, tally = layout.Sealed(out), layout.Tally()
    sealed.write(layout.line(layout.HEAD, header))
    for line in dumped(names, request.get("login")):
        tally.see(line)
        sealed.write(line)
    absent = [name for name in names if name not in tally.rows]
    if absent or tally.inserting:
        raise SystemExit(f"the dump is cut off: nothing of {', '.join(absent) or 'its end'}")
    end = {**sealed.seal(), "rows": tally.rows, "revisions": tally.revisions}
    out.write(layout.END)
    return {**end, "seconds": round(time.time() - header["at"], 3)}


def answer(request):
    out = sys.stdout.buffer
    try:
        found = write(request, out)
        out.flush()
    except (sql.NoAnswerError, sql.NotInstalledError, layout.UnknownFormError) as error:
        raise SystemExit(f"no backup: {error}") from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise SystemExit("nobody takes the backup any more") from None
    return found
