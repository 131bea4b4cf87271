"""Read which databases, users and grants a MariaDB server on this host has.

Request: {"databases": [names], "users": [{"name", "password_hash", "databases": [names]}]}
Answer:  {"server": text|null, "missing_databases": [...],
          "users": [{"name", "missing", "password_differs", "missing_grants": [...]}]}
Asked over the local socket as root, so no credentials are needed. `password_hash` is
mysql_native_password's: "*" and the hexadecimal SHA-1 of the SHA-1 of the password.
"""

import re
import subprocess


def sql(statement):
    """The rows that a statement yields, each a list of columns."""
    result = subprocess.run(
        ["mysql", "--batch", "--skip-column-names"],
        input=statement,
        capture_output=True,
        text=True,
    )
    if result.returncode:
        raise OSError(result.stderr.strip())
    return [columns(line) for line in result.stdout.split("\n") if line]


def columns(line):
    """The columns of a line, in which the client writes tab, newline, NUL and \\ with a \\."""
    plain = {"\\t": "\t", "\\n": "\n", "\\0": "\0", "\\\\": "\\"}
    return [re.sub(r"\\[tn0\\]", lambda m: plain[m.group()], c) for c in line.split("\t")]


def every_privilege():
    """The condition that a row of mysql.db holds what GRANT ALL gives: all columns but one."""
    columns = sql(
        "SELECT column_name FROM information_schema.columns WHERE table_schema = 'mysql'"
        " AND table_name = 'db' AND column_name LIKE '%_priv' AND column_name <> 'Grant_priv'"
    )
    return " AND ".join(f"`{name}` = 'Y'" for (name,) in columns)


def user_differences(wanted, hashes, grants):
    found = hashes.get(wanted["name"])
    granted = {schema.replace("\\_", "_") for schema in grants.get(wanted["name"], ())}
    return {
        "name": wanted["name"],
        "missing": found is None,
        "password_differs": found is not None and found != wanted["password_hash"],
        "missing_grants": [name for name in wanted["databases"] if name not in granted],
    }


def answer(request):
    try:
        schemas = {row[0] for row in sql("SHOW DATABASES")}
        hashes = dict(sql("SELECT user, authentication_string FROM mysql.user WHERE host = '%'"))
        rows = sql(f"SELECT user, db FROM mysql.db WHERE host = '%' AND {every_privilege()}")
    except (OSError, ValueError) as error:
        return {
            "server": None,
            "error": str(error),
            "missing_databases": request["databases"],
            "users": [user_differences(user, {}, {}) for user in request["users"]],
        }
    grants = {}
    for user, schema in rows:
        grants.setdefault(user, set()).add(schema)
    return {
        "server": "answers",
        "missing_databases": [name for name in request["databases"] if name not in schemas],
        "users": [user_differences(user, hashes, grants) for user in request["users"]],
    }
