"""What a database server answers, told from everything that is no answer.

Only the server's own words "no such table" and "no such database" mean that something is not there
(`NotThereError`). Any other error is no answer (`NoAnswerError`): a lock waited for too long, a
node outside its cluster, a broken connection, half of the rows. Nobody may take it for "no rows".
"""

import re
import ssl
import subprocess

import trust

NOT_THERE = (1049, 1146)
"""No such database, no such table."""
DENIED = (1044, 1045, 1130, 1142, 1143, 1227, 1698)
"""Not this user: to the database, with this password, from this host, to the table, to the column,
without this privilege, by this socket."""
CHANGED = 1020
"""A row was changed since this transaction began, with `innodb_snapshot_isolation`
(https://bugs.launchpad.net/nova/+bug/2116186)."""
UNDONE = (CHANGED, 1205, 1213)
"""That, a lock that was waited for too long, a deadlock: nothing is left of a statement that
commits by itself. Only of the last two the server says that one may try again."""
AGAIN = "; try restarting transaction"
NO_SERVER = re.compile(r"^Can't connect to .*\((2|111)\)$")
"""errno: the socket is not there, nobody listens at it (2002 alone may be a full backlog, too)."""
TIMEOUT = 60
"""Seconds. A read waits for whoever locks a table; MariaDB would let it wait for a day."""
ERROR = re.compile(r"^ERROR (\d+) \(\w+\)(?: at line \d+)?: (.*)$", re.MULTILINE)
END = "pyinfra-nova: the end"
"""The client's answer ends with a row that holds this, so half an answer is seen to be half."""


class NoAnswerError(Exception):
    """No answer about SUBJECT, with the number and words of the server or the client."""

    def __init__(self, subject, number, text):
        super().__init__(subject, number, text)
        self.number = number
        self.words = text if number is None else f"{number}: {text}"

    def __str__(self):
        return f"{self.args[0]}: {self.words}"

    @property
    def denied(self):
        return self.number in DENIED

    @property
    def undone(self):
        return self.number in UNDONE

    @property
    def no_server(self):
        return self.number == 2002 and bool(NO_SERVER.search(self.args[2]))


class NotThereError(NoAnswerError):
    """The server answered that the table or database does not exist."""


class NotInstalledError(Exception):
    """What speaks to a server is not installed on this host."""


def failure(subject, number, text):
    if number == CHANGED:
        text += AGAIN
    kind = NotThereError if number in NOT_THERE else NoAnswerError
    return kind(subject, number, text)


def quoted(name):
    return "`" + name.replace("`", "``") + "`"


def text_list(texts):
    """Texts as a list; with nothing in it, as long as nothing is empty."""
    escaped = (text.replace("\\", "\\\\").replace("'", "''") for text in texts)
    return "(" + (", ".join(f"'{text}'" for text in escaped) or "''") + ")"


# --- with PyMySQL ---------------------------------------------------------------------------------


def connect(subject, **login):
    """A connection; over TCP it is encrypted where anybody is trusted."""
    try:
        import pymysql
    except ModuleNotFoundError as error:
        if error.name != "pymysql":
            raise NoAnswerError(subject, None, f"PyMySQL cannot be loaded: {error}") from None
        raise NotInstalledError("PyMySQL is not installed") from None
    where = (
        (login["host"], login["port"]) if "host" in login and trust.TRUSTED is not None else None
    )
    connected = encrypted(pymysql, where) if where else pymysql.connect
    try:
        return connected(
            connect_timeout=10,
            read_timeout=TIMEOUT,
            write_timeout=TIMEOUT,
            autocommit=True,
            **login,
        )
    except Exception as error:  # see `rows`
        raise refused(subject, error, where) or from_pymysql(subject, error) from None


TLS = 0x800
START_TLS = b"\x20\0\0\x01" + (0x88A00).to_bytes(4, "little") + b"\0\0\0\x01\x21" + bytes(23)
"""The packet after which a server expects TLS: protocol 4.1, TLS, secure passwords, plugins."""


def encrypted(pymysql, where):
    """What makes connections of PyMySQL's that say nothing before TLS.

    Where a server says that it has no TLS, or somebody on the way says so in its name, 1.0.2 and
    1.1.1 go on in plain text, with the login (_request_authentication).
    """

    class Encrypted(pymysql.connections.Connection):
        def _request_authentication(self):
            if not self.server_capabilities & TLS:
                raise trust.RefusedError(trust.in_plain_text(where))
            super()._request_authentication()

    def connect(**login):
        made = Encrypted(ssl=trust.as_python_does(), **login)
        if not isinstance(getattr(made, "_sock", None), ssl.SSLSocket):
            made.close()
            raise trust.RefusedError(trust.in_plain_text(where))
        return made

    return connect


def begin_tls(stream):
    """For a second look at a certificate."""
    stream.recv(4096)
    stream.sendall(START_TLS)


def refused(subject, error, where):
    """The NoAnswerError that says what of TLS was refused; None where it is something else."""
    # PyMySQL's own has that which it was made of.
    cause = getattr(error, "original_exception", error)
    is_told = isinstance(cause, trust.RefusedError)
    said = str(cause) if is_told else where and trust.refusal(cause, where, begin_tls)
    if not said:
        return None
    place = subject + " "
    return NoAnswerError(subject, None, said[len(place) :] if said.startswith(place) else said)


def rows(connection, subject, statement):
    """The rows, each a dictionary, of a complete answer to STATEMENT, which is about SUBJECT."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            names = [column[0] for column in cursor.description or ()]
            return [dict(zip(names, row)) for row in cursor.fetchall()]  # noqa: B905 - Python 3.9
    except Exception as error:  # PyMySQL's own, or what broken packets make of its parser
        raise from_pymysql(subject, error) from None


def changed(connection, subject, statement):
    """How many rows STATEMENT, which is about SUBJECT, has changed."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.rowcount
    except Exception as error:  # as in `rows`
        raise from_pymysql(subject, error) from None


def from_pymysql(subject, error):
    kind = type(error).__name__
    if len(error.args) == 2 and isinstance(error.args[0], int):
        number, text = error.args
        return failure(subject, number, text or kind)
    return failure(subject, None, f"{kind}: {error}")


# --- with the program `mysql`, as root over the local socket --------------------------------------


def in_plain_text(program):
    """How PROGRAM, MariaDB's or MySQL's, is told that nothing is encrypted on the local socket.

    From 11.4 on MariaDB's verifies the server's certificate there as well, against the host's own
    authorities, and ends with "unable to get local issuer certificate".
    """
    said = subprocess.run(
        [program, "--version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT
    )
    return "--skip-ssl" if b"MariaDB" in said.stdout else "--ssl-mode=DISABLED"


def client_rows(subject, statement):
    """The rows, each a list of columns, of a complete answer to STATEMENT about SUBJECT."""
    try:
        result = subprocess.run(
            ["mysql", in_plain_text("mysql"), "--batch", "--skip-column-names"],
            input=f"{statement};\nSELECT '{END}';\n",
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=TIMEOUT,
        )
    except FileNotFoundError:
        raise NotInstalledError("the program mysql is not installed") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoAnswerError(subject, None, f"mysql: {error}") from None
    # With `force` in an option file the client goes on after an error and ends with 0.
    error = ERROR.search(result.stderr)
    if error:
        raise failure(subject, int(error.group(1)), error.group(2))
    if result.returncode:
        last = (result.stderr.strip() or "it says nothing").splitlines()[-1]
        raise NoAnswerError(subject, None, f"mysql ended with {result.returncode}: {last}")
    *lines, end, rest = ("\n" + result.stdout).split("\n")
    if (end, rest) != (END, ""):
        raise NoAnswerError(subject, None, "the answer of mysql is cut off")
    return [columns(line) for line in lines[1:]]


def columns(line):
    """The columns of a line, in which the client writes tab, newline, NUL and \\ with a \\."""
    plain = {"\\t": "\t", "\\n": "\n", "\\0": "\0", "\\\\": "\\"}
    return [re.sub(r"\\[tn0\\]", lambda m: plain[m.group()], c) for c in line.split("\t")]
