"""files/databases.py: what the mysql client prints, read back; and what it does not print."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import databases
import pytest
import sql

REQUEST: dict[str, Any] = {
    "databases": ["nova", "nova_api"],
    "users": [{"name": "nova", "password_hash": "*AB", "databases": ["nova", "nova_api"]}],
}
STATEMENTS = ("SHOW DATABASES", "mysql.user", "information_schema", "mysql.db WHERE")
"""What each of them is known by, in the order in which they are sent."""
SUBJECTS = ("the databases", "mysql.user", "the privileges", "mysql.db")
"""What each of them is about, in words."""
DEPLOYED = {
    "SHOW DATABASES": "information_schema\nmysql\nnova\nnova_api\n",
    "mysql.user": "nova\t*AB\t\nroot\tinvalid\t\n",
    "information_schema": "Select_priv\nInsert_priv\n",
    "mysql.db WHERE": "nova\tnova\nnova\tnova\\\\_api\n",
}
RIGHT = {
    "server": "answers",
    "error": None,
    "early": False,
    "missing_databases": [],
    "users": [
        {
            "name": "nova",
            "missing": False,
            "password_differs": False,
            "requires_tls": "",
            "missing_grants": [],
        }
    ],
}
CLIENT = """#!/bin/sh
[ "$1" != --version ] || {{ cat {folder}/version; exit; }}
printf '%s\\n' "$*" >>{folder}/words
statement=$(cat)
printf '%s\\n' "$statement" >>{folder}/sent
for number in 1 2 3 4; do
    case $statement in
    *"$(cat {folder}/known$number)"*)
        [ ! -f {folder}/instead$number ] || . {folder}/instead$number
        cat {folder}/answer$number
        ;;
    esac
done
printf '%s\\n' "{end}"
"""


MARIADB = "mysql from 11.8.3-MariaDB, client 15.2 for debian-linux-gnu (x86_64)\n"
MYSQL = "mysql  Ver 8.0.36-0ubuntu0.22.04.1 for Linux on x86_64 ((Ubuntu))\n"


class Client:
    """A program `mysql` in PATH, which answers each statement with what it was given."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program = folder / "mysql"
        self.program.write_text(CLIENT.format(folder=folder, end=sql.END))
        self.program.chmod(self.program.stat().st_mode | stat.S_IXUSR)
        (folder / "version").write_text(MARIADB)
        # information_schema's statement names mysql.db in quotes, so none holds another's words.
        for number, known in enumerate(STATEMENTS, 1):
            (folder / f"known{number}").write_text(known)
            (folder / f"answer{number}").write_text(DEPLOYED[known])

    def answers(self, **by_number: str) -> None:
        for name, text in by_number.items():
            (self.folder / name).write_text(text)

    def instead(self, number: int, lines: str) -> None:
        """Have the client do LINES of shell where it should answer statement NUMBER."""
        (self.folder / f"instead{number}").write_text(lines)

    @property
    def sent(self) -> str:
        return (self.folder / "sent").read_text()


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return Client(tmp_path)


@pytest.mark.parametrize(
    ("line", "columns"),
    [
        ("nova\t*AB", ["nova", "*AB"]),
        ("nova\tnova\\\\_api", ["nova", "nova\\_api"]),
        ("tab\\tnewline\\nnul\\0\t", ["tab\tnewline\nnul\0", ""]),
        ("back\\\\nslash\tx", ["back\\nslash", "x"]),
    ],
)
def test_what_the_client_escapes_is_read_as_it_is(line: str, columns: list[str]) -> None:
    assert sql.columns(line) == columns


def test_a_grant_on_an_escaped_name_counts() -> None:
    wanted = {"name": "nova", "password_hash": "*AB", "databases": ["nova_api", "nova"]}
    found = databases.user_differences(wanted, {"nova": ("*AB", "")}, {"nova": {"nova\\_api"}})
    assert found["missing_grants"] == ["nova"]


def test_what_is_there_is_not_missing(client: Client) -> None:
    assert databases.answer(REQUEST) == RIGHT


def test_only_who_comes_from_any_host_counts_and_only_with_every_privilege_but_one(
    client: Client,
) -> None:
    """GRANT ALL is without GRANT OPTION; a database's columns are the server's, not this list's."""
    databases.answer(REQUEST)
    asked = [line for line in client.sent.splitlines() if sql.END not in line]
    assert asked == [
        "SHOW DATABASES;",
        "SELECT user, authentication_string, ssl_type FROM mysql.user WHERE host = '%';",
        "SELECT column_name FROM information_schema.columns WHERE table_schema = 'mysql'"
        " AND table_name = 'db' AND column_name LIKE '%_priv' AND column_name <> 'Grant_priv';",
        "SELECT user, db FROM mysql.db WHERE host = '%'"
        " AND `Select_priv` = 'Y' AND `Insert_priv` = 'Y';",
    ]


@pytest.mark.parametrize("kind", ["ANY", "X509", "SPECIFIED"])
def test_who_is_let_in_over_tls_alone_is_told(client: Client, kind: str) -> None:
    client.answers(answer2=f"nova\t*AB\t{kind}\nroot\tinvalid\t\n")
    assert databases.answer(REQUEST)["users"][0]["requires_tls"] == kind


@pytest.mark.parametrize(("version", "word"), [(MARIADB, "--skip-ssl"), (MYSQL, "--ssl-mode=")])
def test_on_the_local_socket_nobody_is_verified_whichever_client_it_is(
    client: Client, version: str, word: str
) -> None:
    client.answers(version=version)
    assert databases.answer(REQUEST) == RIGHT
    words = (client.folder / "words").read_text().splitlines()
    assert len(words) == 4 and all(line.startswith(word) for line in words)


@pytest.mark.parametrize(("version", "word"), [(MARIADB, "--skip-ssl"), (MYSQL, "--ssl-mode=")])
def test_changes_go_the_same_way_as_questions(client: Client, version: str, word: str) -> None:
    client.answers(version=version)
    made = ["CREATE DATABASE `nova`;", "CREATE USER 'nova'@'%';"]
    assert databases.answer({"statements": made}) == {}
    sent = client.sent.splitlines()
    assert sent == [*made, f"SELECT '{sql.END}';"]
    (words,) = (client.folder / "words").read_text().splitlines()
    assert words.startswith(word) and "CREATE" not in words


def test_what_the_server_does_not_do_ends_the_run_with_its_words(client: Client) -> None:
    client.answers(known1="CREATE USER")
    client.instead(1, f'echo "{error(1396, "Operation CREATE USER failed")}" >&2; exit 1\n')
    with pytest.raises(SystemExit) as ended:
        databases.answer({"statements": ["CREATE USER 'nova'@'%';"]})
    assert ended.value.code == (
        "the database server did not do it: the changes: 1396: Operation CREATE USER failed"
    )
    client.instead(1, "exit 0\n")
    with pytest.raises(SystemExit, match="is cut off"):
        databases.answer({"statements": ["CREATE USER 'nova'@'%';"]})


def test_what_complete_answers_do_not_name_is_missing(client: Client) -> None:
    client.answers(answer1="mysql\nnova\n", answer2="root\tinvalid\t\n", answer4="")
    answer = databases.answer(REQUEST)
    assert answer["missing_databases"] == ["nova_api"]
    (user,) = answer["users"]
    assert user["missing"] and user["missing_grants"] == ["nova", "nova_api"]


def error(number: int, text: str) -> str:
    return f"ERROR {number} (HY000) at line 1: {text}"


FAILURES = {
    "refused": (f"echo '{error(1142, 'SELECT command denied')}' >&2; exit 1", "1142: SELECT"),
    "no login": ("echo 'ERROR 1045 (28000): Access denied' >&2; exit 1", "1045: Access denied"),
    "a lock": (f"echo '{error(1205, 'Lock wait timeout')}' >&2; exit 1", "1205: Lock wait"),
    "another's change": (
        f"echo '{error(1020, 'Record has changed')}' >&2; exit 1",
        "1020: Record has changed; try restarting transaction",
    ),
    "a node": (f"echo '{error(1047, 'WSREP has not yet prepared')}' >&2; exit 1", "1047: WSREP"),
    "full": ("echo 'ERROR 1040 (HY000): Too many connections' >&2; exit 1", "1040: Too many"),
    "lost": (f"cat /dev/null; echo '{error(2013, 'Lost connection')}' >&2; exit 1", "2013: Lost"),
    "lost midway": (f"echo nova; echo '{error(2013, 'Lost')}' >&2; exit 1", "2013: Lost"),
    "a deprecation and an error": (
        f"echo 'mysql: Deprecated program name' >&2; echo '{error(1205, 'Lock')}' >&2; exit 1",
        "1205: Lock",
    ),
    "an error, and `force` in an option file": (
        f"echo '{error(1205, 'Lock wait timeout')}' >&2; echo '{sql.END}'; exit 0",
        "1205: Lock wait",
    ),
    "killed": ("kill -9 $$", "mysql ended with -9"),
    "cut off within a line": ("printf no; exit 0", "cut off"),
    "cut off after a line": ("echo mysql; exit 0", "cut off"),
    "cut off within the last line": (f"echo mysql; printf '{sql.END}'; exit 0", "cut off"),
    "nothing": ("exit 0", "cut off"),
    "other columns": (f"printf 'a\\tb\\tc\\td\\n{sql.END}\\n'; exit 0", "other columns"),
    "a full backlog": (
        "echo \"ERROR 2002 (HY000): Can't connect to local server through socket '/x' (11)\" >&2;"
        " exit 1",
        "2002: Can't connect",
    ),
}


@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize("failure", FAILURES)
def test_what_is_no_answer_makes_nothing_missing(client: Client, failure: str, number: int) -> None:
    lines, words = FAILURES[failure]
    client.instead(number, lines)
    answer = databases.answer(REQUEST)
    assert answer["server"] is None and answer["early"] is False
    assert answer["missing_databases"] is None and answer["users"] is None
    assert words in answer["error"]
    if failure != "other columns":  # of which nobody but the reader of all four knows
        assert answer["error"].startswith(f"{SUBJECTS[number - 1]}: ")
    # Nothing but questions was ever sent.
    assert not any(word in client.sent for word in ("CREATE", "ALTER", "GRANT ALL"))


@pytest.mark.parametrize("errno", [2, 111])
def test_where_no_server_is_yet_everything_is_missing(client: Client, errno: int) -> None:
    text = f"ERROR 2002 (HY000): Can't connect to local server through socket '/x' ({errno})"
    client.instead(1, f'echo "{text}" >&2; exit 1')
    answer = databases.answer(REQUEST)
    assert answer["early"] and "2002: Can't connect" in answer["error"]
    assert answer["missing_databases"] == ["nova", "nova_api"]
    assert answer["users"][0]["missing"] and not answer["users"][0]["password_differs"]


def test_where_the_client_is_not_installed_no_server_is_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    answer = databases.answer(REQUEST)
    assert answer["early"] and answer["error"] == "the program mysql is not installed"


def test_a_client_that_may_not_be_run_is_no_missing_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mysql").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path))
    answer = databases.answer(REQUEST)
    assert answer["early"] is False and "Permission denied" in answer["error"]


def test_a_client_that_never_ends_is_no_answer(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "TIMEOUT", 0.3)
    client.instead(1, "exec sleep 20")
    assert "timed out" in databases.answer(REQUEST)["error"]
